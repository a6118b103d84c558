//! Watching a session: how often the cluster is asked, and what one failed answer means.
//!
//! One failed poll is no verdict: it is told once and tried again, until the cluster answers or
//! the user has enough.

use std::time::Duration;

use tokio::time::Instant;

use super::cluster::Cluster;
use super::error::Error;
use super::event::Event;
use super::ui::Ui;
use crate::process;
use crate::session::{Standing, Status};

/// The exit code of a session that does not exist.
pub(super) const NO_SUCH_SESSION: i32 = 3;

/// How often the cluster is asked again, a second apart, when the way has just broken.
const HURRIED: u32 = 8;

/// A session that is watched.
pub(super) struct Watch<'a> {
    cluster: &'a Cluster,
    ui: &'a Ui,
    last: Status,
    began: Instant,
    asked: Instant,
    hurried: u32,
    heard: Instant,
    silent: bool,
}

impl<'a> Watch<'a> {
    /// Asks for the first time: here an error is an error.
    pub(super) async fn begin(cluster: &'a Cluster, job: &str, ui: &'a Ui) -> Result<Self, Error> {
        let last = cluster.status(job).await?;
        ui.tell(Event::Status(Box::new(last.clone())));
        Ok(Self {
            cluster,
            ui,
            last,
            began: Instant::now(),
            asked: Instant::now(),
            hurried: 0,
            heard: Instant::now(),
            silent: false,
        })
    }

    /// Asks again at once and a few times more: something has happened.
    pub(super) fn hurry(&mut self) {
        self.hurried = HURRIED;
    }

    /// What was heard last.
    pub(super) fn last(&self) -> &Status {
        &self.last
    }

    /// How long ago that was.
    pub(super) fn age(&self) -> Duration {
        self.heard.elapsed()
    }

    /// Waits a while and asks again; always gives what is known then. May be dropped and asked
    /// again: the while goes on.
    pub(super) async fn next(&mut self) -> Result<&Status, Error> {
        let pause = match self.hurried {
            0 => pause(self.last.state, self.began.elapsed()),
            _ => Duration::from_secs(1),
        };
        tokio::time::sleep_until(self.asked + pause).await;
        self.asked = Instant::now();
        self.hurried = self.hurried.saturating_sub(1);
        let answer = self.cluster.status(self.last.name.as_str()).await;
        self.asked = Instant::now();
        match answer {
            Ok(status) if status.token != self.last.token => self.gone("another has its name now"),
            Err(Error::Cluster { code, .. }) if code == NO_SUCH_SESSION => {
                self.gone("the cluster knows it no more");
            }
            Ok(status) => {
                if std::mem::take(&mut self.silent) {
                    self.ui.tell(Event::Answers);
                }
                if status.state != self.last.state {
                    self.began = Instant::now();
                }
                if !status.says_the_same(&self.last) {
                    self.ui.tell(Event::Status(Box::new(status.clone())));
                }
                self.last = status;
                self.heard = Instant::now();
            }
            // No patience mends these.
            Err(
                error @ (Error::Versions { .. }
                | Error::Program(
                    process::Error::NotFound { .. } | process::Error::Spawn { .. },
                )),
            ) => return Err(error),
            Err(error) => {
                if !std::mem::replace(&mut self.silent, true) {
                    self.ui.tell(Event::Silent(error.to_string()));
                }
            }
        }
        Ok(&self.last)
    }

    fn gone(&mut self, why: &str) {
        self.last.state = Standing::Ended;
        self.last.reason = Some(why.to_owned());
        self.last.details = None;
        self.ui.tell(Event::Status(Box::new(self.last.clone())));
    }
}

/// How long to wait before the next question: short while things happen, long while a queue is
/// waited for, so that a hundred waiting laptops are no burden to a scheduler.
pub fn pause(state: Standing, since: Duration) -> Duration {
    let seconds = match state {
        Standing::Starting
        | Standing::CheckingGpus
        | Standing::PreparingImage
        | Standing::Launching
        | Standing::Ending => 1,
        Standing::Queued | Standing::Held | Standing::Unknown => match since.as_secs() {
            0..30 => 2,
            30..300 => 5,
            _ => 15,
        },
        Standing::Ready | Standing::Ended | Standing::Failed => 10,
    };
    Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_wait_asks_rarely_and_a_start_often() {
        let seconds = |state, since| pause(state, Duration::from_secs(since)).as_secs();
        assert_eq!(seconds(Standing::Launching, 1000), 1);
        assert_eq!(seconds(Standing::Queued, 0), 2);
        assert_eq!(seconds(Standing::Queued, 60), 5);
        assert_eq!(seconds(Standing::Queued, 3600), 15);
        assert_eq!(seconds(Standing::Ready, 0), 10);
    }
}
