//! What goes wrong with the kit. The words for the user are made in `cli`.

use std::io;
use std::path::{Path, PathBuf};

/// Why the kit cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none: not in this binary and not beside it.
    #[error("this qdebug has no kit, neither inside nor at {}", looked_at.display())]
    Missing {
        /// Where one was looked for.
        looked_at: PathBuf,
    },
    /// The archive is not a kit, or holds what no kit holds.
    #[error("the kit's archive is damaged: {what}")]
    Archive {
        /// What is wrong.
        what: String,
    },
    /// The kit is for another machine.
    #[error("the kit is for {found}, this machine is {}", std::env::consts::ARCH)]
    Architecture {
        /// What it is for.
        found: String,
    },
    /// The manifest is of a format this qdebug does not know.
    #[error(
        "the kit's manifest has format {found}, this qdebug reads {}",
        super::FORMAT
    )]
    Format {
        /// Its format.
        found: u32,
    },
    /// Reading or writing failed.
    #[error("cannot {verb} {}", path.display())]
    Io {
        /// `read`, `create`, ...
        verb: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The host key could not be made.
    #[error("cannot make a host key: {what}")]
    HostKey {
        /// What the library said.
        what: String,
    },
    /// Nobody reads the lease: its pipe is full.
    #[error("the lease at {} is full: init does not read it", path.display())]
    LeaseFull {
        /// The FIFO.
        path: PathBuf,
    },
    /// A field of the user cannot stand in passwd or group.
    #[error("the user's {field} {value:?} cannot stand in {file}")]
    Field {
        /// `passwd` or `group`.
        file: &'static str,
        /// Which field.
        field: &'static str,
        /// Its value.
        value: String,
    },
}

impl Error {
    /// Wraps what the system said about `path`.
    pub(super) fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { verb, path, source }
    }

    /// An archive that holds what it should not.
    pub(super) fn archive(what: impl std::fmt::Display) -> Self {
        let what = what.to_string();
        Self::Archive { what }
    }
}
