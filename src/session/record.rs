//! The one verdict: what the files say and what the scheduler says, joined.
//!
//! Neither is enough. A node half killed by SIGKILL writes nothing more, a queued job has written
//! nothing yet; a scheduler forgets jobs after minutes and may be unreachable. So: the node half's
//! last word counts when it is final; else the scheduler's definite word counts, now or as kept in
//! `end.json`; else the files stand, and doubt is told as doubt. A job that is hidden, unknown or
//! unreachable is not a job that is gone, until its deadline has passed for certain.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::authorized_keys::PublicKey;
use super::presumed::Presumed;
use super::request::{Job, Request, Stop};
use super::standing::{JobWord, Standing};
use super::state::{End, State};
use super::status::Status;

/// How long nothing must have been heard of a job, neither from its node half nor since its
/// submission, that its scheduler does not know, until it counts as over. A node half that was cut
/// off from the shared file system has its scheduler's word; one that has neither is gone.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// How long after it was asked for a session that has no job is written down as over: until then a
/// scheduler that is being restarted may have its queue back, and a submit that was stopped go on.
const SETTLED: SignedDuration = SignedDuration::from_hours(1);

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
    /// `presumed.json`, while it holds.
    pub presumed: Option<Presumed>,
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
            presumed: None,
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

    /// The same, with what was concluded of it.
    pub(super) fn presumed_over(mut self, presumed: Option<Presumed>) -> Self {
        self.presumed = presumed.filter(|presumed| presumed.token == self.request.token);
        self
    }

    /// Whether the files alone say that it is over.
    pub fn is_over(&self) -> bool {
        let spoken = self
            .state
            .as_ref()
            .is_some_and(|state| state.phase.is_final());
        spoken || self.end.is_some() || self.presumed.is_some()
    }

    /// What is to be kept of a verdict by this word, so that nobody asks for ever: the scheduler
    /// answered and has no such job, and the session is long past any doubt.
    pub fn presume(&self, word: &JobWord, verdict: &Status, now: Timestamp) -> Option<Presumed> {
        let has_none = matches!(word, JobWord::Forgotten | JobWord::NeverSubmitted);
        let is_old = now.duration_since(self.request.created) > SETTLED;
        (has_none && is_old && verdict.state.is_final() && !self.is_over()).then(|| Presumed {
            token: self.request.token.clone(),
            failed: verdict.state == Standing::Failed,
            reason: verdict.reason.clone(),
            hint: verdict.hint.clone(),
            at: now,
        })
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
            presumed,
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
            ways: None,
        };
        let forgotten = *word == JobWord::Forgotten && self.is_unheard_of(now);
        let presumed = presumed.as_ref().filter(|_| *word == JobWord::Unknown);
        match (state, word_or_record(word, end.as_ref()), presumed) {
            (Some(state), _, _) if state.phase.is_final() => status.tell(&state.phase),
            (state, Some((detail, walltime)), _) => {
                status.over(state, stop.as_ref(), detail, walltime);
            }
            (_, None, Some(presumed)) => {
                status.state = match presumed.failed {
                    true => Standing::Failed,
                    false => Standing::Ended,
                };
                status.reason.clone_from(&presumed.reason);
                status.hint.clone_from(&presumed.hint);
            }
            (state, None, None) if forgotten => {
                let past = status.deadline.is_some_and(|deadline| now > deadline);
                status.over(
                    state,
                    stop.as_ref(),
                    "its scheduler no longer knows the job",
                    past,
                );
            }
            (Some(state), None, None) => {
                status.tell(&state.phase);
                status.doubt(word, now);
                status.mind_silence(*silence, word);
            }
            // Should its job come after all, its node half finds the stop first.
            (None, None, None) if *word == JobWord::NeverSubmitted && stop.is_some() => {
                status.over(None, stop.as_ref(), "", false);
            }
            (None, None, None) => status.tell_word(word, now),
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

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
