//! The dialect `local`: no scheduler, a detached process group on this machine.
//!
//! A job is a directory `<home>/local/<host>/<id>/`: `job.json` says what was asked, `alive.json`
//! who runs it, `end.json` how it ended. Its supervisor ([`supervise`], the hidden command
//! `qdebug local-run`) runs the script as a process group of its own and ends it as schedulers do:
//! SIGTERM at the walltime or when deleted, SIGKILL after the grace. A closed terminal (SIGHUP)
//! does not end it.
//!
//! Process ids come again, so a process is known by its id, its start time and the machine's boot.
//! A supervisor that was killed leaves no `end.json`; then the script's own process decides
//! whether the job still runs.

mod files;
mod process_id;
mod supervisor;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::time::{Instant, sleep};

use self::files::{Alive, Asked, JobDir};
use super::{Error, JobEnd, JobId, JobName, JobSpec, JobState, JobStatus};
use crate::process::Program;

pub use supervisor::{GRACE, supervise};

/// The variable by which a job knows its id.
pub(super) const JOB_VARIABLE: &str = "QDEBUG_LOCAL_JOB";

/// How long a supervisor may take to say that it runs.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How often something awaited is looked at.
const PACE: Duration = Duration::from_millis(20);

/// Jobs on this machine.
#[derive(Debug, Clone)]
pub struct Local {
    root: PathBuf,
    host: String,
    qdebug: PathBuf,
}

impl Local {
    /// Jobs of this machine kept below `home` (such as `~/.qdebug`), supervised by the qdebug at
    /// `qdebug`.
    pub fn new(home: &std::path::Path, qdebug: PathBuf) -> Self {
        let host = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        Self {
            root: home.join("local").join(&host),
            host,
            qdebug,
        }
    }

    /// The machine's own name, which is the cluster's.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// What submit runs.
    pub(super) fn submit_command(&self, spec: &JobSpec) -> Result<Vec<String>, Error> {
        if let Some(option) = spec.extra.first() {
            return Err(Error::BadOption {
                option: option.clone(),
                reason: "the scheduler `local` has no options".to_owned(),
            });
        }
        let qdebug = self.qdebug.to_string_lossy().into_owned();
        let place = self.root.join("<id>").to_string_lossy().into_owned();
        Ok(vec![qdebug, "local-run".to_owned(), place])
    }

    /// Starts a job; returns when its supervisor runs.
    pub(super) async fn submit(&self, spec: &JobSpec) -> Result<JobId, Error> {
        self.submit_command(spec)?;
        let asked = Asked {
            name: spec.name.to_string(),
            script: spec.script.clone(),
            output: spec.output.clone(),
            walltime_seconds: spec.walltime.as_secs(),
        };
        let (id, job) = JobDir::create(&self.root, &asked)?;
        let program = Program::new(&self.qdebug).arg("local-run").arg(job.path());
        let program = program.env(JOB_VARIABLE, id.as_str());
        program.detach(job.log()?).map_err(Error::Program)?;
        let limit = Instant::now() + START_LIMIT;
        while job.alive()?.is_none() && job.end()?.is_none() {
            if Instant::now() > limit {
                return Err(Error::Unexpected {
                    command: format!("{} local-run", self.qdebug.display()),
                    said: job.log_text(),
                });
            }
            sleep(PACE).await;
        }
        Ok(id)
    }

    /// Where jobs stand; those that never were are not in the answer.
    pub(super) fn status(&self, ids: &[JobId]) -> Result<BTreeMap<JobId, JobStatus>, Error> {
        let mut known = BTreeMap::new();
        for id in ids {
            if let Some(job) = JobDir::open(&self.root, id) {
                known.insert(id.clone(), self.status_of(&job)?);
            }
        }
        Ok(known)
    }

    fn status_of(&self, job: &JobDir) -> Result<JobStatus, Error> {
        let mut status = JobStatus::of(JobState::Unknown);
        status.node = Some(self.host.clone());
        status.name = job.asked()?.map(|asked| asked.name);
        // The end last: a job that ends in between is then seen as ended, not as lost.
        let alive = job.alive()?;
        let runs = alive.as_ref().is_some_and(Alive::runs);
        status.state = match (job.end()?, &alive) {
            (Some(end), _) => JobState::Ended(end),
            (None, None) if job.age() > START_LIMIT => {
                JobState::Ended(JobEnd::Other("its supervisor never started".to_owned()))
            }
            (None, None) => JobState::Queued,
            (None, Some(alive)) if runs => {
                status.until = walltime_end(job, alive);
                JobState::Running
            }
            (None, Some(_)) => {
                JobState::Ended(JobEnd::Other("its supervisor was killed".to_owned()))
            }
        };
        Ok(status)
    }

    /// The newest job of that name that is not over.
    pub(super) fn find(&self, name: &JobName) -> Result<Option<JobId>, Error> {
        for (id, job) in JobDir::all(&self.root)?.into_iter().rev() {
            let asked = job.asked()?;
            if asked.is_some_and(|asked| asked.name == name.as_str()) {
                let over = matches!(self.status_of(&job)?.state, JobState::Ended(_));
                return Ok((!over).then_some(id));
            }
        }
        Ok(None)
    }

    /// Ends a job: SIGTERM by its supervisor, SIGKILL when that does not help.
    pub(super) async fn delete(&self, id: &JobId) -> Result<(), Error> {
        let Some(job) = JobDir::open(&self.root, id) else {
            return Ok(());
        };
        if job.end()?.is_some() {
            return Ok(());
        }
        let Some(alive) = job.alive()? else {
            // Its supervisor looks for an end before it starts the script.
            return job.write_end(&JobEnd::Cancelled { by: None });
        };
        let limit = Instant::now() + GRACE + Duration::from_secs(3);
        let (mut asked, mut alone) = (false, false);
        while alive.runs() && job.end()?.is_none() {
            // Only what runs is sent a signal: the ids of what is gone may be another's by now.
            let supervisor = Some(&alive.supervisor).filter(|process| process.runs());
            let script = alive.script.as_ref().filter(|process| process.runs());
            if Instant::now() > limit {
                if let Some(process) = script {
                    signal(process.pid, Signal::KILL, true);
                }
                if let Some(process) = supervisor {
                    signal(process.pid, Signal::KILL, false);
                }
                break;
            }
            match (supervisor, script) {
                (Some(process), _) if !asked => {
                    signal(process.pid, Signal::TERM, false);
                    asked = true;
                }
                // Nobody is left to count the grace: it is counted here.
                (None, Some(process)) if !alone => {
                    signal(process.pid, Signal::TERM, true);
                    alone = true;
                }
                _ => {}
            }
            sleep(PACE).await;
        }
        Ok(())
    }
}

fn walltime_end(job: &JobDir, alive: &Alive) -> Option<Timestamp> {
    let seconds = job.asked().ok()??.walltime_seconds;
    let walltime = SignedDuration::from_secs(i64::try_from(seconds).ok()?);
    alive.started.checked_add(walltime).ok()
}

/// Sends a signal to a process or its group; one that is gone is what was wanted.
fn signal(pid: u32, signal: Signal, group: bool) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return;
    };
    let sent = if group {
        kill_process_group(pid, signal)
    } else {
        kill_process(pid, signal)
    };
    if let Err(error) = sent {
        tracing::debug!(?pid, ?signal, %error, "a signal did not arrive");
    }
}
