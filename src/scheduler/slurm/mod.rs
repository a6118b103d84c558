//! Slurm, by its native commands; its qsub wrappers pass words through a shell and are never used.
//!
//! `command` builds argv, `parse` reads what came back, `reason` says why a job waits; here they
//! are run. Recorded on Slurm 22.05: `squeue` with one unknown id fails, with several it leaves
//! the unknown ones out; it remembers a finished job for MinJobAge (300 s); `sacct` remembers
//! longer where accounting is on; `scancel` of an unknown job says nothing.

mod command;
mod parse;
mod reason;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Error, JobId, JobName, JobSpec, JobState, JobStatus};
use crate::process::{self, Output, Program};

/// How long a tool may take: slurmctld answers late on a busy cluster.
const TIME_LIMIT: Duration = Duration::from_secs(40);

/// How long a deletion may take to show.
const DELETE_LIMIT: Duration = Duration::from_secs(10);

/// How often something awaited is looked at.
const PACE: Duration = Duration::from_millis(200);

/// Slurm, with its tools on PATH.
#[derive(Debug, Clone, Default)]
pub struct Slurm {
    folder: Option<PathBuf>,
}

impl Slurm {
    /// Slurm with its tools in a folder instead of on PATH.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self {
            folder: Some(folder),
        }
    }

    pub(super) async fn cluster(&self) -> Result<String, Error> {
        let output = self.ask("scontrol", &command::show_config()).await?;
        parse::cluster_name(&output.stdout).ok_or_else(|| unexpected(&output))
    }

    pub(super) fn submit_command(&self, spec: &JobSpec) -> Result<Vec<String>, Error> {
        let mut words = vec!["sbatch".to_owned()];
        words.extend(command::submit(spec)?);
        Ok(words)
    }

    pub(super) async fn submit(&self, spec: &JobSpec) -> Result<JobId, Error> {
        let output = self.run("sbatch", &command::submit(spec)?).await?;
        if output.status != 0 {
            return Err(match refusal(&output) {
                Error::Refused { command, said, .. } => {
                    let hint = self.submit_hint(&said, spec).await;
                    Error::Refused {
                        command,
                        said,
                        hint,
                    }
                }
                error => error,
            });
        }
        parse::submitted(&output.stdout).ok_or_else(|| unexpected(&output))
    }

    /// What to do about a refusal, where its words make that sure.
    async fn submit_hint(&self, said: &str, spec: &JobSpec) -> Option<String> {
        match reason::of_refusal(said)? {
            reason::Refusal::NoSuchNode => {
                let listed = self.ask("sinfo", &command::gpu_types()).await.ok()?;
                let asked = spec.gpus.as_ref().and_then(|gpus| gpus.kind.as_deref());
                Some(reason::no_such_node(
                    asked,
                    &parse::gpu_types(&listed.stdout),
                ))
            }
            reason::Refusal::Partition => {
                let listed = self.ask("sinfo", &command::partitions()).await.ok()?;
                let names: Vec<&str> = listed.stdout.split_whitespace().collect();
                Some(format!("partitions of this cluster: {}", names.join(", ")))
            }
            reason::Refusal::Known(hint) => Some(hint.to_owned()),
        }
    }

    pub(super) async fn status(&self, ids: &[JobId]) -> Result<BTreeMap<JobId, JobStatus>, Error> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let output = self.run("squeue", &command::status(ids)).await?;
        let mut jobs = match output.status {
            0 => parse::jobs(&output.stdout),
            _ if parse::is_unknown_job(&output.stderr) => BTreeMap::new(),
            _ => return Err(refusal(&output)),
        };
        let forgotten: Vec<JobId> = ids
            .iter()
            .filter(|id| !jobs.contains_key(id))
            .cloned()
            .collect();
        if !forgotten.is_empty() {
            jobs.extend(self.history(&forgotten).await);
        }
        if jobs.values().any(|job| job.state == JobState::Queued) {
            self.add_positions(&mut jobs).await;
        }
        Ok(jobs)
    }

    /// What accounting remembers; nothing where there is none.
    async fn history(&self, ids: &[JobId]) -> BTreeMap<JobId, JobStatus> {
        match self.run("sacct", &command::history(ids)).await {
            Ok(output) if output.status == 0 => parse::history(&output.stdout),
            Ok(output) => {
                tracing::debug!(stderr = output.stderr.trim(), "no accounting");
                BTreeMap::new()
            }
            Err(error) => {
                tracing::debug!(%error, "no accounting");
                BTreeMap::new()
            }
        }
    }

    /// Places in the queue: worth one call, not an error.
    async fn add_positions(&self, jobs: &mut BTreeMap<JobId, JobStatus>) {
        match self.ask("squeue", &command::pending()).await {
            Ok(output) => {
                for (id, position) in parse::positions(&output.stdout) {
                    if let Some(job) = jobs.get_mut(&id) {
                        job.position = Some(position);
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "no places in the queue"),
        }
    }

    pub(super) async fn find(&self, name: &JobName) -> Result<Option<JobId>, Error> {
        let output = self.ask("squeue", &command::find(name)).await?;
        Ok(parse::newest(&output.stdout))
    }

    pub(super) async fn delete(&self, id: &JobId) -> Result<(), Error> {
        let output = self.run("scancel", &command::delete(id)).await?;
        if output.status != 0 && !parse::is_unknown_job(&output.stderr) {
            let already = output.stderr.to_lowercase().contains("already completing");
            if !already {
                return Err(refusal(&output));
            }
        }
        // scancel says nothing of what it did: the queue does.
        let limit = Instant::now() + DELETE_LIMIT;
        loop {
            let jobs = self.status(std::slice::from_ref(id)).await?;
            let state = jobs.get(id).map(|job| &job.state);
            match state {
                Some(JobState::Queued | JobState::Held) => {}
                // A running one gets its grace.
                _ => return Ok(()),
            }
            if Instant::now() > limit {
                return Err(Error::Refused {
                    command: format!("scancel {id}"),
                    said: "the job is still in the queue".to_owned(),
                    hint: Some("`squeue` shows whose it is".to_owned()),
                });
            }
            sleep(PACE).await;
        }
    }

    /// Runs a tool that must succeed.
    async fn ask(&self, tool: &'static str, args: &[String]) -> Result<Output, Error> {
        let output = self.run(tool, args).await?;
        if output.status == 0 {
            Ok(output)
        } else {
            Err(refusal(&output))
        }
    }

    async fn run(&self, tool: &'static str, args: &[String]) -> Result<Output, Error> {
        let program = match &self.folder {
            Some(folder) => Program::new(folder.join(tool)),
            None => Program::new(tool),
        };
        // Formats of the user's own would change what is parsed; times are read as UTC.
        let program = program
            .args(args)
            .env("TZ", "UTC")
            .env("SLURM_TIME_FORMAT", "standard")
            .time_limit(TIME_LIMIT);
        program.output().await.map_err(|error| match error {
            process::Error::NotFound { .. } => Error::NotInstalled {
                scheduler: "Slurm",
                program: tool,
            },
            error => Error::Program(error),
        })
    }
}

/// A failure in Slurm's own words: a controller that is away, or a no.
fn refusal(output: &Output) -> Error {
    let (command, said) = (output.command.clone(), parse::said(&output.stderr));
    if parse::is_unreachable(&said) {
        Error::Unreachable { command, said }
    } else {
        Error::Refused {
            command,
            said,
            hint: None,
        }
    }
}

fn unexpected(output: &Output) -> Error {
    Error::Unexpected {
        command: output.command.clone(),
        said: format!("{}{}", output.stdout, output.stderr)
            .trim()
            .to_owned(),
    }
}
