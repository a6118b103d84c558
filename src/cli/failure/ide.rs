//! What the errors about IDEs mean to the user.

use super::Failure;
use crate::cli::Exit;
use crate::ide::{self, Ide};
use crate::laptop::OpenError;

impl From<ide::Error> for Failure {
    fn from(error: ide::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&ide::Error> for Failure {
    fn from(error: &ide::Error) -> Self {
        use ide::Error as E;
        let failure = |exit| Self::of(exit, error);
        match error {
            E::File { path, source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => failure(Exit::Permission).hint(format!(
                    "is {path} yours, and its folder? `ls -ld` tells; then run it again"
                )),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    failure(Exit::Failed).hint("make room on that disk, and run it again")
                }
                _ => failure(Exit::Failed).hint(format!("look at {path}, and run it again")),
            },
            E::Content { path, .. } => {
                failure(Exit::Config).hint(format!("mend {path}, and run it again"))
            }
            E::Missing { ide, .. } => failure(Exit::Failed).hint(install(*ide)),
            E::Running { ide, .. } => {
                failure(Exit::Failed).hint(format!("close {ide}, and run it again"))
            }
            E::NoSettings { ide, .. } => {
                failure(Exit::Failed).hint(format!("start {ide} once, close it, and run it again"))
            }
            E::Busy { .. } => failure(Exit::Failed).hint("try again"),
            E::Ledger { path, .. } => failure(Exit::Failed).hint(format!(
                "with the newest qdebug of this machine it may work; else move {path} away: what is \
                 written for IDEs is then yours to remove"
            )),
            E::Word { .. } => failure(Exit::Versions),
        }
    }
}

impl From<&OpenError> for Failure {
    fn from(error: &OpenError) -> Self {
        use OpenError as E;
        let failure = |exit| Self::of(exit, error);
        match error {
            E::Ide(error) => Self::from(error),
            E::NotIncluded { config, lines, .. } => failure(Exit::Failed)
                .hint("let connect add it: run it again with `--yes`")
                .hint(format!(
                    "where {} is not to be written: put at its top {:?}, by what writes it, or take \
                     `--ide pycharm`, which needs it not",
                    config.display(),
                    lines.lines().last().unwrap_or_default()
                )),
            E::Program(_) | E::Ended { .. } => failure(Exit::Failed)
                .hint("does it start by hand? The way is open: open `ssh qdebug-NAME` in it"),
            E::Laptop(crate::laptop::Error::NotKnown { .. }) => failure(Exit::NoSuchSession),
            E::Laptop(_) => failure(Exit::Failed),
        }
    }
}

/// What to install, or what does without.
fn install(ide: Ide) -> &'static str {
    match ide {
        Ide::Code => {
            "install it from https://code.visualstudio.com (macOS: then `Shell Command: Install \
             'code' command in PATH` in its palette), or take `--ide codium`"
        }
        Ide::Cursor => {
            "install it from https://cursor.com and its `cursor` command from its palette"
        }
        Ide::Windsurf => {
            "install it from https://windsurf.com and its `windsurf` command from its palette"
        }
        Ide::Codium => "install it from https://vscodium.com, or take `--ide code`",
        Ide::Zed => "install it from https://zed.dev and its command by `cli: install` there",
        Ide::PyCharm => {
            "if it is installed, start it from its menu; Toolbox writes a `pycharm` script \
             (Settings, Shell scripts)"
        }
        Ide::Gateway | Ide::Toolbox => {
            "install xdg-utils, or open an SSH connection to qdebug-NAME in it by hand"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_file_that_cannot_be_written_is_told_by_what_keeps_it_so() {
        let of = |kind: io::ErrorKind| {
            Failure::from(ide::Error::File {
                what: "write",
                path: "/a/settings.json".to_owned(),
                source: kind.into(),
            })
        };
        for (kind, exit, cure) in [
            (
                io::ErrorKind::PermissionDenied,
                Exit::Permission,
                "is /a/settings.json yours",
            ),
            (io::ErrorKind::StorageFull, Exit::Failed, "make room"),
            (io::ErrorKind::QuotaExceeded, Exit::Failed, "make room"),
            (
                io::ErrorKind::IsADirectory,
                Exit::Failed,
                "look at /a/settings.json",
            ),
        ] {
            let failure = of(kind);
            assert_eq!(failure.exit(), exit, "{kind:?}");
            assert_eq!(failure.message(), "cannot write /a/settings.json");
            assert!(failure.hints()[0].starts_with(cure), "{kind:?}");
        }
    }

    #[test]
    fn who_lacks_the_include_is_told_both_ways_to_it() {
        let failure = Failure::from(&OpenError::NotIncluded {
            ide: Ide::Code,
            alias: "qdebug-otter".to_owned(),
            config: "/home/al/.ssh/config".into(),
            why: "does not include qdebug's".to_owned(),
            lines: "# qdebug\nInclude \"/home/al/.config/q d\"\n".to_owned(),
        });
        assert_eq!(failure.exit(), Exit::Failed);
        for word in ["qdebug-otter", "/home/al/.ssh/config", "does not include"] {
            assert!(failure.message().contains(word), "{}", failure.message());
        }
        assert!(failure.hints()[0].contains("`--yes`"));
        let by_hand = &failure.hints()[1];
        for word in ["/home/al/.ssh/config", "Include", "--ide pycharm"] {
            assert!(by_hand.contains(word), "{by_hand}");
        }
    }
}
