//! What `doctor` says of files that OpenSSH refuses because others may use them.

use std::path::PathBuf;

use crate::session::{Rung, Verdict};
use crate::ssh::permissions::{Access, ClientFiles, OpenFile};

/// Of ssh's own files in `~/.ssh`.
pub(super) fn of_client(found: &ClientFiles) -> Rung {
    let rung = |verdict, told: String| Rung::new("~/.ssh", verdict, told);
    match found {
        ClientFiles::Closed { keys: 0 } => rung(
            Verdict::Ok,
            "no key of yours; qdebug has its own".to_owned(),
        ),
        ClientFiles::Closed { keys } => rung(
            Verdict::Ok,
            format!("{keys} of your keys, closed to others"),
        ),
        ClientFiles::OpenKeys(open) => {
            let paths: Vec<PathBuf> = open.iter().map(|file| file.path.clone()).collect();
            let told = format!(
                "ssh refuses keys that are too open, which others may read: {}",
                listed(&paths)
            );
            closing(rung(Verdict::Fail, told + &by_whom(open)), open)
        }
        ClientFiles::OpenConfig(file) => {
            let open = std::slice::from_ref(file);
            let told = "ssh refuses a configuration that others may write to".to_owned();
            closing(rung(Verdict::Fail, told + &by_whom(open)), open)
        }
        ClientFiles::Unread { reason } => rung(
            Verdict::Skipped,
            format!("who may read your keys cannot be told: {reason}"),
        )
        .cure("icacls KEY  (only you, SYSTEM and Administrators may stand there)"),
    }
}

/// Who it is, where that is an account and not the rest of the world.
fn by_whom(open: &[OpenFile]) -> String {
    let mut told = Vec::new();
    for file in open {
        let Access::Accounts {
            owner,
            others,
            no_list,
            ..
        } = &file.access
        else {
            continue;
        };
        if *no_list {
            told.push("everybody, as there is no access list".to_owned());
        }
        told.extend(
            owner
                .iter()
                .map(|owner| format!("owner {}", account(owner))),
        );
        told.extend(others.iter().map(|other| account(other)));
    }
    told.sort();
    told.dedup();
    match told.is_empty() {
        true => String::new(),
        false => format!(" ({})", told.join(", ")),
    }
}

/// An account as people know it, where it is the same on every machine.
fn account(sid: &str) -> String {
    let name = match sid {
        "S-1-1-0" => "Everyone",
        "S-1-5-11" => "Authenticated Users",
        "S-1-5-32-545" => "Users",
        "S-1-5-4" => "Interactive",
        "S-1-3-0" => "Creator Owner",
        other => return other.to_owned(),
    };
    format!("{name} {sid}")
}

/// Adds the commands that close these files.
fn closing(rung: Rung, open: &[OpenFile]) -> Rung {
    let by_mode = open.iter().filter(|file| file.access == Access::Mode);
    let by_mode: Vec<PathBuf> = by_mode.map(|file| file.path.clone()).collect();
    let rung = match by_mode.is_empty() {
        true => rung,
        false => rung.cure(format!("chmod 600 {}", listed(&by_mode))),
    };
    open.iter().fold(rung, |rung, file| match &file.access {
        Access::Mode => rung,
        Access::Accounts { user, owner, .. } => {
            // No name of Windows holds a quote. A `*` stands before an identifier.
            let path = format!("\"{}\"", file.path.display());
            let rung = match owner {
                Some(_) => rung.cure(format!("as administrator: takeown /F {path}")),
                None => rung,
            };
            // First to what is inherited, so that no entry of the file's own is left.
            rung.cure(format!("icacls {path} /reset")).cure(format!(
                "icacls {path} /inheritance:r /grant:r \"*{user}:F\""
            ))
        }
    })
}

/// Of what sshd reads; nothing where it takes them.
#[cfg(target_os = "linux")]
pub(super) fn of_server(found: &crate::ssh::permissions::ServerFiles) -> Option<Rung> {
    use crate::ssh::permissions::ServerFiles;
    match found {
        ServerFiles::Closed => None,
        ServerFiles::Foreign(path) => {
            let told = format!("{} is not yours: sshd takes no key", path.display());
            let rung = Rung::new("modes", Verdict::Warn, told);
            Some(rung.cure("ask the admin to give it to you"))
        }
        ServerFiles::Open(paths) => {
            let told = format!(
                "others may write to {}: sshd may take no key",
                listed(paths)
            );
            let rung = Rung::new("modes", Verdict::Warn, told);
            Some(rung.cure(format!("chmod go-w {}", listed(paths))))
        }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    match cfg!(windows) {
        true => {
            let each = paths.iter().map(|path| path.display().to_string());
            each.collect::<Vec<_>>().join(", ")
        }
        false => shell_words::join(paths.iter().map(|path| path.to_string_lossy())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_told_with_its_cure() {
        let file = |path: &str, access| OpenFile {
            path: path.into(),
            access,
        };
        let mode = of_client(&ClientFiles::OpenKeys(vec![
            file("/a/my key", Access::Mode),
            file("/b", Access::Mode),
        ]));
        assert_eq!(mode.verdict, Verdict::Fail);
        if cfg!(unix) {
            assert_eq!(mode.cures, ["chmod 600 '/a/my key' /b"]);
        }
        let listed = |owner: Option<&str>, no_list| Access::Accounts {
            user: "S-1-5-21-1".to_owned(),
            owner: owner.map(str::to_owned),
            others: vec!["S-1-5-32-545".to_owned()],
            no_list,
        };
        let key = file(r"C:\a b\id", listed(None, false));
        let rung = of_client(&ClientFiles::OpenKeys(vec![key]));
        assert!(rung.told.contains("too open"), "{rung:?}");
        assert!(rung.told.ends_with(" (Users S-1-5-32-545)"), "{rung:?}");
        assert_eq!(
            rung.cures,
            [
                r#"icacls "C:\a b\id" /reset"#,
                r#"icacls "C:\a b\id" /inheritance:r /grant:r "*S-1-5-21-1:F""#
            ]
        );
        let config = file(r"C:\config", listed(Some("S-1-5-21-2"), true));
        let rung = of_client(&ClientFiles::OpenConfig(config));
        let first = "as administrator: takeown /F \"C:\\config\"";
        assert_eq!(rung.cures.first().map(String::as_str), Some(first));
        for word in ["owner S-1-5-21-2", "no access list"] {
            assert!(rung.told.contains(word), "{rung:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_skipped_with_the_reason() {
        let reason = "id: no".to_owned();
        let rung = of_client(&ClientFiles::Unread { reason });
        assert_eq!(rung.verdict, Verdict::Skipped);
        assert!(rung.told.ends_with("id: no") && rung.cures.len() == 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_sshd_refuses_is_told_with_its_cure() {
        use crate::ssh::permissions::ServerFiles;
        assert_eq!(of_server(&ServerFiles::Closed), None);
        let open = of_server(&ServerFiles::Open(vec!["/home/a b".into()])).unwrap();
        assert_eq!(open.cures, ["chmod go-w '/home/a b'"]);
        let foreign = of_server(&ServerFiles::Foreign("/home".into())).unwrap();
        assert!(foreign.told.contains("not yours"), "{foreign:?}");
    }
}
