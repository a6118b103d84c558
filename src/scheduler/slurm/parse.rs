//! What Slurm's tools print, read as hostile: a line that is not understood is left out.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::super::{JobEnd, JobId, JobState, JobStatus};
use super::reason;

/// The id that `sbatch --parsable` printed: `33`, or `33;cluster`.
pub(super) fn submitted(stdout: &str) -> Option<JobId> {
    // A site's plugin may print lines before.
    let last = stdout.lines().rev().find(|line| !line.trim().is_empty())?;
    last.trim().split(';').next()?.parse().ok()
}

/// `ClusterName = lab` of `scontrol show config`.
pub(super) fn cluster_name(stdout: &str) -> Option<String> {
    stdout.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        let value = value.trim();
        (key.trim() == "ClusterName" && !value.is_empty()).then(|| value.to_owned())
    })
}

/// The lines of `command::status`. A name can hold a line break and then what looks like a line: of
/// two lines of one job the one is believed that does not call it over.
pub(super) fn jobs(stdout: &str) -> BTreeMap<JobId, JobStatus> {
    let mut jobs = BTreeMap::new();
    for (id, status) in stdout.lines().filter_map(job) {
        let over = matches!(status.state, JobState::Ended(_));
        if !over || !jobs.contains_key(&id) {
            jobs.insert(id, status);
        }
    }
    jobs
}

fn job(line: &str) -> Option<(JobId, JobStatus)> {
    let fields: Vec<&str> = line.splitn(8, '|').map(str::trim).collect();
    let [id, state, code, end, nodes, start, exit, name] = fields[..] else {
        return None;
    };
    let mut status = JobStatus::of(self::state(state, exit, code));
    let name = name.strip_suffix('|').unwrap_or(name);
    status.name = (!name.is_empty()).then(|| name.to_owned());
    match status.state {
        JobState::Queued | JobState::Held => {
            status.reason = reason::waiting(code);
            status.start_estimate = time(start);
            if reason::is_hold(code) {
                status.state = JobState::Held;
            }
        }
        // Of a job that is ending Slurm tells the moment of its end for its limit.
        JobState::Running => status.until = time(end),
        _ => {}
    }
    status.node = Some(nodes)
        .filter(|nodes| !nodes.is_empty())
        .map(str::to_owned);
    Some((id.parse().ok()?, status))
}

/// A state by its long name (squeue(1), JOB STATE CODES; sacct adds `CANCELLED by 2001`).
fn state(word: &str, exit: &str, reason: &str) -> JobState {
    let first = word.split([' ', '+']).next().unwrap_or_default();
    JobState::Ended(match first {
        "PENDING" | "CONFIGURING" | "POWER_UP_NODE" | "REQUEUED" | "REQUEUE_FED" => {
            return JobState::Queued;
        }
        "REQUEUE_HOLD" | "RESV_DEL_HOLD" | "SPECIAL_EXIT" => return JobState::Held,
        "RUNNING" | "SUSPENDED" | "STOPPED" | "RESIZING" | "SIGNALING" => return JobState::Running,
        "COMPLETING" | "STAGE_OUT" => return JobState::Ending,
        "COMPLETED" => JobEnd::Completed,
        "CANCELLED" | "REVOKED" => JobEnd::Cancelled { by: None },
        "TIMEOUT" | "DEADLINE" => JobEnd::Walltime,
        "NODE_FAIL" | "BOOT_FAIL" => JobEnd::NodeFail,
        "LAUNCH_FAILED" => JobEnd::Other("its node could not start it".to_owned()),
        "OUT_OF_MEMORY" => JobEnd::OutOfMemory,
        "FAILED" => failure(exit, reason),
        "PREEMPTED" => JobEnd::Other("preempted by a job of higher priority".to_owned()),
        _ => return JobState::Unknown,
    })
}

/// How a failed job ended: `EXIT:SIGNAL` of sacct, the wait status of squeue.
fn failure(exit: &str, reason: &str) -> JobEnd {
    if let Some((exit, signal)) = exit.split_once(':') {
        return match (exit.parse(), signal.parse()) {
            (_, Ok(signal)) if signal > 0 => signalled(signal),
            (Ok(exit), _) => JobEnd::Failed { exit },
            _ => JobEnd::Other("it failed".to_owned()),
        };
    }
    match exit.parse::<i32>() {
        Ok(status) if reason == "RaisedSignal" || (1..=64).contains(&(status & 0x7f)) => {
            signalled(status & 0x7f)
        }
        Ok(status) if status >= 256 => JobEnd::Failed { exit: status >> 8 },
        Ok(exit) => JobEnd::Failed { exit },
        Err(_) => JobEnd::Other(format!("it failed ({reason})")),
    }
}

/// slurmd tells by the "signal" 53 that it could not open the job's output, and ran nothing.
fn signalled(signal: i32) -> JobEnd {
    match signal {
        53 => JobEnd::Other(
            "its node could not open the job's log: is your home there, with room, and writable?"
                .to_owned(),
        ),
        signal => JobEnd::Signalled { signal },
    }
}

/// A time as Slurm prints it with TZ=UTC; `N/A`, `Unknown` and `NONE` are none.
pub(in crate::scheduler) fn time(text: &str) -> Option<Timestamp> {
    let civil: DateTime = text.parse().ok()?;
    Some(civil.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp())
}

/// The lines of `command::history` that tell of an end. A job that squeue has forgotten is over:
/// where accounting still says that it runs, the word of its end was lost.
pub(super) fn history(stdout: &str) -> BTreeMap<JobId, JobStatus> {
    let job = |line: &str| {
        let mut fields = line.splitn(5, '|');
        let mut field = || fields.next();
        let (id, word, exit, node) = (field()?, field()?, field()?, field()?);
        let mut status = JobStatus::of(state(word, exit, ""));
        if !matches!(status.state, JobState::Ended(_)) {
            return None;
        }
        status.name = field().map(str::to_owned);
        if let (JobState::Ended(JobEnd::Cancelled { by }), Some(uid)) =
            (&mut status.state, word.strip_prefix("CANCELLED by "))
        {
            *by = Some(format!("uid {uid}"));
        }
        status.node = Some(node.to_owned()).filter(|node| node != "None assigned");
        Some((id.parse().ok()?, status))
    };
    stdout.lines().filter_map(job).collect()
}

/// Places among the waiting of each partition, from the lines of `command::pending`. Who cannot
/// start yet (held, a begin time, another job) is in nobody's way; who waits for several
/// partitions has the best of its places.
pub(super) fn positions(stdout: &str) -> BTreeMap<JobId, u32> {
    let mut next: BTreeMap<&str, u32> = BTreeMap::new();
    let mut positions = BTreeMap::new();
    for line in stdout.lines() {
        let fields: Vec<&str> = line.splitn(3, '|').map(str::trim).collect();
        let [id, partitions, code] = fields[..] else {
            continue;
        };
        if reason::is_not_in_line(code.trim_end_matches('|')) {
            continue;
        }
        let places = partitions.split(',').map(|partition| {
            let place = next.entry(partition).or_default();
            *place += 1;
            *place
        });
        // Arrays of others take a place too, and are nobody's session.
        if let (Some(place), Ok(id)) = (places.min(), id.parse()) {
            positions.entry(id).or_insert(place);
        }
    }
    positions
}

/// The highest of the ids printed.
pub(super) fn newest(stdout: &str) -> Option<JobId> {
    let ids = stdout
        .lines()
        .filter_map(|line| line.trim_end_matches('|').trim().parse().ok());
    ids.max_by_key(|id: &JobId| id.as_str().parse::<u64>().unwrap_or(0))
}

/// The GPU types of `gpu:V100:2(S:0-1),gpu:P100:1,gpu:4`.
pub(super) fn gpu_types(stdout: &str) -> BTreeSet<String> {
    let words = stdout.split([',', '\n']);
    let kind = |word: &str| {
        let mut parts = word.trim().split([':', '(']);
        (parts.next() == Some("gpu")).then_some(())?;
        let kind = parts.next()?;
        let named = kind.starts_with(|c: char| c.is_ascii_alphabetic());
        (named && parts.next().is_some()).then(|| kind.to_owned())
    };
    words.filter_map(kind).collect()
}

/// Slurm's own words without the tool's name before them.
pub(super) fn said(stderr: &str) -> String {
    let word = |line: &str| {
        let line = line.trim();
        let line = line.split_once(" error: ").map_or(line, |(_, rest)| rest);
        let line = line.strip_prefix("error: ").unwrap_or(line);
        line.strip_prefix("Batch job submission failed: ")
            .unwrap_or(line)
            .to_owned()
    };
    let lines: Vec<String> = stderr
        .lines()
        .map(word)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join("; ")
}

/// Whether squeue or scancel says that there is no such job.
pub(super) fn is_unknown_job(stderr: &str) -> bool {
    stderr.contains("Invalid job id specified")
}

/// Whether these words mean that slurmctld does not answer.
pub(super) fn is_unreachable(said: &str) -> bool {
    let said = said.to_lowercase();
    [
        "unable to contact slurm controller",
        "connection refused",
        "socket timed out",
        "munge",
        "protocol authentication error",
        "zero bytes were transmitted",
        "slurm backup controller",
        "communication connection failure",
        "configuration source",
        "resource temporarily unavailable",
        "no route to host",
    ]
    .iter()
    .any(|words| said.contains(words))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
