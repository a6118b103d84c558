//! Changing files of IDEs so that it can be undone: every change goes through the book, which keeps
//! what was there before and takes our part out again.
//!
//! A file that nobody else has changed since is put back byte for byte; of another one only what is
//! ours is taken out. The book is written before the file, so that whatever breaks in between, it
//! knows of more than there is and never of less. Programs that write the same files at the same
//! moment cannot be kept out: each change is one rename of the whole.

use std::cmp::Reverse;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use super::ledger::{Entry, Ledger, Record, hash, text};
use crate::disk;

/// How long a second qdebug that holds the book is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest file of an IDE's that is changed, in bytes.
const MAX_SIZE: u64 = 16 << 20;

/// What is written, held against other qdebugs.
#[derive(Debug)]
pub struct Book {
    folder: PathBuf,
    ledger: Ledger,
    _lock: disk::Lock,
}

/// What has become of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// Where a copy of it without our part lies, if there would be one.
    pub backup: Option<PathBuf>,
    /// Whether it had to be changed now.
    pub changed: bool,
}

/// An entry in its file, as `ide list` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The file.
    pub path: PathBuf,
    /// What is in it.
    pub entry: Entry,
}

/// What a cleaning has done.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// What was taken away.
    pub gone: Vec<Listed>,
    /// Files that are as they were before, byte for byte.
    pub restored: Vec<PathBuf>,
    /// What had to stay, and why.
    pub left: Vec<Error>,
}

impl Book {
    /// Opens the book that lies in `folder`, and holds it.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Ledger`], [`Error::File`].
    pub async fn open(folder: &Path) -> Result<Self, Error> {
        disk::private_folder(folder).map_err(Error::file("make", folder))?;
        let path = folder.join("lock");
        let lock = disk::Lock::take(&path, PATIENCE).await;
        let lock = lock.map_err(Error::file("lock", &path))?;
        let lock = lock.ok_or_else(|| Error::Busy {
            path: path.display().to_string(),
        })?;
        Ok(Self {
            ledger: Ledger::read(&folder.join("ledger.json"))?,
            folder: folder.to_owned(),
            _lock: lock,
        })
    }

    /// Everything that is written.
    pub fn entries(&self) -> Vec<Listed> {
        let of_file = |record: &Record| {
            let path = record.path.clone();
            let entries = record.entries.clone().into_iter();
            entries.map(move |entry| Listed {
                path: path.clone(),
                entry,
            })
        };
        self.ledger.files.iter().flat_map(of_file).collect()
    }

    /// Puts an entry into a file: `with` makes the new text of the old one. A text that it leaves as
    /// it is has the entry already.
    ///
    /// # Errors
    /// [`Error`]; the file is then as it was.
    pub fn put(
        &mut self,
        path: &Path,
        entry: Entry,
        with: impl FnOnce(&str) -> Result<String, String>,
    ) -> Result<Written, Error> {
        let path = &std::path::absolute(path).map_err(Error::file("find", path))?;
        let content = |detail| Error::content(path)(detail);
        let old = read(path, MAX_SIZE)?;
        let old_bytes = old.as_deref().unwrap_or_default();
        let old_text = text(old_bytes).map_err(content)?;
        let new = with(old_text).map_err(content)?;
        let at = self.ledger.files.iter().position(|one| one.path == *path);
        if new == old_text && old.is_some() {
            let known = at.and_then(|at| self.ledger.files.get(at));
            let backup = known.and_then(|record| self.backup(record));
            return Ok(Written {
                path: path.clone(),
                backup,
                changed: false,
            });
        }
        let mut record = match at {
            Some(at) => self.ledger.files.remove(at),
            None => Record {
                path: path.clone(),
                before: None,
                written: String::new(),
                folders: missing_folders(path),
                entries: Vec::new(),
            },
        };
        if record.written != hash(old_bytes) || old.is_none() {
            // Somebody else has written since, or nobody of us yet.
            let before = match &old {
                None => None,
                Some(bytes) => Some(record.without_all(bytes).map_err(content)?),
            };
            self.keep(&mut record, before.as_deref())?;
        }
        record.entries.retain(|other| *other != entry);
        record.entries.push(entry);
        record.written = hash(new.as_bytes());
        let backup = self.backup(&record);
        self.ledger.files.push(record);
        self.save()?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::file("make", folder))?;
        }
        disk::replace(path, new.as_bytes()).map_err(Error::file("write", path))?;
        Ok(Written {
            path: path.clone(),
            backup,
            changed: true,
        })
    }

    /// Takes away all entries for which `is_meant` holds; `may` says whether a file may be touched
    /// now. What cannot be taken away is told and stays in the book.
    ///
    /// # Errors
    /// [`Error`] of the book itself.
    pub fn clean(
        &mut self,
        is_meant: impl Fn(&Entry) -> bool,
        may: impl Fn(&Path, &Entry) -> Result<(), Error>,
    ) -> Result<Cleaned, Error> {
        let mut cleaned = Cleaned::default();
        let mut folders = Vec::new();
        for mut record in std::mem::take(&mut self.ledger.files) {
            let (going, staying): (Vec<Entry>, Vec<Entry>) = record
                .entries
                .iter()
                .cloned()
                .partition(|entry| is_meant(entry));
            let result = match going.first() {
                None => Ok(false),
                Some(first) => may(&record.path, first)
                    .and_then(|()| self.take_out(&mut record, &going, staying)),
            };
            match result {
                Ok(restored) => {
                    let path = &record.path;
                    let gone = going.into_iter().map(|entry| Listed {
                        path: path.clone(),
                        entry,
                    });
                    cleaned.gone.extend(gone);
                    if restored {
                        cleaned.restored.push(path.clone());
                    }
                }
                Err(error) => cleaned.left.push(error),
            }
            if !record.entries.is_empty() {
                self.ledger.files.push(record);
            } else if !record.path.exists() {
                folders.extend(record.folders);
            }
        }
        self.remove_folders(folders);
        self.save()?;
        Ok(cleaned)
    }

    /// Takes entries out of a file; whether it is now what it was before us.
    fn take_out(
        &mut self,
        record: &mut Record,
        going: &[Entry],
        staying: Vec<Entry>,
    ) -> Result<bool, Error> {
        let path = record.path.clone();
        let content = |detail| Error::content(&path)(detail);
        let Some(now) = read(&path, MAX_SIZE)? else {
            record.entries.clear();
            return Ok(false);
        };
        let is_ours = hash(&now) == record.written;
        if is_ours && staying.is_empty() {
            let before = match self.backup(record) {
                None => None,
                Some(backup) => read(&backup, MAX_SIZE)?,
            };
            match (before, &record.before) {
                (Some(before), _) => {
                    disk::replace(&path, &before).map_err(Error::file("write", &path))?;
                    record.entries.clear();
                    return Ok(true);
                }
                (None, None) => {
                    fs::remove_file(&path).map_err(Error::file("remove", &path))?;
                    record.entries.clear();
                    return Ok(true);
                }
                // The copy is gone: as if somebody had changed the file.
                (None, Some(_)) => {}
            }
        }
        let mut new = text(&now).map_err(content)?.to_owned();
        for entry in going {
            new = entry.without(&new).map_err(content)?;
        }
        if new.as_bytes() != now {
            disk::replace(&path, new.as_bytes()).map_err(Error::file("write", &path))?;
        }
        record.entries = staying;
        if !is_ours && !record.entries.is_empty() {
            let before = record.without_all(new.as_bytes()).map_err(content)?;
            self.keep(record, Some(&before))?;
        }
        record.written = hash(new.as_bytes());
        Ok(false)
    }

    /// Removes folders that were made for files which are gone. One that others use by now stays; one
    /// that another file of the book lies in goes with that.
    fn remove_folders(&mut self, mut folders: Vec<PathBuf>) {
        folders.sort_by_key(|folder| Reverse(folder.components().count()));
        for folder in folders {
            if fs::remove_dir(&folder).is_ok() {
                continue;
            }
            let mut records = self.ledger.files.iter_mut();
            let heir = records.find(|record| record.path.starts_with(&folder));
            if let Some(heir) = heir.filter(|heir| !heir.folders.contains(&folder)) {
                heir.folders.push(folder);
            }
        }
    }

    /// Keeps what a file would be without us.
    fn keep(&self, record: &mut Record, before: Option<&[u8]>) -> Result<(), Error> {
        record.before = before.map(hash);
        if let (Some(path), Some(bytes)) = (self.backup(record), before) {
            disk::replace(&path, bytes).map_err(Error::file("write", &path))?;
        }
        Ok(())
    }

    /// Where the copy of a file lies.
    fn backup(&self, record: &Record) -> Option<PathBuf> {
        let name = record.before.as_ref()?;
        Some(self.folder.join(format!("{name}.before")))
    }

    /// Writes the book, and drops copies that nothing needs any more.
    fn save(&mut self) -> Result<(), Error> {
        self.ledger.write(&self.folder.join("ledger.json"))?;
        let needed = |name: &str| {
            let mut records = self.ledger.files.iter();
            records.any(|record| record.before.as_deref() == Some(name))
        };
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let copy = name.to_str().and_then(|name| name.strip_suffix(".before"));
            if copy.is_some_and(|copy| !needed(copy)) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

/// The folders that have to be made for a file.
fn missing_folders(path: &Path) -> Vec<PathBuf> {
    let folders = path.ancestors().skip(1);
    let missing = folders.take_while(|folder| !folder.exists());
    missing.map(Path::to_owned).collect()
}

/// Reads a regular file of bounded size; `None` when it is not there.
pub(super) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let read = || -> io::Result<Vec<u8>> {
        // Looked at before it is opened: a FIFO in its place would hold us up.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut bytes = Vec::new();
        fs::File::open(path)?
            .take(limit + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::other("it is too large"));
        }
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("read", path)(error)),
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
pub(super) mod tests;
