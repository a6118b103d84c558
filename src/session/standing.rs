//! The words of a verdict: what a scheduler says of a job, and where a session stands.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What the scheduler says of a job, in the words of the contract.
#[derive(Debug, Clone, PartialEq)]
pub enum JobWord {
    /// It waits.
    Queued {
        /// Whether somebody holds it.
        held: bool,
        /// Why, in plain words.
        reason: Option<String>,
        /// Whether it can never run as it is.
        never: bool,
        /// Its place among the waiting, 1 for the next, where that can be known.
        position: Option<u32>,
        /// When it should start, where the scheduler estimates.
        estimate: Option<Timestamp>,
    },
    /// It runs, or is being ended.
    Running {
        /// When the scheduler will end it, where known.
        until: Option<Timestamp>,
    },
    /// It is over, for certain.
    Ended {
        /// How, in plain words.
        detail: String,
        /// Whether by its walltime.
        walltime: bool,
    },
    /// The scheduler answers, and what it says of the job is nothing that is known here, or that
    /// the job is hidden.
    Unknown,
    /// The scheduler answers and has no such job (any more). Its owner's jobs it hides from nobody
    /// who asks as their owner.
    Forgotten,
    /// The scheduler does not answer.
    Unreachable {
        /// What it was tried with and what came back.
        detail: String,
    },
    /// The scheduler has no job of the session, and none was written down.
    NeverSubmitted,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The job waits in the queue.
    Queued,
    /// The job waits and somebody holds it.
    Held,
    /// The job runs; the node half has not said anything yet, or has just begun.
    Starting,
    /// The GPUs are being checked.
    CheckingGpus,
    /// The image is being made ready.
    PreparingImage,
    /// The container is being started.
    Launching,
    /// One can connect.
    Ready,
    /// The end has begun.
    Ending,
    /// Over.
    Ended,
    /// Over without ever having been what it should.
    Failed,
    /// Neither file nor scheduler says enough.
    Unknown,
}

impl Standing {
    /// Whether nothing follows it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Ended | Self::Failed)
    }

    /// Its name, as `--json` writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Held => "held",
            Self::Starting => "starting",
            Self::CheckingGpus => "checking-gpus",
            Self::PreparingImage => "preparing-image",
            Self::Launching => "launching",
            Self::Ready => "ready",
            Self::Ending => "ending",
            Self::Ended => "ended",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}
