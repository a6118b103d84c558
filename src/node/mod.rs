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

mod accounts;
mod arrival;
mod aside;
mod asked;
mod cgroup;
mod cleanup;
mod clock;
mod deadline;
mod devices;
mod doctor;
mod end;
mod environment;
mod error;
mod folders;
mod gc;
mod gpus;
pub mod hooks;
mod host;
mod idle;
mod image;
mod interrupt;
mod job;
mod kills;
mod kit_build;
mod launch;
mod limits;
mod log;
mod look;
mod memory;
mod pace;
mod place;
mod poll;
mod port;
mod publish;
mod report;
mod rootless;
mod run;
mod server;
mod supervise;
mod upload;

pub use cleanup::{BadLiveJobs, Cleaned, Cleanup, Gone, LiveJobs, Scope, cleanup};
pub use doctor::{
    EngineFound, FolderFound, HooksUnseen, engine_found, folder_found, gpus_found, hooks_found,
};
pub use error::Error;
pub use gc::{Sweep, Swept, gc};
pub use image::{
    BuildFrom, BuildWish, CacheOptions, ImageBuilt, ImageListed, ImagePlace, ImagePruned,
    ImageStores, Images, PruneBounds, image_build, image_list, image_prune,
};
pub use kit_build::kit_build;
pub use publish::{Publish, find as published_address};
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
    /// The node's own folder, where the lock of the session's node half lies.
    pub(crate) const NODE_DIR: &str = "qdebug.node-dir";
    /// Which folder that path led to: where each job has a `/var/tmp` of its own, it leads elsewhere
    /// in every job. Containers that an earlier qdebug made have none.
    pub(crate) const NODE_FOLDER: &str = "qdebug.node-folder";
    /// The owner's user id.
    pub(crate) const UID: &str = "qdebug.uid";
    /// When the walltime ends, in seconds since 1970.
    pub(crate) const DEADLINE: &str = "qdebug.deadline";
}
