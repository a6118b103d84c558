//! Why an IDE was not told or opened. Whatever it is, no file was left half changed.

use std::io;
use std::path::Path;

use super::Ide;

/// A failure of this module.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be read or written.
    #[error("cannot {what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file of the IDE is not what the IDE would take.
    #[error("cannot add to {path}: {detail}")]
    Content {
        /// The file.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The IDE is not there.
    #[error("{ide} is not installed here (looked for {looked} on PATH and in the usual folders)")]
    Missing {
        /// The IDE.
        ide: Ide,
        /// The names of its program.
        looked: String,
    },
    /// The IDE runs, and would write its files over ours when it ends.
    #[error("{ide} is running ({proof}): it would undo what is written now")]
    Running {
        /// The IDE.
        ide: Ide,
        /// What tells.
        proof: String,
    },
    /// The IDE has no folder of settings yet.
    #[error("{ide} has no settings in {folder} yet")]
    NoSettings {
        /// The IDE.
        ide: Ide,
        /// Where its folders would lie.
        folder: String,
    },
    /// Another qdebug holds what is remembered of IDEs' files.
    #[error("another qdebug is changing the IDEs' files ({path} is locked)")]
    Busy {
        /// The lock.
        path: String,
    },
    /// What is remembered of IDEs' files cannot be used.
    #[error("cannot use {path}: {detail}")]
    Ledger {
        /// The file.
        path: String,
        /// Why.
        detail: String,
    },
    /// A word of the cluster that no IDE may be told.
    #[error("the session's {what} cannot be given to an IDE: {}", word.escape_debug())]
    Word {
        /// What it should have been.
        what: &'static str,
        /// The word.
        word: String,
    },
}

impl Error {
    /// Wraps what the system said about `path`.
    pub(super) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { what, path, source }
    }

    /// A file with a content that cannot be added to.
    pub(super) fn content(path: &Path) -> impl FnOnce(String) -> Self {
        let path = path.display().to_string();
        move |detail| Self::Content { path, detail }
    }
}
