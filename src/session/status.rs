//! Where a session stands, as it is told: each word of a file or of the scheduler in its place.
//! Which of them counts is judged in `record`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::request::{Cluster, GpuRequest, ImageSource, Stop};
use super::standing::{JobWord, Standing};
use super::state::{ConnectionDetails, EndReason, Phase, State};
use super::{SessionName, Token};

/// How long after its walltime a job that its scheduler no longer knows counts as surely over:
/// far beyond any grace period, below any patience.
const SURELY_OVER: SignedDuration = SignedDuration::from_mins(10);

/// How long a submit may be at work between writing its request and writing its job down: the time
/// limits of the scheduler's tools, and some air. Before that no session was "never submitted".
const SUBMITTING: SignedDuration = SignedDuration::from_mins(3);

/// How long a node half may be silent: it renews its word every ten seconds.
const SILENT: Duration = Duration::from_secs(60);

/// The same where its scheduler does not know the job either, as OpenPBS without a history says of
/// one that has just ended: two renewals were missed.
const SILENT_AND_UNKNOWN: Duration = Duration::from_secs(25);

/// What `qdebug status --json` prints: the only promise about a session's state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The format of this answer; changes are additive.
    pub format: u32,
    /// The session's name.
    pub name: SessionName,
    /// What tells it from any other of the same name or job id.
    pub token: Token,
    /// The full job id, once there is one.
    pub job: Option<String>,
    /// The cluster.
    pub cluster: Cluster,
    /// Where it stands.
    pub state: Standing,
    /// Why it stands there, in plain words: the queue's reason, the step, the end's reason, the
    /// error.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Exit code of qdebug that says the same, of a failed session.
    pub code: Option<u8>,
    /// Whether it waits for what it can never get.
    pub never: bool,
    /// Its place among the waiting.
    pub position: Option<u32>,
    /// When it should start.
    pub estimate: Option<Timestamp>,
    /// How much of the present step is done, 0 to 1.
    pub progress: Option<f64>,
    /// When it was submitted.
    pub created: Timestamp,
    /// When each phase began, in order.
    pub began: Vec<(String, Timestamp)>,
    /// When the walltime ends.
    pub deadline: Option<Timestamp>,
    /// When this was answered, by the clock that `deadline` is on: how much is left does not depend
    /// on the reader's clock.
    #[serde(default)]
    pub now: Option<Timestamp>,
    /// The node.
    pub node: Option<String>,
    /// After how long without use its node goes back, where that was asked for.
    #[serde(default)]
    pub idle_timeout_seconds: Option<u64>,
    /// What was asked for.
    pub gpu: Option<GpuRequest>,
    /// The image that was asked for.
    pub image: ImageSource,
    /// How to reach it, from `ready` to the end.
    pub details: Option<ConnectionDetails>,
    /// What could not be known, such as a scheduler that does not answer.
    pub doubts: Vec<String>,
    /// The public keys that may enter, without their comments: `TYPE BASE64`.
    pub keys: Vec<String>,
    /// The order in which the cluster's configuration wants the ways to it tried, where it says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ways: Option<Ways>,
}

/// An order of ways to sessions: what `reach` of a configuration says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ways {
    /// Their words, such as `jump`; a newer qdebug may know more of them.
    pub order: Vec<String>,
    /// Where it is written, for people.
    pub from: String,
}

/// From when on a session without a job is sure to have none to come.
fn since_sure(created: Timestamp) -> Timestamp {
    created.checked_add(SUBMITTING).unwrap_or(Timestamp::MAX)
}

impl Status {
    /// How much of the walltime is left.
    pub fn left(&self) -> Option<SignedDuration> {
        Some(self.deadline?.duration_since(self.now?))
    }

    /// Whether the other says the same, if perhaps at another time.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let now = self.now;
        *self
            == Self {
                now,
                ..other.clone()
            }
    }

    pub(super) fn tell(&mut self, phase: &Phase) {
        self.state = match phase {
            Phase::Starting => Standing::Starting,
            Phase::CheckingGpus => Standing::CheckingGpus,
            Phase::PreparingImage { step, progress } => {
                self.reason = Some(step.clone());
                self.progress = *progress;
                Standing::PreparingImage
            }
            Phase::Launching => Standing::Launching,
            Phase::Ready => Standing::Ready,
            Phase::Ending { reason } => {
                self.reason = Some(reason.to_string());
                Standing::Ending
            }
            Phase::Ended { reason, .. } => {
                self.reason = Some(reason.to_string());
                Standing::Ended
            }
            Phase::Failed { error, hint, code } => {
                self.reason = Some(error.clone());
                self.hint = hint.clone();
                self.code = *code;
                Standing::Failed
            }
            Phase::Other => Standing::Unknown,
        };
    }

    /// The scheduler says that it is over, and the node half wrote no last word.
    pub(super) fn over(
        &mut self,
        state: Option<&State>,
        stop: Option<&Stop>,
        detail: &str,
        walltime: bool,
    ) {
        self.state = Standing::Ended;
        let reason = match (state.map(|state| &state.phase), stop) {
            (Some(Phase::Ending { reason }), _) => reason.clone(),
            (_, Some(stop)) => EndReason::Stopped {
                by: stop.by.clone(),
            },
            _ => EndReason::of_job(detail, walltime),
        };
        self.reason = Some(reason.to_string());
        if stop.is_none() && !walltime {
            self.hint = match state.map(|state| &state.phase) {
                None => Some(format!(
                    "the node half never spoke: `qdebug logs {}` shows what the job printed",
                    self.name
                )),
                Some(Phase::Ending { .. }) => None,
                // Schedulers may call a job completed whose node went down; Torque always does.
                Some(_) => Some(format!(
                    "its node half left no last word: it was killed, or its node went down; \
                     `qdebug logs {}` shows its log",
                    self.name
                )),
            };
        }
    }

    /// A session that has spoken, of a job that its scheduler does not vouch for.
    pub(super) fn doubt(&mut self, word: &JobWord, now: Timestamp) {
        let past = |deadline: Timestamp| {
            deadline
                .checked_add(SURELY_OVER)
                .is_ok_and(|sure| now > sure)
        };
        match word {
            JobWord::Unknown | JobWord::Forgotten if self.deadline.is_some_and(past) => {
                self.state = Standing::Ended;
                self.reason = Some(EndReason::Walltime.to_string());
            }
            JobWord::Unknown | JobWord::Forgotten => self.doubts.push(format!(
                "{} does not know job {} (any more)",
                self.cluster,
                self.job.as_deref().unwrap_or("(none)")
            )),
            JobWord::Unreachable { detail } => {
                self.doubts
                    .push(format!("{} does not answer: {detail}", self.cluster));
            }
            _ => {}
        }
    }

    /// A node half that says nothing any more is dead, or cut off from the shared file system:
    /// which of the two, only the scheduler can tell.
    pub(super) fn mind_silence(&mut self, silence: Option<Duration>, word: &JobWord) {
        let limit = match word {
            JobWord::Forgotten => SILENT_AND_UNKNOWN,
            _ => SILENT,
        };
        let Some(silence) = silence.filter(|silence| *silence > limit) else {
            return;
        };
        if !self.state.is_final() {
            self.state = Standing::Unknown;
            self.doubts.push(format!(
                "the node half was last heard of {} s ago: it is dead, or cut off from the shared \
                 file system",
                silence.as_secs()
            ));
        }
    }

    /// A session that has not spoken: the scheduler's word alone.
    pub(super) fn tell_word(&mut self, word: &JobWord, now: Timestamp) {
        match word {
            JobWord::Queued {
                held,
                reason,
                never,
                position,
                estimate,
            } => {
                self.state = if *held {
                    Standing::Held
                } else {
                    Standing::Queued
                };
                self.reason.clone_from(reason);
                self.never = *never;
                self.position = *position;
                self.estimate = *estimate;
            }
            JobWord::Running { .. } => {
                self.state = Standing::Starting;
                self.reason = Some("the job runs; its first word is awaited".to_owned());
            }
            JobWord::NeverSubmitted if now < since_sure(self.created) => {
                self.reason = Some("it is being submitted".to_owned());
            }
            JobWord::NeverSubmitted => {
                self.state = Standing::Failed;
                self.reason = Some("it was never submitted: qdebug was interrupted before".into());
                self.hint = Some("submit it again".to_owned());
            }
            JobWord::Unknown | JobWord::Forgotten | JobWord::Unreachable { .. } => {
                self.doubt(word, now);
            }
            // Told by `over`.
            JobWord::Ended { detail, .. } => self.reason = Some(detail.clone()),
        }
    }
}
