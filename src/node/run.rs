//! The story of a session on its node, from the job's first moment to its last.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use super::clock::Clock;
use super::deadline::Words;
use super::end::Made;
use super::image::CacheOptions;
use super::interrupt::Interruptions;
use super::job::OwnJob;
use super::publish::Publish;
use super::report::Reporter;
use super::supervise::{Heard, SIGNAL_LIMIT, Supervision, first_end};
use super::{Error, host, launch, log};
use crate::engine;
use crate::session::{EndReason, Phase, SessionDir};

/// How long each of the last words may take to write: the container goes first.
const LAST_WORD_LIMIT: Duration = Duration::from_secs(1);

/// What the site and the command line say.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the node's own folder is made; `/var/tmp` when absent.
    pub node_dir: Option<PathBuf>,
    /// Whether idle GPUs are picked where the scheduler shows no grant.
    pub may_pick_gpus: bool,
    /// The engine of sessions that do not ask for one.
    pub engine: engine::Choice,
    /// More names of the job's environment that pass into the session.
    pub pass_env: Vec<String>,
    /// The shared cache of images, where it is switched on.
    pub cache: Option<CacheOptions>,
    /// On which address of the node a session's port is published beside the loopback.
    pub publish: Publish,
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
    let clock = Clock::start();
    let job = OwnJob::of_environment(&request, told.as_ref(), lookup, clock.now())?;
    refuse_second_run(&session, &request.token)?;
    let words = Words::ask(
        &request.cluster.scheduler,
        &job.id,
        request.name.as_str(),
        job.deadline,
    );
    let mut interruptions = Interruptions::listen(
        session.clone(),
        request.token.clone(),
        (clock, job.deadline),
        words,
    )?;
    let mut reporter = Reporter::new(
        session.clone(),
        request.token.clone(),
        job.id.clone(),
        host::node_name(),
    );
    reporter.enter(Phase::Starting).await?;

    let mut made = Made::default();
    let mut heard = Heard::default();
    let plan = launch::Plan {
        session: &session,
        request: &request,
        job: &job,
        clock,
        options,
    };
    let launched = tokio::select! {
        launched = launch::launch(&plan, &mut made, &mut reporter) => launched.map(|()| None),
        reason = first_end(&mut interruptions, &mut heard) => Ok(Some(reason)),
    };
    let ended = match launched {
        Ok(Some(reason)) => Ok(reason),
        Ok(None) => {
            let mut supervision = Supervision {
                made: &mut made,
                reporter: &mut reporter,
                clock,
                deadline: job.deadline,
                idle_timeout: request.idle_timeout_seconds.map(Duration::from_secs),
            };
            supervision.until_end(&mut interruptions, heard).await
        }
        // An engine that was a child of ours ends by the signal that is meant for all of the job.
        Err(error) if may_be_a_signals(&error) => {
            let outside = timeout(SIGNAL_LIMIT, first_end(&mut interruptions, &mut heard));
            outside.await.map_err(|_| error)
        }
        Err(error) => Err(error),
    };
    finish(ended, &mut made, &mut reporter, &request.token, options).await
}

/// Whether what failed may have failed by a signal that this process has not looked at yet.
fn may_be_a_signals(error: &Error) -> bool {
    use engine::Error as E;
    let engine = |error: &E| {
        matches!(
            error,
            E::Gone { .. } | E::NoSuchContainer { .. } | E::Podman { .. }
        )
    };
    match error {
        Error::Engine(error) => engine(error),
        Error::Died { .. } => true,
        _ => false,
    }
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
            if let Some(server) = &made.server {
                server.notice(&format!("qdebug: this session ends now: {reason}"));
            }
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
            may_pick_gpus: true,
            engine: engine::Choice::Auto,
            pass_env: Vec::new(),
            cache: None,
            publish: Publish::Loopback,
            explain: |_| Explanation::default(),
        }
    }

    #[test]
    fn an_engine_that_went_may_have_gone_with_the_job() {
        let gone = engine::Error::Gone {
            doing: "making the container",
            detail: String::new(),
        };
        assert!(may_be_a_signals(&gone.into()));
        let missing = engine::Error::NoSuchImage {
            reference: "x".to_owned(),
            detail: String::new(),
        };
        assert!(!may_be_a_signals(&missing.into()));
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
