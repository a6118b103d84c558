//! The story of a session on its node, from the job's first moment to its last.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use super::aside::aside;
use super::clock::Clock;
use super::deadline::Words;
use super::end::Made;
use super::image::CacheOptions;
use super::interrupt::{Interruptions, Signals};
use super::job::OwnJob;
use super::publish::Publish;
use super::report::Reporter;
use super::supervise::{Heard, SIGNAL_LIMIT, Supervision, first_end};
use super::{Error, host, launch, log};
use crate::engine;
use crate::session::{EndReason, Phase, Request, SessionDir, Token};

/// How long each of the last words may take to write: the container goes first.
const LAST_WORD_LIMIT: Duration = Duration::from_secs(1);

const READING: &str = "reading the session's files";
/// How long one of them may take.
const READ_LIMIT: Duration = Duration::from_secs(60);
/// How often the session's state is read at the start, and how far apart.
const STATE_READS: u32 = 5;
const STATE_PACE: Duration = Duration::from_millis(500);

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
/// [`Error`] when it could not become ready, or broke; `state.json` says the same, but where the
/// session's request cannot be read, where this is not the session's job or the session is over, and
/// where a signal came before that was known.
pub async fn run(session: &Path, options: &Options) -> Result<Exit, Error> {
    let session = SessionDir::at(session);
    let _log = log::into_file(&session.node_log());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), session = %session.path().display(),
        pid = std::process::id(), node = host::node_name(), "the node half begins"
    );
    let lookup = |name: &str| std::env::var(name).ok();
    let served = serve(session, options, lookup).await;
    match &served {
        Ok(exit) => tracing::info!(?exit, "the node half ends"),
        Err(error) => tracing::error!(error = error.sentence(), "the node half ends"),
    }
    served
}

async fn serve(
    session: SessionDir,
    options: &Options,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Exit, Error> {
    let listening = Signals::listen();
    let mut signals = listening.map_err(Error::io("watch", session.path()))?;
    let clock = Clock::start();
    let read = session.clone();
    let reading = aside(READING, READ_LIMIT, move || Ok(read.request()?));
    let request = signals.unless(reading).await?;
    let token = request.token.clone();
    let mut reporter = Reporter::new(session.clone(), token.clone(), host::node_name());
    let beginning = begin(&session, &request, &mut reporter, lookup, clock.now());
    let begun = signals.unless(beginning).await.and_then(|job| {
        let words = Words::ask(
            &request.cluster.scheduler,
            &job.id,
            request.name.as_str(),
            job.deadline,
        );
        let until = (clock, job.deadline);
        let listening = Interruptions::begin(session.clone(), token.clone(), until, words, signals);
        listening.map(|interruptions| (job, interruptions))
    });
    let (job, mut interruptions) = match begun {
        Err(error) if is_of_the_session(&error) => {
            let mut made = Made::default();
            return finish(Err(error), &mut made, &mut reporter, &token, options).await;
        }
        begun => begun?,
    };

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
        launched = launch(&plan, &mut made, &mut reporter) => launched.map(|()| None),
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

/// Finds out that this process is the session's job, and that the session is not over.
async fn begin(
    session: &SessionDir,
    request: &Request,
    reporter: &mut Reporter,
    lookup: impl Fn(&str) -> Option<String>,
    now: Timestamp,
) -> Result<OwnJob, Error> {
    let read = session.clone();
    let told = aside(READING, READ_LIMIT, move || Ok(read.job()?)).await;
    // What speaks against this being the job comes first: then nothing is told.
    let known = told.as_ref().ok().and_then(Option::as_ref);
    let job = OwnJob::of_environment(request, known, lookup, now)?;
    reporter.of_job(&job.id);
    told?;
    refuse_second_run(session, &request.token).await?;
    Ok(job)
}

async fn launch(
    plan: &launch::Plan<'_>,
    made: &mut Made,
    reporter: &mut Reporter,
) -> Result<(), Error> {
    reporter.enter(Phase::Starting).await?;
    launch::launch(plan, made, reporter).await
}

/// Whether an error at the very beginning is the session's, and its state to tell it. A copy of a
/// job script run by hand, and a job that runs again, must not write over what another has told.
fn is_of_the_session(error: &Error) -> bool {
    !matches!(
        error,
        Error::UnknownScheduler { .. }
            | Error::NotInJob { .. }
            | Error::OtherJob { .. }
            | Error::OtherCluster { .. }
            | Error::Over { .. }
            | Error::Signalled { .. }
    )
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

/// A job that the scheduler runs again under its old id finds a session that is over. One failed read
/// of a shared file system is no verdict.
async fn refuse_second_run(session: &SessionDir, token: &Token) -> Result<(), Error> {
    let mut tries = 1;
    let state = loop {
        let read = session.clone();
        match aside(READING, READ_LIMIT, move || Ok(read.state()?)).await {
            Err(Error::Session(error)) if tries < STATE_READS => {
                tracing::warn!(%error, tries, "cannot read how far the session is");
                tokio::time::sleep(STATE_PACE).await;
                tries += 1;
            }
            read => break read?,
        }
    };
    match state {
        Some(state) if state.token == *token && state.phase.is_final() => Err(Error::Over {
            phase: state.phase.name().to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Tells the end at once, undoes, and tells that it is done. A session that never became ready
/// and a session that was ended are told apart here.
async fn finish(
    ended: Result<EndReason, Error>,
    made: &mut Made,
    reporter: &mut Reporter,
    token: &Token,
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
        // Not even by a file of the session that is damaged.
        std::fs::write(session.path().join("job.json"), "{").unwrap();
        let error = serve(session.clone(), &options(), |_| None)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::NotInJob { .. }), "{error}");
        assert_eq!(session.state().unwrap(), None);
    }

    #[tokio::test]
    async fn a_session_that_is_over_does_not_run_again() {
        let home = tempfile::tempdir().unwrap();
        let asked = request("otter");
        let session = Store::below(home.path()).create(&asked).unwrap();
        refuse_second_run(&session, &asked.token).await.unwrap();
        let mut reporter = Reporter::new(session.clone(), asked.token.clone(), "node1".into());
        let over = Phase::Ended {
            reason: EndReason::Walltime,
            exit: None,
        };
        reporter.at_the_end(over, Duration::from_secs(5)).await;
        assert!(matches!(
            refuse_second_run(&session, &asked.token).await,
            Err(Error::Over { .. })
        ));
        // An earlier session of the same name says nothing about this one.
        refuse_second_run(&session, &request("otter").token)
            .await
            .unwrap();
        // A job that runs again does not write over how the first run ended.
        let ended = session.state().unwrap();
        let again = serve(session.clone(), &options(), in_job).await;
        assert!(matches!(again, Err(Error::Over { .. })), "{again:?}");
        assert_eq!(session.state().unwrap(), ended);
    }

    fn in_job(name: &str) -> Option<String> {
        (name == "SLURM_JOB_ID").then(|| "33".to_owned())
    }

    #[tokio::test]
    async fn an_error_before_the_launch_is_told_too() {
        let home = tempfile::tempdir().unwrap();
        let session = Store::below(home.path()).create(&request("otter")).unwrap();
        std::fs::write(session.path().join("job.json"), "{").unwrap();
        let error = serve(session.clone(), &options(), in_job)
            .await
            .unwrap_err();
        let state = session.state().unwrap().unwrap();
        assert_eq!(state.job.as_deref(), Some("33"));
        match state.phase {
            Phase::Failed { error: told, .. } => assert_eq!(told, error.sentence()),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn one_failed_read_of_the_state_is_no_verdict() {
        let home = tempfile::tempdir().unwrap();
        let asked = request("otter");
        let session = Store::below(home.path()).create(&asked).unwrap();
        let state = session.path().join("state.json");
        std::fs::create_dir(&state).unwrap();
        let mending = async {
            tokio::time::sleep(STATE_PACE / 2).await;
            std::fs::remove_dir(&state).unwrap();
        };
        let (refused, ()) = tokio::join!(refuse_second_run(&session, &asked.token), mending);
        refused.unwrap();
        // One that stays so is told.
        std::fs::create_dir(&state).unwrap();
        refuse_second_run(&session, &asked.token).await.unwrap_err();
    }
}
