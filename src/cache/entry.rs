//! An entry: the key it is found by, and what is known of it.

use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Error;

/// The format of descriptions this qdebug writes, and the only one it reads.
pub(super) const FORMAT: u32 = 1;
/// Larger descriptions than this are none, in bytes.
pub(super) const SIZE_LIMIT: u64 = 64 << 10;

/// What an entry is found by: a digest of what was asked for. It becomes a file's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(String);

impl Key {
    /// The key of these words, in this order; no other words have it.
    pub fn of(words: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for word in words {
            hash.update((word.len() as u64).to_be_bytes());
            hash.update(word.as_bytes());
        }
        Self(hex(&hash.finalize()))
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits that people read, and that tags carry.
    pub fn short(&self) -> &str {
        self.0.get(..20).unwrap_or(&self.0)
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl TryFrom<String> for Key {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        match text.len() == 64 && text.bytes().all(digit) {
            true => Ok(Self(text)),
            false => Err("a key is 64 hexadecimal digits"),
        }
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the writer of an entry says of it; the cache hands it back and does not read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// What people call it.
    pub name: String,
    /// The id that the image had where it was saved.
    pub image: String,
    /// What the image is whatever engine has it, as a digest.
    pub fingerprint: String,
    /// The node that wrote it.
    pub node: String,
}

/// `<key>.json`: an entry is there when this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub(super) format: u32,
    /// Its key.
    pub key: Key,
    /// The file of its data.
    pub(super) data: String,
    /// The size of that file, in bytes.
    pub bytes: u64,
    /// The size of what comes out of it, in bytes.
    pub unpacked_bytes: u64,
    /// When it was written.
    pub created: Timestamp,
    /// What its writer says of it.
    pub about: About,
}

/// An entry in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The entry.
    pub entry: Entry,
    /// When it was last read or written, by the file system's clock.
    pub used: Timestamp,
}

impl Entry {
    /// Reads a description; it must be of this key and name a file of its own.
    pub(super) fn read(key: &Key, bytes: &[u8]) -> Result<Self, Error> {
        let damaged = |reason: String| Error::Damaged {
            key: key.short().to_owned(),
            reason,
        };
        let entry: Self =
            serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if entry.format != FORMAT || entry.key != *key {
            return Err(damaged("its description is another's".to_owned()));
        }
        if data_key(&entry.data).as_ref() != Some(key) {
            return Err(damaged("its description names another file".to_owned()));
        }
        Ok(entry)
    }
}

/// The key that a file of this name holds data of, if it is one.
pub(super) fn data_key(name: &str) -> Option<Key> {
    let stem = name.strip_suffix(".tar.zst")?;
    let (key, mark) = stem.split_once('-')?;
    let plain = mark.len() == 16 && mark.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| Key::try_from(key.to_owned()).ok())?
}

/// The key of the description at this path, if it is one.
pub(super) fn description_key(path: &Path) -> Option<Key> {
    let name = path.file_name()?.to_str()?;
    Key::try_from(name.strip_suffix(".json")?.to_owned()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_words_apart_and_nothing_else_is_one() {
        assert_ne!(Key::of(&["a", "bc"]), Key::of(&["ab", "c"]));
        assert_eq!(Key::of(&["a"]), Key::of(&["a"]));
        let key = Key::of(&["a"]);
        assert_eq!(Key::try_from(key.to_string()), Ok(key.clone()));
        for odd in ["", "../x", &key.to_string().to_uppercase(), &"g".repeat(64)] {
            assert!(Key::try_from(odd.to_owned()).is_err(), "{odd}");
        }
        let name = format!("{key}-{}.tar.zst", "0".repeat(16));
        assert_eq!(data_key(&name), Some(key));
        for odd in ["x.tar.zst", ".tar.zst", "../a-b.tar.zst"] {
            assert_eq!(data_key(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_description_must_be_its_own() {
        let (key, other) = (Key::of(&["a"]), Key::of(&["b"]));
        let mut entry = Entry {
            format: FORMAT,
            key: key.clone(),
            data: format!("{key}-{}.tar.zst", "1".repeat(16)),
            bytes: 1,
            unpacked_bytes: 2,
            created: Timestamp::UNIX_EPOCH,
            about: About {
                name: "debian".into(),
                image: "sha256:1".into(),
                fingerprint: "2".into(),
                node: "node1".into(),
            },
        };
        let text = |entry: &Entry| serde_json::to_vec(entry).unwrap();
        assert_eq!(Entry::read(&key, &text(&entry)).unwrap(), entry);
        assert!(Entry::read(&other, &text(&entry)).is_err());
        assert!(Entry::read(&key, b"{").is_err());
        entry.data = "../../etc/passwd".into();
        assert!(Entry::read(&key, &text(&entry)).is_err());
    }
}
