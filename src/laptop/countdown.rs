//! What a connected laptop tells of the time that is left: before the walltime ends, when an admin
//! has moved it, and when the session is about to end because nobody uses it.
//!
//! Pure: the cluster's answers go in, what is worth telling comes out, each once.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::event::Event;
use crate::session::{Standing, Status};

/// How long before the end is told, in minutes, as in the session's terminals.
const BEFORE: [i64; 3] = [30, 10, 2];
/// Ends that differ by less are the same: the scheduler and the node half count each from their
/// own start.
const SAME: SignedDuration = SignedDuration::from_secs(30);

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Countdown {
    deadline: Option<Timestamp>,
    /// The last of [`BEFORE`] that was told.
    told: Option<i64>,
    idle_until: Option<Timestamp>,
    /// The notices of the session; those of the beginning are told with the connection.
    notices: Option<Vec<String>>,
}

impl Countdown {
    /// What is to be told now, when the cluster gave this answer `ago`.
    pub(super) fn heed(&mut self, status: &Status, ago: Duration) -> Vec<Event> {
        if status.state == Standing::Ending {
            // Its scheduler brings the deadline forward to now: that is the end, told as such.
            return Vec::new();
        }
        let ago = SignedDuration::try_from(ago).unwrap_or(SignedDuration::ZERO);
        let left = |at: Timestamp| at.duration_since(status.now?).checked_sub(ago);
        let mut told = Vec::new();
        if let Some(deadline) = status.deadline
            && let Some(left) = left(deadline)
        {
            let moved = self
                .deadline
                .is_some_and(|before| deadline.duration_since(before).abs() >= SAME);
            self.deadline = Some(deadline);
            let passed = BEFORE
                .into_iter()
                .filter(|minutes| left <= SignedDuration::from_mins(*minutes))
                .min();
            let nearer = passed.is_some_and(|now| self.told.is_none_or(|before| now < before));
            self.told = passed;
            if moved {
                told.push(Event::Moved { left });
            } else if nearer {
                told.push(Event::EndsSoon { left });
            }
        }
        let idle = status.details.as_ref();
        let idle = idle.and_then(|details| details.idle_until);
        if self.idle_until != idle {
            self.idle_until = idle;
            told.push(match idle.and_then(left) {
                Some(left) => Event::Unused { left },
                None => Event::UsedAgain,
            });
        }
        if let Some(details) = &status.details {
            let before = self.notices.replace(details.notices.clone());
            if let Some(before) = before {
                let new = details.notices.iter();
                let new = new.filter(|notice| !before.contains(notice));
                told.extend(new.cloned().map(Event::Notice));
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::samples::request;
    use crate::session::{JobWord, Record};

    fn status(deadline: Option<&str>, idle_until: Option<&str>) -> Status {
        let asked = request("otter");
        let record: Record = serde_json::from_value::<crate::session::State>(serde_json::json!({
            "token": asked.token, "phase": "ready", "at": "2026-01-01T00:00:00Z",
            "details": {
                "node": "node1", "port": 1, "user": "alice", "host_key": "", "container": "",
                "image": "", "started": "2026-01-01T00:00:00Z", "project": "/",
                "deadline": deadline, "idle_until": idle_until,
            },
        }))
        .map(|state| Record::of_test(asked, state))
        .unwrap();
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        record.verdict(&JobWord::Running { until: None }, now)
    }

    fn told(countdown: &mut Countdown, status: &Status, minutes: u64) -> Vec<String> {
        let told = countdown.heed(status, Duration::from_secs(minutes * 60));
        told.iter().map(|event| format!("{event:?}")).collect()
    }

    #[test]
    fn the_end_is_told_three_times_by_the_laptops_own_clock() {
        let mut countdown = Countdown::default();
        // The cluster answered once and is silent since.
        let status = status(Some("2026-01-01T01:00:00Z"), None);
        let said: Vec<usize> = (0..60)
            .map(|at| told(&mut countdown, &status, at).len())
            .collect();
        let at: Vec<usize> = (0..60).filter(|at| said[*at] > 0).collect();
        assert_eq!(at, [30, 50, 58]);
    }

    #[test]
    fn an_end_that_moved_is_told_and_counted_anew() {
        let mut countdown = Countdown::default();
        let soon = status(Some("2026-01-01T00:05:00Z"), None);
        assert!(told(&mut countdown, &soon, 0)[0].contains("EndsSoon"));
        let later = status(Some("2026-01-01T02:00:00Z"), None);
        assert!(told(&mut countdown, &later, 0)[0].contains("Moved"));
        assert_eq!(told(&mut countdown, &later, 1), Vec::<String>::new());
        assert!(told(&mut countdown, &later, 95)[0].contains("EndsSoon"));
        // A few seconds are two clocks.
        let other = status(Some("2026-01-01T02:00:09Z"), None);
        assert_eq!(told(&mut countdown, &other, 96), Vec::<String>::new());
    }

    #[test]
    fn a_notice_that_comes_later_is_told_once() {
        let mut countdown = Countdown::default();
        let mut status = status(None, None);
        let mut with = |notices: &[&str]| {
            if let Some(details) = &mut status.details {
                details.notices = notices.iter().map(|text| (*text).to_owned()).collect();
            }
            told(&mut countdown, &status, 0)
        };
        assert_eq!(with(&["no bash"]), Vec::<String>::new());
        assert!(with(&["no bash", "GPU gone"])[0].contains("GPU gone"));
        assert_eq!(with(&["no bash", "GPU gone"]), Vec::<String>::new());
    }

    #[test]
    fn an_unused_session_is_told_and_so_is_its_use() {
        let mut countdown = Countdown::default();
        let used = status(None, None);
        assert_eq!(told(&mut countdown, &used, 0), Vec::<String>::new());
        let unused = status(None, Some("2026-01-01T00:05:00Z"));
        assert_eq!(
            told(&mut countdown, &unused, 1),
            [format!(
                "Unused {{ left: {:?} }}",
                SignedDuration::from_mins(4)
            )]
        );
        assert_eq!(told(&mut countdown, &unused, 2), Vec::<String>::new());
        assert!(told(&mut countdown, &used, 3)[0].contains("UsedAgain"));
    }
}
