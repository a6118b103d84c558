//! The story of a session on its node, from the job's first moment to its last.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::end::Made;
use super::image::{CacheOptions, Saving};
use super::interrupt::{Interruption, Interruptions, until};
use super::job::OwnJob;
use super::report::Reporter;
use super::{Error, host, launch, log};
use crate::session::{EndReason, Phase, SessionDir};
use crate::{engine, kit};

/// How long each of the last words may take to write: the container goes first.
const LAST_WORD_LIMIT: Duration = Duration::from_secs(1);

/// What the site and the command line say.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the node's own folder is made; `/var/tmp` when absent.
    pub node_dir: Option<PathBuf>,
    /// More names of the job's environment that pass into the session.
    pub pass_env: Vec<String>,
    /// The shared cache of images, where it is switched on.
    pub cache: Option<CacheOptions>,
    /// Says what the user can do about an error; made in `cli`, once for all.
    pub explain: fn(&Error) -> Explanation,
}

/// What `state.json` says beside an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    /// What to do about it.
    pub hint: Option<String>,
    /// The exit code of qdebug that says the same.
    pub code: Option<u8>,
}

/// How a session that was ready ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Why.
    pub reason: EndReason,
    /// The exit status of the container's first process, where it was seen.
    pub exit: Option<i64>,
}

/// Serves the session in this directory until its end.
///
/// # Errors
/// [`Error`] when it could not become ready, or broke; `state.json` says the same.
pub async fn run(session: &Path, options: &Options) -> Result<Exit, Error> {
    let session = SessionDir::at(session);
    let _log = log::into_file(&session.node_log());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), session = %session.path().display(),
        pid = std::process::id(), node = host::node_name(), "the node half begins"
    );
    let served = serve(session, options).await;
    match &served {
        Ok(exit) => tracing::info!(?exit, "the node half ends"),
        Err(error) => tracing::error!(error = error.sentence(), "the node half ends"),
    }
    served
}

async fn serve(session: SessionDir, options: &Options) -> Result<Exit, Error> {
    let request = session.request()?;
    let lookup = |name: &str| std::env::var(name).ok();
    let told = session.job()?;
    let job = OwnJob::of_environment(&request, told.as_ref(), lookup, Timestamp::now())?;
    refuse_second_run(&session, &request.token)?;
    let mut interruptions =
        Interruptions::listen(session.clone(), request.token.clone(), job.deadline)?;
    let mut reporter = Reporter::new(
        session.clone(),
        request.token.clone(),
        job.id.clone(),
        host::node_name(),
    );
    reporter.enter(Phase::Starting).await?;

    let mut made = Made::default();
    let mut keys = None;
    let plan = launch::Plan {
        session: &session,
        request: &request,
        job: &job,
        options,
    };
    let launched = tokio::select! {
        launched = launch::launch(&plan, &mut made, &mut reporter) => launched.map(|()| None),
        reason = first_end(&mut interruptions, &mut keys) => Ok(Some(reason)),
    };
    let ended = match launched {
        Ok(Some(reason)) => Ok(reason),
        Ok(None) => {
            supervise(
                &mut made,
                &mut interruptions,
                &mut reporter,
                keys,
                job.deadline,
            )
            .await
        }
        Err(error) => Err(error),
    };
    finish(ended, &mut made, &mut reporter, &request.token, options).await
}

/// A job that the scheduler runs again under its old id finds a session that is over.
fn refuse_second_run(session: &SessionDir, token: &crate::session::Token) -> Result<(), Error> {
    match session.state() {
        Ok(Some(state)) if state.token == *token && state.phase.is_final() => Err(Error::Over {
            phase: state.phase.name().to_owned(),
        }),
        Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The first reason to end; keys that come meanwhile are kept for later.
async fn first_end(interruptions: &mut Interruptions, keys: &mut Option<Vec<u8>>) -> EndReason {
    loop {
        match interruptions.next().await {
            Interruption::End(reason) => return reason,
            Interruption::Keys(fresh) => *keys = Some(fresh),
        }
    }
}

/// Watches a session that is ready, until something ends it.
async fn supervise(
    made: &mut Made,
    interruptions: &mut Interruptions,
    reporter: &mut Reporter,
    mut keys: Option<Vec<u8>>,
    deadline: Timestamp,
) -> Result<EndReason, Error> {
    let (Some(exit), Some(server)) = (&mut made.exit, &made.server) else {
        return Ok(EndReason::Other);
    };
    let saving = &mut made.saving;
    let mut notices = notices(deadline, Timestamp::now());
    loop {
        let next_notice = notices.last().map_or(Timestamp::MAX, |(at, _)| *at);
        if let Some(keys) = keys.take()
            && let Err(error) = server.replace_keys(&keys)
        {
            tracing::warn!(error = error.sentence(), "cannot hand fresh keys on");
        }
        tokio::select! {
            seen = exit.exited() => return Ok(reason_of_exit(seen)),
            () = until(next_notice) => if let Some((_, text)) = notices.pop() {
                server.notice(text);
            },
            next = interruptions.next() => match next {
                Interruption::End(reason) => return Ok(reason),
                Interruption::Keys(fresh) => keys = Some(fresh),
            },
            note = Saving::end_of(saving) => if let Some(note) = note {
                server.notice(&note);
                reporter.notice(note).await;
            },
        }
    }
}

/// What the terminals are told of the walltime, the last first; what is past already is not said.
fn notices(deadline: Timestamp, now: Timestamp) -> Vec<(Timestamp, &'static str)> {
    let before = |minutes, text| {
        let at = deadline
            .checked_sub(SignedDuration::from_mins(minutes))
            .ok()?;
        (at > now).then_some((at, text))
    };
    [
        before(1, "qdebug: this session ends in 1 minute (walltime)"),
        before(10, "qdebug: this session ends in 10 minutes (walltime)"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What the container's end means. The numbers are the init's own.
fn reason_of_exit(seen: Result<i64, engine::Error>) -> EndReason {
    match seen {
        Ok(exit) if exit == i64::from(kit::exit::DEADLINE) => EndReason::Walltime,
        Ok(exit) => EndReason::ContainerExited { exit: Some(exit) },
        Err(error) => {
            tracing::error!(%error, "the engine is gone");
            EndReason::EngineGone
        }
    }
}

/// Tells the end at once, undoes, and tells that it is done. A session that never became ready
/// and a session that was ended are told apart here.
async fn finish(
    ended: Result<EndReason, Error>,
    made: &mut Made,
    reporter: &mut Reporter,
    token: &crate::session::Token,
    options: &Options,
) -> Result<Exit, Error> {
    match ended {
        Ok(reason) => {
            let ending = Phase::Ending {
                reason: reason.clone(),
            };
            let (seen, ()) = tokio::join!(
                made.undo(token),
                reporter.at_the_end(ending, LAST_WORD_LIMIT)
            );
            let exit = match &reason {
                EndReason::ContainerExited { exit } => *exit,
                _ => seen,
            };
            let ended = Phase::Ended {
                reason: reason.clone(),
                exit,
            };
            reporter.at_the_end(ended, LAST_WORD_LIMIT).await;
            Ok(Exit { reason, exit })
        }
        Err(error) => {
            made.undo(token).await;
            let Explanation { hint, code } = (options.explain)(&error);
            let failed = Phase::Failed {
                error: error.sentence(),
                hint,
                code,
            };
            reporter.at_the_end(failed, LAST_WORD_LIMIT).await;
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Store;
    use crate::session::samples::request;

    fn options() -> Options {
        Options {
            node_dir: None,
            pass_env: Vec::new(),
            cache: None,
            explain: |_| Explanation::default(),
        }
    }

    #[test]
    fn exits_have_their_reasons() {
        assert_eq!(reason_of_exit(Ok(70)), EndReason::Walltime);
        assert_eq!(
            reason_of_exit(Ok(72)),
            EndReason::ContainerExited { exit: Some(72) }
        );
        let gone = engine::Error::Gone {
            doing: "waiting",
            detail: String::new(),
        };
        assert_eq!(reason_of_exit(Err(gone)), EndReason::EngineGone);
    }

    #[test]
    fn the_walltime_is_told_twice_when_there_is_time() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let after = |minutes| {
            let deadline = now.checked_add(SignedDuration::from_mins(minutes)).unwrap();
            notices(deadline, now)
        };
        assert_eq!(after(60).len(), 2);
        assert!(
            after(60)[1].1.contains("10 minutes"),
            "the earlier one is popped first"
        );
        assert_eq!(after(5).len(), 1);
        assert_eq!(after(1), []);
        assert_eq!(notices(Timestamp::MIN, now), []);
    }

    #[tokio::test]
    async fn outside_of_a_job_nothing_is_begun() {
        let home = tempfile::tempdir().unwrap();
        let mut asked = request("otter");
        asked.cluster.scheduler = "local".into();
        let session = Store::below(home.path()).create(&asked).unwrap();
        let error = serve(session.clone(), &options()).await.unwrap_err();
        assert!(matches!(error, Error::NotInJob { .. }), "{error}");
        assert_eq!(session.state().unwrap(), None);
    }

    #[tokio::test]
    async fn a_session_that_is_over_does_not_run_again() {
        let home = tempfile::tempdir().unwrap();
        let asked = request("otter");
        let session = Store::below(home.path()).create(&asked).unwrap();
        refuse_second_run(&session, &asked.token).unwrap();
        let mut reporter = Reporter::new(
            session.clone(),
            asked.token.clone(),
            "1".into(),
            "node1".into(),
        );
        let over = Phase::Ended {
            reason: EndReason::Walltime,
            exit: None,
        };
        reporter.at_the_end(over, Duration::from_secs(5)).await;
        assert!(matches!(
            refuse_second_run(&session, &asked.token),
            Err(Error::Over { .. })
        ));
        // An earlier session of the same name says nothing about this one.
        refuse_second_run(&session, &request("otter").token).unwrap();
    }
}
