//! Waiting for a session, and what ends a wait early: Ctrl-C, a signal, a job that can never run.
//!
//! No wait has a limit of its own: a queue takes as long as it takes. Whoever has enough of it
//! says so by Ctrl-C and is asked what is to become of the job. Whoever cannot be asked keeps it.

use super::here::Login;
use super::{Exit, Failure, output, show};
use crate::laptop::Cluster;
use crate::process::{Interrupt, Interrupts};
use crate::session::Status;

/// Whose job may have to be cancelled.
pub(super) enum Jobs<'a> {
    /// This machine's.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code))] // Without a login there is none.
    Here(&'a Login),
    /// Another one's, and the `--on` that leads there.
    Of(&'a Cluster, Option<&'a str>),
}

impl Jobs<'_> {
    async fn cancel(&self, job: &str) -> Result<Status, Failure> {
        let by = super::setting::who();
        Ok(match self {
            Self::Here(login) => login.stop(job, &by).await?,
            Self::Of(cluster, _) => cluster.stop(job, true, &by).await?,
        })
    }

    /// The command that ends a session later.
    pub(super) fn stop_command(&self, job: &str) -> String {
        match self {
            Self::Here(_) | Self::Of(_, None) => format!("qdebug stop {job}"),
            Self::Of(_, Some(on)) => format!("qdebug stop {job} --on {on}"),
        }
    }
}

/// What is to become of a job that is no longer waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Keep,
    Cancel,
}

/// What names the job of a session to people and commands.
pub(super) fn job_of(status: &Status) -> &str {
    status.job.as_deref().unwrap_or(status.name.as_str())
}

/// A wait that was ended from the keyboard or from outside.
pub(super) async fn interrupted(jobs: &Jobs<'_>, job: &str, by: Interrupt) -> Result<u8, Failure> {
    let choice = match by {
        Interrupt::Keyboard => keep_or_cancel(job).await?,
        Interrupt::Outside => Choice::Keep,
    };
    carry_out(jobs, job, choice).await?;
    Ok(Exit::Interrupted.code())
}

/// A wait for what will never come: an error, since what was asked for cannot be had, and the job
/// is the user's to keep all the same. An admin may change what can run.
pub(super) async fn never(jobs: &Jobs<'_>, status: &Status) -> Result<Failure, Failure> {
    let reason = status.reason.as_deref();
    let reason = reason.unwrap_or("the scheduler does not tell why");
    let message = format!("{} can never run as it is: {reason}", status.name);
    output::talk(&message);
    let job = job_of(status);
    let choice = keep_or_cancel(job).await?;
    carry_out(jobs, job, choice).await?;
    Ok(Failure::new(Exit::Refused, message).hint(show::NEVER_CURE))
}

async fn carry_out(jobs: &Jobs<'_>, job: &str, choice: Choice) -> Result<(), Failure> {
    let command = jobs.stop_command(job);
    match choice {
        Choice::Keep => output::talk(&format!("the job is kept; `{command}` ends it")),
        Choice::Cancel => {
            let status = jobs.cancel(job).await?;
            output::talk(&format!("{}: {}", status.name, show::line(&status)));
        }
    }
    Ok(())
}

/// How many polls in a row may fail before that is an answer.
const FAILED_POLLS: u32 = 5;

/// One failed poll is no verdict: a file that is being replaced on another machine, or a scheduler
/// that is restarted, answers the next time.
#[derive(Debug, Default)]
pub(super) struct Patience {
    failed: u32,
}

impl Patience {
    /// What a poll gave; nothing for one that failed and is to be tried again.
    pub(super) fn heed<T>(
        &mut self,
        poll: Result<T, impl Into<Failure>>,
    ) -> Result<Option<T>, Failure> {
        let failure = match poll {
            Ok(got) => {
                self.failed = 0;
                return Ok(Some(got));
            }
            Err(error) => error.into(),
        };
        if self.failed == FAILED_POLLS {
            return Err(failure);
        }
        self.failed += 1;
        tracing::info!(error = failure.message(), "asking again");
        Ok(None)
    }
}

/// Asks on the terminal. Without one, at the end of input and at another interruption the job is
/// kept: what is kept can still be cancelled.
async fn keep_or_cancel(job: &str) -> Result<Choice, Failure> {
    if !output::is_attended() {
        return Ok(Choice::Keep);
    }
    let mut interrupts = Interrupts::listen()?;
    // Behind the `^C` that the terminal shows.
    output::talk("");
    let question = format!("Keep job {job} or cancel it? [K]eep, [c]ancel:");
    loop {
        let line = tokio::select! {
            biased;
            _ = interrupts.next() => None,
            line = output::ask(&question) => line,
        };
        let Some(line) = line else {
            output::talk("");
            return Ok(Choice::Keep);
        };
        match choice(&line) {
            Some(choice) => return Ok(choice),
            None => output::talk("answer `keep` or `cancel`"),
        }
    }
}

/// What an answer means.
fn choice(line: &str) -> Option<Choice> {
    match line.trim().to_lowercase().as_str() {
        "" | "k" | "keep" => Some(Choice::Keep),
        "c" | "cancel" => Some(Choice::Cancel),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_poll_is_no_verdict_and_many_are() {
        let stale = || Err::<u8, _>(std::io::Error::other("stale"));
        let mut patience = Patience::default();
        for _ in 0..3 {
            for _ in 0..FAILED_POLLS {
                assert_eq!(patience.heed(stale()).ok(), Some(None));
            }
            let answer = Ok::<_, std::io::Error>(1);
            assert_eq!(patience.heed(answer).ok(), Some(Some(1)));
        }
        for _ in 0..FAILED_POLLS {
            assert_eq!(patience.heed(stale()).ok(), Some(None));
        }
        assert!(patience.heed(stale()).is_err());
    }

    #[test]
    fn only_a_clear_word_cancels() {
        for keep in ["\n", "k\n", " Keep ", ""] {
            assert_eq!(choice(keep), Some(Choice::Keep), "{keep:?}");
        }
        for cancel in ["c\n", "CANCEL\r\n"] {
            assert_eq!(choice(cancel), Some(Choice::Cancel), "{cancel:?}");
        }
        for unclear in ["y\n", "n\n", "ca\n", "stop"] {
            assert_eq!(choice(unclear), None, "{unclear:?}");
        }
    }
}
