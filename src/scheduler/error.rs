//! What goes wrong with a scheduler.

use std::io;
use std::path::{Path, PathBuf};

use crate::process;

/// An error of a scheduler or of what was to be given to it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It said no.
    #[error("the scheduler refused `{command}`: {said}")]
    Refused {
        /// The command.
        command: String,
        /// Its own words.
        said: String,
        /// What to do about it, where that is sure.
        hint: Option<String>,
    },
    /// It does not answer.
    #[error("the scheduler does not answer `{command}`: {said}")]
    Unreachable {
        /// The command.
        command: String,
        /// What came back.
        said: String,
    },
    /// Its tools are not here.
    #[error("`{program}` of {scheduler} is not installed here")]
    NotInstalled {
        /// The scheduler.
        scheduler: &'static str,
        /// The program.
        program: &'static str,
    },
    /// It answered what no recorded version answers.
    #[error("`{command}` answered what qdebug does not understand: {said}")]
    Unexpected {
        /// The command.
        command: String,
        /// What came back.
        said: String,
    },
    /// An id of an array.
    #[error("{id:?} is an array; a session is a job of its own")]
    Array {
        /// The id.
        id: String,
    },
    /// A text that is no job id.
    #[error("{id:?} is no job id")]
    BadId {
        /// The text.
        id: String,
    },
    /// A text that is no job name.
    #[error("{name:?} is no job name")]
    BadName {
        /// The text.
        name: String,
    },
    /// A text that is no dialect.
    #[error("{name:?} is no scheduler that qdebug knows (openpbs, torque, slurm, local)")]
    BadKind {
        /// The text.
        name: String,
    },
    /// An option that would break a session.
    #[error("the scheduler option {option:?} cannot be used: {reason}")]
    BadOption {
        /// The option.
        option: String,
        /// Why not.
        reason: String,
    },
    /// A file of the dialect `local`.
    #[error("cannot {verb} {}", path.display())]
    File {
        /// `read`, `write`, ...
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A tool could not be run.
    #[error(transparent)]
    Program(#[from] process::Error),
}

impl Error {
    /// Wraps what the system said about `path`.
    pub(super) fn file(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { verb, path, source }
    }

    /// Whether a submit that ended with this may have left a job: its answer was lost.
    pub fn may_have_submitted(&self) -> bool {
        match self {
            Self::Program(process::Error::TimedOut { .. } | process::Error::Io { .. })
            | Self::Unexpected { .. } => true,
            // Whatever is lost after the connection was made is lost after the request was sent:
            // `Socket timed out`, `Zero Bytes were transmitted or received`.
            Self::Unreachable { said, .. } => {
                let said = said.to_lowercase();
                ![
                    "unable to contact",
                    "connection refused",
                    "munge",
                    "cannot connect to server",
                ]
                .iter()
                .any(|words| said.contains(words))
            }
            _ => false,
        }
    }
}
