//! Who prepares an entry just now, across nodes.
//!
//! A lock is a file that exists, made by `link`, which a server does once and whole. Its owner
//! writes into it again and again; one who waits reads it and breaks it when nothing in it has
//! changed for [`STALE`] by the waiter's own clock, or at once when the owner was a process of this
//! very machine that is gone. Breaking moves the file aside first, so that of two who break one
//! both see whose it was. The worst that a lost race does is that work is done twice: entries are
//! whole and looked at when they are read.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::entry::hex;
use super::folder::{gone, open, try_open};
use super::{Cache, Error, Key};
use crate::disk;

/// How often an owner says that it lives.
const BEAT: Duration = Duration::from_secs(5);
/// An owner that has said nothing for so long is dead: some beats may be lost to a busy server.
pub(super) const STALE: Duration = Duration::from_secs(30);
/// How long giving a lock back may take before it is left to grow stale.
const RELEASE_LIMIT: Duration = Duration::from_millis(500);
/// Larger locks than this are none of ours, in bytes.
const SIZE_LIMIT: u64 = 16 << 10;
/// How often a lock that goes away while it is looked at is tried anew.
const TRIES: u32 = 5;

/// Who holds a lock, as the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The node's name.
    pub node: String,
    /// What it is doing, for people.
    pub doing: String,
    /// Its process id there.
    pid: i32,
    /// The boot and the space that the process id counts in.
    place: String,
    /// What tells this lock from any other.
    token: String,
    /// Grows as long as it lives.
    beat: u64,
}

/// A wish to hold the lock of a key: what was seen of its present owner.
#[derive(Debug)]
pub struct Claim {
    folder: PathBuf,
    path: PathBuf,
    me: Owner,
    seen: Option<(Vec<u8>, Instant)>,
}

/// What came of an attempt.
#[derive(Debug)]
pub enum Attempt {
    /// The lock is this process's.
    Held(Lock),
    /// Somebody else has it and lives; `None` where the file does not say who.
    Other(Option<Owner>),
}

impl Cache {
    /// Wishes for the lock of a key, as a process of the node of that name.
    ///
    /// # Errors
    /// [`Error::Io`] without random numbers.
    pub fn claim(&self, key: &Key, node: &str) -> Result<Claim, Error> {
        let mut token = [0; 16];
        rustix::rand::getrandom(&mut token, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| Error::io("lock", self.path())(error.into()))?;
        Ok(Claim {
            folder: self.locks(),
            path: self.locks().join(format!("{key}.lock")),
            me: Owner {
                node: node.to_owned(),
                doing: String::new(),
                pid: rustix::process::getpid().as_raw_nonzero().get(),
                place: place(),
                token: hex(&token),
                beat: 0,
            },
            seen: None,
        })
    }

    /// The keys that somebody holds, dead or alive.
    pub(super) fn locked(&self) -> Result<BTreeSet<Key>, Error> {
        let locks = self.locks();
        let entries = fs::read_dir(&locks).map_err(Error::io("read", &locks))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names
            .filter_map(|name| Key::try_from(name.strip_suffix(".lock")?.to_owned()).ok())
            .collect())
    }
}

impl Claim {
    /// Tries to take the lock at this moment.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Io`].
    pub fn attempt(&mut self, now: Instant) -> Result<Attempt, Error> {
        for _ in 0..TRIES {
            if let Some(file) = self.take()? {
                return Ok(Attempt::Held(Lock::keep(
                    file,
                    self.path.clone(),
                    self.me.clone(),
                )));
            }
            let Some(bytes) = self.read(&self.path)? else {
                continue;
            };
            let owner: Option<Owner> = serde_json::from_slice(&bytes).ok();
            let dead = owner.as_ref().is_some_and(|owner| self.is_dead(owner));
            if !(dead || has_been_silent(&mut self.seen, &bytes, now)) {
                return Ok(Attempt::Other(owner));
            }
            tracing::info!(?owner, lock = %self.path.display(), "its owner is dead: breaking it");
            self.break_it(owner.as_ref(), &bytes)?;
            self.seen = None;
        }
        Ok(Attempt::Other(None))
    }

    /// Makes the lock, if there is none.
    fn take(&self) -> Result<Option<File>, Error> {
        let failed = |error| Error::io("lock", &self.path)(error);
        let text = serde_json::to_vec(&self.me).map_err(|error| failed(error.into()))?;
        let make = || {
            let mut file = tempfile::Builder::new()
                .prefix(".claim-")
                .tempfile_in(&self.folder)?;
            file.write_all(&text)?;
            file.as_file().sync_all()?;
            Ok(file)
        };
        let file = make().map_err(failed)?;
        let linked = match fs::hard_link(file.path(), &self.path) {
            Ok(()) => true,
            // The answer may be of a call that was repeated after it had been done.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                file.as_file().metadata().map_err(failed)?.nlink() == 2
            }
            // A file system without hard links; making a file anew is the next best.
            Err(error) if is_unsupported(&error) => {
                let made = fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .open(&self.path);
                match made {
                    Ok(mut made) => {
                        made.write_all(&text).map_err(failed)?;
                        return Ok(Some(made));
                    }
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
                    Err(error) => return Err(failed(error)),
                }
            }
            Err(error) => return Err(failed(error)),
        };
        if !linked {
            return Ok(None);
        }
        // The open file is the lock's; its first name goes.
        let (file, first) = file.into_parts();
        drop(first);
        Ok(Some(file))
    }

    /// Opened anew each time: that is what makes NFS ask the server.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        let read = disk::reread(|| {
            let Some(file) = try_open(path)? else {
                return Ok(None);
            };
            let mut bytes = Vec::new();
            file.take(SIZE_LIMIT).read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        });
        read.map_err(Error::io("read", path))
    }

    /// Whether the owner is a process of this machine that is gone.
    fn is_dead(&self, owner: &Owner) -> bool {
        let here = owner.node == self.me.node && owner.place == self.me.place;
        let pid = rustix::process::Pid::from_raw(owner.pid);
        here && pid.is_some_and(|pid| {
            rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
        })
    }

    /// Takes the lock away from the owner who was judged dead, and from no other.
    fn break_it(&self, judged: Option<&Owner>, bytes: &[u8]) -> Result<(), Error> {
        let aside = self.folder.join(format!(".broken-{}", self.me.token));
        match fs::rename(&self.path, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            moved => moved.map_err(Error::io("break", &self.path))?,
        }
        let there = self.read(&aside)?.unwrap_or_default();
        let same = match judged {
            Some(judged) => serde_json::from_slice::<Owner>(&there)
                .is_ok_and(|owner| owner.token == judged.token),
            None => there == bytes,
        };
        if !same {
            // Somebody was faster, and this is the lock of a living one: back with it.
            let _ = fs::hard_link(&aside, &self.path);
        }
        gone(&aside)
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    error.kind() == io::ErrorKind::Unsupported
        || [rustix::io::Errno::PERM, rustix::io::Errno::NOTSUP]
            .into_iter()
            .any(|known| code == Some(known.raw_os_error()))
}

/// Whether nothing has changed in a lock for as long as a living owner never is silent.
fn has_been_silent(seen: &mut Option<(Vec<u8>, Instant)>, bytes: &[u8], now: Instant) -> bool {
    match seen {
        Some((before, since)) if before == bytes => now.duration_since(*since) >= STALE,
        _ => {
            *seen = Some((bytes.to_owned(), now));
            false
        }
    }
}

/// What a process id must be read with: this boot, and this space of process ids.
fn place() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", boot.trim(), space.display())
}

/// A lock that this process holds until it is dropped.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    token: String,
    doing: Arc<Mutex<String>>,
    stop: Option<SyncSender<()>>,
    /// In a mutex, so that several may hold the lock in common.
    stopped: Mutex<Receiver<()>>,
}

impl Lock {
    fn keep(mut file: File, path: PathBuf, mut owner: Owner) -> Self {
        let doing = Arc::new(Mutex::new(String::new()));
        let (stop, stopping) = sync_channel::<()>(1);
        let (stopped_at, stopped) = sync_channel(1);
        let (says, at, token) = (Arc::clone(&doing), path.clone(), owner.token.clone());
        // A thread and no task: whoever prepares an image may keep the runtime busy.
        std::thread::spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopping.recv_timeout(BEAT) {
                owner.beat += 1;
                owner.doing = says.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Err(error) = rewrite(&mut file, &owner) {
                    tracing::warn!(%error, lock = %at.display(), "cannot say that we live");
                }
            }
            release(&at, &owner.token);
            let _ = stopped_at.send(());
        });
        Self {
            path,
            token,
            doing,
            stop: Some(stop),
            stopped: Mutex::new(stopped),
        }
    }

    /// Says what is being done, to those who wait; they hear of it within a beat.
    pub fn tell(&self, doing: &str) {
        let mut says = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        doing.clone_into(&mut says);
    }

    /// Whether nobody has broken it.
    pub fn is_ours(&self) -> bool {
        is_of(&self.path, &self.token)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.stop = None;
        // A file system that hangs must not hold up the end of a session.
        let stopped = self
            .stopped
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let _ = stopped.recv_timeout(RELEASE_LIMIT);
    }
}

fn rewrite(file: &mut File, owner: &Owner) -> io::Result<()> {
    let text = serde_json::to_vec(owner)?;
    file.rewind()?;
    file.write_all(&text)?;
    file.set_len(text.len() as u64)?;
    file.sync_data()
}

fn is_of(path: &Path, token: &str) -> bool {
    let Ok(Some(file)) = open(path) else {
        return false;
    };
    let owner: Result<Owner, _> = serde_json::from_reader(file.take(SIZE_LIMIT));
    owner.is_ok_and(|owner| owner.token == token)
}

fn release(path: &Path, token: &str) {
    if is_of(path, token)
        && let Err(error) = gone(path)
    {
        tracing::warn!(%error, "the lock stays until it is stale");
    }
}

#[cfg(test)]
#[path = "lock_tests.rs"]
mod tests;
