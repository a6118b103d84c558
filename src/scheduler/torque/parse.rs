//! What Torque's tools print, read as hostile: a job that is not understood is left out.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::super::{JobId, JobState, JobStatus};
use super::reason;
use super::record::{self, Record};

/// The id that qsub printed; a site's filter may print lines before.
pub(super) fn submitted(stdout: &str) -> Option<JobId> {
    let last = stdout.lines().rev().find(|line| !line.trim().is_empty())?;
    last.trim().parse().ok()
}

/// The server's name of `qstat -B -f`.
pub(super) fn server(stdout: &str) -> Option<String> {
    stdout.lines().find_map(|line| {
        let name = line.strip_prefix("Server: ")?.trim();
        (!name.is_empty()).then(|| name.to_owned())
    })
}

/// The jobs of an XML answer; `None` when it is none.
pub(super) fn jobs_of_xml(stdout: &str) -> Option<BTreeMap<JobId, JobStatus>> {
    Some(jobs(&record::of_xml(stdout)?))
}

/// The jobs of a text answer.
pub(super) fn jobs_of_text(stdout: &str) -> BTreeMap<JobId, JobStatus> {
    jobs(&record::of_text(stdout))
}

fn jobs(records: &[Record]) -> BTreeMap<JobId, JobStatus> {
    let job = |record: &Record| Some((record.get("Job_Id")?.parse().ok()?, job(record)));
    records.iter().filter_map(job).collect()
}

fn job(record: &Record) -> JobStatus {
    let field = |name: &str| record.get(name).map(String::as_str);
    let letter = field("job_state").unwrap_or_default();
    let mut status = JobStatus::of(match letter {
        // T is on its way to another queue, W waits for its time.
        "Q" | "W" | "T" => JobState::Queued,
        "H" => JobState::Held,
        "R" | "S" => JobState::Running,
        "E" => JobState::Ending,
        "C" => JobState::Ended(reason::end(field("exit_status"))),
        _ => JobState::Unknown,
    });
    if matches!(status.state, JobState::Queued | JobState::Held) {
        let holds = field("Hold_Types").unwrap_or_default();
        status.reason = reason::waiting(letter, holds, field("comment"));
    }
    if matches!(status.state, JobState::Running | JobState::Ending) {
        let started = field("start_time").and_then(time);
        let walltime = field("Resource_List.walltime").and_then(duration);
        status.until = started
            .zip(walltime)
            .and_then(|(started, walltime)| started.checked_add(walltime).ok());
    }
    status.name = field("Job_Name").map(str::to_owned);
    status.node = field("exec_host").and_then(first_host);
    status
}

/// The first of `node1/0-1`, and of `node1/1+node1/0` before 5.0.
fn first_host(exec_host: &str) -> Option<String> {
    let host = exec_host.split(['/', '+']).next()?.trim();
    (!host.is_empty()).then(|| host.to_owned())
}

/// Seconds since 1970, as XML has it, or `Mon Nov 23 16:03:58 2026`, as text has it with TZ=UTC.
fn time(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).ok();
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, rest @ ..] = &words[..] else {
        return None;
    };
    let civil = DateTime::strptime("%b %d %H:%M:%S %Y", rest.join(" ")).ok()?;
    Some(civil.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp())
}

/// `[[days:]hours:]minutes:seconds`, or seconds alone.
fn duration(text: &str) -> Option<SignedDuration> {
    let mut seconds: i64 = 0;
    let mut parts = text.rsplit(':');
    for unit in [1, 60, 3600, 86_400] {
        let Some(part) = parts.next() else {
            break;
        };
        let number: u32 = part.parse().ok()?;
        seconds = seconds.checked_add(i64::from(number) * unit)?;
    }
    parts
        .next()
        .is_none()
        .then_some(SignedDuration::from_secs(seconds))
}

/// What a failing `qstat ID...` complained of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Complaints {
    /// Of an id that is not known.
    pub(super) unknown: bool,
    /// Not for us to see; such a job may well be there.
    pub(super) hidden: BTreeSet<String>,
    /// Of other things than ids.
    pub(super) others: bool,
}

/// Reads `qstat: Unknown Job Id Error 9999.login` and its like, one line an id.
pub(super) fn complaints(stderr: &str) -> Complaints {
    let mut complaints = Complaints::default();
    for line in stderr.lines().filter(|line| !line.trim().is_empty()) {
        if line.contains("Unauthorized Request") {
            complaints
                .hidden
                .extend(line.split_whitespace().next_back().map(str::to_owned));
        } else if is_unknown_job(line) {
            complaints.unknown = true;
        } else {
            complaints.others = true;
        }
    }
    complaints
}

/// Whether qstat or qdel says that there is no such job.
pub(super) fn is_unknown_job(stderr: &str) -> bool {
    let said = stderr.to_lowercase();
    said.contains("unknown job id") || said.contains("nonexistent job id")
}

/// Whether qdel says that the job is over, or about to be.
pub(super) fn is_over(stderr: &str) -> bool {
    ["COMPLETE", "EXITING", "EXITED"]
        .iter()
        .any(|state| stderr.contains(&format!("invalid state for job - {state}")))
}

/// Whether these words mean that pbs_server, or trqauthd on the way to it, does not answer.
pub(super) fn is_unreachable(stderr: &str) -> bool {
    let said = stderr.to_lowercase();
    [
        "cannot connect to server",
        "cannot connect to specified server",
        "unable to communicate with",
        "could not connect to trqauthd",
        "connection refused",
        "timed out",
        "end of file",
        "no permission to connect",
        "server is busy",
    ]
    .iter()
    .any(|words| said.contains(words))
}

/// Torque's own words without the tool's name before them, each line once.
pub(super) fn said(stderr: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in stderr.lines().map(str::trim) {
        let words = match line.split_once(": ") {
            Some(("qsub" | "qstat" | "qdel" | "qselect" | "pbsnodes", words)) => words,
            _ => line,
        };
        let inner = words
            .strip_prefix("submit error (")
            .and_then(|words| words.strip_suffix(')'));
        let words = inner.unwrap_or(words).trim();
        if !words.is_empty() && !lines.contains(&words) {
            lines.push(words);
        }
    }
    lines.join("; ")
}

/// The highest of the ids that qselect printed.
pub(super) fn newest(stdout: &str) -> Option<JobId> {
    let ids = stdout.lines().filter_map(|line| line.trim().parse().ok());
    ids.max_by_key(|id: &JobId| number(id.as_str()).parse::<u64>().unwrap_or(0))
}

/// The number of an id, without the server.
pub(super) fn number(id: &str) -> &str {
    id.split('.').next().unwrap_or(id)
}

/// The properties of all nodes, from `pbsnodes -x` or `pbsnodes -a`: where Torque knows GPU types,
/// they are among them.
pub(super) fn properties(stdout: &str) -> BTreeSet<String> {
    let records = record::of_xml(stdout).unwrap_or_else(|| record::of_text(stdout));
    let words = records.iter().filter_map(|node| node.get("properties"));
    words
        .flat_map(|words| words.split(','))
        .map(|word| word.trim().to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

/// Places among the eligible jobs, by number, from `showq` of Moab or Maui.
pub(super) fn positions(stdout: &str) -> BTreeMap<String, u32> {
    let mut positions = BTreeMap::new();
    let mut eligible = false;
    for line in stdout.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        let job = number(first).trim_end_matches('*');
        let is_job = !job.is_empty() && job.bytes().all(|b| b.is_ascii_digit());
        let heading = line.trim_start().to_lowercase();
        if ["active jobs", "idle jobs", "eligible jobs", "blocked jobs"]
            .iter()
            .any(|words| heading.starts_with(words))
        {
            eligible = heading.starts_with("idle") || heading.starts_with("eligible");
        } else if eligible && is_job && line.split_whitespace().count() > 3 {
            let place = u32::try_from(positions.len()).unwrap_or(u32::MAX);
            positions
                .entry(job.to_owned())
                .or_insert(place.saturating_add(1));
        }
    }
    positions
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::JobEnd;
    use super::*;

    fn one(fields: &str) -> JobStatus {
        let xml = format!("<Data><Job><Job_Id>1.login</Job_Id>{fields}</Job></Data>");
        let jobs = jobs_of_xml(&xml).unwrap();
        jobs.into_values().next().unwrap()
    }

    #[test]
    fn states_are_told_apart() {
        for (letter, state) in [
            ("Q", JobState::Queued),
            ("W", JobState::Queued),
            ("T", JobState::Queued),
            ("H", JobState::Held),
            ("R", JobState::Running),
            ("S", JobState::Running),
            ("E", JobState::Ending),
            ("C", JobState::Ended(JobEnd::Cancelled { by: None })),
            ("?", JobState::Unknown),
        ] {
            let status = one(&format!("<job_state>{letter}</job_state>"));
            assert_eq!(status.state, state, "{letter}");
        }
        assert_eq!(one("").state, JobState::Unknown);
    }

    #[test]
    fn a_running_job_ends_when_its_walltime_does() {
        let until = |start: &str, walltime: &str| {
            one(&format!(
                "<job_state>R</job_state><start_time>{start}</start_time>\
                 <Resource_List><walltime>{walltime}</walltime></Resource_List>"
            ))
            .until
            .map(|until| until.as_second())
        };
        assert_eq!(until("1000", "01:00:01"), Some(4601));
        assert_eq!(until("1000", "1:00:00:00"), Some(87_400));
        assert_eq!(until("1000", "90"), Some(1090));
        assert_eq!(until("Thu Jan  1 00:16:40 1970", "90"), Some(1090));
        for (start, walltime) in [("x", "90"), ("1", "-5"), ("1", "1:1:1:1:1"), ("1", "")] {
            assert_eq!(until(start, walltime), None, "{start} {walltime}");
        }
        let _ = until("9223372036854775807", "4294967295:4294967295:0:0");
    }

    #[test]
    fn hosts_of_every_version_are_read() {
        for (exec_host, node) in [
            ("node1/0-1", "node1"),
            ("gpu-node-1/1+gpu-node-1/0", "gpu-node-1"),
            ("n1/0+n2/0", "n1"),
        ] {
            assert_eq!(first_host(exec_host).as_deref(), Some(node));
        }
        assert_eq!(first_host(""), None);
    }

    #[test]
    fn hidden_is_not_unknown() {
        let two = "qstat: Unknown Job Id Error 9.login\n\
                   qstat: Unauthorized Request  MSG=x 8.login\n";
        let complaints = super::complaints(two);
        assert!(complaints.hidden.contains("8.login") && !complaints.others);
        assert!(super::complaints("qstat: End of File\n").others);
    }

    #[test]
    fn places_are_those_of_the_eligible() {
        let maui = "ACTIVE JOBS--------------------\nJOBNAME USERNAME STATE PROC REMAINING\n\
            5 bob Running 4 1:00:00 Mon Nov 23 16:03:58\n\n 1 Active Job\n\nIDLE JOBS-------\n\
            JOBNAME USERNAME STATE PROC WCLIMIT QUEUETIME\n\n9 bob Idle 1 1:00 Mon Nov\n\
            7 al Idle 1 1:00 Mon Nov\n\n2 Idle Jobs\n\nBLOCKED JOBS-----\n8 al Hold 1 1:00 Mon\n\n\
            Total Jobs: 4 Active Jobs: 1\n";
        let moab = "eligible jobs----------------------\n9.login* a Idle 1 1:00 x\n7 b Idle 1 2 x\n\
            2 eligible jobs\n\nblocked jobs---\n8 a Hold 1 1:00 x\n";
        for text in [maui, moab] {
            let positions = positions(text);
            assert_eq!((positions["9"], positions["7"]), (1, 2), "{text}");
            assert_eq!(positions.len(), 2, "{positions:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in "(?s).{0,200}|[0-9]{1,9}(:[0-9]{1,11}){0,5}|([a-z ]{0,9} = [^\\n]{0,30}\\n\\t?){0,4}") {
            let _ = (jobs_of_xml(&text), jobs_of_text(&text), submitted(&text), newest(&text));
            let _ = (properties(&text), positions(&text), said(&text), complaints(&text));
            let _ = (server(&text), time(&text), duration(&text), first_host(&text));
            let fields = format!("<job_state>R</job_state><start_time>5</start_time><x>{text}</x>");
            let _ = jobs_of_xml(&format!("<Data><Job>{fields}</Job></Data>"));
        }
    }
}
