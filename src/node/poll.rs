//! Looking into the session once a second: whether somebody asked for the end or heard the scheduler
//! call the job over, fresh keys, and a deadline that was moved. And into the job's own control group,
//! whether the kernel killed a process of it.
//!
//! A thread of its own, for two reasons. The session lies on a shared file system that may hang,
//! and then only this thread hangs with it. And the node half shall wake up at most once a second
//! when nothing happens: this is the one thing that does.
//!
//! On NFS a file that was missing is remembered as missing for half a minute. Opening the folder
//! asks the server anew, so the folder is listed first.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::kills::Kills;
use crate::session::{EndReason, SessionDir, Token};

/// How often is looked.
const EVERY: Duration = Duration::from_secs(1);

/// Every how many looks `state.json` is renewed, so that its readers know that we live.
const RENEW: u64 = 10;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Somebody asked for the end.
    Stop {
        /// Who.
        by: String,
    },
    /// The scheduler called the job over, as somebody heard who could ask it. A node that is cut off
    /// from its scheduler is not told, and its job is given up meanwhile.
    Over(EndReason),
    /// `authorized_keys` has changed.
    Keys(Vec<u8>),
    /// The scheduler will end the job then, as somebody heard who could ask it.
    Deadline(Timestamp),
    /// The kernel killed a process of the job for want of memory.
    Killed,
}

/// The looking thread; it ends soon after this is dropped.
#[derive(Debug)]
pub(super) struct Poller {
    news: mpsc::UnboundedReceiver<News>,
    over: Arc<AtomicBool>,
}

impl Poller {
    /// Begins to look.
    pub(super) fn start(
        session: SessionDir,
        token: Token,
        mut kills: Option<Kills>,
    ) -> std::io::Result<Self> {
        let (sender, news) = mpsc::unbounded_channel();
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        std::thread::Builder::new()
            .name("session".to_owned())
            .spawn(move || {
                let mut look = Look::new(session, token);
                for turn in 0u64.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    // First: the session's file system may hang.
                    if kills.as_mut().is_some_and(Kills::grew) && sender.send(News::Killed).is_err()
                    {
                        return;
                    }
                    if turn % RENEW == 0
                        && let Err(error) = look.session.renew_state()
                    {
                        // Not written yet, or a disk in trouble, of which the others tell.
                        tracing::trace!(%error, "state.json is not renewed");
                    }
                    for news in look.once() {
                        if sender.send(news).is_err() {
                            return;
                        }
                    }
                    std::thread::sleep(EVERY);
                }
            })?;
        Ok(Self { news, over })
    }

    /// The next thing found. May be dropped and asked again.
    pub(super) async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            // The thread is gone, which it is only when we are: there is nothing to wait for.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

struct Look {
    session: SessionDir,
    token: Token,
    keys: Option<Vec<u8>>,
    deadline: Option<Timestamp>,
    stopped: bool,
    over: bool,
    complained: bool,
}

impl Look {
    fn new(session: SessionDir, token: Token) -> Self {
        Self {
            session,
            token,
            keys: None,
            deadline: None,
            stopped: false,
            over: false,
            complained: false,
        }
    }

    fn once(&mut self) -> Vec<News> {
        let mut found = Vec::new();
        let names = list(self.session.path());
        if names.iter().any(|name| name == "stop.json") && !self.stopped {
            match self.session.stop() {
                Ok(Some(stop)) if stop.token == self.token => {
                    self.stopped = true;
                    found.push(News::Stop { by: stop.by });
                }
                // Of an earlier session of this name, or not readable at this moment.
                Ok(_) => {}
                Err(error) if !self.complained => {
                    self.complained = true;
                    tracing::warn!(%error, "cannot read stop.json");
                }
                Err(_) => {}
            }
        }
        // After a stop, which is why the job is over then.
        if names.iter().any(|name| name == "end.json")
            && !self.over
            && let Ok(Some(end)) = self.session.end()
            && end.token == self.token
        {
            self.over = true;
            found.push(News::Over(end.reason()));
        }
        if names.iter().any(|name| name == "authorized_keys") {
            // One failed read is no verdict: the keys that were there stay.
            if let Ok(Some(keys)) = self.session.keys_as_written()
                && self.keys.as_ref() != Some(&keys)
            {
                self.keys = Some(keys.clone());
                found.push(News::Keys(keys));
            }
        }
        // Damaged, or of an earlier session of this name: then nobody has told.
        if names.iter().any(|name| name == "deadline.json")
            && let Ok(Some(told)) = self.session.deadline()
            && told.token == self.token
            && self.deadline.replace(told.until) != Some(told.until)
        {
            found.push(News::Deadline(told.until));
        }
        found
    }
}

fn list(path: &Path) -> Vec<std::ffi::OsString> {
    std::fs::read_dir(path)
        .map(|entries| {
            let names = entries.filter_map(Result::ok);
            names.map(|entry| entry.file_name()).collect()
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Stop;

    fn stop(token: &Token) -> Stop {
        Stop {
            token: token.clone(),
            by: "alice@login".into(),
            at: jiff::Timestamp::now(),
        }
    }

    #[test]
    fn a_stop_of_another_session_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let session = SessionDir::at(folder.path());
        let (token, other) = (Token::random().unwrap(), Token::random().unwrap());
        let mut look = Look::new(session.clone(), token.clone());
        assert_eq!(look.once(), []);
        session.write_stop(&stop(&other)).unwrap();
        assert_eq!(look.once(), []);
        session.write_stop(&stop(&token)).unwrap();
        let by = "alice@login".to_owned();
        assert_eq!(look.once(), [News::Stop { by }]);
        assert_eq!(look.once(), []);
    }

    #[test]
    fn keys_are_told_when_they_change_and_a_damaged_stop_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let session = SessionDir::at(folder.path());
        let mut look = Look::new(session.clone(), Token::random().unwrap());
        std::fs::write(session.authorized_keys_path(), "one").unwrap();
        std::fs::write(folder.path().join("stop.json"), "{").unwrap();
        assert_eq!(look.once(), [News::Keys(b"one".to_vec())]);
        assert_eq!(look.once(), []);
        std::fs::write(session.authorized_keys_path(), "two").unwrap();
        assert_eq!(look.once(), [News::Keys(b"two".to_vec())]);
        std::fs::remove_file(session.authorized_keys_path()).unwrap();
        assert_eq!(look.once(), []);
    }

    #[test]
    fn a_deadline_is_told_when_it_moves() {
        let folder = tempfile::tempdir().unwrap();
        let session = SessionDir::at(folder.path());
        let (token, other) = (Token::random().unwrap(), Token::random().unwrap());
        let mut look = Look::new(session.clone(), token.clone());
        let until: Timestamp = "2026-01-01T04:00:00Z".parse().unwrap();
        let write = |token: &Token, until| {
            let (token, at) = (token.clone(), Timestamp::now());
            let told = crate::session::Deadline { token, until, at };
            session.write_deadline(&told).unwrap();
        };
        write(&other, until);
        assert_eq!(look.once(), []);
        write(&token, until);
        assert_eq!(look.once(), [News::Deadline(until)]);
        write(&token, until);
        assert_eq!(look.once(), []);
        std::fs::write(folder.path().join("deadline.json"), "{").unwrap();
        assert_eq!(look.once(), []);
    }

    #[test]
    fn a_job_that_the_scheduler_called_over_is_over_once() {
        let folder = tempfile::tempdir().unwrap();
        let session = SessionDir::at(folder.path());
        let (token, other) = (Token::random().unwrap(), Token::random().unwrap());
        let mut look = Look::new(session.clone(), token.clone());
        let write = |token: &Token, walltime| {
            let end = crate::session::End {
                token: token.clone(),
                detail: "the node of the job failed".to_owned(),
                walltime,
                at: Timestamp::now(),
            };
            session.write_end(&end).unwrap();
            end.reason()
        };
        write(&other, false);
        assert_eq!(look.once(), []);
        let reason = write(&token, false);
        assert!(matches!(reason, EndReason::JobEnded { .. }));
        session.write_stop(&stop(&token)).unwrap();
        let by = "alice@login".to_owned();
        assert_eq!(look.once(), [News::Stop { by }, News::Over(reason)]);
        assert_eq!(look.once(), []);
        assert_eq!(write(&token, true), EndReason::Walltime);
    }

    #[tokio::test]
    async fn news_reach_the_node_half() {
        let folder = tempfile::tempdir().unwrap();
        let session = SessionDir::at(folder.path());
        let token = Token::random().unwrap();
        let mut poller = Poller::start(session.clone(), token.clone(), None).unwrap();
        session.write_stop(&stop(&token)).unwrap();
        let news = tokio::time::timeout(Duration::from_secs(5), poller.next()).await;
        assert!(matches!(news, Ok(News::Stop { .. })));
    }

    #[tokio::test]
    async fn a_kill_in_the_jobs_group_reaches_the_node_half() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/self/cgroup", "0::/job\n");
        write("sys/fs/cgroup/job/memory.max", "1000000\n");
        write("sys/fs/cgroup/job/memory.events", "oom_kill 1\n");
        let kills = Kills::of_this_process(root.path());
        assert_ne!(kills, None);
        let session = SessionDir::at(root.path().join("session"));
        let mut poller = Poller::start(session, Token::random().unwrap(), kills).unwrap();
        let limit = Duration::from_secs(5);
        let early = tokio::time::timeout(Duration::from_millis(1300), poller.next()).await;
        assert_eq!(early.ok(), None, "what was before is not told");
        write("sys/fs/cgroup/job/memory.events", "oom_kill 2\n");
        let news = tokio::time::timeout(limit, poller.next()).await;
        assert_eq!(news, Ok(News::Killed));
    }
}
