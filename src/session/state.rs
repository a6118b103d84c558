//! What the node half tells: how far the session is, how to reach it, and how it ended.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Token;

/// `state.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The session it is the state of.
    pub token: Token,
    /// The job the node half found itself in.
    #[serde(default)]
    pub job: Option<String>,
    /// The node's own name.
    #[serde(default)]
    pub node: Option<String>,
    /// How far it is.
    #[serde(flatten)]
    pub phase: Phase,
    /// When it wrote this.
    pub at: Timestamp,
    /// When each phase began, by the phase's name.
    #[serde(default)]
    pub began: BTreeMap<String, Timestamp>,
    /// How to reach it: from `ready` on.
    #[serde(default)]
    pub details: Option<ConnectionDetails>,
}

/// How far a session is. What a reader does not know yet it takes as [`Phase::Other`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub enum Phase {
    /// The node half runs.
    Starting,
    /// It asks NVML what the job was granted.
    CheckingGpus,
    /// It looks for, pulls or builds the image.
    PreparingImage {
        /// What is being done, for people.
        step: String,
        /// How much of it, 0 to 1, where that is known.
        #[serde(default)]
        progress: Option<f64>,
    },
    /// It makes and starts the container.
    Launching,
    /// sshd has answered through the published port.
    Ready,
    /// The end has begun.
    Ending {
        /// Why.
        reason: EndReason,
    },
    /// The container is gone.
    Ended {
        /// Why.
        reason: EndReason,
        /// The exit status of the container's first process, where it was seen.
        #[serde(default)]
        exit: Option<i64>,
    },
    /// It never became ready, or broke.
    Failed {
        /// What went wrong, in one sentence.
        error: String,
        /// What to do about it.
        #[serde(default)]
        hint: Option<String>,
        /// The exit code of qdebug that says the same.
        #[serde(default)]
        code: Option<u8>,
    },
    /// A phase of a later qdebug.
    #[serde(other)]
    Other,
}

impl Phase {
    /// Whether nothing follows it.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Ended { .. } | Self::Failed { .. })
    }

    /// Its name as the files write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::CheckingGpus => "checking-gpus",
            Self::PreparingImage { .. } => "preparing-image",
            Self::Launching => "launching",
            Self::Ready => "ready",
            Self::Ending { .. } => "ending",
            Self::Ended { .. } => "ended",
            Self::Failed { .. } => "failed",
            Self::Other => "other",
        }
    }
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum EndReason {
    /// `qdebug stop`.
    Stopped {
        /// Who asked.
        by: String,
    },
    /// The walltime is over.
    Walltime,
    /// The scheduler's signal came, and nobody had asked through qdebug.
    CancelledByScheduler,
    /// The container's first process exited on its own.
    ContainerExited {
        /// Its exit status.
        #[serde(default)]
        exit: Option<i64>,
    },
    /// Nobody was connected and no GPU worked for as long as `--idle-timeout` allows.
    Idle {
        /// For how long, in seconds.
        seconds: u64,
    },
    /// The kernel killed the container's first process for want of memory.
    OutOfMemory {
        /// What the container was allowed, in bytes, where it was limited.
        #[serde(default)]
        limit_bytes: Option<u64>,
    },
    /// The container engine went away.
    EngineGone,
    /// The scheduler called the job over: its node half could say nothing any more (SIGKILL, node
    /// crash), or heard of it by `end.json` alone.
    JobEnded {
        /// The scheduler's word for it.
        detail: String,
    },
    /// A reason of a later qdebug.
    #[serde(other)]
    Other,
}

impl EndReason {
    /// What the scheduler's word of an ended job comes to.
    pub(super) fn of_job(detail: &str, walltime: bool) -> Self {
        match walltime {
            true => Self::Walltime,
            false => Self::JobEnded {
                detail: detail.to_owned(),
            },
        }
    }
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopped { by } => write!(f, "stopped by {by}"),
            Self::Walltime => f.write_str("its walltime is over"),
            Self::CancelledByScheduler => f.write_str("cancelled by the scheduler"),
            Self::ContainerExited { exit: Some(exit) } => {
                write!(f, "its container exited with status {exit}")
            }
            Self::ContainerExited { exit: None } => f.write_str("its container exited"),
            Self::Idle { seconds } => match (seconds / 60, seconds % 60) {
                (1, 0) => f.write_str("idle for 1 minute"),
                (minutes, 0) => write!(f, "idle for {minutes} minutes"),
                _ => write!(f, "idle for {seconds} seconds"),
            },
            Self::OutOfMemory {
                limit_bytes: Some(limit),
            } => write!(
                f,
                "out of memory: the job's limit of {} was reached; submit with a larger `--memory`",
                memory(*limit)
            ),
            Self::OutOfMemory { limit_bytes: None } => {
                f.write_str("out of memory: its node has no more; submit with `--memory`")
            }
            Self::EngineGone => f.write_str("the container engine of its node went away"),
            Self::JobEnded { detail } => f.write_str(detail),
            Self::Other => f.write_str("for a reason that a newer qdebug knows"),
        }
    }
}

/// Bytes as `--memory` takes them: `64G`, or `1536M` where that is no whole number.
fn memory(bytes: u64) -> String {
    match (bytes >> 20, bytes % (1 << 30)) {
        (megabytes, 0) => format!("{}G", megabytes >> 10),
        (megabytes, _) => format!("{megabytes}M"),
    }
}

/// How to reach a session that is ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectionDetails {
    /// The node's name, as the cluster's hosts resolve it.
    pub node: String,
    /// The node's address that its name resolves to, where it does.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// The node's own ssh host public keys, as in known_hosts without the host.
    #[serde(default)]
    pub node_host_keys: Vec<String>,
    /// The port of the session's sshd on the node's loopback.
    pub port: u16,
    /// The node's own address on which that port is published beside the loopback, where the site
    /// chose so: other hosts of the cluster reach the session's sshd there. An older reader goes by
    /// the loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<IpAddr>,
    /// The user to log in as.
    pub user: String,
    /// The session's own ssh host public key, likewise.
    pub host_key: String,
    /// The container's id.
    pub container: String,
    /// The image's digest.
    pub image: String,
    /// The GPUs it has.
    #[serde(default)]
    pub gpus: Vec<Gpu>,
    /// What it may use, as its container was made.
    #[serde(default)]
    pub limits: Limits,
    /// When it became ready.
    pub started: Timestamp,
    /// When the walltime ends, where it is known.
    #[serde(default)]
    pub deadline: Option<Timestamp>,
    /// When the node half gives the node back unless somebody connects or a GPU works: only while
    /// nobody does, and shortly before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_until: Option<Timestamp>,
    /// Where terminals and IDEs open.
    pub project: PathBuf,
    /// What the user should know, such as what an IDE will miss.
    #[serde(default)]
    pub notices: Vec<String>,
}

/// What a session may use of its node; what is absent is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// CPUs, as the kernel lists them (`0-3,8`).
    pub cpuset: Option<String>,
    /// CPU time, in thousandths of a CPU.
    pub millicpus: Option<u64>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// The size of /dev/shm in bytes.
    pub shm_bytes: Option<u64>,
}

/// A GPU of the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// Its UUID, as NVML writes it.
    pub uuid: String,
    /// Its name, as NVML writes it.
    pub name: String,
    /// Its memory in bytes.
    pub memory_bytes: u64,
    /// `true` when qdebug picked it because the scheduler showed no grant.
    #[serde(default)]
    pub picked: bool,
}

/// `end.json`: the scheduler said that the job is over. Kept because schedulers forget, and read by
/// the node half, which a scheduler that cannot reach the node does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The session.
    pub token: Token,
    /// The scheduler's word.
    pub detail: String,
    /// Whether it was the walltime.
    #[serde(default)]
    pub walltime: bool,
    /// When status heard it.
    pub at: Timestamp,
}

impl End {
    /// Why the session is over then.
    pub fn reason(&self) -> EndReason {
        EndReason::of_job(&self.detail, self.walltime)
    }
}

/// `deadline.json`: when the scheduler will end the job, where that is not what `state.json` says.
/// The node half reads it, since a node may have no way to ask the scheduler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// The session.
    pub token: Token,
    /// The scheduler's word.
    pub until: Timestamp,
    /// When status heard it.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_phase_or_reason_does_not_break_a_reader() {
        let token = "0".repeat(32);
        let text = format!(
            r#"{{"token":"{token}","phase":"hibernating","cold":1,"at":"2026-01-01T00:00:00Z"}}"#
        );
        assert_eq!(
            serde_json::from_str::<State>(&text).unwrap().phase,
            Phase::Other
        );
        let reason: EndReason = serde_json::from_str(r#"{"why":"meteor","size":3}"#).unwrap();
        assert_eq!(reason, EndReason::Other);
    }

    #[test]
    fn details_of_before_a_port_could_be_published_are_read_and_written_as_they_were() {
        let text = r#"{"node":"node1","port":40022,"user":"alice","host_key":"k","container":"c",
            "image":"i","started":"2026-01-01T00:00:00Z","project":"/home/alice"}"#;
        let mut details: ConnectionDetails = serde_json::from_str(text).unwrap();
        assert_eq!(details.published, None);
        assert!(
            !serde_json::to_string(&details)
                .unwrap()
                .contains("published")
        );
        details.published = Some("10.0.0.7".parse().unwrap());
        let json = serde_json::to_value(&details).unwrap();
        assert_eq!(
            (&json["published"], &json["port"]),
            (&"10.0.0.7".into(), &40022.into())
        );
    }

    #[test]
    fn being_idle_is_told_in_minutes() {
        let told = |seconds| EndReason::Idle { seconds }.to_string();
        assert_eq!(told(1800), "idle for 30 minutes");
        assert_eq!(told(60), "idle for 1 minute");
        assert_eq!(told(90), "idle for 90 seconds");
    }

    #[test]
    fn the_limit_is_told_as_it_was_asked_for() {
        let told = |limit_bytes| EndReason::OutOfMemory { limit_bytes }.to_string();
        assert!(told(Some(64 << 30)).contains("limit of 64G was reached"));
        assert!(told(Some(1536 << 20)).contains("limit of 1536M was reached"));
        for limit in [Some(1), None] {
            let told = told(limit);
            assert!(
                told.starts_with("out of memory") && told.contains("`--memory`"),
                "{told}"
            );
        }
        let reason: EndReason = serde_json::from_str(r#"{"why":"out-of-memory"}"#).unwrap();
        assert_eq!(reason, EndReason::OutOfMemory { limit_bytes: None });
    }

    #[test]
    fn phases_are_written_as_they_are_called() {
        let phase = Phase::PreparingImage {
            step: "pulling".into(),
            progress: Some(0.5),
        };
        let json = serde_json::to_value(&phase).unwrap();
        assert_eq!(json["phase"], phase.name());
        for phase in [
            Phase::Starting,
            Phase::CheckingGpus,
            Phase::Launching,
            Phase::Ready,
        ] {
            assert_eq!(serde_json::to_value(&phase).unwrap()["phase"], phase.name());
        }
    }
}
