//! The login half: submit, list, status, stop, logs, where the scheduler's commands are.
//!
//! It writes what was asked into the session ([`submit`]), and answers what became of it by
//! joining the session's files with the scheduler's word ([`Login::statuses`]). It knows neither
//! the node nor the laptop: those meet it in the session.

mod check;
mod doctor;
mod error;
mod gpus;
mod logs;
mod query;
mod submit;

pub use doctor::{SessionsFound, sessions_found};
pub use error::Error;
pub use gpus::{ReportedType, TypeOf};
pub use logs::{Log, LogTail};
pub use query::Unreadable;
pub use submit::{Plan, Submission, Submitted};

use std::path::{Path, PathBuf};

use crate::scheduler::{self, Scheduler};
use crate::session::{Cluster, SessionName, Store};
use crate::text::chain;

/// One user's sessions and the schedulers that can be asked from here.
#[derive(Debug)]
pub struct Login {
    store: Store,
    first: Asked,
    others: Vec<Asked>,
}

/// A scheduler, and whose jobs it knows; why not, where it did not tell.
#[derive(Debug)]
struct Asked {
    cluster: Result<Cluster, String>,
    scheduler: Scheduler,
}

impl Asked {
    async fn new(scheduler: Scheduler) -> Self {
        let cluster = cluster_of(&scheduler).await;
        Self {
            cluster: cluster.map_err(|error| chain(&error)),
            scheduler,
        }
    }

    fn is_of_kind(&self, cluster: &Cluster) -> bool {
        self.scheduler.kind().to_string() == cluster.scheduler
    }
}

async fn cluster_of(scheduler: &Scheduler) -> Result<Cluster, scheduler::Error> {
    Ok(Cluster {
        scheduler: scheduler.kind().to_string(),
        server: scheduler.cluster().await?,
    })
}

impl Login {
    /// The login half of the sessions below `home` (such as `~/.qdebug`): `first` is submitted to,
    /// the others are asked as well. One that does not answer now is no error yet: what the files
    /// say of its sessions can be told all the same.
    pub async fn new(home: &Path, first: Scheduler, others: Vec<Scheduler>) -> Self {
        let mut asked = Vec::new();
        for scheduler in others {
            asked.push(Asked::new(scheduler).await);
        }
        Self {
            store: Store::below(home),
            first: Asked::new(first).await,
            others: asked,
        }
    }

    fn asked(&self) -> impl Iterator<Item = &Asked> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The scheduler of a cluster, or why it has no word for us.
    fn scheduler_of(&self, cluster: &Cluster) -> Result<&Scheduler, String> {
        let known = |asked: &&Asked| asked.cluster.as_ref() == Ok(cluster);
        if let Some(asked) = self.asked().find(known) {
            return Ok(&asked.scheduler);
        }
        let of_kind = self.asked().filter(|asked| asked.is_of_kind(cluster));
        let mut silent = of_kind.filter_map(|asked| asked.cluster.as_ref().err());
        let not_from_here = || "its scheduler cannot be asked from this machine".to_owned();
        Err(silent.next().cloned().unwrap_or_else(not_from_here))
    }

    /// The scheduler of a cluster that is to do something.
    async fn scheduler_for(
        &self,
        name: &SessionName,
        wanted: &Cluster,
    ) -> Result<&Scheduler, Error> {
        if let Ok(scheduler) = self.scheduler_of(wanted) {
            return Ok(scheduler);
        }
        for asked in self.asked().filter(|asked| asked.is_of_kind(wanted)) {
            if asked.cluster.is_err() && cluster_of(&asked.scheduler).await? == *wanted {
                return Ok(&asked.scheduler);
            }
        }
        Err(Error::OtherCluster {
            name: name.clone(),
            cluster: wanted.clone(),
        })
    }

    /// The scheduler that is submitted to, and its cluster.
    async fn target(&self) -> Result<(Cluster, &Scheduler), Error> {
        let Asked { cluster, scheduler } = &self.first;
        match cluster {
            Ok(cluster) => Ok((cluster.clone(), scheduler)),
            Err(_) => Ok((cluster_of(scheduler).await?, scheduler)),
        }
    }
}

/// What identifies this qdebug and its user on the cluster, for the request.
#[derive(Debug, Clone)]
pub struct Submitter {
    /// The absolute path of this qdebug, which the job runs as well.
    pub qdebug: PathBuf,
    /// The user's home.
    pub home: PathBuf,
    /// Where the user stands.
    pub cwd: PathBuf,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::scheduler::Slurm;
    use crate::session::{Standing, samples};

    /// A Slurm whose controller is away.
    fn silent_slurm(folder: &Path) -> Scheduler {
        let script = "#!/bin/sh\necho 'error: Unable to contact slurm controller' >&2\nexit 1\n";
        for tool in ["scontrol", "squeue", "sacct", "sinfo", "scancel", "sbatch"] {
            let path = folder.join(tool);
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Scheduler::Slurm(Slurm::in_folder(folder.to_owned()))
    }

    #[tokio::test]
    async fn a_scheduler_that_does_not_answer_is_a_doubt_and_no_verdict() {
        let home = tempfile::tempdir().unwrap();
        let login = Login::new(home.path(), silent_slurm(home.path()), Vec::new()).await;
        let request = samples::request("otter");
        let session = login.store.create(&request).unwrap();
        // Submit died, and whether there is a job cannot be asked.
        for written in [false, true] {
            if written {
                session.write_job(&samples::job(&request, "7")).unwrap();
            }
            let status = login.status("otter").await.unwrap();
            assert_eq!(status.state, Standing::Unknown, "{status:?}");
            assert!(status.doubts[0].contains("Unable to contact"), "{status:?}");
        }
        let stopped = login.stop("otter", "me").await.unwrap_err();
        assert!(matches!(
            stopped,
            Error::Scheduler(scheduler::Error::Unreachable { .. })
        ));
        // The node half is told all the same.
        assert!(session.stop().unwrap().is_some());
    }
}
