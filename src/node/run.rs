//! The story of a session on its node, from the job's first moment to its last.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use super::clock::Clock;
use super::deadline::{self, Words};
use super::end::Made;
use super::idle::{Idle, IdleWatch};
use super::image::{CacheOptions, Saving};
use super::interrupt::{Interruption, Interruptions};
use super::job::OwnJob;
use super::memory::Memory;
use super::report::Reporter;
use super::{Error, host, launch, log};
use crate::session::{EndReason, Phase, SessionDir};
use crate::{engine, kit};

/// How long each of the last words may take to write: the container goes first.
const LAST_WORD_LIMIT: Duration = Duration::from_secs(1);

/// How long the engine may take for what is done beside the watching.
const ASIDE_LIMIT: Duration = Duration::from_secs(2);
/// How many notices a session keeps; a GPU that comes and goes must not fill the file system.
const NOTICES_KEPT: usize = 20;
/// How much later than the container's end the signal may be seen that ended both.
const SIGNAL_LIMIT: Duration = Duration::from_secs(1);
/// The exit status of a container whose first process was asked to end.
const EXIT_BY_TERM: i64 = 128 + 15;

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

/// What was heard while the session was launched, for when it is ready.
#[derive(Debug, Default)]
struct Heard {
    keys: Option<Vec<u8>>,
    deadline: Option<Timestamp>,
}

/// The first reason to end; what else comes meanwhile is kept for later.
async fn first_end(interruptions: &mut Interruptions, heard: &mut Heard) -> EndReason {
    loop {
        match interruptions.next().await {
            Interruption::End(reason) => return reason,
            Interruption::Keys(fresh) => heard.keys = Some(fresh),
            Interruption::Deadline(at) => heard.deadline = Some(at),
        }
    }
}

/// What is done with a session that is ready.
struct Supervision<'a> {
    made: &'a mut Made,
    reporter: &'a mut Reporter,
    clock: Clock,
    deadline: Timestamp,
    idle_timeout: Option<Duration>,
}

impl Supervision<'_> {
    /// Watches the session until something ends it.
    async fn until_end(
        &mut self,
        interruptions: &mut Interruptions,
        heard: Heard,
    ) -> Result<EndReason, Error> {
        let mut idle = self.watch_use().await;
        let mut memory = self.watch_memory();
        if let Some(keys) = &heard.keys {
            self.replace_keys(keys).await;
        }
        if let Some(at) = heard.deadline {
            self.move_deadline(at).await;
        }
        let mut notices = deadline::notices(self.deadline, self.clock.now());
        loop {
            let next_notice = notices.last().map_or(Timestamp::MAX, |(at, _)| *at);
            let (Some(exit), Some(devices)) = (&mut self.made.exit, &mut self.made.devices) else {
                return Ok(EndReason::Other);
            };
            tokio::select! {
                seen = exit.exited() => return Ok(match seen {
                    Ok(exit) if exit != EXIT_BY_TERM => {
                        let ran_out = memory.reason_of(exit).await;
                        ran_out.unwrap_or_else(|| reason_of_exit(Ok(exit)))
                    }
                    // A scheduler's signal reaches everything of the job: Podman's processes may
                    // be faster than we are.
                    seen => {
                        let mut late = Heard::default();
                        let outside = timeout(SIGNAL_LIMIT, first_end(interruptions, &mut late));
                        outside.await.unwrap_or_else(|_| reason_of_exit(seen))
                    }
                }),
                () = self.clock.until(next_notice) => if let Some((_, text)) = notices.pop() {
                    self.notice(&text);
                },
                text = devices.next() => {
                    tracing::warn!(text, "the session's GPUs");
                    self.tell(text).await;
                }
                text = memory.next() => self.tell(text).await,
                note = Saving::end_of(&mut self.made.saving) => if let Some(note) = note {
                    self.tell(note).await;
                },
                told = idle.next() => if let Some(reason) = self.mind_idle(told).await {
                    return Ok(reason);
                },
                next = interruptions.next() => match next {
                    Interruption::End(reason) => return Ok(reason),
                    Interruption::Keys(fresh) => self.replace_keys(&fresh).await,
                    Interruption::Deadline(at) => {
                        self.move_deadline(at).await;
                        notices = deadline::notices(at, self.clock.now());
                    }
                },
            }
        }
    }

    async fn replace_keys(&self, keys: &[u8]) {
        let Made {
            engine: Some(engine),
            server: Some(server),
            container: Some(id),
            ..
        } = &*self.made
        else {
            return;
        };
        let replaced = match server.replace_keys(keys) {
            Ok(Some(archive)) => bounded("handing fresh keys on", engine.upload(id, archive)).await,
            replaced => replaced.map(|_| ()),
        };
        if let Err(error) = replaced {
            tracing::warn!(error = error.sentence(), "cannot hand fresh keys on");
        }
    }

    fn notice(&self, text: &str) {
        if let Some(server) = &self.made.server {
            server.notice(text);
        }
    }

    /// Tells the terminals, and whoever asks for the status, what the user should know.
    async fn tell(&mut self, text: String) {
        self.notice(&format!("qdebug: {text}"));
        self.reporter
            .change(|details| {
                details.notices.push(text);
                let many = details.notices.len().saturating_sub(NOTICES_KEPT);
                details.notices.drain(..many);
            })
            .await;
    }

    /// Follows the scheduler: the lease first, without which the container would not live so long.
    async fn move_deadline(&mut self, at: Timestamp) {
        let now = self.clock.now();
        let before = std::mem::replace(&mut self.deadline, at);
        if let Some(server) = &self.made.server {
            server.renew(deadline::lease(at, now));
        }
        if deadline::is_worth_telling(before, at) {
            self.notice(&deadline::moved(at, now));
        }
        let told = self.clock.told(at);
        self.reporter
            .change(|details| details.deadline = Some(told))
            .await;
    }

    /// Begins to watch whether the session is used, where that matters.
    async fn watch_use(&self) -> IdleWatch {
        let (Some(timeout), Some(engine), Some(id)) =
            (self.idle_timeout, &self.made.engine, &self.made.container)
        else {
            return IdleWatch::never();
        };
        let asking = bounded("finding the container's processes", engine.main_process(id));
        let pid = match asking.await {
            Ok(pid) => pid,
            Err(error) => {
                tracing::warn!(
                    error = error.sentence(),
                    "cannot find the container's processes"
                );
                None
            }
        };
        IdleWatch::start(timeout, pid, self.reporter.gpus())
    }

    fn watch_memory(&self) -> Memory {
        let made = self.made.engine.as_ref().zip(self.made.container.as_ref());
        Memory::of(
            made.map(|(engine, id)| engine.watch_memory(id)),
            self.reporter.memory_limit(),
        )
    }

    /// What follows from the session's not being used; the reason to end, if it is one.
    async fn mind_idle(&mut self, told: Idle) -> Option<EndReason> {
        tracing::info!(?told, "the use of the session");
        let until = match told {
            Idle::Over => {
                let seconds = self.idle_timeout.unwrap_or_default().as_secs();
                return Some(EndReason::Idle { seconds });
            }
            Idle::NoMore => None,
            Idle::Soon(left) => {
                self.notice(&format!(
                    "qdebug: nobody is connected and no GPU works; this session ends in {} s",
                    left.as_secs()
                ));
                Timestamp::now().checked_add(left).ok()
            }
        };
        self.reporter
            .change(|details| details.idle_until = until)
            .await;
        None
    }
}

/// What the engine is asked while nobody listens to signals: one that hangs must not eat up the
/// grace of one that comes now.
async fn bounded<T>(
    doing: &'static str,
    asking: impl Future<Output = Result<T, engine::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(ASIDE_LIMIT, asking).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Error::Hanging {
            doing,
            detail: format!(
                "the engine does not answer within {} s",
                ASIDE_LIMIT.as_secs()
            ),
        }),
    }
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
