//! When the walltime ends, who says so, and what is told of it.
//!
//! Problem: an admin may give a running job more time, or less, and nobody tells the job. Evidence:
//! the scheduler's tools know (`squeue %e`, `qstat -f`), and on most sites they run on the nodes;
//! on others they are not installed there, or the server refuses them. Solution: the node half asks
//! seldom, and always shortly before something depends on the answer; and whoever runs `status`
//! leaves what the scheduler said in the session (`deadline.json`), where `poll` finds it. A laptop
//! that is connected runs `status` every few seconds.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::scheduler::{JobId, JobName, Kind, OpenPbs, Scheduler, Slurm, Torque};

/// How long before the end the terminals are told, in minutes.
const NOTICES: [i64; 3] = [30, 10, 2];
/// How often the scheduler is asked when nothing is near: hundreds of sessions are no burden then.
const ASK_EVERY: Duration = Duration::from_secs(600);
/// How long before a notice, and before the end, it is asked.
const ASK_BEFORE: i64 = 20;
/// A word that differs by less is the same: the node half counts from its own start.
const SLACK: i64 = 2;
/// How long after the walltime the container ends by itself, should everything else have failed.
const GRACE: Duration = Duration::from_secs(120);

/// What is told when the walltime is about to end, the last first. What is past is not told.
pub(super) fn notices(deadline: Timestamp, now: Timestamp) -> Vec<(Timestamp, String)> {
    let before = |minutes: i64| {
        let at = deadline
            .checked_sub(SignedDuration::from_mins(minutes))
            .ok()?;
        let text = format!("qdebug: this session ends in {minutes} minutes (walltime)");
        (at > now).then_some((at, text))
    };
    NOTICES.into_iter().rev().filter_map(before).collect()
}

/// What is told when the end has been moved.
pub(super) fn moved(deadline: Timestamp, now: Timestamp) -> String {
    let minutes = deadline.duration_since(now).as_mins().max(0);
    let left = match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    };
    format!("qdebug: the walltime was changed; this session now ends in {left}")
}

/// Whether people shall hear of a move. The scheduler counts from its own start of the job, a few
/// seconds before ours; nobody changed anything then.
pub(super) fn is_worth_telling(before: Timestamp, after: Timestamp) -> bool {
    before.as_second().abs_diff(after.as_second()) >= 30
}

/// How long the container may live at most.
pub(super) fn lease(deadline: Timestamp, now: Timestamp) -> Duration {
    let seconds = deadline.as_second().saturating_sub(now.as_second());
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0)) + GRACE
}

/// Whether a new word about the end is to be followed: it must differ, and one by which the job,
/// which lives, should be over is of another clock.
pub(super) fn is_news(known: Timestamp, said: Timestamp, now: Timestamp) -> bool {
    let differs = said.as_second().abs_diff(known.as_second()) > SLACK.unsigned_abs();
    differs && said.as_second() > now.as_second().saturating_add(SLACK)
}

/// The scheduler's words about the end of our own job, asked for by a task that ends with this.
#[derive(Debug)]
pub(super) struct Words {
    heard: mpsc::UnboundedReceiver<Timestamp>,
    asking: Option<JoinHandle<()>>,
}

impl Words {
    /// Begins to ask. What cannot be asked, and `local`, whose walltime nobody can move, stays
    /// silent.
    pub(super) fn ask(scheduler: &str, id: &str, name: &str, deadline: Timestamp) -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        let scheduler = match scheduler.parse() {
            Ok(Kind::Slurm) => Some(Scheduler::Slurm(Slurm::default())),
            Ok(Kind::OpenPbs) => Some(Scheduler::OpenPbs(OpenPbs::default())),
            Ok(Kind::Torque) => Some(Scheduler::Torque(Torque::default())),
            Ok(Kind::Local) | Err(_) => None,
        };
        let job = id.parse::<JobId>().ok().zip(job_name(name));
        let asking = scheduler
            .zip(job)
            .map(|(scheduler, job)| tokio::spawn(keep_asking(scheduler, job, deadline, sender)));
        Self { heard, asking }
    }

    /// Nobody is asked.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self::given().1
    }

    /// Those that a test says.
    #[cfg(test)]
    pub(super) fn given() -> (mpsc::UnboundedSender<Timestamp>, Self) {
        let (sender, heard) = mpsc::unbounded_channel();
        let asking = None;
        (sender, Self { heard, asking })
    }

    /// Whether none waits to be heard.
    #[cfg(test)]
    pub(super) fn all_are_heard(&self) -> bool {
        self.heard.is_empty()
    }

    /// The next word. May be dropped and asked again.
    pub(super) async fn next(&mut self) -> Timestamp {
        match self.heard.recv().await {
            Some(until) => until,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        if let Some(asking) = &self.asking {
            asking.abort();
        }
    }
}

/// The name of a session's job, as submit gives it.
fn job_name(session: &str) -> Option<JobName> {
    format!("qdebug-{session}").parse().ok()
}

async fn keep_asking(
    scheduler: Scheduler,
    (id, name): (JobId, JobName),
    mut deadline: Timestamp,
    sender: mpsc::UnboundedSender<Timestamp>,
) {
    loop {
        tokio::time::sleep(next_ask(deadline, Timestamp::now())).await;
        let jobs = match scheduler.status(std::slice::from_ref(&id)).await {
            Ok(jobs) => jobs,
            Err(error) => {
                tracing::debug!(%error, "the scheduler does not tell this node when the job ends");
                continue;
            }
        };
        // Ids come again: a job of another name is another's.
        let own = jobs.get(&id).filter(|job| {
            let told = job.name.as_deref();
            told.is_none_or(|told| told == name.as_str())
        });
        if let Some(until) = own.and_then(|job| job.until)
            && until != deadline
        {
            tracing::info!(%until, "the scheduler was asked when the job ends");
            deadline = until;
            if sender.send(until).is_err() {
                return;
            }
        }
    }
}

/// How long until the scheduler is asked next.
fn next_ask(deadline: Timestamp, now: Timestamp) -> Duration {
    let left = deadline.as_second().saturating_sub(now.as_second());
    let moments = NOTICES.into_iter().map(|minutes| minutes * 60).chain([0]);
    let pauses = moments.filter_map(|before| {
        let pause = left.saturating_sub(before + ASK_BEFORE);
        u64::try_from(pause).ok().filter(|pause| *pause > 0)
    });
    let soonest = pauses.min().map_or(ASK_EVERY, Duration::from_secs);
    soonest.min(ASK_EVERY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn after(seconds: i64) -> Timestamp {
        now()
            .checked_add(SignedDuration::from_secs(seconds))
            .unwrap()
    }

    #[test]
    fn the_walltime_is_told_three_times_when_there_is_time() {
        let told = |minutes: i64| notices(after(minutes * 60), now());
        let all = told(60);
        assert_eq!(all.len(), 3);
        assert!(all[2].1.contains("30 minutes"), "the first is popped first");
        assert_eq!(all[2].0, after(30 * 60));
        assert_eq!(told(30).len(), 2, "what is now is past");
        assert_eq!(told(5).len(), 1);
        assert_eq!(told(1), []);
        assert_eq!(notices(Timestamp::MIN, now()), []);
        assert_eq!(notices(Timestamp::MAX, now()).len(), 3);
    }

    #[test]
    fn a_moved_end_is_told_in_hours_and_minutes() {
        assert!(moved(after(4 * 3600 + 90), now()).ends_with("in 4 h 1 min"));
        assert!(moved(after(600), now()).ends_with("in 10 min"));
        assert!(moved(after(-600), now()).ends_with("in 0 min"));
        assert!(is_worth_telling(after(0), after(-60)));
        assert!(!is_worth_telling(after(0), after(5)));
    }

    #[test]
    fn a_lease_is_the_rest_of_the_walltime_and_some_air() {
        assert_eq!(lease(after(60), now()), Duration::from_secs(180));
        assert_eq!(lease(after(-60), now()), GRACE);
    }

    #[test]
    fn only_another_end_is_news_and_none_that_is_past() {
        assert!(is_news(after(60), after(3600), now()));
        assert!(is_news(after(3600), after(60), now()));
        assert!(!is_news(after(3600), after(3602), now()));
        assert!(!is_news(after(3600), after(0), now()));
        assert!(!is_news(Timestamp::MAX, Timestamp::MIN, now()));
    }

    #[test]
    fn the_scheduler_is_asked_seldom_and_before_it_matters() {
        let pause = |left: i64| next_ask(after(left), now()).as_secs();
        assert_eq!(pause(100_000), 600);
        assert_eq!(pause(30 * 60 + 60), 40, "before the first notice");
        assert_eq!(pause(30 * 60 + 20), 600, "and not twice");
        assert_eq!(pause(10 * 60 + 100), 80);
        assert_eq!(pause(100), 80, "before the end");
        assert_eq!(pause(20), 600);
        assert_eq!(pause(-20), 600);
        // A whole walltime of four hours: not more often than promised.
        let (mut left, mut asked) = (4 * 3600, 0);
        while left > 0 {
            left -= i64::try_from(pause(left)).unwrap();
            asked += 1;
        }
        assert!(asked < 4 * 6 + 6, "{asked} times");
    }
}
