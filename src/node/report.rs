//! Telling the session how far the node half is: `state.json`, one writer, one atomic change each.
//!
//! Problem: the session lies on a shared file system that may be full, or hang, and a node half
//! that waits for it forever would not stop its container. Solution: each write happens on a thread
//! of its own and is waited for a bounded time; what cannot be told is logged, and only where the
//! session makes no sense without it is it an error.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Error;
use crate::session::{ConnectionDetails, Phase, SessionDir, State, Token};

/// How long one write may take while the session lives.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// The same of a change, for which nothing else shall wait.
const CHANGE_LIMIT: Duration = Duration::from_secs(2);
/// At most so often is progress written.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// The writer of `state.json`.
#[derive(Debug)]
pub(super) struct Reporter {
    session: SessionDir,
    state: State,
    told: Instant,
    begun: u64,
    /// The number of the last write that was done. A write whose waiter gave up, or was cut off by
    /// a signal, goes on in its thread: it must not come after a later one, or a session that has
    /// ended would be called ready.
    done: Arc<Mutex<u64>>,
}

impl Reporter {
    /// A reporter that has told nothing yet.
    pub(super) fn new(session: SessionDir, token: Token, node: String) -> Self {
        Self {
            session,
            state: State {
                token,
                job: None,
                node: Some(node),
                phase: Phase::Starting,
                at: Timestamp::now(),
                began: std::collections::BTreeMap::new(),
                details: None,
            },
            told: Instant::now(),
            begun: 0,
            done: Arc::default(),
        }
    }

    /// Says from now on which job it is.
    pub(super) fn of_job(&mut self, id: &str) {
        self.state.job = Some(id.to_owned());
    }

    /// Enters a phase and tells it.
    pub(super) async fn enter(&mut self, phase: Phase) -> Result<(), Error> {
        tracing::info!(phase = phase.name(), "entering");
        self.set(phase);
        self.write(WRITE_LIMIT).await
    }

    /// The same with the connection details.
    pub(super) async fn ready(&mut self, details: ConnectionDetails) -> Result<(), Error> {
        self.state.details = Some(details);
        self.enter(Phase::Ready).await
    }

    /// The UUIDs of the session's GPUs, once it is ready.
    pub(super) fn gpus(&self) -> Vec<String> {
        let details = self.state.details.iter();
        let gpus = details.flat_map(|details| &details.gpus);
        gpus.map(|gpu| gpu.uuid.clone()).collect()
    }

    /// The memory in bytes that its container is limited to, once it is ready.
    pub(super) fn memory_limit(&self) -> Option<u64> {
        let details = self.state.details.as_ref()?;
        details.limits.memory_bytes
    }

    /// Tells progress within a phase, unless it has just been told. Failing is no error.
    pub(super) async fn progress(&mut self, phase: Phase) {
        self.set(phase);
        if self.told.elapsed() >= PROGRESS_EVERY
            && let Err(error) = self.write(WRITE_LIMIT).await
        {
            tracing::warn!(%error, "cannot tell the progress");
        }
    }

    /// Tells changed connection details, of a session that has some. Failing is logged and no error:
    /// the session lives on.
    pub(super) async fn change(&mut self, change: impl FnOnce(&mut ConnectionDetails)) {
        let Some(details) = &mut self.state.details else {
            return;
        };
        change(details);
        if let Err(error) = self.write(CHANGE_LIMIT).await {
            tracing::warn!(%error, "cannot tell what has changed");
        }
    }

    /// Enters a phase of the end, within a time limit; failing is logged and no error.
    pub(super) async fn at_the_end(&mut self, phase: Phase, limit: Duration) {
        tracing::info!(phase = phase.name(), ?phase, "ending");
        self.set(phase);
        if let Err(error) = self.write(limit).await {
            tracing::error!(%error, "cannot tell the end");
        }
    }

    fn set(&mut self, phase: Phase) {
        let now = Timestamp::now();
        let name = phase.name().to_owned();
        self.state.began.entry(name).or_insert(now);
        self.state.at = now;
        self.state.phase = phase;
    }

    async fn write(&mut self, limit: Duration) -> Result<(), Error> {
        self.begun += 1;
        let (session, state, number) = (self.session.clone(), self.state.clone(), self.begun);
        let done = Arc::clone(&self.done);
        let writing = tokio::task::spawn_blocking(move || {
            in_turn(&done, number, || session.write_state(&state))
        });
        let written = tokio::time::timeout(limit, writing).await;
        self.told = Instant::now();
        match written {
            Ok(Ok(written)) => Ok(written?),
            Ok(Err(error)) => Err(Error::Hanging {
                doing: "writing state.json",
                detail: error.to_string(),
            }),
            Err(_) => Err(Error::Hanging {
                doing: "writing state.json",
                detail: format!("not done after {} s", limit.as_secs()),
            }),
        }
    }
}

/// Writes unless a later write is done already; one at a time.
fn in_turn<E>(
    done: &Mutex<u64>,
    number: u64,
    write: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
    if *done > number {
        return Ok(());
    }
    write()?;
    *done = number;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::EndReason;

    fn reporter(folder: &std::path::Path) -> (Reporter, SessionDir) {
        let session = SessionDir::at(folder);
        let token = Token::random().unwrap();
        let reporter = Reporter::new(session.clone(), token, "node1".into());
        (reporter, session)
    }

    #[tokio::test]
    async fn phases_keep_when_they_began() {
        let folder = tempfile::tempdir().unwrap();
        let (mut reporter, session) = reporter(folder.path());
        reporter.enter(Phase::Starting).await.unwrap();
        reporter.enter(Phase::Launching).await.unwrap();
        let state = session.state().unwrap().unwrap();
        assert_eq!(state.phase, Phase::Launching);
        assert!(state.began["starting"] <= state.began["launching"]);
    }

    #[tokio::test]
    async fn progress_is_written_seldom_and_the_end_always() {
        let folder = tempfile::tempdir().unwrap();
        let (mut reporter, session) = reporter(folder.path());
        reporter.enter(Phase::Starting).await.unwrap();
        let step = |progress| Phase::PreparingImage {
            step: "pulling".into(),
            progress: Some(progress),
        };
        for n in 0..100 {
            reporter.progress(step(f64::from(n) / 100.0)).await;
        }
        let phase = session.state().unwrap().unwrap().phase;
        assert_eq!(phase, Phase::Starting);
        tokio::time::sleep(PROGRESS_EVERY).await;
        reporter.progress(step(1.0)).await;
        assert_eq!(session.state().unwrap().unwrap().phase, step(1.0));
        let ending = Phase::Ending {
            reason: EndReason::Walltime,
        };
        let limit = Duration::from_secs(1);
        reporter.at_the_end(ending.clone(), limit).await;
        assert_eq!(session.state().unwrap().unwrap().phase, ending);
    }

    #[test]
    fn a_write_that_is_late_does_not_come_after_a_later_one() {
        let done = Mutex::new(0);
        let written = std::cell::RefCell::new(Vec::new());
        let write = |number| {
            let write = || {
                written.borrow_mut().push(number);
                Ok::<(), ()>(())
            };
            in_turn(&done, number, write).unwrap();
        };
        [1, 3, 2, 4].into_iter().for_each(write);
        assert_eq!(*written.borrow(), [1, 3, 4]);
        // One that failed is none.
        in_turn(&done, 9, || Err(())).unwrap_err();
        write(5);
        assert_eq!(written.borrow().last(), Some(&5));
    }

    #[tokio::test]
    async fn a_word_that_was_cut_off_is_not_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let (mut reporter, session) = reporter(folder.path());
        for _ in 0..50 {
            // Begun, and given up at once, as a signal does it.
            {
                let cut_off = reporter.enter(Phase::Ready);
                tokio::pin!(cut_off);
                assert!(futures_util::poll!(cut_off).is_pending());
            }
            let over = Phase::Ended {
                reason: EndReason::Walltime,
                exit: None,
            };
            reporter.at_the_end(over.clone(), WRITE_LIMIT).await;
            // Whatever is still being written is done once this one is.
            let done = Arc::clone(&reporter.done);
            tokio::task::spawn_blocking(move || drop(done.lock()))
                .await
                .unwrap();
            assert_eq!(session.state().unwrap().unwrap().phase, over);
        }
    }

    #[tokio::test]
    async fn an_unwritable_session_is_an_error_at_first_and_none_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let (mut reporter, _) = reporter(&folder.path().join("gone"));
        assert!(reporter.enter(Phase::Starting).await.is_err());
        let ending = Phase::Ending {
            reason: EndReason::Walltime,
        };
        reporter.at_the_end(ending, Duration::from_secs(1)).await;
    }
}
