//! Slurm, by its native commands; its qsub wrappers pass words through a shell and are never used.
//!
//! `command` builds argv, `parse` reads what came back, `reason` says why a job waits, `step` goes
//! into a running one; here they are run. Recorded on Slurm 22.05: `squeue` with one unknown id fails, with several it leaves
//! the unknown ones out; it remembers a finished job for MinJobAge (300 s); `sacct` remembers
//! longer where accounting is on; `scancel` of an unknown job says nothing. One id that cannot be
//! a job's (0, 2147483648) fails a whole `squeue`, and `5.x` is a step of job 5. A user's own
//! `SQUEUE_USERS`, even empty, hides jobs, and `SBATCH_ARRAY_INX` makes an array: the tools run
//! without such variables.
//!
//! `sbatch --export=NAMES` (NONE and NIL too) has slurmd run the user's login shell on the node
//! first: a profile of 3 s starts the job 3 s later, and one that hangs ends it after 50 s as
//! NODE_FAIL. So sbatch gets a small environment and `--export=ALL` of that.

mod command;
pub(super) mod parse;
mod reason;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Error, JobId, JobName, JobSpec, JobState, JobStatus, again, exported};
use crate::process::{self, Output, Program};

/// How long a tool may take: slurmctld answers late on a busy cluster.
const TIME_LIMIT: Duration = Duration::from_secs(40);

/// How long accounting may take: it is asked last, and what it knows is worth no more.
const HISTORY_LIMIT: Duration = Duration::from_secs(10);

/// How long a deletion may take to show.
const DELETE_LIMIT: Duration = Duration::from_secs(10);

/// Variables of a user's own that change what a tool does; `SLURM_CLUSTERS` asks another cluster.
const MEDDLING: [&str; 5] = ["SQUEUE_", "SCANCEL_", "SACCT_", "SINFO_", "SLURM_CLUSTERS"];

/// Besides what every job gets ([`exported`]), all that sbatch gets of the submitter's environment,
/// and so the job: what a login would give, what sbatch itself may need, and the user's defaults
/// for what a session may leave open (a `_` at the end: and all that begin so). Nothing of a job
/// that this shell may be in: its `SLURM_JOB_GPUS` is no grant of the new one.
const KEPT: [&str; 20] = [
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PATH",
    "LANG",
    "LC_",
    "TZ",
    "LD_LIBRARY_PATH",
    "KRB5CCNAME",
    "XDG_CONFIG_HOME",
    "SLURM_CONF",
    "SLURM_CONF_SERVER",
    "SLURM_JWT",
    "SBATCH_ACCOUNT",
    "SBATCH_CONSTRAINT",
    "SBATCH_PARTITION",
    "SBATCH_QOS",
    "SBATCH_RESERVATION",
    "SBATCH_WCKEY",
];

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
        let output = self
            .run("sbatch", &command::submit(spec)?, TIME_LIMIT)
            .await?;
        if output.status > 128 {
            // Killed: it may have asked already.
            return Err(unexpected(&output));
        }
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
        // One that is no Slurm job's would fail the question for all.
        let ids: Vec<JobId> = ids.iter().filter(|id| is_own(id)).cloned().collect();
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let output = self.query("squeue", &command::status(&ids)).await?;
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
        let asked: BTreeSet<&JobId> = ids.iter().collect();
        jobs.retain(|id, _| asked.contains(id));
        if jobs.values().any(|job| job.state == JobState::Queued) {
            self.add_positions(&mut jobs).await;
        }
        Ok(jobs)
    }

    /// What accounting remembers; nothing where there is none.
    async fn history(&self, ids: &[JobId]) -> BTreeMap<JobId, JobStatus> {
        match self
            .run("sacct", &command::history(ids), HISTORY_LIMIT)
            .await
        {
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
                        job.position = Some(position).filter(|_| !is_hidden_queue(job, position));
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
        if !is_own(id) {
            // `scancel 5.0` would end a step of job 5.
            return Err(Error::BadId { id: id.to_string() });
        }
        let own = rustix::process::getuid().as_raw();
        let output = self.query("scancel", &command::delete(id, own)).await?;
        if output.status != 0 && !parse::is_unknown_job(&output.stderr) {
            let already = output.stderr.to_lowercase().contains("already completing");
            if !already {
                return Err(refusal(&output));
            }
        }
        // scancel says nothing of what it did: the queue does. A running job is `COMPLETING` at
        // once and has its grace then.
        let limit = Instant::now() + DELETE_LIMIT;
        loop {
            let jobs = self.status(std::slice::from_ref(id)).await?;
            let state = jobs.get(id).map(|job| &job.state);
            match state {
                Some(JobState::Queued | JobState::Held | JobState::Running) => {}
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

    /// Asks what must be answered.
    pub(super) async fn ask(&self, tool: &'static str, args: &[String]) -> Result<Output, Error> {
        let output = self.query(tool, args).await?;
        if output.status == 0 {
            Ok(output)
        } else {
            Err(refusal(&output))
        }
    }

    /// Runs what may be run twice, and a second time when the controller failed quickly: one that
    /// is down or mute has been tried for 18 to 20 s by the tool itself.
    async fn query(&self, tool: &'static str, args: &[String]) -> Result<Output, Error> {
        let is_lost = |output: &Output| output.status != 0 && parse::is_unreachable(&output.stderr);
        again::once_more(|| self.run(tool, args, TIME_LIMIT), is_lost).await
    }

    /// A tool without the variables that it must not see, and the command as it is told.
    fn path(&self, tool: &str) -> OsString {
        match &self.folder {
            Some(folder) => folder.join(tool).into_os_string(),
            None => OsString::from(tool),
        }
    }

    fn program(&self, tool: &str, args: &[String]) -> (Program, String) {
        let path = self.path(tool);
        let program = Program::new(&path).args(args);
        let shown = program.shown();
        let meddling = meddling(tool, std::env::vars_os().map(|(name, _)| name));
        if meddling.is_empty() {
            return (program, shown);
        }
        let words = meddling
            .into_iter()
            .flat_map(|name| [OsString::from("-u"), name]);
        let program = Program::new("env").args(words).arg(&path).args(args);
        (program, shown)
    }

    async fn run(
        &self,
        tool: &'static str,
        args: &[String],
        limit: Duration,
    ) -> Result<Output, Error> {
        let (mut program, shown) = self.program(tool, args);
        if tool != "sbatch" {
            // Formats of the user's own would change what is parsed; times are read as UTC. A
            // `--begin` that is submitted is in the user's own time.
            program = program
                .env("TZ", "UTC")
                .env("SLURM_TIME_FORMAT", "standard");
        }
        let not_installed = || not_installed(tool);
        match program.time_limit(limit).output().await {
            // env(1) says so when there is no such program.
            Ok(output) if output.status == 127 && output.stderr.starts_with("env: ") => {
                Err(not_installed())
            }
            Ok(output) => Ok(Output {
                command: shown,
                ..output
            }),
            Err(process::Error::NotFound { .. }) => Err(not_installed()),
            Err(error) => Err(Error::Program(error)),
        }
    }
}

fn not_installed(program: &'static str) -> Error {
    Error::NotInstalled {
        scheduler: "Slurm",
        program,
    }
}

/// Those of these variables that a tool must not see.
fn meddling(tool: &str, names: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let begins = |name: &OsString, start: &str| {
        let name = name.as_encoded_bytes();
        name.starts_with(start.as_bytes())
    };
    let is_exported = |name: &OsString| {
        exported::EXPORTED
            .iter()
            .chain(&KEPT)
            .any(|known| name == *known || (known.ends_with('_') && begins(name, known)))
    };
    names
        .filter(|name| match tool {
            "sbatch" | "srun" => !is_exported(name),
            _ => MEDDLING.iter().any(|start| begins(name, start)),
        })
        .collect()
}

/// Whether an id can be one of Slurm's: its tools refuse 0 and what does not fit 31 bits.
fn is_own(id: &JobId) -> bool {
    id.as_str().parse::<i32>().is_ok_and(|number| number > 0)
}

/// Whether others wait before a job that looks like the next: a site may show a user nobody
/// else's jobs (PrivateData=jobs), and then places are not known.
fn is_hidden_queue(job: &JobStatus, position: u32) -> bool {
    position == 1
        && job
            .reason
            .as_ref()
            .is_some_and(|reason| reason.code == "Priority")
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

#[cfg(test)]
#[cfg(unix)]
mod recorded_tests;
#[cfg(test)]
mod tests;
