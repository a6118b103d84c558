//! The one `Include` in the user's own ssh configuration.
//!
//! ssh takes the first value it finds for a setting, and an `Include` below a `Host` line counts
//! for that host alone. So the line goes to the very top of `~/.ssh/config`. Everything else there
//! is kept byte for byte.

use std::path::{Path, PathBuf};

use super::config_file::lock;
use super::error::Error;
use super::files;
use super::word::PlainPath;

/// What stands above our line in the user's file.
const COMMENT: &str =
    "# qdebug: sessions of `qdebug connect` (to undo, delete this and the next line)";

/// What would be done to the user's own file, to be shown before it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncludePlan {
    /// The user's file.
    pub path: PathBuf,
    /// The lines that would be put at its top.
    pub lines: String,
    /// Where the file as it is now would be kept; `None` when there is none yet.
    pub backup: Option<PathBuf>,
}

/// Whether the user's file includes ours already, else what to add.
///
/// # Errors
/// [`Error::File`] when it cannot be read.
pub fn plan_include(user_file: &Path, own: &PlainPath) -> Result<Option<IncludePlan>, Error> {
    let content = files::read(user_file)?;
    if content.as_deref().is_some_and(|text| includes(text, own)) {
        return Ok(None);
    }
    Ok(Some(IncludePlan {
        path: user_file.to_owned(),
        lines: include_lines(own),
        backup: content.map(|_| backup_of(user_file)),
    }))
}

/// Puts our line at the top of the user's file, after a backup, unless it is there meanwhile.
///
/// # Errors
/// [`Error::File`]; [`Error::Busy`] when another qdebug does not let go of the file.
pub async fn apply_include(plan: &IncludePlan, own: &PlainPath) -> Result<(), Error> {
    if let Some(dir) = plan.path.parent() {
        files::private_dir(dir)?;
    }
    let _lock = lock(own).await?;
    let content = files::read(&plan.path)?;
    let old = content.as_deref().unwrap_or_default();
    if includes(old, own) {
        return Ok(());
    }
    if content.is_some() {
        let backup = backup_of(&plan.path);
        files::replace(&backup, old)?;
    }
    files::replace(&plan.path, &with_include(old, own))
}

/// Whether the user's file has our lines just as they were put there, so that they can be taken out.
///
/// # Errors
/// [`Error::File`] when it cannot be read.
pub fn has_include(user_file: &Path, own: &PlainPath) -> Result<bool, Error> {
    let content = files::read(user_file)?;
    Ok(content.is_some_and(|text| without_include(&text, own).is_some()))
}

/// Takes our lines out of the user's file, which is then as it was, and our own files away. A backup
/// that says nothing else goes, too, and so does a file that holds nothing more.
///
/// # Errors
/// [`Error::File`]; [`Error::Busy`] when another qdebug does not let go of the file.
pub async fn take_include_back(
    user_file: &Path,
    own: &PlainPath,
    known_hosts: &PlainPath,
) -> Result<(), Error> {
    let _lock = lock(own).await?;
    let content = files::read(user_file)?.unwrap_or_default();
    let Some(rest) = without_include(&content, own) else {
        return Ok(());
    };
    let backup = backup_of(user_file);
    let was = files::read(&backup)?;
    if rest.is_empty() && was.is_none() {
        files::remove(user_file)?;
    } else {
        files::replace(user_file, &rest)?;
    }
    if was.is_some_and(|was| was == rest) {
        files::remove(&backup)?;
    }
    for path in [own, known_hosts] {
        files::remove(path.as_path())?;
    }
    Ok(())
}

fn backup_of(user_file: &Path) -> PathBuf {
    let mut name = user_file.as_os_str().to_owned();
    name.push(".before-qdebug");
    name.into()
}

/// The lines at the top of the user's file.
pub fn include_lines(own: &PlainPath) -> String {
    format!("{COMMENT}\nInclude {}\n", own.quoted())
}

pub(super) fn with_include(old: &[u8], own: &PlainPath) -> Vec<u8> {
    // A byte order mark must stay first, or ssh would read it as part of a keyword.
    let mark: &[u8] = b"\xef\xbb\xbf";
    let (mark, rest) = match old.strip_prefix(mark) {
        Some(rest) => (mark, rest),
        None => (&old[..0], old),
    };
    let mut lines = include_lines(own);
    if !rest.is_empty() {
        lines.push('\n');
    }
    [mark, lines.as_bytes(), rest].concat()
}

/// The file before [`with_include`]; `None` where our lines do not stand in it as they were put there.
fn without_include(text: &[u8], own: &PlainPath) -> Option<Vec<u8>> {
    let lines = include_lines(own);
    let lines = lines.as_bytes();
    let at = text
        .windows(lines.len())
        .position(|window| window == lines)?;
    let (before, ours) = text.split_at(at);
    let behind = &ours[lines.len()..];
    // The empty line below them is ours as well.
    Some([before, behind.strip_prefix(b"\n").unwrap_or(behind)].concat())
}

/// Whether `Include` names our file above the first `Host` or `Match`.
fn includes(text: &[u8], own: &PlainPath) -> bool {
    for line in String::from_utf8_lossy(text).lines() {
        let line = line.trim_start_matches('\u{feff}').trim();
        let end = line
            .find(|c: char| c.is_whitespace() || c == '=')
            .unwrap_or(line.len());
        let (keyword, values) = line.split_at(end);
        let keyword = keyword.to_ascii_lowercase();
        match keyword.as_str() {
            "host" | "match" => return false,
            "include" => {
                let ours = own.to_string();
                let values = values.trim_start_matches(|c: char| c.is_whitespace() || c == '=');
                let quoted = values.split('"').any(|value| value == ours);
                if quoted || values.split_whitespace().any(|value| value == ours) {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::DRIVE;

    #[test]
    fn the_include_is_seen_where_it_counts_alone() {
        let own = PlainPath::new(format!("{DRIVE}/home/a b/ssh_config")).unwrap();
        for (text, seen) in [
            ("Include \"/home/a b/ssh_config\"\nHost x\n", true),
            ("# x\n\n include = \"/home/a b/ssh_config\"\n", true),
            ("Host x\nInclude \"/home/a b/ssh_config\"\n", false),
            ("Match all\nInclude \"/home/a b/ssh_config\"\n", false),
            ("#Include \"/home/a b/ssh_config\"\n", false),
            ("Include other\n", false),
            ("", false),
        ] {
            let text = text.replace("/home", &format!("{DRIVE}/home"));
            assert_eq!(includes(text.as_bytes(), &own), seen, "{text:?}");
        }
        let written = with_include(b"", &own);
        assert!(includes(&written, &own));
    }

    #[tokio::test]
    async fn foreign_bytes_stay() {
        let dir = tempfile::tempdir().unwrap();
        let own = PlainPath::new(dir.path().join("qdebug/ssh_config")).unwrap();
        for old in [
            &b"Host a\r\n  User \xff\xfe\r\n# no end"[..],
            b"",
            b"\xef\xbb\xbfHost a\n",
        ] {
            let user = dir.path().join("config");
            std::fs::write(&user, old).unwrap();
            let plan = plan_include(&user, &own).unwrap().unwrap();
            apply_include(&plan, &own).await.unwrap();
            let new = std::fs::read(&user).unwrap();
            assert!(new.ends_with(old.strip_prefix(b"\xef\xbb\xbf").unwrap_or(old)));
            assert_eq!(std::fs::read(plan.backup.unwrap()).unwrap(), old);
            assert_eq!(plan_include(&user, &own).unwrap(), None);
            let again = IncludePlan {
                path: user.clone(),
                lines: String::new(),
                backup: None,
            };
            apply_include(&again, &own).await.unwrap();
            assert_eq!(std::fs::read(&user).unwrap(), new);
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_missing_config_is_made_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let own = PlainPath::new(dir.path().join("qdebug/ssh_config")).unwrap();
        let user = dir.path().join(".ssh/config");
        let plan = plan_include(&user, &own).unwrap().unwrap();
        assert_eq!(plan.backup, None);
        apply_include(&plan, &own).await.unwrap();
        assert_eq!(
            std::fs::metadata(&user).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[tokio::test]
    async fn taken_back_the_folder_is_as_it_was() {
        for old in [
            Some(&b"Host a\r\n  User \xff\xfe\r\n# no end"[..]),
            Some(b"\n\nHost a\n"),
            Some(b""),
            Some(b"\xef\xbb\xbfHost a\n"),
            None,
        ] {
            let dir = tempfile::tempdir().unwrap();
            let own = PlainPath::new(dir.path().join("qdebug/ssh_config")).unwrap();
            let hosts = PlainPath::new(dir.path().join("qdebug/known_hosts")).unwrap();
            let user = dir.path().join("config");
            if let Some(old) = old {
                std::fs::write(&user, old).unwrap();
            }
            let plan = plan_include(&user, &own).unwrap().unwrap();
            apply_include(&plan, &own).await.unwrap();
            assert!(has_include(&user, &own).unwrap());
            take_include_back(&user, &own, &hosts).await.unwrap();
            assert_eq!(files::read(&user).unwrap().as_deref(), old);
            assert!(!has_include(&user, &own).unwrap());
            assert!(!backup_of(&user).exists());
        }
    }

    #[tokio::test]
    async fn what_the_user_wrote_since_stays_and_so_does_the_copy() {
        let dir = tempfile::tempdir().unwrap();
        let own = PlainPath::new(dir.path().join("qdebug/ssh_config")).unwrap();
        let user = dir.path().join("config");
        std::fs::write(&user, "Host a\n").unwrap();
        let plan = plan_include(&user, &own).unwrap().unwrap();
        apply_include(&plan, &own).await.unwrap();
        let more = [&std::fs::read(&user).unwrap()[..], b"Host b\n"].concat();
        std::fs::write(&user, more).unwrap();
        take_include_back(&user, &own, &own).await.unwrap();
        assert_eq!(std::fs::read(&user).unwrap(), b"Host a\nHost b\n");
        assert_eq!(std::fs::read(backup_of(&user)).unwrap(), b"Host a\n");
    }
}
