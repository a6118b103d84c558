//! What goes when there is too much: what nobody has used for the longest time.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::folder::timestamp;
use super::{Cache, Error, Key, Listed};

/// Whether what was chosen goes, or is only told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// It goes.
    Remove,
    /// It is only told.
    Tell,
}

/// What may stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// So many bytes together.
    pub bytes: Option<u64>,
    /// What was used so recently.
    pub unused_for: Option<Duration>,
}

impl Cache {
    /// Removes, or only tells, what is out of bounds, the least recently used first. What is being
    /// prepared just now stays, and so does `kept`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn prune(
        &self,
        bounds: &Bounds,
        kept: Option<&Key>,
        sweep: Sweep,
    ) -> Result<Vec<Listed>, Error> {
        let mut stays = self.locked()?;
        stays.extend(kept.cloned());
        let going = choose(self.list()?, timestamp(self.now()?), bounds, &stays);
        if sweep == Sweep::Remove {
            self.remove_leftovers()?;
            for listed in &going {
                tracing::info!(
                    name = listed.entry.about.name,
                    key = listed.entry.key.short(),
                    "leaves the cache"
                );
                self.remove(&listed.entry.key)?;
            }
        }
        Ok(going)
    }
}

/// Those that go of `all`, which is sorted by use, the latest first.
fn choose(all: Vec<Listed>, now: Timestamp, bounds: &Bounds, stays: &BTreeSet<Key>) -> Vec<Listed> {
    let mut together = 0u64;
    let age = bounds
        .unused_for
        .and_then(|age| SignedDuration::try_from(age).ok());
    let (pinned, mut rest): (Vec<Listed>, Vec<Listed>) = all
        .into_iter()
        .partition(|listed| stays.contains(&listed.entry.key));
    for listed in &pinned {
        together = together.saturating_add(listed.entry.bytes);
    }
    rest.retain(|listed| {
        let old = age.is_some_and(|age| now.duration_since(listed.used) >= age);
        let fits = bounds
            .bytes
            .is_none_or(|bytes| together.saturating_add(listed.entry.bytes) <= bytes);
        if !old && fits {
            together = together.saturating_add(listed.entry.bytes);
        }
        old || !fits
    });
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{About, Entry};

    fn listed(name: &str, bytes: u64, used: i64) -> Listed {
        let key = Key::of(&[name]);
        Listed {
            entry: Entry {
                format: 1,
                data: String::new(),
                bytes,
                unpacked_bytes: bytes,
                created: Timestamp::UNIX_EPOCH,
                about: About {
                    name: name.into(),
                    image: String::new(),
                    fingerprint: String::new(),
                    node: String::new(),
                },
                key,
            },
            used: Timestamp::from_second(used).unwrap(),
        }
    }

    fn going(bounds: Bounds, stays: &[&str]) -> Vec<String> {
        let all = vec![
            listed("new", 10, 90),
            listed("mid", 20, 50),
            listed("old", 5, 10),
        ];
        let stays = stays.iter().map(|name| Key::of(&[name])).collect();
        let now = Timestamp::from_second(100).unwrap();
        let going = choose(all, now, &bounds, &stays).into_iter();
        going.map(|listed| listed.entry.about.name).collect()
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let bytes = |bytes| Bounds {
            bytes: Some(bytes),
            unused_for: None,
        };
        assert_eq!(going(Bounds::default(), &[]), Vec::<String>::new());
        assert_eq!(going(bytes(35), &[]), Vec::<String>::new());
        assert_eq!(going(bytes(30), &[]), ["old"]);
        // What is small may stay where a larger one does not fit.
        assert_eq!(going(bytes(16), &[]), ["mid"]);
        assert_eq!(going(bytes(0), &["mid"]), ["new", "old"]);
    }

    #[test]
    fn what_nobody_used_for_long_goes_and_what_is_locked_stays() {
        let unused = Bounds {
            bytes: None,
            unused_for: Some(Duration::from_secs(50)),
        };
        assert_eq!(going(unused, &[]), ["mid", "old"]);
        assert_eq!(going(unused, &["old"]), ["mid"]);
    }
}
