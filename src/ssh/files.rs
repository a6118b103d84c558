//! Small files on the user's disk: whole or not at all, and locked against a second qdebug.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::error::Error;
use crate::disk;

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

/// Removes a file, unless it is not there.
///
/// # Errors
/// [`Error::File`].
pub fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// A lock between processes, as [`disk::Lock`] is.
#[derive(Debug)]
pub struct Lock {
    _held: disk::Lock,
}

impl Lock {
    /// Takes the lock file `path`, made when missing, waiting up to `patience`; `None` when
    /// somebody held it all the time.
    ///
    /// # Errors
    /// [`Error::File`].
    pub async fn take(path: &Path, patience: Duration) -> Result<Option<Self>, Error> {
        let held = disk::Lock::take(path, patience).await;
        let held = held.map_err(Error::file("lock", path))?;
        Ok(held.map(|held| Self { _held: held }))
    }
}
