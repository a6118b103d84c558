//! What setup is to change, as people see it before they say yes.

use std::fmt;
use std::path::{Path, PathBuf};

use super::not_by_key_alone;
use super::there::There;
use super::version::Version;
use crate::session::{Rung, Verdict};
use crate::ssh::UserKey;

/// One change that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A key pair of the user's own on this machine.
    MakeKey(PathBuf),
    /// Paths of the cluster are closed to others, or sshd takes no key.
    Close(Vec<String>),
    /// A line in the cluster's authorized_keys.
    Authorize(String),
    /// This qdebug's binary on the cluster.
    Install {
        /// Where to, as people write it.
        place: String,
        /// How large it is, in bytes.
        size: usize,
        /// What it takes over from.
        instead: Option<String>,
        /// Where what is in its place now is kept, as people write it.
        keep: Option<String>,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeKey(path) => write!(
                f,
                "here: a new ssh key, {} (its private half never leaves this machine)",
                path.display()
            ),
            Self::Close(paths) => write!(
                f,
                "cluster: chmod go-w {} (sshd takes no key while others may write there)",
                paths.join(" ")
            ),
            Self::Authorize(key) => write!(f, "cluster: ~/.ssh/authorized_keys gets {key}"),
            Self::Install {
                place,
                size,
                instead,
                keep,
            } => {
                let (version, megabytes) = (Version::own(), size.div_ceil(1 << 20));
                write!(f, "cluster: qdebug {version} as {place} ({megabytes} MB)")?;
                if let Some(other) = instead {
                    write!(f, ", used instead of {other}")?;
                }
                match keep {
                    Some(kept) => write!(f, "; what is there now is kept as {kept}"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// What a key needs that does not let in yet.
pub(super) fn key_changes(
    there: &There,
    key: Option<&UserKey>,
    home: &Path,
    tell: &dyn Fn(Rung),
) -> Vec<Change> {
    for path in &there.foreign {
        let told = format!(
            "{} is not yours there: sshd takes no key",
            there.shown(path)
        );
        tell(Rung::new("key", Verdict::Warn, told).cure(
            "ask the admin to give it to you (chown) and to close it to others (chmod go-w)",
        ));
    }
    let mut changes = Vec::new();
    if !there.loose.is_empty() {
        let loose = there.loose.iter().map(|path| there.shown(path));
        changes.push(Change::Close(loose.collect()));
    }
    let own = home.join(".ssh").join("id_ed25519");
    match key {
        Some(_) if there.has_key && changes.is_empty() => tell(not_by_key_alone(Verdict::Ok)),
        Some(_) if there.has_key => {}
        Some(key) => changes.push(Change::Authorize(key.line.clone())),
        None if own.exists() => {
            let told = format!("{} has no public half beside it", own.display());
            let private = own.to_string_lossy();
            let public = format!("{private}.pub");
            let cure = format!(
                "ssh-keygen -y -f {} > {}",
                shell_words::quote(&private),
                shell_words::quote(&public)
            );
            tell(Rung::new("key", Verdict::Warn, told).cure(cure));
        }
        None => {
            changes.push(Change::MakeKey(own));
            changes.push(Change::Authorize("its line".to_owned()));
        }
    }
    changes
}

/// A key pair that was made here.
pub(super) fn key_made(path: &Path, is_without_passphrase: bool) -> Rung {
    let told = format!("{} made", path.display());
    match is_without_passphrase {
        false => Rung::new("new key", Verdict::Ok, told),
        true => Rung::new(
            "new key",
            Verdict::Ok,
            format!("{told}, without a passphrase: who can read the file has the key"),
        )
        .cure(format!(
            "`ssh-keygen -p -f {}` gives it one",
            shell_words::quote(&path.to_string_lossy())
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const LINE: &str = "ssh-ed25519 \
        AAAAC3NzaC1lZDI1NTE5AAAAIKHEChAr8Nx3Y8gJfZbzL9PUv3sHSGtXFQzQd5GvMfFo alice@laptop";

    fn key() -> UserKey {
        UserKey {
            key: LINE.parse().unwrap(),
            line: LINE.to_owned(),
            file: None,
        }
    }

    fn of(found: &str, key: Option<&UserKey>, home: &Path) -> (Vec<Change>, Vec<Rung>) {
        let there = There::read(&format!("home=/home/al\n{found}"));
        let told = RefCell::new(Vec::new());
        let tell = |rung| told.borrow_mut().push(rung);
        let changes = key_changes(&there, key, home, &tell);
        (changes, told.into_inner())
    }

    #[test]
    fn a_key_needs_its_line_and_modes_that_sshd_takes() {
        let home = tempfile::tempdir().unwrap();
        let key = key();
        let (changes, told) = of("loose=/home/al\n", Some(&key), home.path());
        let close = Change::Close(vec!["~".to_owned()]);
        assert_eq!(changes, [close.clone(), Change::Authorize(LINE.to_owned())]);
        assert!(told.is_empty(), "{told:?}");
        let (changes, _) = of("loose=/home/al\nkey=there\n", Some(&key), home.path());
        assert_eq!(changes, [close]);
        let (changes, told) = of("key=there\nforeign=/home/al\n", Some(&key), home.path());
        assert!(changes.is_empty());
        let verdicts: Vec<Verdict> = told.iter().map(|rung| rung.verdict).collect();
        assert_eq!(verdicts, [Verdict::Warn, Verdict::Ok]);
    }

    #[test]
    fn without_a_key_one_is_made_and_none_is_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let own = home.path().join(".ssh/id_ed25519");
        let (changes, _) = of("", None, home.path());
        assert_eq!(changes[0], Change::MakeKey(own.clone()));
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        std::fs::write(&own, "").unwrap();
        let (changes, told) = of("", None, home.path());
        assert!(changes.is_empty() && told[0].cures[0].starts_with("ssh-keygen -y"));
    }

    #[test]
    fn a_key_without_a_passphrase_is_told_with_the_way_to_one() {
        let made = key_made(Path::new("/a b/id"), false);
        assert_eq!((made.told.as_str(), made.cures.len()), ("/a b/id made", 0));
        let bare = key_made(Path::new("/a b/id"), true);
        assert!(bare.told.contains("without a passphrase"), "{bare:?}");
        assert_eq!(bare.cures, ["`ssh-keygen -p -f '/a b/id'` gives it one"]);
    }

    #[test]
    fn changes_are_told_in_full() {
        let install = Change::Install {
            place: "~/.local/bin/qdebug".to_owned(),
            size: (15 << 20) + 1,
            instead: Some("/opt/qdebug (0.0.9)".to_owned()),
            keep: Some("~/.local/bin/qdebug.before-setup".to_owned()),
        };
        let told = install.to_string();
        let end = "~/.local/bin/qdebug (16 MB), used instead of /opt/qdebug (0.0.9); what is there \
                   now is kept as ~/.local/bin/qdebug.before-setup";
        assert!(told.ends_with(end), "{told}");
        let close = Change::Close(vec!["~".to_owned(), "~/.ssh".to_owned()]).to_string();
        assert!(
            close.starts_with("cluster: chmod go-w ~ ~/.ssh "),
            "{close}"
        );
    }
}
