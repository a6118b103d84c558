//! The clock of the file system that sessions lie on: those of two machines may differ.
//!
//! It is told by a file that is made there, which costs a few round trips on NFS: one is made for
//! all sessions that are read together, and only when one of them asks.

use std::cell::Cell;
use std::path::Path;
use std::time::{Instant, SystemTime};

/// The clock, asked at most once.
#[derive(Debug, Default)]
pub struct Clock {
    asked: Cell<Option<(SystemTime, Instant)>>,
}

impl Clock {
    /// What time it is, asked in this folder of that file system; `None` where no file can be made.
    pub(super) fn now(&self, folder: &Path) -> Option<SystemTime> {
        if self.asked.get().is_none() {
            let probe = tempfile::NamedTempFile::new_in(folder).ok()?;
            let now = probe.as_file().metadata().ok()?.modified().ok()?;
            self.asked.set(Some((now, Instant::now())));
        }
        let (then, at) = self.asked.get()?;
        then.checked_add(at.elapsed())
    }

    /// Whether it was asked.
    #[cfg(test)]
    pub(super) fn is_asked(&self) -> bool {
        self.asked.get().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_once_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::default();
        assert_eq!(clock.now(&folder.path().join("none")), None);
        let first = clock.now(folder.path()).unwrap();
        // Where nothing could be made any more.
        let second = clock.now(&folder.path().join("none")).unwrap();
        assert!(second >= first);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
