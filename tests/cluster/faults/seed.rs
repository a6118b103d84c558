//! Chance that can be had again: `QDEBUG_TEST_SEED` is what an earlier run printed.

use std::time::{SystemTime, UNIX_EPOCH};

/// Numbers by splitmix64: the same for the same seed, everywhere and always.
pub(super) struct Chance(u64);

impl Chance {
    /// By the seed of the environment, else by the clock; printed, so that it can be given again.
    pub(super) fn of_environment(what: &str) -> Self {
        let seed = match std::env::var("QDEBUG_TEST_SEED") {
            Ok(text) => text.parse().expect("QDEBUG_TEST_SEED is a number"),
            Err(_) => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        };
        eprintln!("{what}: again by QDEBUG_TEST_SEED={seed}");
        Self(seed)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let z = z ^ (z >> 31);
        usize::try_from(z % end.max(1) as u64).unwrap_or(0)
    }

    /// So many of these, each at most once, in an order of their own.
    pub(super) fn some_of<T>(&mut self, mut all: Vec<T>, how_many: usize) -> Vec<T> {
        let mut some = Vec::new();
        while some.len() < how_many && !all.is_empty() {
            let at = self.below(all.len());
            some.push(all.swap_remove(at));
        }
        some
    }
}

#[test]
fn the_same_seed_gives_the_same_chance() {
    let draw = |seed| Chance(seed).some_of((0..45).collect(), 20);
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
    let mut all = draw(7);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 20);
}
