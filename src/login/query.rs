//! What became of sessions: found by name or job id, judged in one scheduler call, and stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::submit::job_name;
use super::{Error, Login};
use crate::scheduler::{self, JobId, JobState, JobStatus};
use crate::session::{
    Clock, Cluster, Deadline, End, JobWord, PublicKey, Record, SessionDir, SessionName, Status,
    Stop,
};
use crate::text::chain;

/// How long a node half that ends may take to write its word anew, and how often is looked.
const REWRITTEN: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(250);

/// Ends that differ by no more seconds are one: the node half counts from its own start.
const SAME_DEADLINE: u64 = 2;

/// A session that was to be listed and could not be read.
#[derive(Debug)]
pub struct Unreadable {
    /// Its name as its directory tells it.
    pub name: String,
    /// Why.
    pub error: Error,
}

/// The sessions that could be read, and those that could not.
type Listing = (Vec<(SessionDir, Record)>, Vec<Unreadable>);

impl Login {
    /// Every session, oldest first, with one scheduler call for all of a cluster; sessions that
    /// the files alone say are over only when `ended` is wanted.
    ///
    /// # Errors
    /// When the store cannot be listed. What cannot be read is in the second list.
    pub async fn statuses(&self, ended: bool) -> Result<(Vec<Status>, Vec<Unreadable>), Error> {
        let (records, unreadable) = self.records(ended)?;
        let words = self.words(&records).await;
        let mut statuses: Vec<Status> = records
            .iter()
            .zip(words)
            .map(|((session, record), word)| judge(session, record, &word))
            .filter(|status| ended || !status.state.is_final())
            .collect();
        statuses.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        Ok((statuses, unreadable))
    }

    fn records(&self, ended: bool) -> Result<Listing, Error> {
        let (mut records, mut unreadable) = (Vec::new(), Vec::new());
        let clock = Clock::default();
        for session in self.store.all()? {
            match session.record_by(&clock) {
                Ok(record) if ended || !record.is_over() => records.push((session, record)),
                Ok(_) => {}
                Err(error) => unreadable.push(Unreadable {
                    name: session.shown_name().unwrap_or_default().to_owned(),
                    error: error.into(),
                }),
            }
        }
        Ok((records, unreadable))
    }

    /// Where one session stands. What was concluded of it by a list is asked anew.
    ///
    /// # Errors
    /// When there is none, or its files cannot be read.
    pub async fn status(&self, wanted: &str) -> Result<Status, Error> {
        let session = self.find(wanted).await?;
        self.status_of(&session).await
    }

    pub(super) async fn status_of(&self, session: &SessionDir) -> Result<Status, Error> {
        let records = [(session.clone(), session.record()?)];
        let words = self.words(&records).await;
        let [(session, record)] = &records;
        let word = words.into_iter().next().unwrap_or(JobWord::Unknown);
        Ok(judge(session, record, &word))
    }

    /// Runs a program inside a session's job, as [`crate::scheduler::Scheduler::step`] does.
    ///
    /// # Errors
    /// When the session has no job, or its scheduler cannot be asked from here.
    pub async fn step(&self, status: &Status, program: &[String]) -> Result<Option<i32>, Error> {
        let scheduler = self.scheduler_for(&status.name, &status.cluster).await?;
        match &status.job {
            Some(id) => Ok(scheduler.step(&id.parse()?, program).await?),
            None => Ok(None),
        }
    }

    /// The session of that name or job id, full or short. Among several of one id (ids come
    /// again) the live one is meant, else the newest.
    ///
    /// # Errors
    /// [`Error::NotAnId`], [`crate::session::Error::NoSuchSession`], [`Error::Ambiguous`].
    pub async fn find(&self, wanted: &str) -> Result<SessionDir, Error> {
        if let Ok(name) = wanted.parse::<SessionName>() {
            return Ok(self.store.by_name(&name)?);
        }
        let id: JobId = match wanted.parse() {
            Ok(id) => id,
            Err(error @ scheduler::Error::Array { .. }) => return Err(error.into()),
            Err(_) => {
                let wanted = wanted.to_owned();
                return Err(Error::NotAnId { wanted });
            }
        };
        let mut sessions = Vec::new();
        let mut unreadable = None;
        let clock = Clock::default();
        for session in self.store.by_job(id.as_str())? {
            match session.record_by(&clock) {
                Ok(record) => sessions.push((record, session)),
                Err(_) => unreadable = Some(session),
            }
        }
        if let (true, Some(session)) = (sessions.is_empty(), unreadable) {
            return Ok(session);
        }
        sessions.sort_by_key(|(record, _)| std::cmp::Reverse(record.request.created));
        let mut live = sessions.iter().filter(|(record, _)| !record.is_over());
        match (live.next(), live.next()) {
            (Some((one, _)), Some((two, _))) if one.request.cluster != two.request.cluster => {
                let names = sessions.iter().filter(|(record, _)| !record.is_over());
                Err(Error::Ambiguous {
                    wanted: wanted.to_owned(),
                    names: names
                        .map(|(record, _)| record.request.name.to_string())
                        .collect(),
                })
            }
            (Some((_, session)), _) => Ok(session.clone()),
            (None, _) => sessions
                .into_iter()
                .next()
                .map(|(_, session)| session)
                .ok_or_else(|| {
                    let wanted = wanted.to_owned();
                    crate::session::Error::NoSuchSession { wanted }.into()
                }),
        }
    }

    /// Asks a session to end: `stop.json` first, so that the node half knows the reason, then the
    /// scheduler's delete. A session that is over already is told as it is; one whose state cannot
    /// be read is ended, too. No job is deleted of which it is not sure that it is this session's.
    ///
    /// # Errors
    /// As [`Login::status`], and what the scheduler refused or did not answer.
    pub async fn stop(&self, wanted: &str, by: &str) -> Result<Status, Error> {
        let session = self.find(wanted).await?;
        let before = match self.status_of(&session).await {
            Ok(before) if before.state.is_final() => return Ok(before),
            before => before,
        };
        // What the node half told may be damaged; its job ends all the same.
        let request = session.request()?;
        let stop = Stop {
            token: request.token.clone(),
            by: by.to_owned(),
            at: Timestamp::now(),
        };
        let (name, cluster) = (&request.name, &request.cluster);
        let scheduler = match self.scheduler_for(name, cluster).await {
            // A stop that is refused has ended nothing.
            Err(refused @ Error::OtherCluster { .. }) => return Err(refused),
            // Where the scheduler does not answer, the node half is told all the same.
            found => found,
        };
        session.write_stop(&stop)?;
        let scheduler = scheduler?;
        let written = session.job().ok().flatten();
        let written = written.filter(|job| job.token == request.token);
        let told = match &before {
            Ok(before) => before.job.clone(),
            Err(_) => written.as_ref().map(|job| job.id.clone()),
        };
        let id = match told {
            None => scheduler.find(&job_name(name)?).await?,
            Some(told) => {
                let id = told.parse::<JobId>()?;
                let seen = before.as_ref().is_ok_and(|before| before.doubts.is_empty())
                    && written.is_some_and(|job| job.id == told);
                // Ids come again: a job of another name stays. One that was just now seen under its
                // own need not be looked at twice; of any other a question without an answer is no
                // yes.
                let own = seen || {
                    let jobs = scheduler.status(std::slice::from_ref(&id)).await?;
                    jobs.get(&id).is_none_or(|job| is_of(job, name))
                };
                own.then_some(id)
            }
        };
        if let Some(id) = id {
            scheduler.delete(&id).await?;
        }
        match before {
            Ok(_) => self.status_of(&session).await,
            Err(_) => self.status_once_told(&session).await,
        }
    }

    /// Where a session stands whose files could not be read until now: a node half that ends
    /// writes its word anew.
    async fn status_once_told(&self, session: &SessionDir) -> Result<Status, Error> {
        let patience = Instant::now() + REWRITTEN;
        loop {
            match self.status_of(session).await {
                Err(_) if Instant::now() < patience => sleep(LOOK).await,
                last => return last,
            }
        }
    }

    /// Lets a laptop's key into a session, and remembers it for later ones.
    ///
    /// # Errors
    /// As [`Login::find`], and the session's files.
    pub async fn authorize(&self, wanted: &str, key: &PublicKey) -> Result<(), Error> {
        let session = self.find(wanted).await?;
        let mut keys = session.keys()?.keys;
        if !keys.iter().any(|known| known.is_same_key(key)) {
            keys.push(key.clone());
            session.write_keys(&keys)?;
        }
        Ok(self.store.remember_key(key)?)
    }

    /// The scheduler's word for each record: one call a cluster.
    async fn words(&self, records: &[(SessionDir, Record)]) -> Vec<JobWord> {
        let mut asked: BTreeMap<&Cluster, Vec<JobId>> = BTreeMap::new();
        let mut ids: Vec<Result<JobId, JobWord>> = Vec::new();
        for (_, record) in records {
            let id = self.job_id(record).await;
            if let Ok(id) = &id {
                let cluster = &record.request.cluster;
                asked.entry(cluster).or_default().push(id.clone());
            }
            ids.push(id);
        }
        let mut answers = BTreeMap::new();
        for (cluster, ids) in asked {
            let answer = match self.scheduler_of(cluster) {
                Ok(scheduler) => scheduler.status(&ids).await.map_err(|error| chain(&error)),
                Err(detail) => Err(detail),
            };
            answers.insert(cluster, answer);
        }
        let word = |((_, record), id): (&(SessionDir, Record), Result<JobId, JobWord>)| {
            let id = match id {
                Ok(id) => id,
                Err(word) => return word,
            };
            match answers.get(&record.request.cluster) {
                // Ids come again: a job of another name is another's.
                Some(Ok(jobs)) => jobs
                    .get(&id)
                    .filter(|job| is_of(job, &record.request.name))
                    .map_or(JobWord::Forgotten, translate),
                Some(Err(detail)) => JobWord::Unreachable {
                    detail: detail.clone(),
                },
                None => JobWord::Unknown,
            }
        };
        records.iter().zip(ids).map(word).collect()
    }

    /// The job of a session: as `job.json` says, else found by its name, when submit died before
    /// it could write it down. Without one to ask for, the word that stands for it: a question that
    /// was not answered is not a "no".
    async fn job_id(&self, record: &Record) -> Result<JobId, JobWord> {
        // What is surely over need not be asked for.
        if record.is_over() {
            return Err(JobWord::Unknown);
        }
        let unreachable = |detail: String| JobWord::Unreachable { detail };
        if let Some(job) = &record.job {
            let id = job.id.parse();
            return id.map_err(|error: scheduler::Error| unreachable(chain(&error)));
        }
        let scheduler = self.scheduler_of(&record.request.cluster);
        let scheduler = scheduler.map_err(unreachable)?;
        let found = match job_name(&record.request.name) {
            Ok(name) => scheduler.find(&name).await.map_err(|error| chain(&error)),
            Err(error) => Err(chain(&error)),
        };
        found.map_err(unreachable)?.ok_or(JobWord::NeverSubmitted)
    }
}

/// The verdict, and the scheduler's definite end kept for when it has forgotten.
fn judge(session: &SessionDir, record: &Record, word: &JobWord) -> Status {
    let now = Timestamp::now();
    if let (JobWord::Ended { detail, walltime }, None) = (word, &record.end) {
        let end = End {
            token: record.request.token.clone(),
            detail: detail.clone(),
            walltime: *walltime,
            at: now,
        };
        if let Err(error) = session.write_end(&end) {
            tracing::warn!(%error, "the scheduler's word is not kept");
        }
    }
    if let Err(error) = hand_on_deadline(session, record, word, now) {
        tracing::warn!(%error, "the node half is not told that its end was moved");
    }
    let verdict = record.verdict(word, now);
    if let Some(presumed) = record.presume(word, &verdict, now)
        && let Err(error) = session.write_presumed(&presumed)
    {
        tracing::warn!(%error, "what was concluded is not kept");
    }
    verdict
}

/// Tells the node half, which may have no way to ask, when the scheduler will end its job, unless
/// it knows.
fn hand_on_deadline(
    session: &SessionDir,
    record: &Record,
    word: &JobWord,
    now: Timestamp,
) -> Result<(), crate::session::Error> {
    let (JobWord::Running { until: Some(until) }, Some(state)) = (word, &record.state) else {
        return Ok(());
    };
    let known = state.details.as_ref().and_then(|details| details.deadline);
    let differs =
        known.is_some_and(|known| until.as_second().abs_diff(known.as_second()) > SAME_DEADLINE);
    if !differs || state.phase.is_final() {
        return Ok(());
    }
    let token = &record.request.token;
    // A damaged one is written anew.
    let told = session.deadline().ok().flatten();
    if told.is_some_and(|told| told.token == *token && told.until == *until) {
        return Ok(());
    }
    session.write_deadline(&Deadline {
        token: token.clone(),
        until: *until,
        at: now,
    })
}

/// Whether a job can be this session's, by its name where the scheduler tells it.
fn is_of(job: &JobStatus, name: &SessionName) -> bool {
    let own = job_name(name).ok();
    match (&job.name, own) {
        (Some(name), Some(own)) => name == own.as_str(),
        _ => true,
    }
}

/// The scheduler's answer in the words of the contract.
fn translate(job: &JobStatus) -> JobWord {
    match &job.state {
        JobState::Queued | JobState::Held => JobWord::Queued {
            held: job.state == JobState::Held,
            reason: job.reason.as_ref().map(|reason| reason.text.clone()),
            never: job.reason.as_ref().is_some_and(|reason| reason.never),
            position: job.position,
            estimate: job.start_estimate,
        },
        JobState::Running | JobState::Ending => JobWord::Running { until: job.until },
        JobState::Ended(end) => JobWord::Ended {
            detail: end.to_string(),
            walltime: end.is_walltime(),
        },
        JobState::Unknown => JobWord::Unknown,
    }
}

#[cfg(test)]
#[cfg(unix)]
#[path = "query_tests.rs"]
mod tests;
