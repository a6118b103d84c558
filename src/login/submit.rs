//! Submit: checks everything, writes the session, then asks the scheduler.
//!
//! The order keeps every accident recoverable: the request is on disk before the scheduler hears
//! of the job, so that a job always finds its session; the job's id is written after its answer,
//! and when qdebug dies in between, the job is found by its name. A refusal removes the session.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::check::{check, plain_path};
use super::{Error, Login, Submitter};
use crate::scheduler::{self, JobId, JobName, JobSpec, Kind, torque};
use crate::session::{
    Cluster, EngineChoice, EnvName, GpuRequest, ImageSource, Job, Mount, Qdebug, Request,
    SessionDir, SessionName, Sshd, Token, read_keys,
};
use crate::text::chain;

/// How often another invented name is tried before giving up.
const NAME_TRIES: u64 = 200;

/// What is to be submitted.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The session's name; invented when absent.
    pub name: Option<SessionName>,
    /// The GPUs; `None` for a session without.
    pub gpu: Option<GpuRequest>,
    /// The words that ask the scheduler for them; its own form when absent.
    pub gpu_words: Option<String>,
    /// How long.
    pub walltime: Duration,
    /// The image.
    pub image: ImageSource,
    /// Which sshd.
    pub sshd: Sshd,
    /// Which container engine.
    pub engine: EngineChoice,
    /// Mounts besides home.
    pub mounts: Vec<Mount>,
    /// Environment of the session.
    pub env: BTreeMap<EnvName, String>,
    /// Cores.
    pub cpus: Option<u32>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// /dev/shm in bytes.
    pub shm_bytes: Option<u64>,
    /// How long it may be unused; for ever when absent.
    pub idle_timeout: Option<Duration>,
    /// Queue or partition.
    pub queue: Option<String>,
    /// The scheduler's project.
    pub project: Option<String>,
    /// The account.
    pub account: Option<String>,
    /// Quality of service.
    pub qos: Option<String>,
    /// Reservation.
    pub reservation: Option<String>,
    /// Where terminals and IDEs open; where the user stands when absent.
    pub workdir: Option<PathBuf>,
    /// More options for the scheduler, as they are.
    pub extra: Vec<String>,
}

/// What would be submitted: for `--dry-run`.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The job script.
    pub script: String,
    /// The scheduler's command line.
    pub command: Vec<String>,
}

/// What was submitted.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// The session's name.
    pub name: SessionName,
    /// The job's full id.
    pub job: JobId,
    /// The cluster.
    pub cluster: Cluster,
    /// The session's directory.
    pub session: PathBuf,
    /// Lines of `~/.ssh/authorized_keys` that a session cannot take, with the reason.
    pub keys_left_out: Vec<String>,
}

impl Login {
    /// What [`Login::submit`] would do, without doing it.
    ///
    /// # Errors
    /// As submit's checks.
    pub async fn plan(&self, submission: &Submission, by: &Submitter) -> Result<Plan, Error> {
        let (cluster, scheduler) = self.target().await?;
        check(submission)?;
        if let Some(name) = &submission.name {
            self.namesake(name).await?;
        }
        let request = self.request(submission, by, &cluster)?;
        let session = self.store.place(&request.name);
        let script = job_script(&by.qdebug, &session)?;
        let spec = job_spec(submission, &request.name, &session, scheduler.kind())?;
        job_files(scheduler.kind(), by)?;
        let command = scheduler.submit_command(&spec)?;
        Ok(Plan { script, command })
    }

    /// Submits to the first of the schedulers.
    ///
    /// # Errors
    /// What a check found, the session's files, or the scheduler's refusal; nothing is left of a
    /// session that was refused. [`Error::JobLeft`] where a job is.
    pub async fn submit(
        &self,
        submission: &Submission,
        by: &Submitter,
    ) -> Result<Submitted, Error> {
        let (cluster, scheduler) = self.target().await?;
        check(submission)?;
        if let Some(name) = &submission.name
            && let Some((session, token)) = self.namesake(name).await?
        {
            self.store.retire(&session, &token)?;
        }
        let request = self.request(submission, by, &cluster)?;
        let place = self.store.place(&request.name);
        let script = job_script(&by.qdebug, &place)?;
        let spec = job_spec(submission, &request.name, &place, scheduler.kind())?;
        let files = job_files(scheduler.kind(), by)?;
        scheduler.submit_command(&spec)?;

        let session = self.store.create(&request)?;
        let written = self.write(&session, &script, files.as_ref(), &by.home);
        let submitted = match written {
            Ok(left_out) => scheduler
                .submit(&spec)
                .await
                .map(|id| (id, left_out))
                .map_err(Error::from),
            Err(error) => Err(error),
        };
        let (id, keys_left_out) = match submitted {
            Ok(submitted) => submitted,
            Err(error) => {
                // A scheduler that did not answer may still have taken the job: then the session
                // stays, and the job is found by its name.
                if !matches!(&error, Error::Scheduler(error) if error.may_have_submitted()) {
                    let discarded = self.store.discard(&session);
                    if let Err(error) = discarded {
                        tracing::warn!(%error, "what was refused is left as a session");
                    }
                }
                return Err(error);
            }
        };
        let job = Job {
            token: request.token.clone(),
            id: id.to_string(),
            cluster: cluster.clone(),
            submitted: Timestamp::now(),
        };
        if let Err(error) = session.write_job(&job) {
            // A job nobody can find again is worse than none.
            let Err(refused) = scheduler.delete(&id).await else {
                return Err(error.into());
            };
            tracing::warn!(error = %chain(&refused), "job {id} is left");
            return Err(Error::JobLeft {
                end: scheduler.delete_command(&id),
                job: id,
                name: request.name,
                source: error,
            });
        }
        Ok(Submitted {
            name: request.name,
            job: id,
            cluster,
            session: session.path().to_owned(),
            keys_left_out,
        })
    }

    /// Writes script, job files and keys; returns what was left out of the user's keys.
    fn write(
        &self,
        session: &SessionDir,
        script: &str,
        files: Option<&JobFiles>,
        home: &Path,
    ) -> Result<Vec<String>, Error> {
        session.write_script(script)?;
        if let Some(files) = files {
            session.write_job_files(&files.shell, &files.epilogue)?;
        }
        let path = home.join(".ssh/authorized_keys");
        // A home without readable keys is normal: people log in by password.
        let own = read_keys(&path).unwrap_or_default();
        let mut keys = self.store.known_keys()?.keys;
        for key in own.keys {
            if !keys.iter().any(|known| known.is_same_key(&key)) {
                keys.push(key);
            }
        }
        session.write_keys(&keys)?;
        let told = |(line, reason)| format!("line {line} of {}: {reason}", path.display());
        Ok(own.left_out.into_iter().map(told).collect())
    }

    fn request(
        &self,
        submission: &Submission,
        by: &Submitter,
        cluster: &Cluster,
    ) -> Result<Request, Error> {
        let token = Token::random().map_err(Error::Random)?;
        let name = match &submission.name {
            Some(name) => name.clone(),
            None => self.invent_name(submission.gpu.as_ref(), token.seed()),
        };
        let project = submission.workdir.as_ref().unwrap_or(&by.cwd);
        for (what, path) in [("your home", &by.home), ("the working directory", project)] {
            plain_path(what, path)?;
        }
        Ok(Request {
            name,
            token,
            cluster: cluster.clone(),
            qdebug: Qdebug {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                path: by.qdebug.clone(),
            },
            created: Timestamp::now(),
            walltime_seconds: submission.walltime.as_secs(),
            gpu: submission.gpu.clone(),
            cpus: submission.cpus,
            memory_bytes: submission.memory_bytes,
            shm_bytes: submission.shm_bytes,
            idle_timeout_seconds: submission.idle_timeout.map(|time| time.as_secs()),
            image: submission.image.clone(),
            sshd: submission.sshd,
            engine: submission.engine,
            mounts: submission.mounts.clone(),
            env: submission.env.clone(),
            home: by.home.clone(),
            project: project.clone(),
        })
    }

    /// An invented name that no session of the store has.
    fn invent_name(&self, gpu: Option<&GpuRequest>, seed: u64) -> SessionName {
        let kind = gpu.map(|gpu| gpu.kind.as_str());
        let names = (0..NAME_TRIES).map(|step| SessionName::invent(kind, seed.wrapping_add(step)));
        let free = names
            .into_iter()
            .find(|name| self.store.by_name(name).is_err());
        free.unwrap_or_else(|| SessionName::invent(kind, seed))
    }

    /// The session that has a chosen name and gives it up, since it is over; a live one keeps it.
    async fn namesake(&self, name: &SessionName) -> Result<Option<(SessionDir, Token)>, Error> {
        let Ok(session) = self.store.by_name(name) else {
            return Ok(None);
        };
        let status = self.status_of(&session).await?;
        if !status.state.is_final() {
            return Err(Error::NameTaken {
                name: name.clone(),
                state: status.state.name(),
            });
        }
        Ok(Some((session, status.token)))
    }
}

/// The job script: constant but for two quoted paths. `exec`, so that the node half itself gets
/// the scheduler's SIGTERM. A job of Torque's has a PATH of the mom's (`pbs_environment`), on which
/// the scheduler's own tools need not be; where they were found when it was submitted comes last.
fn job_script(qdebug: &Path, session: &Path) -> Result<String, Error> {
    let quoted =
        |what, path| Ok::<_, Error>(shell_words::quote(plain_path(what, path)?).into_owned());
    let qdebug = quoted("qdebug", qdebug)?;
    let session = quoted("the session", session)?;
    Ok(format!(
        "#!/bin/sh\nPATH=\"$PATH${{PBS_O_PATH:+:$PBS_O_PATH}}\" exec {qdebug} node {session}\n"
    ))
}

/// What a job of Torque brings along to get time to end and to be cleaned up after.
struct JobFiles {
    shell: String,
    epilogue: String,
}

fn job_files(kind: Kind, by: &Submitter) -> Result<Option<JobFiles>, Error> {
    if kind != Kind::Torque {
        return Ok(None);
    }
    Ok(Some(JobFiles {
        shell: torque::shell().to_owned(),
        epilogue: torque::epilogue(&by.qdebug)?,
    }))
}

fn job_spec(
    submission: &Submission,
    name: &SessionName,
    session: &Path,
    kind: Kind,
) -> Result<JobSpec, Error> {
    let dir = SessionDir::at(session);
    let is_torque = kind == Kind::Torque;
    Ok(JobSpec {
        name: job_name(name)?,
        script: session.join("job.sh"),
        output: dir.job_log(),
        walltime: submission.walltime,
        gpus: submission.gpu.as_ref().map(|gpu| scheduler::GpuRequest {
            kind: Some(gpu.kind.clone()),
            count: gpu.count,
            request: submission.gpu_words.clone(),
        }),
        cpus: submission.cpus,
        memory_bytes: submission.memory_bytes,
        queue: submission.queue.clone(),
        project: submission.project.clone(),
        account: submission.account.clone(),
        qos: submission.qos.clone(),
        reservation: submission.reservation.clone(),
        extra: submission.extra.clone(),
        shell: is_torque.then(|| dir.job_shell()),
        epilogue: is_torque.then(|| dir.job_epilogue()),
    })
}

/// The name by which the scheduler knows a session's job.
pub(super) fn job_name(name: &SessionName) -> Result<JobName, Error> {
    Ok(format!("qdebug-{name}").parse::<JobName>()?)
}

#[cfg(test)]
#[path = "submit_tests.rs"]
mod tests;
