//! The node half: from a granted job to a container one can enter, and back to nothing.
//!
//! [`run`] is what the job script executes. It becomes the job, gets GPUs, image and container,
//! publishes how to reach it, watches, and undoes all of it in reverse, whatever happened. [`gc`]
//! runs anywhere on the cluster.
//!
//! It knows the session's contract and the adapters below, never the login or the laptop half.
//!
//! What must hold: no container outlives its job. Three independent things see to it here: the
//! undo of `run`, the lease (the kernel tells the container's first process that this process is
//! dead), and `gc` at the next start. A fourth is the scheduler's: its [`hooks`] run [`cleanup`].

mod cleanup;
mod end;
mod environment;
mod error;
mod gc;
pub mod hooks;
mod host;
mod image;
mod interrupt;
mod job;
mod kit_build;
mod launch;
mod limits;
mod log;
mod look;
mod place;
mod poll;
mod port;
mod report;
mod run;
mod server;

pub use cleanup::{BadLiveJobs, Cleaned, Cleanup, Gone, LiveJobs, Scope, cleanup};
pub use error::Error;
pub use gc::{Swept, gc};
pub use kit_build::kit_build;
pub use run::{Exit, Explanation, Options, run};

/// The labels of our containers. They are claims: whoever may talk to the engine can forge them.
pub(crate) mod label {
    /// The session's name.
    pub(crate) const SESSION: &str = "qdebug.session";
    /// The session's token.
    pub(crate) const TOKEN: &str = "qdebug.token";
    /// The full job id.
    pub(crate) const JOB: &str = "qdebug.job";
    /// Scheduler and server, as in `slurm cluster`.
    pub(crate) const CLUSTER: &str = "qdebug.cluster";
    /// The owner's user id.
    pub(crate) const UID: &str = "qdebug.uid";
    /// When the walltime ends, in seconds since 1970.
    pub(crate) const DEADLINE: &str = "qdebug.deadline";
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::session::{Cluster, ImageSource, Job, Qdebug, Request, Sshd, Token};

    pub(crate) fn request() -> Request {
        Request {
            name: "otter".parse().unwrap(),
            token: Token::random().unwrap(),
            cluster: Cluster {
                scheduler: "slurm".into(),
                server: "cluster".into(),
            },
            qdebug: Qdebug {
                version: "0.1.0".into(),
                path: "/usr/bin/qdebug".into(),
            },
            created: "2026-01-01T00:00:00Z".parse().unwrap(),
            walltime_seconds: 3600,
            gpu: None,
            cpus: None,
            memory_bytes: None,
            shm_bytes: None,
            image: ImageSource::Reference {
                reference: "debian".into(),
            },
            sshd: Sshd::Kit,
            mounts: Vec::new(),
            env: std::collections::BTreeMap::new(),
            home: "/home/alice".into(),
            project: "/home/alice".into(),
        }
    }

    pub(crate) fn job(request: &Request, id: &str) -> Job {
        Job {
            token: request.token.clone(),
            id: id.into(),
            cluster: request.cluster.clone(),
            submitted: request.created,
        }
    }
}
