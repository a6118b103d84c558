//! Why the cache did not do what it was asked.

use std::io;
use std::path::{Path, PathBuf};

/// What goes wrong with the cache. None of it need end a session: it goes on without.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder is not fit to hold what is believed later.
    #[error("cannot use the cache {}: {reason}", path.display())]
    Unfit {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Its disk, or the user's quota, is full.
    #[error("the disk of the cache {} is full", path.display())]
    Full {
        /// The file that was being written.
        path: PathBuf,
    },
    /// An entry would be larger than all of the cache may be.
    #[error("an image is larger than the cache may be ({limit} bytes)")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// An entry is not what its description says.
    #[error("the entry {key} of the cache is damaged: {reason}")]
    Damaged {
        /// Its key, short.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// Another node took the lock over meanwhile.
    #[error("another node has taken over the entry {key} of the cache")]
    Overtaken {
        /// Its key, short.
        key: String,
    },
    /// A file of it.
    #[error("cannot {verb} {}", path.display())]
    Io {
        /// `read`, `write`, ...
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Wraps what the system said about `path`.
    pub(super) fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { verb, path, source },
        }
    }
}
