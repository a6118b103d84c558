//! The node half's own time, which no correction of the wall clock moves.
//!
//! Problem: the walltime is a duration, and schedulers tell its end as a moment of the wall clock.
//! Evidence: a node that boots with a wrong clock is set right by a step, and a session that waits
//! for a moment of the old time would end hours early, or be killed without a word. Solution: the
//! wall clock is read once, at the start; from then on the steady clock counts. A moment that is
//! heard later is taken as what it means when it is heard: so much time is left.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The time since this was made, on the steady clock, written as moments of the wall clock of then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    began: Timestamp,
    at: Instant,
    wall: fn() -> Timestamp,
}

impl Clock {
    /// Begins to count now.
    pub(super) fn start() -> Self {
        Self::by(Timestamp::now)
    }

    /// The same by another wall clock.
    fn by(wall: fn() -> Timestamp) -> Self {
        Self {
            began: wall(),
            at: Instant::now(),
            wall,
        }
    }

    /// Now.
    pub(super) fn now(&self) -> Timestamp {
        let since = SignedDuration::try_from(self.at.elapsed()).unwrap_or(SignedDuration::MAX);
        self.began.checked_add(since).unwrap_or(Timestamp::MAX)
    }

    /// What a moment of the wall clock, heard just now, is here.
    pub(super) fn heard(&self, said: Timestamp) -> Timestamp {
        let left = said.duration_since((self.wall)());
        moved(self.now(), left)
    }

    /// What a moment of this clock is for others, who read the wall clock.
    pub(super) fn told(&self, at: Timestamp) -> Timestamp {
        if at == Timestamp::MAX {
            return at;
        }
        moved((self.wall)(), at.duration_since(self.now()))
    }

    /// Sleeps until a moment of this clock; one beyond a century is never.
    pub(super) async fn until(&self, at: Timestamp) {
        let left = at.duration_since(self.now()).max(SignedDuration::ZERO);
        match left.unsigned_abs() {
            left if left.as_secs() < 3_000_000_000 => tokio::time::sleep(left).await,
            _ => std::future::pending().await,
        }
    }
}

fn moved(from: Timestamp, by: SignedDuration) -> Timestamp {
    from.checked_add(by).unwrap_or(if by.is_negative() {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// A wall clock that a test sets; each test has a thread of its own.
#[cfg(test)]
pub(super) mod injected {
    use std::cell::Cell;

    use super::{Clock, SignedDuration, Timestamp, moved};

    thread_local! {
        static WRONG_BY: Cell<i64> = const { Cell::new(0) };
    }

    fn wall() -> Timestamp {
        let by = SignedDuration::from_secs(WRONG_BY.get());
        moved(Timestamp::now(), by)
    }

    /// A clock that began by it.
    pub(in crate::node) fn clock() -> Clock {
        Clock::by(wall)
    }

    /// The wall clock jumps, by so many seconds from the right time.
    pub(in crate::node) fn jumps_to(seconds: i64) {
        WRONG_BY.set(seconds);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn seconds_between(one: Timestamp, other: Timestamp) -> u64 {
        one.as_second().abs_diff(other.as_second())
    }

    #[test]
    fn a_jump_moves_nothing_and_what_is_heard_means_what_is_left() {
        let clock = injected::clock();
        let began = clock.now();
        for jump in [3600, -3600, 86_400 * 365] {
            injected::jumps_to(jump);
            assert!(seconds_between(clock.now(), began) < 60, "{jump}");
            let in_an_hour = Timestamp::from_second(began.as_second() + 3600).unwrap();
            let on_the_wall = moved(in_an_hour, SignedDuration::from_secs(jump));
            let heard = clock.heard(on_the_wall);
            assert!(seconds_between(heard, in_an_hour) < 60, "{jump}: {heard}");
            let told = clock.told(in_an_hour);
            assert!(seconds_between(told, on_the_wall) < 60, "{jump}: {told}");
        }
        assert_eq!(clock.told(Timestamp::MAX), Timestamp::MAX);
        assert!(clock.heard(Timestamp::MIN) < began);
    }

    #[tokio::test]
    async fn sleeping_is_not_shortened_by_a_jump() {
        let clock = injected::clock();
        let at = moved(clock.now(), SignedDuration::from_millis(1500));
        injected::jumps_to(7200);
        let limit = Duration::from_secs(1);
        let sleeping = tokio::time::timeout(limit, clock.until(at));
        sleeping.await.unwrap_err();
        tokio::time::timeout(limit, clock.until(at)).await.unwrap();
        let never = tokio::time::timeout(limit, clock.until(Timestamp::MAX));
        never.await.unwrap_err();
    }
}
