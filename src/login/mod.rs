//! The login half: submit, list, status, stop, logs, where the scheduler's commands are.
//!
//! It writes what was asked into the session ([`submit`]), and answers what became of it by
//! joining the session's files with the scheduler's word ([`Login::statuses`]). It knows neither
//! the node nor the laptop: those meet it in the session.

mod error;
mod logs;
mod query;
mod submit;

pub use error::Error;
pub use logs::{Log, LogTail};
pub use submit::{Plan, Submission, Submitted};

use std::path::PathBuf;

use crate::scheduler::Scheduler;
use crate::session::{Cluster, Store};

/// One user's sessions and the schedulers that can be asked from here.
#[derive(Debug)]
pub struct Login {
    store: Store,
    known: Vec<(Cluster, Scheduler)>,
}

impl Login {
    /// The login half of the sessions below `home` (such as `~/.qdebug`), with every scheduler
    /// that is to be asked.
    ///
    /// # Errors
    /// When a scheduler does not tell its cluster's name.
    pub async fn new(home: &std::path::Path, schedulers: Vec<Scheduler>) -> Result<Self, Error> {
        let mut known = Vec::new();
        for scheduler in schedulers {
            let cluster = Cluster {
                scheduler: scheduler.kind().to_string(),
                server: scheduler.cluster().await?,
            };
            known.push((cluster, scheduler));
        }
        Ok(Self {
            store: Store::below(home),
            known,
        })
    }

    /// The scheduler of a cluster, when it is one that can be asked from here.
    fn scheduler_of(&self, cluster: &Cluster) -> Option<&Scheduler> {
        let known = self.known.iter().find(|(known, _)| known == cluster);
        known.map(|(_, scheduler)| scheduler)
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
