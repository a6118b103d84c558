//! Why a node half did not do its job, by what it was about.

use std::path::{Path, PathBuf};

use crate::{engine, gpu, session};

/// Why a session did not become ready, or broke.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The session's files.
    #[error(transparent)]
    Session(#[from] session::Error),
    /// The request names a scheduler that this qdebug does not know.
    #[error("the session was submitted to {scheduler:?}, a scheduler this qdebug does not know")]
    UnknownScheduler {
        /// Its name.
        scheduler: String,
    },
    /// This process is in no job of that scheduler.
    #[error("this is no {scheduler} job: {variable} is not set")]
    NotInJob {
        /// The scheduler's name.
        scheduler: String,
        /// The variable that each of its jobs has.
        variable: &'static str,
    },
    /// This process is in another job than the session's.
    #[error("the session belongs to job {expected}, and this is job {found}")]
    OtherJob {
        /// The session's job.
        expected: String,
        /// The one this process is in.
        found: String,
    },
    /// This process is on another cluster than the session's.
    #[error("the session belongs to {expected}, and this is {found}")]
    OtherCluster {
        /// The session's cluster.
        expected: String,
        /// The one this process is on.
        found: String,
    },
    /// A signal came before this process had begun with anything.
    #[error("{signal} came before the session had begun")]
    Signalled {
        /// Its name.
        signal: &'static str,
    },
    /// The session is over already: a requeued or repeated job.
    #[error("the session is over already ({phase}); a job does not run twice")]
    Over {
        /// The phase it ended in.
        phase: String,
    },
    /// Another node half serves the session on this node.
    #[error("another process serves this session already (it holds {})", path.display())]
    AlreadyRunning {
        /// Its folder.
        path: PathBuf,
    },
    /// GPUs.
    #[error("the session asked for {wanted}")]
    Gpu {
        /// What was asked for, such as `2 x V100`.
        wanted: String,
        /// What is wrong.
        #[source]
        source: gpu::Error,
    },
    /// The container engine.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The name of the image.
    #[error(transparent)]
    Reference(#[from] engine::ReferenceError),
    /// The kit.
    #[error(transparent)]
    Kit(#[from] crate::kit::Error),
    /// The kit's recipe failed; what it said was handed on.
    #[error("the kit's recipe failed with status {status}")]
    KitRecipe {
        /// Its exit status.
        status: i64,
    },
    /// A mount that was asked for cannot be made.
    #[error("cannot mount {} into the container: {reason}", source_path.display())]
    Mount {
        /// The path on the node.
        source_path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine's root may not look into a folder of the user's.
    #[error("the container engine of the node may not look into {what} {} ({detail})", path.display())]
    ClosedToEngine {
        /// `your home`, `the project` or `the mount`.
        what: &'static str,
        /// The folder.
        path: PathBuf,
        /// Which folders on the way are closed to others.
        closed: Vec<PathBuf>,
        /// The engine's sentence.
        detail: String,
    },
    /// The node's own folder.
    #[error("cannot use {}: {reason}", path.display())]
    NodeDir {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The image has no sshd, and the session wants the image's.
    #[error("the image {image} has no sshd")]
    NoSshd {
        /// The image as it was asked for.
        image: String,
    },
    /// The layer with an sshd could not be made.
    #[error("cannot put an sshd into the image {image}: {reason}{}", said(lines))]
    SshdLayer {
        /// The image as it was asked for.
        image: String,
        /// Why not.
        reason: String,
        /// The last lines of the build.
        lines: Vec<String>,
    },
    /// Every port that was picked was somebody else's in the end.
    #[error("found no free port in {tries} tries ({detail})")]
    NoPort {
        /// How often it was tried.
        tries: u32,
        /// What the engine said last.
        detail: String,
    },
    /// The container ended before sshd answered.
    #[error(
        "the container ended with status {exit} before sshd answered{}",
        said(lines)
    )]
    Died {
        /// Its exit status.
        exit: i64,
        /// The last it printed.
        lines: Vec<String>,
    },
    /// sshd did not answer in time.
    #[error("sshd did not answer on port {port} within {waited} s{}", said(lines))]
    NotServing {
        /// The published port.
        port: u16,
        /// How long was waited, in seconds.
        waited: u64,
        /// The last the container printed.
        lines: Vec<String>,
    },
    /// The user's home or project is not on this node.
    #[error("{what} {} is not on this node: {reason}", path.display())]
    NoFolder {
        /// `home` or `the project`.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file system does not come back.
    #[error("stuck while {doing} ({detail})")]
    Hanging {
        /// The phase.
        doing: &'static str,
        /// What was seen.
        detail: String,
    },
    /// A file of the node.
    #[error("cannot {verb} {}", path.display())]
    Io {
        /// `make`, `write`, ...
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// Wraps what the system said about `path`.
    pub(super) fn io(verb: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { verb, path, source }
    }

    /// The whole chain as one sentence, for `state.json`.
    pub fn sentence(&self) -> String {
        crate::text::chain(self)
    }
}

fn said(lines: &[String]) -> String {
    match lines {
        [] => String::new(),
        lines => format!("; it said: {}", lines.join(" | ")),
    }
}
