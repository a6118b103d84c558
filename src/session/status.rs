//! The one verdict: what the files say and what the scheduler says, joined.
//!
//! Neither is enough. A node half killed by SIGKILL writes nothing more, a queued job has written
//! nothing yet; a scheduler forgets jobs after minutes and may be unreachable. So: the node half's
//! last word counts when it is final; else the scheduler's definite word counts, now or as kept in
//! `end.json`; else the files stand, and doubt is told as doubt. A job that is hidden, unknown or
//! unreachable is not a job that is gone, until its deadline has passed for certain.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::authorized_keys::PublicKey;
use super::request::{Cluster, GpuRequest, ImageSource, Job, Request, Stop};
use super::standing::{JobWord, Standing};
use super::state::{ConnectionDetails, End, EndReason, Phase, State};
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

/// How long nothing must have been heard of a job, neither from its node half nor since its
/// submission, that its scheduler does not know, until it counts as over. A node half that was cut
/// off from the shared file system has its scheduler's word; one that has neither is gone.
const FORGOTTEN: Duration = Duration::from_secs(600);

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
}

/// All that the files of one session say.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// `request.json`.
    pub request: Request,
    /// `job.json`.
    pub job: Option<Job>,
    /// `state.json`.
    pub state: Option<State>,
    /// `stop.json`.
    pub stop: Option<Stop>,
    /// `end.json`.
    pub end: Option<End>,
    /// `authorized_keys`.
    pub keys: Vec<PublicKey>,
    /// How long the node half has not renewed `state.json`, where that is known.
    pub silence: Option<Duration>,
}

impl Record {
    /// Puts what was read together; a file of another token is of another session, whatever its
    /// name, and is left out.
    pub(super) fn new(
        request: Request,
        job: Option<Job>,
        state: Option<State>,
        (stop, end): (Option<Stop>, Option<End>),
        keys: Vec<PublicKey>,
    ) -> Self {
        let token = &request.token;
        Self {
            job: job.filter(|job| job.token == *token),
            state: state.filter(|state| state.token == *token),
            stop: stop.filter(|stop| stop.token == *token),
            end: end.filter(|end| end.token == *token),
            keys,
            request,
            silence: None,
        }
    }

    /// A session that its files know no more of, for tests of what reads its status.
    #[cfg(test)]
    pub(crate) fn of_test(request: Request, state: State) -> Self {
        Self::new(request, None, Some(state), (None, None), Vec::new())
    }

    /// The same, with how long the node half has been silent.
    pub(super) fn heard(mut self, silence: Option<Duration>) -> Self {
        self.silence = silence;
        self
    }

    /// Whether the files alone say that it is over.
    pub fn is_over(&self) -> bool {
        let spoken = self
            .state
            .as_ref()
            .is_some_and(|state| state.phase.is_final());
        spoken || self.end.is_some()
    }

    /// Whether nothing has been heard of its job for long.
    fn is_unheard_of(&self, now: Timestamp) -> bool {
        let since = |at: Timestamp| Duration::try_from(now.duration_since(at)).ok();
        let unheard = match (&self.state, &self.job) {
            (Some(_), _) => self.silence,
            (None, Some(job)) => since(job.submitted),
            (None, None) => None,
        };
        unheard.is_some_and(|unheard| unheard > FORGOTTEN)
    }

    /// Joins the files and the scheduler's word.
    pub fn verdict(&self, word: &JobWord, now: Timestamp) -> Status {
        let Self {
            request,
            job,
            state,
            stop,
            end,
            keys,
            silence,
        } = self;
        let state = state.as_ref();
        let mut status = Status {
            format: super::FORMAT,
            name: request.name.clone(),
            token: request.token.clone(),
            job: job
                .as_ref()
                .map(|job| job.id.clone())
                .or_else(|| state.and_then(|state| state.job.clone())),
            cluster: request.cluster.clone(),
            state: Standing::Unknown,
            reason: None,
            hint: None,
            code: None,
            never: false,
            position: None,
            estimate: None,
            progress: None,
            created: request.created,
            began: state.map(in_order).unwrap_or_default(),
            deadline: deadline(request, state, word),
            now: Some(now),
            node: state.and_then(|state| state.node.clone()),
            idle_timeout_seconds: request.idle_timeout_seconds,
            gpu: request.gpu.clone(),
            image: request.image.clone(),
            details: state.and_then(|state| state.details.clone()),
            doubts: Vec::new(),
            keys: keys.iter().map(PublicKey::without_comment).collect(),
        };
        let forgotten = *word == JobWord::Forgotten && self.is_unheard_of(now);
        match (state, word_or_record(word, end.as_ref())) {
            (Some(state), _) if state.phase.is_final() => status.tell(&state.phase),
            (state, Some((detail, walltime))) => {
                status.over(state, stop.as_ref(), detail, walltime);
            }
            (state, None) if forgotten => {
                let past = status.deadline.is_some_and(|deadline| now > deadline);
                status.over(
                    state,
                    stop.as_ref(),
                    "its scheduler no longer knows the job",
                    past,
                );
            }
            (Some(state), None) => {
                status.tell(&state.phase);
                status.doubt(word, now);
                status.mind_silence(*silence, word);
            }
            // Should its job come after all, its node half finds the stop first.
            (None, None) if *word == JobWord::NeverSubmitted && stop.is_some() => {
                status.over(None, stop.as_ref(), "", false);
            }
            (None, None) => status.tell_word(word, now),
        }
        if status.state.is_final() {
            status.details = None;
            status.deadline = None;
        }
        status
    }
}

/// The scheduler's definite "over", of now or of an earlier time.
fn word_or_record<'a>(word: &'a JobWord, end: Option<&'a End>) -> Option<(&'a str, bool)> {
    match (word, end) {
        (JobWord::Ended { detail, walltime }, _) => Some((detail, *walltime)),
        (JobWord::Unknown | JobWord::Forgotten | JobWord::Unreachable { .. }, Some(end)) => {
            Some((&end.detail, end.walltime))
        }
        _ => None,
    }
}

/// From when on a session without a job is sure to have none to come.
fn since_sure(created: Timestamp) -> Timestamp {
    created.checked_add(SUBMITTING).unwrap_or(Timestamp::MAX)
}

fn in_order(state: &State) -> Vec<(String, Timestamp)> {
    let mut began: Vec<_> = state.began.iter().map(|(k, v)| (k.clone(), *v)).collect();
    began.sort_by_key(|(_, at)| *at);
    began
}

fn deadline(request: &Request, state: Option<&State>, word: &JobWord) -> Option<Timestamp> {
    if let JobWord::Running { until: Some(until) } = word {
        return Some(*until);
    }
    let state = state?;
    let told = state.details.as_ref().and_then(|details| details.deadline);
    let walltime = SignedDuration::from_secs(i64::try_from(request.walltime_seconds).ok()?);
    let counted = || state.began.values().min()?.checked_add(walltime).ok();
    told.or_else(counted)
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

    fn tell(&mut self, phase: &Phase) {
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
    fn over(&mut self, state: Option<&State>, stop: Option<&Stop>, detail: &str, walltime: bool) {
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
    fn doubt(&mut self, word: &JobWord, now: Timestamp) {
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
    fn mind_silence(&mut self, silence: Option<Duration>, word: &JobWord) {
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
    fn tell_word(&mut self, word: &JobWord, now: Timestamp) {
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

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
