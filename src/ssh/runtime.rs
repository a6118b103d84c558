//! The directory of sockets: `$XDG_RUNTIME_DIR/qdebug`, else `/tmp/qdebug-<uid>`.
//!
//! Problem: a control socket's path must stay far below the 104 bytes that some systems allow,
//! with 17 more that ssh adds while it makes one; it must be on a local file system, and nobody
//! else may be able to put a socket of theirs there. Solution: a short name in a directory that
//! is ours, 0700 and no link, checked each time.

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::error::Error;
use super::word::PlainPath;
use crate::disk;

/// The longest path of the directory itself; socket, lock and ssh's suffix come on top.
const MAX_PATH: usize = 60;

/// A directory for sockets and locks that is this user's alone.
#[derive(Debug, Clone)]
pub struct RuntimeDir {
    path: PlainPath,
}

impl RuntimeDir {
    /// Takes the user's own, made when missing.
    ///
    /// # Errors
    /// [`Error::File`] when `/tmp/qdebug-<uid>` is somebody else's or open to others.
    pub fn new() -> Result<Self, Error> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let of_login = runtime
            .filter(|path| is_ours(path) && disk::network_file_system(path).is_none())
            .and_then(|path| Self::at(path.join("qdebug")).ok());
        match of_login {
            Some(dir) => Ok(dir),
            None => Self::at(format!(
                "/tmp/qdebug-{}",
                rustix::process::getuid().as_raw()
            )),
        }
    }

    /// Takes this one, made when missing.
    ///
    /// # Errors
    /// [`Error::File`] when it is somebody else's, a link, open to others, or its path too long;
    /// [`Error::Word`] when ssh cannot be told its path.
    pub fn at(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = PlainPath::new(path)?;
        let refuse = |why: &str| {
            let source = std::io::Error::other(why.to_owned());
            Err(Error::file("keep sockets in", path.as_path())(source))
        };
        if path.as_path().as_os_str().len() > MAX_PATH {
            return refuse("its path is too long");
        }
        match std::fs::DirBuilder::new()
            .mode(0o700)
            .create(path.as_path())
        {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(Error::file("make", path.as_path())(error))
            }
            _ if is_ours(path.as_path()) => Ok(Self { path }),
            _ => refuse("it must be a directory of yours with mode 0700 and no link"),
        }
    }

    /// The path of a socket for what `parts` name.
    pub(super) fn socket(&self, parts: &[&str]) -> PathBuf {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let name: String = hash.finalize()[..6]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.path.as_path().join(name)
    }
}

/// Whether it is a directory, no link, of this user, closed to others.
fn is_ours(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|meta| {
        meta.is_dir()
            && meta.uid() == rustix::process::getuid().as_raw()
            && meta.mode() & 0o077 == 0
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn short() -> tempfile::TempDir {
        tempfile::Builder::new()
            .prefix("qd")
            .tempdir_in("/tmp")
            .unwrap()
    }

    #[test]
    fn sockets_are_short_and_their_own() {
        let dir = short();
        let runtime = RuntimeDir::at(dir.path().join("q")).unwrap();
        let (a, b) = (runtime.socket(&["a", "b"]), runtime.socket(&["ab", ""]));
        assert_ne!(a, b);
        assert_eq!(a, runtime.socket(&["a", "b"]));
        assert_eq!(a.file_name().unwrap().len(), 12);
    }

    #[test]
    fn what_others_may_touch_is_refused() {
        let dir = short();
        let open = dir.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o770)).unwrap();
        assert!(RuntimeDir::at(&open).is_err());
        let real = dir.path().join("real");
        RuntimeDir::at(&real).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(RuntimeDir::at(&link).is_err());
        assert!(RuntimeDir::at(dir.path().join("x".repeat(80))).is_err());
        assert!(RuntimeDir::at("/tmp/qdebug%h").is_err());
    }
}
