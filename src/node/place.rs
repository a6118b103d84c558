//! The node's own folder: what must lie on the node itself, and who is alive.
//!
//! `<base>/qdebug-<uid>/`, 0700, ours and no link: `/var/tmp` is open to everybody, so a folder
//! that somebody else laid there first is refused. Each session has a folder of its own in it, with
//! a lock that its node half holds as long as it lives: the kernel lets go of it whatever happens,
//! so a lock that can be taken is a node half that is dead.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use super::Error;
use crate::session::Token;

/// Where it lies unless the site says otherwise. Never TMPDIR or a job's private /tmp, which the
/// engine may not see.
pub(super) const DEFAULT_BASE: &str = "/var/tmp";

const LOCK: &str = "lock";

/// The node's own folder of this user.
#[derive(Debug, Clone)]
pub(super) struct NodeDir {
    path: PathBuf,
}

/// The folder of one session, held by its node half.
#[derive(Debug)]
pub(super) struct SessionFolder {
    path: PathBuf,
    _lock: File,
}

impl NodeDir {
    /// Makes it where needed, and checks that it is ours.
    pub(super) fn open(base: &Path) -> Result<Self, Error> {
        let uid = rustix::process::getuid().as_raw();
        let path = base.join(format!("qdebug-{uid}"));
        make_private(&path)?;
        let own = Self { path };
        own.check(&own.path, uid)?;
        let sessions = own.sessions();
        make_private(&sessions)?;
        own.check(&sessions, uid)?;
        Ok(own)
    }

    fn check(&self, path: &Path, uid: u32) -> Result<(), Error> {
        let refuse = |reason: String| Error::NodeDir {
            path: path.to_owned(),
            reason,
        };
        // Opened without following a link, so that what is checked is what is there.
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| refuse(format!("it is no folder that can be opened: {error}")))?;
        let metadata = File::from(folder)
            .metadata()
            .map_err(|error| refuse(error.to_string()))?;
        if metadata.uid() != uid {
            return Err(refuse(format!(
                "it belongs to user {}, and should belong to {uid}",
                metadata.uid()
            )));
        }
        if metadata.mode() & 0o077 != 0 {
            return Err(refuse(format!(
                "it is open to others (mode {:o}, should be 700)",
                metadata.mode() & 0o777
            )));
        }
        Ok(())
    }

    /// The folder's path as labels carry it.
    pub(super) fn shown(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// The folder itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn sessions(&self) -> PathBuf {
        self.path.join("sessions")
    }

    /// Makes the folder of a session and takes its lock.
    pub(super) fn make_session(&self, token: &Token) -> Result<SessionFolder, Error> {
        let path = self.sessions().join(token.as_str());
        make_private(&path)?;
        let lock = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path.join(LOCK))
            .map_err(Error::io("make", &path.join(LOCK)))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(SessionFolder { path, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::AlreadyRunning { path }),
            Err(error) => Err(Error::io("lock", &path.join(LOCK))(error.into())),
        }
    }

    /// The tokens of all sessions that have a folder here, and whether their node half lives.
    pub(super) fn all_sessions(&self) -> Vec<(Token, bool)> {
        let Ok(entries) = std::fs::read_dir(self.sessions()) else {
            return Vec::new();
        };
        let tokens = entries
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().to_str()?.parse::<Token>().ok());
        tokens
            .map(|token| {
                let lives = self.lives(&token);
                (token, lives)
            })
            .collect()
    }

    /// Whether the node half of a session lives on this machine. In doubt it does.
    pub(super) fn lives(&self, token: &Token) -> bool {
        let path = self.sessions().join(token.as_str()).join(LOCK);
        match File::open(&path) {
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
            Ok(lock) => flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err(),
        }
    }

    /// Removes the folder of a session that is over.
    pub(super) fn remove_session(&self, token: &Token) -> Result<(), Error> {
        remove(&self.sessions().join(token.as_str()))
    }
}

impl SessionFolder {
    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it with all that is in it, lock included.
    pub(super) fn remove(self) -> Result<(), Error> {
        remove(&self.path)
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn make_private(path: &Path) -> Result<(), Error> {
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Error::io("make", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn token() -> Token {
        Token::random().unwrap()
    }

    #[test]
    fn a_held_session_lives_and_a_dropped_one_does_not() {
        let base = tempfile::tempdir().unwrap();
        let node_dir = NodeDir::open(base.path()).unwrap();
        let token = token();
        let held = node_dir.make_session(&token).unwrap();
        assert!(node_dir.lives(&token));
        assert!(matches!(
            node_dir.make_session(&token),
            Err(Error::AlreadyRunning { .. })
        ));
        drop(held);
        assert_eq!(node_dir.all_sessions(), [(token.clone(), false)]);
        node_dir.make_session(&token).unwrap().remove().unwrap();
        assert_eq!(node_dir.all_sessions(), []);
        assert!(!node_dir.lives(&token));
        node_dir.remove_session(&token).unwrap();
    }

    #[test]
    fn a_folder_that_is_a_link_or_open_to_others_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let uid = rustix::process::getuid().as_raw();
        let own = base.path().join(format!("qdebug-{uid}"));
        let elsewhere = base.path().join("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &own).unwrap();
        let error = NodeDir::open(base.path()).unwrap_err();
        assert!(matches!(error, Error::NodeDir { .. }), "{error}");

        std::fs::remove_file(&own).unwrap();
        std::fs::create_dir(&own).unwrap();
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = NodeDir::open(base.path()).unwrap_err();
        assert!(error.to_string().contains("755"), "{error}");
    }

    #[test]
    fn strange_names_among_the_sessions_are_passed_over() {
        let base = tempfile::tempdir().unwrap();
        let node_dir = NodeDir::open(base.path()).unwrap();
        std::fs::create_dir(node_dir.sessions().join("not a token")).unwrap();
        assert_eq!(node_dir.all_sessions(), []);
    }
}
