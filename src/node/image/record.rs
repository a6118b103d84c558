//! Which image this user got on this node for which wish, in the node's own folder.
//!
//! A name can be moved by anybody; what lies here is the user's alone. The file's time is when the
//! image was last used.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cache::Key;
use crate::disk;

/// The version of records; what another version wrote is not read.
const FORMAT: u32 = 1;
/// Larger files than this are none of ours, in bytes.
const SIZE_LIMIT: u64 = 64 << 10;

/// How an image came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Origin {
    /// From its registry.
    Pulled,
    /// From a recipe, or by a layer on top of another.
    Built,
    /// From the shared cache.
    Cached,
}

/// What was got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    format: u32,
    /// The wish.
    pub(super) key: Key,
    /// What people call it.
    pub(super) name: String,
    /// The image's id.
    pub(super) image: String,
    /// The name it got in the engine.
    pub(super) tag: String,
    /// How it came.
    pub(super) origin: Origin,
}

impl Record {
    pub(super) fn new(key: &Key, name: &str, image: &str, tag: &str, origin: Origin) -> Self {
        Self {
            format: FORMAT,
            key: key.clone(),
            name: name.to_owned(),
            image: image.to_owned(),
            tag: tag.to_owned(),
            origin,
        }
    }
}

/// The records of this user on this node.
#[derive(Debug, Clone)]
pub(super) struct Records {
    folder: PathBuf,
}

impl Records {
    /// Those in the node's own folder, which is private.
    pub(super) fn below(node_dir: &Path) -> Self {
        Self {
            folder: node_dir.join("obtained"),
        }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(format!("{key}.json"))
    }

    /// The record of a wish; reading it counts as use.
    pub(super) fn find(&self, key: &Key) -> Option<Record> {
        let path = self.path(key);
        let record = read(&path).filter(|record| record.key == *key)?;
        if let Ok(file) = std::fs::File::options().append(true).open(&path) {
            let _ = file.set_modified(SystemTime::now());
        }
        Some(record)
    }

    /// The wish that got an image here.
    pub(super) fn key_of_image(&self, id: &str) -> Option<Key> {
        let mut all = self.all().into_iter();
        all.find(|(record, _)| record.image == id)
            .map(|(record, _)| record.key)
    }

    /// Keeps a record. That it cannot be kept costs a later start some time and no more.
    pub(super) fn keep(&self, record: &Record) {
        let keep = || {
            disk::private_folder(&self.folder)?;
            let text = serde_json::to_vec_pretty(record)?;
            disk::replace(&self.path(&record.key), &text)
        };
        if let Err(error) = keep() {
            let folder = self.folder.display();
            tracing::warn!(%error, %folder, "cannot keep what was obtained");
        }
    }

    /// Forgets a wish.
    pub(super) fn forget(&self, key: &Key) {
        let _ = std::fs::remove_file(self.path(key));
    }

    /// All records, with their last use.
    pub(super) fn all(&self) -> Vec<(Record, Timestamp)> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let all = entries.filter_map(|entry| {
            let path = entry.ok()?.path();
            let record = read(&path)?;
            (path == self.path(&record.key)).then_some(())?;
            let used = path.metadata().ok()?.modified().ok()?;
            Some((record, Timestamp::try_from(used).ok()?))
        });
        all.collect()
    }
}

fn read(path: &Path) -> Option<Record> {
    let metadata = path.symlink_metadata().ok()?;
    if !metadata.is_file() || metadata.len() > SIZE_LIMIT {
        return None;
    }
    let record: Record = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (record.format == FORMAT).then_some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_by_its_wish_alone() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::below(folder.path());
        let (key, other) = (Key::of(&["a"]), Key::of(&["b"]));
        assert_eq!(records.find(&key), None);
        assert!(records.all().is_empty());
        let record = Record::new(&key, "a", "sha256:1", "qdebug-built:1", Origin::Built);
        records.keep(&record);
        assert_eq!(records.find(&key), Some(record.clone()));
        // Another's record under this name is none.
        std::fs::copy(records.path(&key), records.path(&other)).unwrap();
        assert_eq!(records.find(&other), None);
        assert_eq!(records.all().len(), 1);
        std::fs::write(records.path(&key), "{").unwrap();
        assert_eq!(records.find(&key), None);
        records.keep(&record);
        records.forget(&key);
        assert!(records.all().is_empty());
    }
}
