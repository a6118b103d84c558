//! Small files on the user's disk: whole or not at all, and locked against a second qdebug.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::error::Error;
use crate::disk;

/// How often a lock that somebody holds is tried again.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);

/// Makes a directory and its parents, for this user alone.
///
/// # Errors
/// [`Error::File`].
pub fn private_dir(path: &Path) -> Result<(), Error> {
    disk::private_folder(path).map_err(Error::file("make", path))
}

/// Replaces a file, or makes it, as [`disk::replace`] does.
///
/// # Errors
/// [`Error::File`].
pub fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    disk::replace(path, content).map_err(Error::file("write", path))
}

/// Reads a file; one that is not there is `None`.
///
/// # Errors
/// [`Error::File`].
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("read", path)(error)),
    }
}

/// A lock between processes, held until dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: fs::File,
}

impl Lock {
    /// Takes the lock file `path`, made when missing, waiting up to `patience`; `None` when
    /// somebody held it all the time.
    ///
    /// # Errors
    /// [`Error::File`].
    pub async fn take(path: &Path, patience: Duration) -> Result<Option<Self>, Error> {
        let file = open(path).map_err(Error::file("lock", path))?;
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            if try_lock(&file).map_err(Error::file("lock", path))? {
                return Ok(Some(Self { _file: file }));
            }
            if tokio::time::Instant::now() >= deadline {
                return Ok(None);
            }
            tokio::time::sleep(LOCK_INTERVAL).await;
        }
    }
}

fn open(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
fn try_lock(file: &fs::File) -> io::Result<bool> {
    use rustix::fs::FlockOperation::NonBlockingLockExclusive;
    match rustix::fs::flock(file, NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
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
            assert!(
                Lock::take(&path, Duration::from_millis(60))
                    .await
                    .unwrap()
                    .is_none()
            );
            drop(held);
            assert!(Lock::take(&path, Duration::ZERO).await.unwrap().is_some());
        });
    }
}
