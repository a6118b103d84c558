//! What can go wrong on the laptop.

use crate::{process, ssh};

/// A failure of the laptop half.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The way to the cluster or to the session.
    #[error(transparent)]
    Ssh(#[from] ssh::Error),
    /// qdebug on this machine could not be run.
    #[error(transparent)]
    Program(#[from] process::Error),
    /// qdebug on the cluster answered with an error.
    #[error("{}", said(message, *code))]
    Cluster {
        /// Its exit code, which is to be ours.
        code: i32,
        /// What it said.
        message: String,
    },
    /// The two qdebugs do not understand each other.
    #[error("the qdebug of {cluster} does not fit this one: {detail}")]
    Versions {
        /// The cluster.
        cluster: String,
        /// What was not understood.
        detail: String,
    },
    /// The way broke while a session was submitted.
    #[error("it is not known whether {cluster} has submitted the session")]
    Unsure {
        /// The cluster.
        cluster: String,
        /// How it broke.
        #[source]
        source: Box<Error>,
    },
    /// The cluster has submitted the session, and what it said of it cannot be read.
    #[error("{cluster} has submitted the session{}, and its answer cannot be read: {detail}",
            job.as_ref().map_or_else(String::new, |job| format!(" as job {job}")))]
    Submitted {
        /// The cluster.
        cluster: String,
        /// The job, where it can be made out.
        job: Option<String>,
        /// What was not understood.
        detail: String,
    },
    /// This laptop has never connected to such a session, or has swept it.
    #[error("no session `{name}` is known on this machine")]
    NotKnown {
        /// What was asked for.
        name: String,
    },
    /// A person is needed to open the way, and there is no terminal.
    #[error("the connection of `{name}` is closed and needs you to log in")]
    NeedsConnect {
        /// The session.
        name: String,
        /// What went wrong without a person.
        #[source]
        source: ssh::Error,
    },
    /// Another `qdebug connect` holds this session's port.
    #[error("another `qdebug connect` holds `{name}` on port {port}")]
    AlreadyConnected {
        /// The session.
        name: String,
        /// Its port.
        port: u16,
        /// What was asked for and the other does not do: a command line for each port.
        missing: Vec<String>,
    },
    /// No way leads to the session.
    #[error("no way leads to `{name}`: {}", tried.join("; "))]
    NoReach {
        /// The session.
        name: String,
        /// Each way and why it did not work.
        tried: Vec<String>,
        /// The last one's error, which says how it is to be taken.
        #[source]
        source: Option<Box<ssh::Error>>,
    },
    /// The container's sshd does not accept the laptop's key.
    #[error("the container of `{name}` did not let you in: {detail}")]
    NotLetIn {
        /// The session.
        name: String,
        /// What ssh said.
        detail: String,
    },
    /// What the cluster said of the session is not to be used.
    #[error("the cluster says of `{name}`: {detail}")]
    Details {
        /// The session.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A file of this laptop's memory is broken or of a newer qdebug.
    #[error("cannot use {path}: {detail}")]
    Memory {
        /// The file.
        path: String,
        /// Why.
        detail: String,
    },
    /// The session has no such Python, or not the folder it should work in.
    #[error("`{python}` does not run in {folder} of `{name}`: {detail}")]
    NoPython {
        /// The session.
        name: String,
        /// The interpreter as it was asked for.
        python: String,
        /// The folder in the session.
        folder: String,
        /// What the shell or Python said there.
        detail: String,
    },
    /// There is no debugger in the session, and it could not be installed.
    #[error("{python} of `{name}` has no {package}, and it could not be installed: {detail}")]
    NoDebugger {
        /// The session.
        name: String,
        /// The interpreter and its version.
        python: String,
        /// The debugger's package.
        package: &'static str,
        /// What pip or the import said.
        detail: String,
    },
    /// No IDE waits for a program that is to dial it.
    #[error("no debug server listens on 127.0.0.1:{port} of this machine")]
    NobodyListens {
        /// The port.
        port: u16,
    },
    /// Something else listens on the port for debuggers.
    #[error("cannot listen on 127.0.0.1:{port} to debug `{name}`")]
    PortTaken {
        /// The session.
        name: String,
        /// The port.
        port: u16,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A step of setup did not go well.
    #[error("cannot {doing} on {cluster}: {detail}")]
    Setup {
        /// Where.
        cluster: String,
        /// What was being done.
        doing: &'static str,
        /// What was said there.
        detail: String,
    },
    /// A directory that every user has could not be found.
    #[error("cannot tell where your home directory is")]
    NoHome,
}

impl From<ssh::WordError> for Error {
    fn from(error: ssh::WordError) -> Self {
        Self::Ssh(error.into())
    }
}

/// The cluster's own last words, without the `error:` that was put before them there.
fn said(message: &str, code: i32) -> String {
    let message = message.trim();
    let message = message.strip_prefix("error:").unwrap_or(message).trim();
    if message.is_empty() {
        format!("qdebug on the cluster ended with status {code} and said nothing")
    } else {
        message.to_owned()
    }
}
