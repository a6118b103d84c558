//! Keys of people: reading and writing files of them, and those that are remembered beside the
//! sessions.

use std::path::Path;

use super::authorized_keys::{Import, PublicKey};
use super::file::{self, Error};
use super::store::{Store, make_private};

/// Reads an authorized_keys file; a missing one holds no key.
///
/// # Errors
/// [`Error`]; one that is larger than any of a person is not read.
pub fn read_keys(path: &Path) -> Result<Import, Error> {
    let bytes = file::read_bytes(path)?.unwrap_or_default();
    Ok(PublicKey::import(&String::from_utf8_lossy(&bytes)))
}

/// Writes an authorized_keys file.
pub(super) fn write_keys(path: &Path, keys: &[PublicKey]) -> Result<(), Error> {
    let text: String = keys.iter().map(|key| format!("{key}\n")).collect();
    file::replace(path, text.as_bytes(), 0o600)
}

/// The keys of laptops that have connected before, kept beside the sessions so that a later
/// session knows them from its start.
impl Store {
    /// The keys known.
    ///
    /// # Errors
    /// [`Error`].
    pub fn known_keys(&self) -> Result<Import, Error> {
        read_keys(&self.root.with_file_name("authorized_keys"))
    }

    /// Adds one, unless it is there.
    ///
    /// # Errors
    /// [`Error`].
    pub fn remember_key(&self, key: &PublicKey) -> Result<(), Error> {
        let mut keys = self.known_keys()?.keys;
        if keys.iter().any(|known| known.is_same_key(key)) {
            return Ok(());
        }
        keys.push(key.clone());
        make_private(&self.root)?;
        write_keys(&self.root.with_file_name("authorized_keys"), &keys)
    }
}
