//! OpenPBS, by its own commands.
//!
//! `command` and `extra` build argv, `parse` reads JSON, `said` reads what goes wrong, `reason` says
//! why a job waits; here they are run. Recorded on OpenPBS 23.06: `qstat -x` also answers for jobs
//! that are over where the server keeps history; where it does not, it says so, leaves everything
//! out and ends with 0. One id that is not known fails the whole call by its status, and the rest
//! is in the answer all the same. After `qdel` a running job stays R through its grace. A node that
//! is down fails `qdel` with 222, and so, in passing, may a healthy one.
//!
//! All tools are those of one folder: the first on PATH with an OpenPBS qsub and a qstat beside it,
//! since Torque's and Slurm's have the same names. Nothing here uses `qdel -W force`: it takes the
//! job from the server's books while its processes may run on.

mod command;
mod extra;
pub(super) mod parse;
mod reason;
mod said;
#[cfg(test)]
#[cfg(unix)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use self::said::Said;
use super::detect::{self, Kind};
use super::{Error, JobId, JobName, JobSpec, JobState, JobStatus, again, exported};
use crate::process::{self, Output, Program};

/// How long a tool may take: a server answers late while its scheduler runs.
const TIME_LIMIT: Duration = Duration::from_secs(40);

/// How long a deletion may take to show, and a node to be reached.
const DELETE_LIMIT: Duration = Duration::from_secs(10);

/// How often something awaited is looked at.
const PACE: Duration = Duration::from_millis(300);

/// How long before a deletion is asked for again.
const DELETE_AGAIN: Duration = Duration::from_secs(1);

/// OpenPBS, with its tools on PATH.
#[derive(Debug, Clone, Default)]
pub struct OpenPbs {
    folder: OnceCell<PathBuf>,
}

impl OpenPbs {
    /// OpenPBS with its tools in a folder instead of on PATH.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self {
            folder: OnceCell::new_with(Some(folder)),
        }
    }

    pub(super) async fn cluster(&self) -> Result<String, Error> {
        // A server that is away is named all the same: sessions are still known by their files.
        let server = |output: &Output| parse::document(&output.stdout)?.server();
        let words = command::server();
        let output = again::once_more(
            || self.run("qstat", &words),
            |output| said::is_lost(output) && server(output).is_none(),
        )
        .await?;
        match server(&output) {
            Some(server) => Ok(server),
            None if output.status == 0 => Err(unexpected(&output)),
            None => Err(said::failure(&output)),
        }
    }

    #[allow(clippy::unused_self)] // As every dialect.
    pub(super) fn submit_command(&self, spec: &JobSpec) -> Result<Vec<String>, Error> {
        let mut words = vec!["qsub".to_owned()];
        words.extend(command::submit(
            spec,
            &exported::set_here(command::carries),
        )?);
        Ok(words)
    }

    pub(super) async fn submit(&self, spec: &JobSpec) -> Result<JobId, Error> {
        let output = self
            .run(
                "qsub",
                &command::submit(spec, &exported::set_here(command::carries))?,
            )
            .await?;
        if output.status == 0 {
            return parse::submitted(&output.stdout).ok_or_else(|| unexpected(&output));
        }
        Err(match said::failure(&output) {
            Error::Refused { command, said, .. } => Error::Refused {
                command,
                said,
                hint: self.submit_hint(&output, spec).await,
            },
            error => error,
        })
    }

    /// What to do about a refusal, where its words make that sure.
    async fn submit_hint(&self, refused: &Output, spec: &JobSpec) -> Option<String> {
        let refusal = said::refusal(refused, spec)?;
        if let said::Refusal::Known(hint) = refusal {
            return Some(hint);
        }
        let listed = self.ask("qstat", &command::queues()).await.ok()?;
        let document = parse::document(&listed.stdout)?;
        let queues = document.queues().into_iter().map(|queue| match queue {
            (name, Some(longest)) => format!("{name} (at most {longest})"),
            (name, None) => name.to_owned(),
        });
        let queues = queues.collect::<Vec<_>>().join(", ");
        Some(match refusal {
            said::Refusal::Limits => {
                format!("ask for less, or another queue by `-q`; there are: {queues}")
            }
            _ => format!("queues of this server: {queues}"),
        })
    }

    pub(super) async fn status(&self, ids: &[JobId]) -> Result<BTreeMap<JobId, JobStatus>, Error> {
        let ids: BTreeSet<JobId> = ids.iter().cloned().collect();
        let ids: Vec<JobId> = ids.into_iter().collect();
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut output = self.query("qstat", &command::status(&ids, true)).await?;
        if said::all(&output).contains(&Said::NoHistory) {
            output = self.query("qstat", &command::status(&ids, false)).await?;
        }
        let (document, mut jobs) = answer(&output, &ids)?;
        let queues = document.queues_with_estimates();
        if !queues.is_empty() {
            self.add_positions(queues, &mut jobs).await;
        }
        Ok(jobs)
    }

    /// Places in the queue: worth one call where they can be known at all, not an error.
    async fn add_positions(&self, queues: BTreeSet<&str>, jobs: &mut BTreeMap<JobId, JobStatus>) {
        let listing = match self.ask("qstat", &command::listing(queues)).await {
            Ok(output) => parse::document(&output.stdout),
            Err(error) => {
                tracing::debug!(%error, "no places in the queue");
                None
            }
        };
        let places = listing.map(|listing| listing.positions());
        for (id, place) in places.unwrap_or_default() {
            if let Some(job) = jobs.get_mut(&id) {
                job.position = Some(place);
            }
        }
    }

    pub(super) async fn find(&self, name: &JobName) -> Result<Option<JobId>, Error> {
        let user = Program::new("id").arg("-un").output().await?;
        let user = user.stdout.trim();
        let output = self.ask("qselect", &command::find(user, name)).await?;
        Ok(parse::newest(&output.stdout))
    }

    pub(super) async fn delete(&self, id: &JobId) -> Result<(), Error> {
        let limit = Instant::now() + DELETE_LIMIT;
        loop {
            let output = self.query("qdel", &command::delete(id)).await?;
            let said = said::all(&output);
            let is = |what| said.contains(&what);
            if output.status == 0 {
                return self.see_deleted(id, limit).await;
            }
            if is(Said::UnknownJob) || is(Said::Finished) {
                return Ok(());
            }
            if !(is(Said::NodeDown) || is(Said::BadState)) {
                return Err(denied(&output));
            }
            // What the server says then may be over already, or pass.
            if !self.lives(id).await? {
                return Ok(());
            }
            if Instant::now() > limit {
                return Err(denied(&output));
            }
            sleep(DELETE_AGAIN).await;
        }
    }

    /// Waits until a waiting job is out of the queue; a running one gets its grace.
    async fn see_deleted(&self, id: &JobId, limit: Instant) -> Result<(), Error> {
        loop {
            let jobs = self.status(std::slice::from_ref(id)).await?;
            match jobs.get(id).map(|job| &job.state) {
                Some(JobState::Queued | JobState::Held) => {}
                _ => return Ok(()),
            }
            if Instant::now() > limit {
                return Err(Error::Refused {
                    command: format!("qdel {id}"),
                    said: "the job is still in the queue".to_owned(),
                    hint: Some(format!("`qstat -f {id}` shows more of it")),
                });
            }
            sleep(PACE).await;
        }
    }

    /// Whether a job is neither over nor ending.
    async fn lives(&self, id: &JobId) -> Result<bool, Error> {
        let jobs = self.status(std::slice::from_ref(id)).await?;
        let state = jobs.get(id).map(|job| &job.state);
        Ok(!matches!(
            state,
            None | Some(JobState::Ended(_) | JobState::Ending)
        ))
    }

    /// Runs a tool that must succeed.
    pub(super) async fn ask(&self, tool: &'static str, args: &[String]) -> Result<Output, Error> {
        let output = self.query(tool, args).await?;
        if output.status == 0 {
            Ok(output)
        } else {
            Err(said::failure(&output))
        }
    }

    /// Runs what may be run twice, and a second time when the server failed quickly.
    async fn query(&self, tool: &'static str, args: &[String]) -> Result<Output, Error> {
        again::once_more(|| self.run(tool, args), said::is_lost).await
    }

    async fn run(&self, tool: &'static str, args: &[String]) -> Result<Output, Error> {
        let missing = || Error::NotInstalled {
            scheduler: "OpenPBS",
            program: tool,
        };
        let folder = self
            .folder
            .get_or_try_init(|| async {
                let found = detect::pbs_folder(Kind::OpenPbs).await?;
                found.ok_or_else(missing)
            })
            .await?;
        // qstat writes times in its own zone; a prefix of the user's own would make directives of
        // the script's lines.
        let program = Program::new(folder.join(tool))
            .args(args)
            .env("TZ", "UTC")
            .env("PBS_DPREFIX", "#PBS")
            .time_limit(TIME_LIMIT);
        program.output().await.map_err(|error| match error {
            process::Error::NotFound { .. } => missing(),
            error => Error::Program(error),
        })
    }
}

/// What a status call tells: the jobs in its answer, whatever it said of others.
fn answer(
    output: &Output,
    ids: &[JobId],
) -> Result<(parse::Document, BTreeMap<JobId, JobStatus>), Error> {
    let said = said::all(output);
    if said.contains(&Said::Unreachable) {
        return Err(said::failure(output));
    }
    let document = match parse::document(&output.stdout) {
        Some(document) => document,
        // Nothing but words.
        None if output.status != 0 && output.stdout.trim().is_empty() => parse::Document::default(),
        None => return Err(unexpected(output)),
    };
    let jobs = document.statuses(ids);
    // A job that is hidden or was not looked for is not one that is gone.
    let unknown = |said: &Said| matches!(said, Said::UnknownJob | Said::Finished);
    if jobs.is_empty() && !said.iter().all(unknown) {
        return Err(said::failure(output));
    }
    Ok((document, jobs))
}

/// A deletion that was refused, with what helps.
fn denied(output: &Output) -> Error {
    let hint = match said::all(output).first() {
        Some(Said::Unauthorized) => Some("the job is another user's".to_owned()),
        Some(Said::NodeDown) => Some(
            "its node does not answer; PBS ends the job when the node is back, \
             and the container ends with its deadline at the latest"
                .to_owned(),
        ),
        _ => None,
    };
    match said::failure(output) {
        Error::Refused { command, said, .. } => Error::Refused {
            command,
            said,
            hint,
        },
        error => error,
    }
}

fn unexpected(output: &Output) -> Error {
    let said = format!("{}{}", output.stdout, output.stderr);
    Error::Unexpected {
        command: output.command.clone(),
        said: said.trim().chars().take(2000).collect(),
    }
}
