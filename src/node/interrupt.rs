//! What can end a session from outside: signals, `stop.json`, its own clock. And what it hears
//! meanwhile: fresh keys, that the end was moved, that memory ran out.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Error;
use super::clock::Clock;
use super::deadline::{self, Words};
use super::kills::Kills;
use super::poll::{News, Poller};
use crate::session::{EndReason, SessionDir, Token};

/// A signal that comes so shortly before the deadline, or after it, is the walltime: schedulers
/// count from a little before this process began.
const WALLTIME_SLACK: i64 = 15;
/// How long reading `stop.json` may take when a signal has come.
const STOP_READ_LIMIT: Duration = Duration::from_millis(500);

/// The signals that end a session. Listened to first of all, so that none finds this process
/// unprepared.
#[derive(Debug)]
pub(super) struct Signals([(&'static str, Signal); 3]);

impl Signals {
    /// Begins to listen.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self([
            ("SIGTERM", signal(SignalKind::terminate())?),
            ("SIGINT", signal(SignalKind::interrupt())?),
            ("SIGHUP", signal(SignalKind::hangup())?),
        ]))
    }

    /// The name of the next that comes. May be dropped and asked again.
    async fn next(&mut self) -> &'static str {
        let [(term, on_term), (int, on_int), (hup, on_hup)] = &mut self.0;
        tokio::select! {
            _ = on_term.recv() => term,
            _ = on_int.recv() => int,
            _ = on_hup.recv() => hup,
        }
    }

    /// Does this unless a signal comes.
    ///
    /// # Errors
    /// [`Error::Signalled`], and what `work` returns.
    pub(super) async fn unless<T>(
        &mut self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            done = work => done,
            signal = self.next() => Err(Error::Signalled { signal }),
        }
    }
}

/// Everything that can end a session from outside.
#[derive(Debug)]
pub(super) struct Interruptions {
    session: SessionDir,
    token: Token,
    signals: Signals,
    poller: Poller,
    clock: Clock,
    /// On the own clock.
    deadline: Timestamp,
    words: Words,
    /// The signal that came. It is kept, because whoever waits for [`Self::next`] may stop to
    /// listen while the reason is still being read, and a signal comes only once.
    signal: Option<&'static str>,
}

/// Something that came from outside.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Interruption {
    /// The session shall end.
    End(EndReason),
    /// `authorized_keys` has changed.
    Keys(Vec<u8>),
    /// The scheduler ends the job at another time than was known, on the own clock.
    Deadline(Timestamp),
    /// The kernel killed a process of the job for want of memory.
    Killed,
}

impl Interruptions {
    /// Begins to watch, too, with the signals that are listened to.
    pub(super) fn begin(
        session: SessionDir,
        token: Token,
        (clock, deadline): (Clock, Timestamp),
        words: Words,
        signals: Signals,
    ) -> Result<Self, Error> {
        let kills = Kills::of_this_process(Path::new("/"));
        let poller = Poller::start(session.clone(), token.clone(), kills)
            .map_err(Error::io("watch", session.path()))?;
        Ok(Self {
            signals,
            poller,
            session,
            token,
            clock,
            deadline,
            words,
            signal: None,
        })
    }

    /// The next thing that comes. May be dropped and asked again.
    pub(super) async fn next(&mut self) -> Interruption {
        if self.signal.is_none() {
            let name = loop {
                let said = tokio::select! {
                    signal = self.signals.next() => break signal,
                    news = self.poller.next() => match news {
                        News::Stop { by } => {
                            return Interruption::End(EndReason::Stopped { by });
                        }
                        News::Over(reason) => return Interruption::End(reason),
                        News::Keys(keys) => return Interruption::Keys(keys),
                        News::Killed => return Interruption::Killed,
                        News::Deadline(until) => until,
                    },
                    until = self.words.next() => until,
                    () = self.clock.until(self.deadline) => return Interruption::End(EndReason::Walltime),
                };
                let said = self.clock.heard(said);
                if deadline::is_news(self.deadline, said, self.clock.now()) {
                    tracing::info!(%said, known = %self.deadline, "the end of the job was moved");
                    self.deadline = said;
                    return Interruption::Deadline(said);
                }
            };
            tracing::info!(signal = name, "a signal came");
            self.signal = Some(name);
        }
        let stop = self.stopped_by().await;
        Interruption::End(reason_of_signal(stop, self.deadline, self.clock.now()))
    }

    /// `qdebug stop` writes its file and then asks the scheduler, whose signal may be faster than
    /// the next look.
    async fn stopped_by(&self) -> Option<String> {
        let (session, token) = (self.session.clone(), self.token.clone());
        let reading = tokio::task::spawn_blocking(move || session.stop());
        let read = tokio::time::timeout(STOP_READ_LIMIT, reading).await;
        let stop = read.ok()?.ok()?.ok()??;
        (stop.token == token).then_some(stop.by)
    }
}

fn reason_of_signal(stopped_by: Option<String>, deadline: Timestamp, now: Timestamp) -> EndReason {
    match stopped_by {
        Some(by) => EndReason::Stopped { by },
        None if deadline.as_second().saturating_sub(now.as_second()) <= WALLTIME_SLACK => {
            EndReason::Walltime
        }
        None => EndReason::CancelledByScheduler,
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::RwLock;

    use super::super::clock::injected;
    use super::*;

    /// A signal reaches everybody in this process who listens: whoever sends one waits until no other
    /// test does.
    static LISTENING: RwLock<()> = RwLock::const_new(());

    fn listen(
        session: SessionDir,
        token: Token,
        at: (Clock, Timestamp),
        words: Words,
    ) -> Interruptions {
        Interruptions::begin(session, token, at, words, Signals::listen().unwrap()).unwrap()
    }

    fn at(deadline: Timestamp) -> (Clock, Timestamp) {
        (injected::clock(), deadline)
    }

    #[test]
    fn a_signal_means_what_the_file_or_the_clock_says() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let later = |seconds| {
            now.checked_add(jiff::SignedDuration::from_secs(seconds))
                .unwrap()
        };
        let by = Some("alice".to_owned());
        assert_eq!(
            reason_of_signal(by, later(0), now),
            EndReason::Stopped { by: "alice".into() }
        );
        for at in [-40, 0, 10] {
            assert_eq!(reason_of_signal(None, later(at), now), EndReason::Walltime);
        }
        assert_eq!(
            reason_of_signal(None, later(100), now),
            EndReason::CancelledByScheduler
        );
        assert_eq!(
            reason_of_signal(None, Timestamp::MAX, now),
            EndReason::CancelledByScheduler
        );
    }

    #[tokio::test]
    async fn the_clock_ends_a_session() {
        let _undisturbed = LISTENING.read().await;
        let folder = tempfile::tempdir().unwrap();
        let session = SessionDir::at(folder.path());
        let token = Token::random().unwrap();
        let mut listening = listen(session, token, at(Timestamp::now()), Words::none());
        let next = tokio::time::timeout(Duration::from_secs(5), listening.next()).await;
        assert_eq!(next, Ok(Interruption::End(EndReason::Walltime)));
    }

    #[tokio::test]
    async fn an_end_that_was_moved_is_followed_and_nonsense_is_not() {
        let _undisturbed = LISTENING.read().await;
        let folder = tempfile::tempdir().unwrap();
        let session = SessionDir::at(folder.path());
        let token = Token::random().unwrap();
        let soon = Timestamp::now().as_second() + 4;
        let soon = Timestamp::from_second(soon).unwrap();
        let (words, told) = (Words::none(), session.clone());
        let mut listening = listen(session, token.clone(), at(soon), words);
        let write = |until| {
            let (token, at) = (token.clone(), Timestamp::now());
            let deadline = crate::session::Deadline { token, until, at };
            told.write_deadline(&deadline).unwrap();
        };
        let limit = Duration::from_secs(5);
        write(Timestamp::UNIX_EPOCH);
        tokio::time::timeout(Duration::from_millis(1300), listening.next())
            .await
            .unwrap_err();
        let later = Timestamp::from_second(soon.as_second() + 3600).unwrap();
        write(later);
        let next = tokio::time::timeout(limit, listening.next()).await;
        let Ok(Interruption::Deadline(heard)) = next else {
            panic!("{next:?}");
        };
        assert!(
            heard.as_second().abs_diff(later.as_second()) <= 2,
            "{heard}"
        );
        // The old end passes and means nothing.
        tokio::time::timeout(Duration::from_millis(4500), listening.next())
            .await
            .unwrap_err();
    }

    #[tokio::test]
    async fn a_signal_is_heard_before_there_is_a_session() {
        let _alone = LISTENING.write().await;
        let mut signals = Signals::listen().unwrap();
        let done = signals.unless(async { Ok(7) }).await;
        assert_eq!(done.unwrap(), 7);
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::HUP).unwrap();
        let hanging = signals.unless(std::future::pending::<Result<(), Error>>());
        let heard = tokio::time::timeout(Duration::from_secs(30), hanging).await;
        assert!(
            matches!(heard, Ok(Err(Error::Signalled { signal: "SIGHUP" }))),
            "{heard:?}"
        );
    }

    #[tokio::test]
    async fn a_signal_is_not_lost_on_somebody_who_stopped_listening() {
        let _alone = LISTENING.write().await;
        let folder = tempfile::tempdir().unwrap();
        let session = SessionDir::at(folder.path());
        let token = Token::random().unwrap();
        let mut listening = listen(session, token, at(Timestamp::MAX), Words::none());
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::HUP).unwrap();
        // Polled until the signal has come, and dropped while `stop.json` is being read.
        let come = async {
            loop {
                tokio::select! {
                    biased;
                    // Read at once: then there was nobody to lose it.
                    _ = listening.next() => {}
                    () = tokio::task::yield_now() => {}
                }
                if listening.signal.is_some() {
                    return;
                }
            }
        };
        let limit = Duration::from_secs(5);
        tokio::time::timeout(limit, come).await.unwrap();
        let next = tokio::time::timeout(limit, listening.next()).await;
        let reason = EndReason::CancelledByScheduler;
        assert_eq!(next, Ok(Interruption::End(reason)));
    }

    #[tokio::test]
    async fn a_wall_clock_that_jumps_ends_nothing() {
        let _undisturbed = LISTENING.read().await;
        let folder = tempfile::tempdir().unwrap();
        let session = SessionDir::at(folder.path());
        let token = Token::random().unwrap();
        let in_an_hour = Timestamp::from_second(Timestamp::now().as_second() + 3600).unwrap();
        let (said, words) = Words::given();
        let mut listening = listen(session, token, at(in_an_hour), words);
        let limit = Duration::from_millis(300);
        for jump in [7200, -7200] {
            injected::jumps_to(jump);
            let next = tokio::time::timeout(limit, listening.next()).await;
            assert_eq!(next.ok(), None, "{jump}");
            // The scheduler's word, by the new time, says the same end.
            let until = Timestamp::from_second(in_an_hour.as_second() + jump).unwrap();
            said.send(until).unwrap();
            let next = tokio::time::timeout(limit, listening.next()).await;
            assert_eq!(next.ok(), None, "{jump}: {until}");
            assert!(listening.words.all_are_heard(), "{jump}");
        }
    }
}
