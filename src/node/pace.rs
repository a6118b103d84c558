//! How much of what the container says is logged: sshd tells of every connection, and whoever can
//! reach its port can make as many as he likes.

use std::time::Duration;

use tokio::time::Instant;

/// So many lines may come at once.
const BURST: u32 = 200;
/// So often one more may come.
const EVERY: Duration = Duration::from_secs(10);

/// Lets some lines pass and counts the others.
#[derive(Debug)]
pub(super) struct Pace {
    left: u32,
    since: Instant,
    held_back: u64,
}

impl Pace {
    /// One that has let nothing pass yet.
    pub(super) fn new() -> Self {
        Self {
            left: BURST,
            since: Instant::now(),
            held_back: 0,
        }
    }

    /// Whether a line passes: then with how many were held back since the last.
    pub(super) fn pass(&mut self, now: Instant) -> Option<u64> {
        let more = now.saturating_duration_since(self.since).as_secs() / EVERY.as_secs();
        if more > 0 {
            let more = u32::try_from(more).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(more).min(BURST);
            self.since = now;
        }
        if self.left == 0 {
            self.held_back += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_held_back_and_counted() {
        let mut pace = Pace::new();
        let began = Instant::now();
        let passed = (0..100_000).filter(|_| pace.pass(began).is_some());
        assert_eq!(passed.count(), BURST as usize);
        // The next that passes says how many did not.
        let later = began + EVERY * 2;
        assert_eq!(pace.pass(later), Some(100_000 - u64::from(BURST)));
        assert_eq!(pace.pass(later), Some(0));
        assert_eq!(pace.pass(later), None);
        // A day of a flood is no more than a day has time for.
        let day = 86_400;
        let passed = (0..day).filter(|second| {
            let now = later + Duration::from_secs(*second);
            pace.pass(now).is_some()
        });
        assert!(passed.count() as u64 <= day / EVERY.as_secs() + u64::from(BURST));
    }

    #[test]
    fn quiet_makes_room_again_and_not_without_end() {
        let mut pace = Pace::new();
        let began = Instant::now();
        while pace.pass(began).is_some() {}
        let later = began + Duration::from_secs(1_000_000);
        let passed = (0..1000).filter(|_| pace.pass(later).is_some());
        assert_eq!(passed.count(), BURST as usize);
    }
}
