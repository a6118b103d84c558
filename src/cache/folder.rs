//! The cache's folder: opened safely, searched, listed.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rustix::fs::OFlags;

use super::entry::{self, Entry, Key, Listed};
use super::{Error, Reader};
use crate::disk;

/// What is left of writers that died is removed when it has not changed for so long.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

/// The cache of one user in one folder.
#[derive(Debug, Clone)]
pub struct Cache {
    path: PathBuf,
    limit: u64,
}

impl Cache {
    /// The cache below `base`, `qdebug-<uid>/`, made where needed and checked to be this user's
    /// alone; `limit` bytes at most.
    ///
    /// # Errors
    /// [`Error::Unfit`] says what is wrong with the folder; [`Error::Io`], [`Error::Full`].
    pub fn open(base: &Path, limit: u64) -> Result<Self, Error> {
        let uid = rustix::process::getuid().as_raw();
        let path = base.join(format!("qdebug-{uid}"));
        let own = Self { path, limit };
        for folder in [own.path.clone(), own.locks()] {
            disk::private_folder(&folder).map_err(Error::io("make", &folder))?;
            disk::own_folder(&folder).map_err(|reason| Error::Unfit {
                path: folder,
                reason,
            })?;
        }
        Ok(own)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How much it may hold, in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn locks(&self) -> PathBuf {
        self.path.join("locks")
    }

    pub(super) fn description(&self, key: &Key) -> PathBuf {
        self.path.join(format!("{key}.json"))
    }

    /// The entry of a key; `None` where there is none, or none that can be read: such a one is
    /// removed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn find(&self, key: &Key) -> Result<Option<Entry>, Error> {
        match self.look(key) {
            Err(error @ Error::Damaged { .. }) => {
                tracing::warn!(%error, "removing it");
                self.remove(key)?;
                Ok(None)
            }
            found => Ok(found?.map(|listed| listed.entry)),
        }
    }

    fn look(&self, key: &Key) -> Result<Option<Listed>, Error> {
        let path = self.description(key);
        let Some(file) = open(&path)? else {
            return Ok(None);
        };
        let metadata = file.metadata().map_err(Error::io("read", &path))?;
        let mut bytes = Vec::new();
        let reading = file.take(entry::SIZE_LIMIT).read_to_end(&mut bytes);
        reading.map_err(Error::io("read", &path))?;
        let entry = Entry::read(key, &bytes)?;
        let data = self.path.join(&entry.data);
        let damaged = |reason: &str| Error::Damaged {
            key: key.short().to_owned(),
            reason: reason.to_owned(),
        };
        match data.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged("its data is not there"));
            }
            data_is => {
                let data_is = data_is.map_err(Error::io("read", &data))?;
                if !data_is.is_file() || data_is.len() != entry.bytes {
                    return Err(damaged("its data has another size than it should"));
                }
            }
        }
        let used = metadata.modified().map_err(Error::io("read", &path))?;
        Ok(Some(Listed {
            entry,
            used: timestamp(used),
        }))
    }

    /// The data of an entry, to be read to its end. This counts as its use.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it went meanwhile; [`Error::Io`].
    pub fn read(&self, entry: &Entry) -> Result<Reader, Error> {
        let path = self.path.join(&entry.data);
        let Some(file) = open(&path)? else {
            return Err(Error::Damaged {
                key: entry.key.short().to_owned(),
                reason: "its data is not there".to_owned(),
            });
        };
        if let Ok(Some(description)) = open(&self.description(&entry.key)) {
            let now = rustix::fs::Timestamps {
                last_access: now_of_server(),
                last_modification: now_of_server(),
            };
            // A cache that cannot be written to can still be read.
            let _ = rustix::fs::futimens(&description, &now);
        }
        Reader::new(file, &path)
    }

    /// Removes an entry; one that is not there is no error.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove(&self, key: &Key) -> Result<(), Error> {
        // The description first: without it nobody looks for the data.
        gone(&self.description(key))?;
        for name in self.names()? {
            if entry::data_key(&name).as_ref() == Some(key) {
                gone(&self.path.join(name))?;
            }
        }
        Ok(())
    }

    /// Removes the data of a key but for the one file.
    pub(super) fn remove_other_data(&self, key: &Key, kept: &str) -> Result<(), Error> {
        for name in self.names()? {
            if name != kept && entry::data_key(&name).as_ref() == Some(key) {
                gone(&self.path.join(name))?;
            }
        }
        Ok(())
    }

    /// All entries, those used last first; what cannot be read is left out.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        let mut all = Vec::new();
        for name in self.names()? {
            let Some(key) = entry::description_key(Path::new(&name)) else {
                continue;
            };
            match self.look(&key) {
                Ok(found) => all.extend(found),
                Err(error) => tracing::warn!(%error, "left out"),
            }
        }
        all.sort_by_key(|listed| std::cmp::Reverse(listed.used));
        Ok(all)
    }

    pub(super) fn names(&self) -> Result<Vec<String>, Error> {
        let entries = fs::read_dir(&self.path).map_err(Error::io("read", &self.path))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.collect())
    }

    /// What dead writers left: data without a description, and files that never got their name.
    /// Returns the bytes that were freed.
    pub(super) fn remove_leftovers(&self) -> Result<u64, Error> {
        let now = self.now()?;
        let mut described: BTreeMap<String, ()> = BTreeMap::new();
        let names = self.names()?;
        for key in names
            .iter()
            .filter_map(|n| entry::description_key(Path::new(n)))
        {
            if let Ok(Some(listed)) = self.look(&key) {
                described.insert(listed.entry.data, ());
            }
        }
        let locks = fs::read_dir(self.locks()).map_err(Error::io("read", &self.locks()))?;
        let hidden_locks = locks
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.file_name()
                    .is_some_and(|n| n.as_encoded_bytes()[0] == b'.')
            });
        let nameless = names
            .iter()
            .filter(|name| {
                let orphan = entry::data_key(name).is_some() && !described.contains_key(*name);
                name.starts_with('.') || orphan
            })
            .map(|name| self.path.join(name));
        let mut freed = 0;
        for path in nameless.chain(hidden_locks) {
            let Ok(metadata) = path.symlink_metadata() else {
                continue;
            };
            let age = metadata
                .modified()
                .ok()
                .and_then(|at| now.duration_since(at).ok());
            if metadata.is_file() && age.is_some_and(|age| age >= LEFTOVER_AGE) {
                gone(&path)?;
                freed += metadata.len();
            }
        }
        Ok(freed)
    }

    /// The time by the file system's own clock.
    pub(super) fn now(&self) -> Result<SystemTime, Error> {
        let file = tempfile::Builder::new()
            .prefix(".now-")
            .tempfile_in(&self.path);
        let modified = file.and_then(|file| file.as_file().metadata()?.modified());
        modified.map_err(Error::io("write", &self.path))
    }
}

fn now_of_server() -> rustix::fs::Timespec {
    rustix::fs::Timespec {
        tv_sec: 0,
        tv_nsec: rustix::fs::UTIME_NOW,
    }
}

/// Opens a file of ours; `None` where there is none.
pub(super) fn open(path: &Path) -> Result<Option<File>, Error> {
    disk::reread(|| try_open(path)).map_err(Error::io("open", path))
}

/// The same with what the system says.
pub(super) fn try_open(path: &Path) -> io::Result<Option<File>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// Removes a file; one that is not there is no error.
pub(super) fn gone(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

pub(super) fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH)
}
