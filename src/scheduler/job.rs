//! Jobs as every dialect speaks of them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Error;

/// A job's id: digits, then possibly `.` and the server's name. Never an array's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(String);

impl JobId {
    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let id = || text.chars().take(80).collect::<String>();
        let (number, server) = match text.split_once('.') {
            Some((number, server)) => (number, Some(server)),
            None => (text, None),
        };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // `33[]`, `33[1]` (PBS), `33_1`, `33_[1-4]` (Slurm).
        let base = number.split(['[', '_']).next().unwrap_or_default();
        if base != number && digits(base) {
            return Err(Error::Array { id: id() });
        }
        let host = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        };
        let well = digits(number) && number.len() <= 20;
        if well
            && server.is_none_or(|server| !server.is_empty() && host(server))
            && text.len() < 256
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::BadId { id: id() })
        }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A job's name, in what every scheduler takes: `[A-Za-z][A-Za-z0-9_.-]{0,63}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobName(String);

impl JobName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
        let rest = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if first && text.len() <= 64 && text.bytes().all(rest) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::BadName {
                name: text.to_owned(),
            })
        }
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// GPUs of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuRequest {
    /// The type in the scheduler's own word; any when absent.
    pub kind: Option<String>,
    /// How many.
    pub count: u32,
    /// The words that ask for them, as the GPU catalogue gives them for this dialect, the count
    /// filled in; the dialect's own form when absent.
    pub request: Option<String>,
}

/// A job to submit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSpec {
    /// Its name.
    pub name: JobName,
    /// Its script, executable.
    pub script: PathBuf,
    /// Where what it prints is appended, stdout and stderr joined.
    pub output: PathBuf,
    /// How long it may run.
    pub walltime: Duration,
    /// Its GPUs.
    pub gpus: Option<GpuRequest>,
    /// Its cores; the scheduler's default when absent.
    pub cpus: Option<u32>,
    /// Its memory in bytes, likewise.
    pub memory_bytes: Option<u64>,
    /// Queue or partition, likewise.
    pub queue: Option<String>,
    /// Project.
    pub project: Option<String>,
    /// Account.
    pub account: Option<String>,
    /// Quality of service.
    pub qos: Option<String>,
    /// Reservation.
    pub reservation: Option<String>,
    /// More options, as they are.
    pub extra: Vec<String>,
    /// The job's shell; Torque's alone.
    pub shell: Option<PathBuf>,
    /// What the node runs as the user when the job is over; Torque's alone.
    pub epilogue: Option<PathBuf>,
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq)]
pub struct JobStatus {
    /// Its state.
    pub state: JobState,
    /// Its name, where the scheduler tells it. Ids come again: a job of another name is another.
    pub name: Option<String>,
    /// Why it waits.
    pub reason: Option<Reason>,
    /// Its place among those that wait for the same queue, 1 for the next.
    pub position: Option<u32>,
    /// When the scheduler expects to start it.
    pub start_estimate: Option<Timestamp>,
    /// The node it runs or ran on.
    pub node: Option<String>,
    /// When the scheduler will end it.
    pub until: Option<Timestamp>,
}

impl JobStatus {
    /// A status of which only the state is known.
    pub(super) fn of(state: JobState) -> Self {
        Self {
            state,
            name: None,
            reason: None,
            position: None,
            start_estimate: None,
            node: None,
            until: None,
        }
    }
}

/// Why a job waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The scheduler's own word.
    pub code: String,
    /// In plain words.
    pub text: String,
    /// Whether it can never run as it is.
    pub never: bool,
}

/// A job's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// It waits.
    Queued,
    /// It waits and somebody holds it.
    Held,
    /// It runs.
    Running,
    /// It is being ended.
    Ending,
    /// It is over.
    Ended(JobEnd),
    /// In none of the states known here.
    Unknown,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobEnd {
    /// By itself, with status 0.
    Completed,
    /// By itself, with another status.
    Failed {
        /// The status.
        exit: i32,
    },
    /// By a signal.
    Signalled {
        /// The signal's number.
        signal: i32,
    },
    /// It was deleted.
    Cancelled {
        /// By whom, where that is known.
        by: Option<String>,
    },
    /// Its walltime was over.
    Walltime,
    /// Its node failed.
    NodeFail,
    /// It needed more memory than it had.
    OutOfMemory,
    /// Otherwise; the scheduler's own word.
    Other(String),
}

impl JobEnd {
    /// Whether by its walltime.
    pub fn is_walltime(&self) -> bool {
        *self == Self::Walltime
    }
}

impl fmt::Display for JobEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("the job completed"),
            Self::Failed { exit } => write!(f, "the job failed with status {exit}"),
            Self::Signalled { signal } => write!(f, "the job was killed by signal {signal}"),
            Self::Cancelled { by: Some(by) } => write!(f, "the job was cancelled by {by}"),
            Self::Cancelled { by: None } => f.write_str("the job was cancelled"),
            Self::Walltime => f.write_str("its walltime is over"),
            Self::NodeFail => f.write_str("the node of the job failed"),
            Self::OutOfMemory => f.write_str("the job ran out of memory"),
            Self::Other(word) => write!(f, "the job is over: {word}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_of_jobs_are_taken_and_those_of_arrays_told() {
        for good in ["0", "33", "33.server", "7.login.example.org"] {
            assert_eq!(good.parse::<JobId>().unwrap().as_str(), good);
        }
        for array in [
            "33[]",
            "33[1]",
            "33[].server",
            "33_1",
            "33_[1-4]",
            "6[1].login",
        ] {
            assert!(
                matches!(array.parse::<JobId>(), Err(Error::Array { .. })),
                "{array}"
            );
        }
        for bad in [
            "", "-1", "a", "33.", "3 3", "33;ls", "33.a b", "33\n", "٣", "[]", "_1",
        ] {
            assert!(
                matches!(bad.parse::<JobId>(), Err(Error::BadId { .. })),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn names_are_what_every_scheduler_takes() {
        assert!("qdebug-v100-otter".parse::<JobName>().is_ok());
        for bad in ["", "1a", "-a", "a b", "a/b", "a\n", "ä", &"a".repeat(65)] {
            assert!(bad.parse::<JobName>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_an_id_that_an_argv_could_misread(text in ".{0,40}") {
            if let Ok(id) = text.parse::<JobId>() {
                prop_assert!(id.as_str().starts_with(|c: char| c.is_ascii_digit()));
                prop_assert!(!id.as_str().contains(|c: char| c.is_whitespace() || c == ','));
            }
        }
    }
}
