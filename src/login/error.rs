//! What goes wrong in the login half.

use crate::{scheduler, session};

/// An error of the login half.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The session's files.
    #[error(transparent)]
    Session(#[from] session::Error),
    /// The scheduler.
    #[error(transparent)]
    Scheduler(#[from] scheduler::Error),
    /// A live session has the name.
    #[error("there is a live session {name} already ({state})")]
    NameTaken {
        /// The name.
        name: session::SessionName,
        /// Where that session stands.
        state: &'static str,
    },
    /// Several live sessions have that job id, on different clusters.
    #[error("job {wanted} is the id of several sessions: {}", names.join(", "))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// The sessions' names.
        names: Vec<String>,
    },
    /// The session belongs to a cluster whose scheduler cannot be asked from here.
    #[error("session {name} belongs to {cluster}, which cannot be asked from this machine")]
    OtherCluster {
        /// The session.
        name: session::SessionName,
        /// Its cluster.
        cluster: session::Cluster,
    },
    /// A mount's source is not there.
    #[error("{} of the mount {mount} is not there", mount.source().display())]
    MountMissing {
        /// The mount.
        mount: session::Mount,
    },
    /// The directory that terminals are to open in is none.
    #[error("there is no directory {}", path.display())]
    NoWorkdir {
        /// As it was asked for.
        path: std::path::PathBuf,
    },
    /// The recipe of an image, or the folder it may copy from, cannot be read.
    #[error("cannot read {what} {}: {reason}", path.display())]
    Recipe {
        /// Which of the two.
        what: &'static str,
        /// As it was asked for.
        path: std::path::PathBuf,
        /// Why not.
        reason: String,
    },
    /// A path cannot stand in the job script or a session.
    #[error("the path {path:?} of {what} cannot be used: {reason}")]
    BadPath {
        /// Whose path.
        what: &'static str,
        /// The path.
        path: String,
        /// Why not.
        reason: &'static str,
    },
    /// What was given is no session name and no job id.
    #[error("{wanted:?} is neither a session's name nor a job id")]
    NotAnId {
        /// What was given.
        wanted: String,
    },
    /// A job that could neither be written down nor be deleted.
    #[error("job {job} of {name} cannot be written down, and deleting it failed, too: it is left")]
    JobLeft {
        /// The job.
        job: scheduler::JobId,
        /// Its session.
        name: session::SessionName,
        /// The scheduler's own command that ends it, where it has one.
        end: Option<String>,
        /// Why it could not be written down.
        #[source]
        source: session::Error,
    },
    /// The kernel gave no random numbers.
    #[error("no random numbers for a token")]
    Random(#[source] std::io::Error),
    /// The log is not there yet.
    #[error("session {name} has no log yet")]
    NoLog {
        /// The session.
        name: session::SessionName,
    },
    /// Reading a log failed.
    #[error("cannot read {}", path.display())]
    Log {
        /// The log.
        path: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}
