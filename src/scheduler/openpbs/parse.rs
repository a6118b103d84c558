//! What qstat prints as JSON, read as hostile: a field that is not understood is left out.
//!
//! `Jobs` is absent where nothing matches. OpenPBS writes words that look like numbers as numbers
//! (in `Variable_List` the words of a user: `007` becomes 7, `1e999` null), so nothing is read
//! from there, and every field that is read is taken as a word or a number. Older versions print
//! such words raw, which is no JSON: then those lines are left out and the rest is read again.
//! Times are read as UTC, since qstat runs with TZ=UTC.

use std::collections::{BTreeMap, BTreeSet};

use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::super::{JobEnd, JobId, JobState, JobStatus};
use super::reason;

/// A document of `qstat -F json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Document {
    pbs_server: Word,
    #[serde(rename = "Jobs")]
    jobs: Option<BTreeMap<String, Job>>,
    #[serde(rename = "Server")]
    servers: Option<BTreeMap<String, IgnoredAny>>,
    #[serde(rename = "Queue")]
    queues: Option<BTreeMap<String, Queue>>,
}

/// A job as it is printed, of which nothing is believed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Job {
    job_state: Word,
    substate: Word,
    comment: Word,
    stime: Word,
    exec_host: Word,
    queue: Word,
    #[serde(rename = "Job_Name")]
    name: Word,
    #[serde(rename = "Job_Owner")]
    owner: Word,
    #[serde(rename = "Hold_Types")]
    holds: Word,
    #[serde(rename = "Exit_status")]
    exit: Word,
    #[serde(rename = "Execution_Time")]
    begin: Word,
    #[serde(rename = "Resource_List")]
    asked: Asked,
    estimated: Estimated,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    walltime: Word,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Estimated {
    start_time: Word,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Queue {
    enabled: Word,
    resources_max: Asked,
}

/// A word, or a number that may have been one.
#[derive(Debug, Default)]
struct Word(Option<String>);

impl Word {
    fn get(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde_json::Value;
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::String(word) => Some(word),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(word) => Some(word.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }))
    }
}

/// Reads a document; `None` when it is none.
pub(super) fn document(stdout: &str) -> Option<Document> {
    serde_json::from_str(stdout)
        .or_else(|error| {
            tracing::debug!(%error, "qstat's JSON is read leniently");
            serde_json::from_str(&repaired(stdout))
        })
        .ok()
}

/// The document without the lines that hold a user's words, and without control characters.
pub(in crate::scheduler) fn repaired(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut in_variables = false;
    for line in text.lines().map(str::trim) {
        if in_variables {
            in_variables = !matches!(line, "}" | "},");
            continue;
        }
        if line.starts_with("\"Variable_List\"") {
            in_variables = line.ends_with('{');
            continue;
        }
        if line.starts_with("\"Submit_arguments\"") {
            continue;
        }
        // What was left out may have been the last of its object.
        if line.starts_with('}') && kept.ends_with(',') {
            kept.pop();
        }
        kept.extend(line.chars().filter(|c| !c.is_control()));
    }
    kept
}

impl Document {
    /// The name of the server.
    pub(super) fn server(&self) -> Option<String> {
        let servers = self.servers.iter().flat_map(BTreeMap::keys);
        let mut names = servers.map(String::as_str).chain([self.pbs_server.get()]);
        let host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        names
            .find(|name| !name.is_empty() && name.len() < 256 && name.bytes().all(host))
            .map(str::to_owned)
    }

    /// Where the jobs that were asked for stand, under the ids they were asked by.
    pub(super) fn statuses(&self, asked: &[JobId]) -> BTreeMap<JobId, JobStatus> {
        let known: BTreeMap<&str, &Job> = self.numbered().collect();
        let short: BTreeMap<&str, &Job> =
            known.iter().map(|(id, job)| (number(id), *job)).collect();
        let job = |id: &JobId| {
            let id = id.as_str();
            known.get(id).or_else(|| {
                // `12` stands for `12.server`.
                (!id.contains('.')).then(|| short.get(id)).flatten()
            })
        };
        let found = asked.iter().filter_map(|id| Some((id, job(id)?)));
        found.map(|(id, job)| (id.clone(), job.status())).collect()
    }

    /// The jobs that are no arrays.
    fn numbered(&self) -> impl Iterator<Item = (&str, &Job)> {
        let jobs = self.jobs.iter().flatten();
        jobs.map(|(id, job)| (id.as_str(), job))
            .filter(|(id, _)| id.parse::<JobId>().is_ok())
    }

    /// Every job's id.
    #[cfg(all(test, unix))]
    pub(super) fn ids(&self) -> Vec<JobId> {
        let ids = self.numbered().filter_map(|(id, _)| id.parse().ok());
        ids.collect()
    }

    /// The queues in which jobs of these wait whose start is estimated: only of those can a place
    /// be told.
    pub(super) fn queues_with_estimates(&self) -> BTreeSet<&str> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        self.numbered()
            .filter(|(_, job)| job.estimate().is_some())
            .map(|(_, job)| job.queue.get())
            .filter(|name| {
                name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(plain)
            })
            .collect()
    }

    /// Places among the waiting of each queue, from everybody's jobs.
    ///
    /// OpenPBS shows no order: it depends on formulas, shares and limits that users cannot see.
    /// What it does show, where the estimator runs or for the jobs it keeps nodes free for, is when
    /// it expects to start them: the place is the rank by that. A listing without anybody else's
    /// job may be that of a site that hides them, and then no place is told.
    pub(super) fn positions(&self) -> BTreeMap<JobId, u32> {
        let owners = self.jobs.iter().flat_map(BTreeMap::values);
        let owners: BTreeSet<&str> = owners.map(|job| job.owner.get()).collect();
        if owners.len() < 2 {
            return BTreeMap::new();
        }
        let mut waiting: BTreeMap<&str, Vec<(Timestamp, u64, &str)>> = BTreeMap::new();
        for (id, job) in self.jobs.iter().flatten() {
            if let Some(estimate) = job.estimate() {
                let digits = id.split(|c: char| !c.is_ascii_digit()).next();
                let order = digits.and_then(|digits| digits.parse().ok());
                let queue = waiting.entry(job.queue.get()).or_default();
                queue.push((estimate, order.unwrap_or(u64::MAX), id));
            }
        }
        let mut places = BTreeMap::new();
        for queue in waiting.values_mut() {
            queue.sort_unstable();
            for (place, (_, _, id)) in (1..).zip(queue.iter()) {
                if let Ok(id) = id.parse() {
                    places.insert(id, place);
                }
            }
        }
        places
    }

    /// The queues that take jobs, and the longest walltime of each.
    pub(super) fn queues(&self) -> Vec<(&str, Option<&str>)> {
        let queues = self.queues.iter().flatten();
        queues
            .filter(|(_, queue)| queue.enabled.get() != "False")
            .map(|(name, queue)| {
                let longest = queue.resources_max.walltime.get();
                (name.as_str(), Some(longest).filter(|text| !text.is_empty()))
            })
            .collect()
    }
}

impl Job {
    /// States as qstat(1B) and the server's sources name them; `substate` tells ends apart.
    fn status(&self) -> JobStatus {
        let comment = self.comment.get();
        let mut status = JobStatus::of(match self.job_state.get() {
            // In transit to another queue of this server.
            "Q" | "W" | "T" => JobState::Queued,
            "H" => JobState::Held,
            // Suspended jobs, by the scheduler or for an interactive user, hold their nodes.
            "R" | "S" | "U" => JobState::Running,
            "E" => JobState::Ending,
            "F" | "X" => JobState::Ended(self.end()),
            // M went to another server, which is to be asked.
            _ => JobState::Unknown,
        });
        match status.state {
            JobState::Queued if self.job_state.get() == "W" => {
                status.reason = Some(reason::begin(self.begin.get()));
            }
            JobState::Queued => {
                status.reason = reason::waiting(comment);
                status.start_estimate = self.estimate();
            }
            JobState::Held => status.reason = Some(reason::held(self.holds.get(), comment)),
            JobState::Running | JobState::Ending => {
                let walltime = seconds(self.asked.walltime.get());
                let until = time(self.stime.get()).zip(walltime);
                status.until = until.and_then(|(start, walltime)| start.checked_add(walltime).ok());
            }
            _ => {}
        }
        status.name = self.name.0.clone().filter(|name| !name.is_empty());
        // `node1/0*2+node2/0`.
        let node = self.exec_host.get().split(['/', '+', ':']).next();
        status.node = node.filter(|node| !node.is_empty()).map(str::to_owned);
        status
    }

    /// When the scheduler expects to start it.
    fn estimate(&self) -> Option<Timestamp> {
        let waits = self.job_state.get() == "Q";
        waits
            .then(|| time(self.estimated.start_time.get()))
            .flatten()
    }

    /// How a finished job ended: 91 deleted, 92 finished, 93 failed. A negative exit is PBS' own
    /// (job.h), one from 256 on a signal.
    fn end(&self) -> JobEnd {
        let exit: Option<i32> = self.exit.get().parse().ok();
        let by = reason::terminated_by(self.comment.get());
        match (exit, self.substate.get()) {
            (Some(-29), _) => JobEnd::Walltime,
            (Some(-27 | -26), _) => JobEnd::OutOfMemory,
            (Some(-20), _) => JobEnd::NodeFail,
            (_, "91") => JobEnd::Cancelled { by },
            (Some(256..), _) if by.is_some() => JobEnd::Cancelled { by },
            (Some(0), _) => JobEnd::Completed,
            // The script is a child of the login shell, which tells its death by a signal so.
            (Some(exit @ 129..=159), _) => JobEnd::Signalled { signal: exit - 128 },
            (Some(exit @ 1..=255), _) => JobEnd::Failed { exit },
            (Some(status @ 256..), _) => JobEnd::Signalled {
                signal: status - 256,
            },
            (Some(exit), _) => JobEnd::Other(reason::ended(exit)),
            (None, "92") => JobEnd::Completed,
            (None, _) => JobEnd::Other("how is not known".to_owned()),
        }
    }
}

/// `12` of `12.server`.
fn number(id: &str) -> &str {
    id.split('.').next().unwrap_or_default()
}

/// `HH:MM:SS`, `MM:SS` or seconds.
fn seconds(text: &str) -> Option<SignedDuration> {
    let mut total: i64 = 0;
    for part in text.split(':') {
        let part: u32 = part.parse().ok()?;
        total = total.checked_mul(60)?.checked_add(i64::from(part))?;
    }
    Some(SignedDuration::from_secs(total))
}

/// A time as ctime(3) writes it, or seconds since the epoch; `UNKNOWN` is none.
pub(in crate::scheduler) fn time(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<i64>() {
        return (seconds > 0).then(|| Timestamp::from_second(seconds).ok())?;
    }
    let civil = strtime::parse("%a %b %d %H:%M:%S %Y", text)
        .ok()?
        .to_datetime()
        .ok()?;
    Some(civil.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp())
}

/// The id that qsub printed, in its last line: a site's hook may print lines before.
pub(super) fn submitted(stdout: &str) -> Option<JobId> {
    let last = stdout.lines().rev().find(|line| !line.trim().is_empty())?;
    last.trim().parse().ok()
}

/// The newest of the ids that qselect printed.
pub(super) fn newest(stdout: &str) -> Option<JobId> {
    let ids = stdout.lines().filter_map(|line| line.trim().parse().ok());
    ids.max_by_key(|id: &JobId| number(id.as_str()).parse::<u64>().unwrap_or(0))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
