//! The node's own folder: what must lie on the node itself, and who is alive.
//!
//! `<base>/qdebug-<uid>/`, 0700, ours and no link: `/var/tmp` is open to everybody, so a folder
//! that somebody else laid there first is refused. Each session has a folder of its own in it, with
//! a lock that its node half holds as long as it lives: the kernel lets go of it whatever happens,
//! so a lock that can be taken is a node half that is dead.
//!
//! A path is not one folder: where each job has a `/var/tmp` of its own (Slurm's job_container/tmpfs,
//! pam_namespace) the same path is another folder in every job, while the engine is everybody's. So
//! a container carries the folder's [`identity`](NodeDir::identity) too, and a folder says nothing
//! about a container of another.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};

use super::Error;
use crate::disk;
use crate::engine::ContainerId;
use crate::session::Token;

/// Where it lies unless the site says otherwise. Never TMPDIR or a job's private /tmp, which the
/// engine may not see.
pub(super) const DEFAULT_BASE: &str = "/var/tmp";

const LOCK: &str = "lock";
/// Names the session's container: what a node half that died, or did not reach its engine any more, has
/// left is found by it even when the engine has forgotten it.
const CONTAINER: &str = "container";
/// No id is longer, in bytes.
const ID_LIMIT: u64 = 128;

/// How often, and how far apart, the lock of a session's folder is tried: a sweep that looks at it
/// has it for microseconds.
const LOCK_TRIES: u32 = 30;
const LOCK_PACE: Duration = Duration::from_millis(10);

/// The node's own folder of this user.
#[derive(Debug, Clone)]
pub(super) struct NodeDir {
    path: PathBuf,
    identity: String,
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
        let mut own = Self {
            path,
            identity: String::new(),
        };
        for folder in [own.path.clone(), own.sessions()] {
            make_private(&folder)?;
            disk::own_folder(&folder).map_err(|reason| Error::NodeDir {
                path: folder,
                reason,
            })?;
        }
        let about = own.path.symlink_metadata();
        own.identity = identity_of(&about.map_err(Error::io("read", &own.path))?);
        Ok(own)
    }

    /// The folder's path as labels carry it.
    pub(super) fn shown(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// Which folder it is, whatever its path: as labels carry it.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// The folder itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn sessions(&self) -> PathBuf {
        self.path.join("sessions")
    }

    /// Makes the folder of a session and takes its lock. A sweep may look at the folder in this
    /// very moment, or take it for a dead one's between its making and its locking: then again.
    pub(super) fn make_session(&self, token: &Token) -> Result<SessionFolder, Error> {
        let path = self.sessions().join(token.as_str());
        for _ in 0..LOCK_TRIES {
            make_private(&path)?;
            match hold(&path) {
                Ok(Some(lock)) => return Ok(SessionFolder { path, _lock: lock }),
                Ok(None) => {}
                Err(error) => {
                    // On a full disk the folder may find room that its lock does not.
                    let _ = std::fs::remove_dir(&path);
                    return Err(error);
                }
            }
            std::thread::sleep(LOCK_PACE);
        }
        Err(Error::AlreadyRunning { path })
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
            Err(error) => error.kind() != ErrorKind::NotFound,
            Ok(lock) => flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err(),
        }
    }

    /// Takes the folder of a session whose node half is dead, where it is there to take: nobody begins
    /// to live in it meanwhile.
    pub(super) fn take_dead(&self, token: &Token) -> Result<Option<SessionFolder>, Error> {
        let path = self.sessions().join(token.as_str());
        let held = hold(&path)?;
        Ok(held.map(|lock| SessionFolder { path, _lock: lock }))
    }
}

impl SessionFolder {
    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes the container that the session has now.
    pub(super) fn note_container(&self, id: &ContainerId) -> std::io::Result<()> {
        std::fs::write(self.path.join(CONTAINER), id.as_str())
    }

    /// The container that was noted last.
    pub(super) fn noted_container(&self) -> Option<ContainerId> {
        let mut text = String::new();
        let file = File::open(self.path.join(CONTAINER)).ok()?;
        file.take(ID_LIMIT).read_to_string(&mut text).ok()?;
        ContainerId::new(text)
    }

    /// Removes it with all that is in it, lock included.
    pub(super) fn remove(self) -> Result<(), Error> {
        remove(&self.path)
    }
}

/// Device, number on it, and when the folder was made, where the system tells: numbers are given
/// again to what is made after something was removed. It holds as long as the node runs; after that
/// there is no container that runs either.
fn identity_of(about: &std::fs::Metadata) -> String {
    let made = about.created().ok();
    let made = made.and_then(|made| made.duration_since(std::time::UNIX_EPOCH).ok());
    let made = made.unwrap_or_default().as_nanos();
    format!("{:x}:{:x}:{made:x}", about.dev(), about.ino())
}

/// Takes the lock of a session's folder; `None` when somebody has it, or the folder went.
fn hold(path: &Path) -> Result<Option<File>, Error> {
    let lock = path.join(LOCK);
    let opened = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&lock);
    let file = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(Error::io("make", &lock))?,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(Error::io("lock", &lock)(error.into())),
    }
    // What was locked may have been removed just before.
    let own = file.metadata().map_err(Error::io("lock", &lock))?;
    let there = lock
        .symlink_metadata()
        .is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino()));
    Ok(there.then_some(file))
}

/// Removes a folder with all that is in it. Somebody who tries its lock meanwhile may put one into
/// it anew: then again.
fn remove(path: &Path) -> Result<(), Error> {
    for _ in 1..LOCK_TRIES {
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                std::thread::sleep(LOCK_PACE);
            }
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::io("remove", path)(error));
            }
            _ => return Ok(()),
        }
    }
    std::fs::remove_dir_all(path).map_err(Error::io("remove", path))
}

fn make_private(path: &Path) -> Result<(), Error> {
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
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
        assert!(node_dir.take_dead(&token).unwrap().is_none());
    }

    #[test]
    fn a_folder_is_known_by_more_than_its_path() {
        let base = tempfile::tempdir().unwrap();
        let one = NodeDir::open(base.path()).unwrap();
        let again = NodeDir::open(base.path()).unwrap();
        assert_eq!(one.identity(), again.identity());
        // What is in it changes nothing.
        let _held = one.make_session(&token()).unwrap();
        let again = NodeDir::open(base.path()).unwrap();
        assert_eq!(one.identity(), again.identity());
        // As another job sees it whose /var/tmp is its own.
        std::fs::rename(one.path(), base.path().join("aside")).unwrap();
        let other = NodeDir::open(base.path()).unwrap();
        assert_eq!(one.path(), other.path());
        assert_ne!(one.identity(), other.identity());
    }

    #[test]
    fn the_container_of_a_dead_session_is_known() {
        let base = tempfile::tempdir().unwrap();
        let node_dir = NodeDir::open(base.path()).unwrap();
        let token = token();
        let held = node_dir.make_session(&token).unwrap();
        assert_eq!(held.noted_container(), None);
        let id = ContainerId::of_test(&"0a".repeat(32));
        held.note_container(&ContainerId::of_test("0123456789ab"))
            .unwrap();
        held.note_container(&id).unwrap();
        drop(held);
        let taken = node_dir.take_dead(&token).unwrap().unwrap();
        assert_eq!(taken.noted_container(), Some(id));
        for odd in ["", "../../etc", &"0".repeat(4096)] {
            std::fs::write(taken.path().join(CONTAINER), odd).unwrap();
            assert_eq!(taken.noted_container(), None, "{odd}");
        }
    }

    #[test]
    fn what_lives_is_not_removed_and_a_folder_without_a_lock_is() {
        let base = tempfile::tempdir().unwrap();
        let node_dir = NodeDir::open(base.path()).unwrap();
        let (held, dead) = (token(), token());
        let _held = node_dir.make_session(&held).unwrap();
        std::fs::create_dir(node_dir.sessions().join(dead.as_str())).unwrap();
        assert!(node_dir.take_dead(&held).unwrap().is_none());
        node_dir
            .take_dead(&dead)
            .unwrap()
            .unwrap()
            .remove()
            .unwrap();
        assert_eq!(node_dir.all_sessions(), [(held, true)]);
    }

    /// Two sessions that begin on one node at once: the sweep of one must not take the folder of
    /// the other.
    #[test]
    fn sweeps_take_no_folder_that_is_being_made() {
        let base = tempfile::tempdir().unwrap();
        let node_dir = NodeDir::open(base.path()).unwrap();
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(std::sync::atomic::Ordering::Relaxed) {
                        for (token, lives) in node_dir.all_sessions() {
                            if !lives && let Ok(Some(dead)) = node_dir.take_dead(&token) {
                                let _ = dead.remove();
                            }
                        }
                    }
                });
            }
            for _ in 0..300 {
                let token = token();
                let held = node_dir.make_session(&token).unwrap();
                let there = held.path().join(LOCK).exists() && node_dir.lives(&token);
                if !there || held.remove().is_err() {
                    over.store(true, std::sync::atomic::Ordering::Relaxed);
                    panic!("a sweep took the folder");
                }
            }
            over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
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
