//! Schedulers: submit a job, ask where jobs stand, delete one.
//!
//! | dialect | tools |
//! |---|---|
//! | [`OpenPbs`] | qsub, qstat, qselect, qdel, all of one folder |
//! | [`Slurm`] | sbatch, squeue, scancel, scontrol, sacct; never its qsub wrappers |
//! | [`Torque`] | qsub, qstat, qdel, qselect, pbsnodes; showq of Moab or Maui |
//! | [`Local`] | none: a detached process group on this machine |
//!
//! A dialect builds argv and parses text, purely; its `mod.rs` runs them. Nothing user-given
//! reaches a shell line or a directive. A lost answer is [`Error::Unreachable`], never the end of a
//! job; a job that a scheduler does not know is [`JobState::Unknown`], which is for the caller to
//! judge.
//!
//! This module knows neither sessions nor halves.

mod again;
mod detect;
mod error;
mod exported;
mod job;
pub mod local;
mod nodes;
mod openpbs;
#[cfg(test)]
#[cfg(unix)]
mod recorded;
mod slurm;
pub mod torque;

use std::collections::BTreeMap;

pub use detect::{Kind, detect};
pub use error::Error;
pub use job::{GpuRequest, JobEnd, JobId, JobName, JobSpec, JobState, JobStatus, Reason};
pub use local::Local;
pub use nodes::{IsType, NodeGpus, Survey, WaitingJob};
pub use openpbs::OpenPbs;
pub use slurm::Slurm;
pub use torque::Torque;

/// A scheduler of here.
#[derive(Debug, Clone)]
pub enum Scheduler {
    /// OpenPBS.
    OpenPbs(OpenPbs),
    /// Slurm, by its native commands.
    Slurm(Slurm),
    /// Torque.
    Torque(Torque),
    /// This machine.
    Local(Local),
}

impl Scheduler {
    /// Its dialect.
    pub fn kind(&self) -> Kind {
        match self {
            Self::OpenPbs(_) => Kind::OpenPbs,
            Self::Slurm(_) => Kind::Slurm,
            Self::Torque(_) => Kind::Torque,
            Self::Local(_) => Kind::Local,
        }
    }

    /// The name of the cluster whose jobs it knows: Slurm's ClusterName, a PBS server's name,
    /// the machine's own name.
    ///
    /// # Errors
    /// [`Error::Unreachable`] and what else asking may meet.
    pub async fn cluster(&self) -> Result<String, Error> {
        match self {
            Self::OpenPbs(pbs) => pbs.cluster().await,
            Self::Slurm(slurm) => slurm.cluster().await,
            Self::Torque(torque) => torque.cluster().await,
            Self::Local(local) => Ok(local.host().to_owned()),
        }
    }

    /// The command line that would submit this.
    ///
    /// # Errors
    /// [`Error::BadOption`] of an option that would break a session.
    pub fn submit_command(&self, spec: &JobSpec) -> Result<Vec<String>, Error> {
        match self {
            Self::OpenPbs(pbs) => pbs.submit_command(spec),
            Self::Slurm(slurm) => slurm.submit_command(spec),
            Self::Torque(torque) => torque.submit_command(spec),
            Self::Local(local) => local.submit_command(spec),
        }
    }

    /// Submits.
    ///
    /// # Errors
    /// [`Error::Refused`] in the scheduler's own words, [`Error::Unreachable`], ...;
    /// [`Error::may_have_submitted`] tells whether a job may be there all the same.
    pub async fn submit(&self, spec: &JobSpec) -> Result<JobId, Error> {
        match self {
            Self::OpenPbs(pbs) => pbs.submit(spec).await,
            Self::Slurm(slurm) => slurm.submit(spec).await,
            Self::Torque(torque) => torque.submit(spec).await,
            Self::Local(local) => local.submit(spec).await,
        }
    }

    /// Where these jobs stand, in one call of the scheduler; those it does not know (any more) are
    /// not in the answer.
    ///
    /// # Errors
    /// [`Error::Unreachable`], ...
    pub async fn status(&self, ids: &[JobId]) -> Result<BTreeMap<JobId, JobStatus>, Error> {
        match self {
            Self::OpenPbs(pbs) => pbs.status(ids).await,
            Self::Slurm(slurm) => slurm.status(ids).await,
            Self::Torque(torque) => torque.status(ids).await,
            Self::Local(local) => local.status(ids),
        }
    }

    /// The newest job of this user with that name that is not over.
    ///
    /// # Errors
    /// [`Error::Unreachable`], ...
    pub async fn find(&self, name: &JobName) -> Result<Option<JobId>, Error> {
        match self {
            Self::OpenPbs(pbs) => pbs.find(name).await,
            Self::Slurm(slurm) => slurm.find(name).await,
            Self::Torque(torque) => torque.find(name).await,
            Self::Local(local) => local.find(name),
        }
    }

    /// What GPUs the nodes have; `None` where there are no nodes to ask.
    ///
    /// # Errors
    /// [`Error::Unreachable`], ...
    pub async fn gpus(&self, is_type: IsType<'_>) -> Result<Option<Vec<NodeGpus>>, Error> {
        match self {
            Self::OpenPbs(pbs) => pbs.gpus().await.map(Some),
            Self::Slurm(slurm) => slurm.gpus().await.map(Some),
            Self::Torque(torque) => torque.gpus(is_type).await.map(Some),
            Self::Local(_) => Ok(None),
        }
    }

    /// What GPUs the nodes have, how many of them are used, and what waits for them.
    ///
    /// # Errors
    /// [`Error::Unreachable`], ... of the nodes; jobs that cannot be asked stay unknown.
    pub async fn survey(&self, is_type: IsType<'_>) -> Result<Option<Survey>, Error> {
        match self {
            Self::OpenPbs(pbs) => pbs.survey().await.map(Some),
            Self::Slurm(slurm) => slurm.survey().await.map(Some),
            Self::Torque(torque) => torque.survey(is_type).await.map(Some),
            Self::Local(_) => Ok(None),
        }
    }

    /// Runs a program inside a running job, on its first node, over this process's own streams; its
    /// exit code. `None` where the scheduler has no such way in.
    ///
    /// # Errors
    /// [`Error::BadId`], [`Error::NotInstalled`], [`Error::Program`].
    pub async fn step(&self, id: &JobId, program: &[String]) -> Result<Option<i32>, Error> {
        match self {
            Self::Slurm(slurm) => slurm.step(id, program).await.map(Some),
            Self::OpenPbs(_) | Self::Torque(_) | Self::Local(_) => Ok(None),
        }
    }

    /// Ends a job; one that is over already is what was wanted.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Unreachable`], ...
    pub async fn delete(&self, id: &JobId) -> Result<(), Error> {
        match self {
            Self::OpenPbs(pbs) => pbs.delete(id).await,
            Self::Slurm(slurm) => slurm.delete(id).await,
            Self::Torque(torque) => torque.delete(id).await,
            Self::Local(local) => local.delete(id).await,
        }
    }

    /// The command by which a person ends a job; `None` of a dialect without tools.
    pub fn delete_command(&self, id: &JobId) -> Option<String> {
        match self {
            Self::OpenPbs(_) | Self::Torque(_) => Some(format!("qdel {id}")),
            Self::Slurm(_) => Some(format!("scancel {id}")),
            Self::Local(_) => None,
        }
    }
}
