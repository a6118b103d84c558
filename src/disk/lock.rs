//! A lock between processes, held until dropped or the process ends, however it ends.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::platform;

/// How often a lock that somebody holds is tried again.
const INTERVAL: Duration = Duration::from_millis(50);

/// A lock that is held.
#[derive(Debug)]
pub struct Lock {
    _file: fs::File,
}

impl Lock {
    /// Takes the lock file `path`, made when missing, waiting up to `patience`; `None` when
    /// somebody held it all the time.
    ///
    /// # Errors
    /// What the system said.
    pub async fn take(path: &Path, patience: Duration) -> io::Result<Option<Self>> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            if let Some(file) = platform::try_lock(path)? {
                return Ok(Some(Self { _file: file }));
            }
            if tokio::time::Instant::now() >= deadline {
                return Ok(None);
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let held = Lock::take(&path, Duration::ZERO).await.unwrap().unwrap();
            let patience = Duration::from_millis(60);
            assert!(Lock::take(&path, patience).await.unwrap().is_none());
            drop(held);
            assert!(Lock::take(&path, Duration::ZERO).await.unwrap().is_some());
        });
    }
}
