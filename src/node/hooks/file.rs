//! The hook files as they are installed: the texts of `pbs/` with their paths put in, and the
//! version that an installed one says of itself.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::Kind;

/// One of the files of `pbs/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    OpenPbs,
    TorqueEpilogue,
    TorquePrologue,
    Slurm,
}

impl Script {
    fn template(self) -> &'static str {
        match self {
            Self::OpenPbs => include_str!("../../../pbs/openpbs/qdebug.py"),
            Self::TorqueEpilogue => include_str!("../../../pbs/torque/epilogue"),
            Self::TorquePrologue => include_str!("../../../pbs/torque/prologue"),
            Self::Slurm => include_str!("../../../pbs/slurm/epilog.sh"),
        }
    }

    /// Its text for this program and, on Torque, this folder.
    pub(super) fn text(self, binary: &PlainPath, mom_priv: Option<&PlainPath>) -> String {
        let text = self
            .template()
            .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
            .replace("@QDEBUG@", binary.as_str());
        match mom_priv {
            Some(folder) => text.replace("@MOM_PRIV@", folder.as_str()),
            None => text,
        }
    }
}

/// The version of qdebug that an installed text says it is of; `None` when it is none of ours.
pub(super) fn version(text: &str, kind: Kind) -> Option<String> {
    let line = text
        .lines()
        .take(3)
        .find(|l| l.starts_with("# qdebug-hook "))?;
    let mut words = line["# qdebug-hook ".len()..].split(' ');
    let version = words.next()?.to_owned();
    (words.next()? == format!("({kind})")).then_some(version)
}

/// An absolute path that shell, Python and a glob read as itself: `[A-Za-z0-9/._+-]`, no `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainPath(String);

/// A path that a script cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{path:?} cannot be put into a script: an absolute path of letters, digits and . _ + - is needed"
)]
pub struct BadPath {
    /// The path.
    pub path: String,
}

impl PlainPath {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a path.
    pub fn path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// A file below it.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

impl FromStr for PlainPath {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._+-".contains(&b);
        let parts = text.split('/').skip(1);
        let well = text.starts_with('/')
            && text.len() < 1024
            && text.bytes().all(plain)
            && parts
                .into_iter()
                .all(|part| !matches!(part, "" | "." | ".."));
        if well {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadPath {
                path: text.chars().take(200).collect(),
            })
        }
    }
}

impl TryFrom<&Path> for PlainPath {
    type Error = BadPath;

    fn try_from(path: &Path) -> Result<Self, BadPath> {
        path.to_string_lossy().parse()
    }
}

impl fmt::Display for PlainPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(Script, Kind); 4] = [
        (Script::OpenPbs, Kind::OpenPbs),
        (Script::TorqueEpilogue, Kind::Torque),
        (Script::TorquePrologue, Kind::Torque),
        (Script::Slurm, Kind::Slurm),
    ];

    #[test]
    fn every_script_is_filled_and_says_its_version() {
        let binary = "/opt/qdebug/bin/qdebug".parse().unwrap();
        let folder = "/var/spool/torque/mom_priv".parse().unwrap();
        for (script, kind) in ALL {
            let text = script.text(&binary, Some(&folder));
            assert!(!text.contains("@QDEBUG@") && !text.contains("@MOM_PRIV@"));
            assert!(text.contains("/opt/qdebug/bin/qdebug"));
            let found = version(&text, kind);
            assert_eq!(found.as_deref(), Some(env!("CARGO_PKG_VERSION")));
            for other in Kind::ALL.into_iter().filter(|other| *other != kind) {
                assert_eq!(version(&text, other), None);
            }
        }
        assert_eq!(version("#!/bin/sh\necho theirs\n", Kind::Torque), None);
        assert_eq!(version("# qdebug-hook", Kind::Torque), None);
    }

    #[test]
    fn only_paths_that_every_language_reads_as_themselves() {
        assert!("/usr/local/bin/qdebug-1.0+x".parse::<PlainPath>().is_ok());
        for bad in [
            "", "qdebug", "/", "/a b", "/a'b", "/a\nb", "/a/../b", "/a//b", "/$x", "/é", "/a*",
            "/a/",
        ] {
            assert!(bad.parse::<PlainPath>().is_err(), "{bad:?}");
        }
    }
}
