//! Torque, by its own commands.
//!
//! `command` builds argv, `extra` checks the user's own options, `record` and `parse` read what
//! came back, `reason` says why, `user_files` makes the two files that a session brings along;
//! here they are run. Recorded on Torque 6.1.3:
//!
//! - There is no JSON. `qstat -f -x ID ID...` is XML; it prints the jobs it knows and fails with
//!   153 when there is one that it does not. A finished job is known for 300 s.
//! - Exit statuses are the low byte of the server's error number: 111 no server, 33 no trqauthd.
//! - `qdel` of a running job answers at once, and the job shows R until its epilogue is over. 170
//!   is a job that is over; 224 is a node that is down, and once came in passing.
//! - By default a job gets no time between SIGTERM and SIGKILL: `pbs/torque/shell` says why.
//! - `PBS_QSTAT_*` of a user's own hide jobs, and `PBS_DPREFIX` turns comments of a script into
//!   options: the tools run without them.
//!
//! Moab and Maui schedule for many Torque servers: their `showq` tells places in the queue.

mod command;
mod extra;
mod parse;
mod reason;
pub(super) mod record;
#[cfg(test)]
#[cfg(unix)]
mod recorded_tests;
#[cfg(test)]
mod tests;
mod user_files;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use super::{Error, JobId, JobName, JobSpec, JobState, JobStatus, Kind, again, detect, exported};
use crate::process::{self, Output, Program};

pub use user_files::{epilogue, shell};

/// How long a tool may take: pbs_server answers late while it polls a node that is down.
const TIME_LIMIT: Duration = Duration::from_secs(40);

/// How long `showq` may take; it only says what would be nice to know.
const SHOWQ_LIMIT: Duration = Duration::from_secs(10);

/// How long a deletion is tried whose node did not answer.
const DELETE_LIMIT: Duration = Duration::from_secs(4);

/// How long before a deletion is asked for again.
const DELETE_AGAIN: Duration = Duration::from_secs(1);

/// Variables of a user's own that change what a tool does.
const MEDDLING: [&str; 3] = ["PBS_DPREFIX", "PBS_QSTAT_EXECONLY", "PBS_QSTAT_NO_COMPLETE"];

/// Torque, with its tools on PATH.
#[derive(Debug, Clone, Default)]
pub struct Torque {
    folder: OnceCell<PathBuf>,
}

impl Torque {
    /// Torque with its tools in a folder instead of on PATH.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self {
            folder: OnceCell::new_with(Some(folder)),
        }
    }

    pub(super) async fn cluster(&self) -> Result<String, Error> {
        let output = self.ask("qstat", &command::server()).await?;
        parse::server(&output.stdout).ok_or_else(|| unexpected(&output))
    }

    pub(super) fn submit_command(&self, spec: &JobSpec) -> Result<Vec<String>, Error> {
        let mut words = vec!["qsub".to_owned()];
        words.extend(command::submit(spec, &exported::set_here(|_| true))?);
        Ok(words)
    }

    pub(super) async fn submit(&self, spec: &JobSpec) -> Result<JobId, Error> {
        let words = command::submit(spec, &exported::set_here(|_| true))?;
        let mut output = self.run("qsub", &words, TIME_LIMIT).await?;
        if is_usage(&output) && output.stderr.contains("invalid option -- 'K'") {
            tracing::info!("this qsub knows no -K: the site's own kill_delay holds");
            let words = command::without_delay(words);
            output = self.run("qsub", &words, TIME_LIMIT).await?;
        }
        // Killed by a signal: it may have asked already. Torque's own statuses begin at 153.
        if (129..153).contains(&output.status) {
            return Err(unexpected(&output));
        }
        if output.status == 0 {
            return parse::submitted(&output.stdout).ok_or_else(|| unexpected(&output));
        }
        let error = refusal(&output);
        let no_such_node = matches!(error, Error::Refused { .. })
            && reason::of_refusal(output.status, &output.stderr)
                == Some(reason::Refusal::NoSuchNode);
        match error {
            Error::Refused { command, said, .. } if no_such_node => Err(Error::Refused {
                command,
                said,
                hint: Some(self.no_such_node(spec).await),
            }),
            error => Err(error),
        }
    }

    /// What to do about a request that no node can ever grant.
    async fn no_such_node(&self, spec: &JobSpec) -> String {
        let asked = spec.gpus.as_ref().and_then(|gpus| gpus.kind.as_deref());
        let known = match self.ask("pbsnodes", &["-x".to_owned()]).await {
            Ok(listed) => parse::properties(&listed.stdout),
            Err(error) => {
                tracing::debug!(%error, "nodes are not listed");
                BTreeSet::new()
            }
        };
        reason::no_such_node(asked, &known)
    }

    pub(super) async fn status(&self, ids: &[JobId]) -> Result<BTreeMap<JobId, JobStatus>, Error> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let output = self.query("qstat", &command::status(ids, true)).await?;
        let (output, found) = match parse::jobs_of_xml(&output.stdout) {
            Some(found) => (output, found),
            None if output.status == 0 || is_usage(&output) => {
                let output = self.query("qstat", &command::status(ids, false)).await?;
                let found = parse::jobs_of_text(&output.stdout);
                (output, found)
            }
            // All of them unknown, or no answer.
            None => (output, BTreeMap::new()),
        };
        let mut hidden = BTreeSet::new();
        if output.status != 0 {
            let complaints = parse::complaints(&output.stderr);
            if complaints.others || complaints == parse::Complaints::default() {
                return Err(refusal(&output));
            }
            hidden = complaints.hidden;
        }
        let mut jobs = BTreeMap::new();
        // An id may be asked for without its server; the answer has it always.
        let mut found: BTreeMap<String, JobStatus> = found
            .into_iter()
            .flat_map(|(id, status)| {
                let short = parse::number(id.as_str()).to_owned();
                [(short, status.clone()), (id.to_string(), status)]
            })
            .collect();
        // What is not for us to see is there all the same.
        for id in hidden {
            found.insert(
                parse::number(&id).to_owned(),
                JobStatus::of(JobState::Unknown),
            );
            found.insert(id, JobStatus::of(JobState::Unknown));
        }
        for id in ids {
            let status = found.get(id.as_str()).cloned();
            jobs.extend(status.map(|status| (id.clone(), status)));
        }
        if jobs.values().any(|job| job.state == JobState::Queued) {
            self.add_positions(&mut jobs).await;
        }
        Ok(jobs)
    }

    /// Places in the queue, where Moab or Maui knows them.
    async fn add_positions(&self, jobs: &mut BTreeMap<JobId, JobStatus>) {
        match self.run("showq", &[], SHOWQ_LIMIT).await {
            Ok(output) if output.status == 0 => {
                let positions = parse::positions(&output.stdout);
                for (id, job) in jobs {
                    if job.state == JobState::Queued {
                        job.position = positions.get(parse::number(id.as_str())).copied();
                    }
                }
            }
            Ok(output) => tracing::debug!(stderr = output.stderr.trim(), "no places in the queue"),
            Err(error) => tracing::debug!(%error, "no places in the queue"),
        }
    }

    pub(super) async fn find(&self, name: &JobName) -> Result<Option<JobId>, Error> {
        let whoami = Program::new("id").arg("-un").output().await?;
        let user = whoami.stdout.trim();
        if whoami.status != 0 || user.is_empty() {
            return Err(unexpected(&whoami));
        }
        let output = self.ask("qselect", &command::find(name, user)).await?;
        Ok(parse::newest(&output.stdout))
    }

    pub(super) async fn delete(&self, id: &JobId) -> Result<(), Error> {
        let limit = Instant::now() + DELETE_LIMIT;
        loop {
            let output = self.query("qdel", &command::delete(id)).await?;
            match output.status {
                0 => return Ok(()),
                153 if parse::is_unknown_job(&output.stderr) => return Ok(()),
                170 if parse::is_over(&output.stderr) => return Ok(()),
                // The node did not answer, which passes on a healthy one.
                224 => {}
                _ => return Err(refusal(&output)),
            }
            let jobs = self.status(std::slice::from_ref(id)).await?;
            match jobs.get(id).map(|job| &job.state) {
                None | Some(JobState::Ended(_) | JobState::Ending) => return Ok(()),
                _ if Instant::now() > limit => return Err(refusal(&output)),
                _ => sleep(DELETE_AGAIN).await,
            }
        }
    }

    /// Runs a tool that must succeed.
    pub(super) async fn ask(&self, tool: &'static str, args: &[String]) -> Result<Output, Error> {
        let output = self.query(tool, args).await?;
        if output.status == 0 {
            Ok(output)
        } else {
            Err(refusal(&output))
        }
    }

    /// Runs what may be run twice, and a second time when the server failed quickly.
    async fn query(&self, tool: &'static str, args: &[String]) -> Result<Output, Error> {
        let is_lost = |output: &Output| output.status != 0 && parse::is_unreachable(&output.stderr);
        again::once_more(|| self.run(tool, args, TIME_LIMIT), is_lost).await
    }

    /// The folder of the tools on PATH, looked for once.
    async fn found(&self) -> Result<&PathBuf, Error> {
        let look = async || {
            let found = detect::pbs_folder(Kind::Torque).await?;
            found.ok_or(Error::NotInstalled {
                scheduler: "Torque",
                program: "qsub",
            })
        };
        self.folder.get_or_try_init(look).await
    }

    async fn run(
        &self,
        tool: &'static str,
        args: &[String],
        limit: Duration,
    ) -> Result<Output, Error> {
        // Another family's tools may be on PATH too. showq is of another program, with a folder of
        // its own.
        let mut path = self.found().await?.join(tool);
        if tool == "showq" && !path.exists() {
            path = tool.into();
        }
        let shown = Program::new(&path).args(args).shown();
        let mut program = Program::new("env");
        for name in MEDDLING {
            program = program.args(["-u", name]);
        }
        program = program.arg(&path).args(args);
        if tool != "qsub" {
            // Times are read as UTC. A `-a` that is submitted is in the user's own time.
            program = program.env("TZ", "UTC");
        }
        match program.time_limit(limit).output().await {
            // env(1) says so when there is no such program.
            Ok(output) if output.status == 127 && output.stderr.starts_with("env: ") => {
                Err(Error::NotInstalled {
                    scheduler: "Torque",
                    program: tool,
                })
            }
            Ok(output) => Ok(Output {
                command: shown,
                ..output
            }),
            Err(process::Error::TimedOut { limit, .. }) => {
                let command = shown;
                Err(process::Error::TimedOut { command, limit }.into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a tool does not know an option: it tells how it is used.
fn is_usage(output: &Output) -> bool {
    output.status == 2 && output.stderr.contains("usage:")
}

/// A failure in Torque's own words: a server that is away, or a no.
fn refusal(output: &Output) -> Error {
    let (command, said) = (output.command.clone(), parse::said(&output.stderr));
    if parse::is_unreachable(&output.stderr) {
        return Error::Unreachable { command, said };
    }
    let hint = match reason::of_refusal(output.status, &said) {
        Some(reason::Refusal::Known(hint)) => Some(hint.to_owned()),
        _ => None,
    };
    let said = if said.is_empty() {
        format!("exit status {}", output.status)
    } else {
        said
    };
    Error::Refused {
        command,
        said,
        hint,
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
