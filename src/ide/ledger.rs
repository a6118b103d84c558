//! What qdebug has written into IDEs' files on this machine: `ide/ledger.json` in its state folder.
//!
//! One record for each file: what lay there before us, what we left, and which sessions it serves.
//! It is read as hostile: a path is absolute, a name is one of ours, everything bounded.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::target::is_alias;
use super::{Error, launch, pycharm, vscode};
use crate::disk;

/// The format of the ledger; changes are additive.
///
/// 1: the first.
const FORMAT: u32 = 1;

/// The largest ledger that is read, in bytes: that of a few hundred sessions.
const MAX_SIZE: u64 = 1 << 20;

/// What an entry is in its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum What {
    /// A host in a `settings.json` of VS Code's family.
    VscodeSettings,
    /// A configuration of a `launch.json`, by its name there.
    Launch {
        /// The name.
        name: String,
    },
    /// An SSH configuration of JetBrains' IDEs.
    SshConfig,
    /// A server for deployment of JetBrains' IDEs.
    WebServer,
    /// A project's mapping of folders.
    Deployment,
    /// Something of a newer qdebug.
    #[serde(other)]
    Other,
}

/// One thing that was written for a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The session, as ssh is told it.
    pub alias: String,
    /// The IDE's word.
    pub ide: String,
    /// What it is.
    #[serde(flatten)]
    pub what: What,
}

impl Entry {
    /// An entry.
    pub fn new(alias: &str, ide: &str, what: What) -> Self {
        Self {
            alias: alias.to_owned(),
            ide: ide.to_owned(),
            what,
        }
    }

    /// A file's text without it.
    ///
    /// # Errors
    /// Why it cannot be taken out, in words that fit behind the file's path.
    pub(super) fn without(&self, text: &str) -> Result<String, String> {
        match &self.what {
            What::VscodeSettings => vscode::without_host(text, &self.alias),
            What::Launch { name } => launch::without_configuration(text, name),
            What::SshConfig => pycharm::without_ssh_config(text, &self.alias),
            What::WebServer => pycharm::without_web_server(text, &self.alias),
            What::Deployment => pycharm::without_deployment(text, &self.alias),
            What::Other => Err("a newer qdebug wrote it".to_owned()),
        }
    }
}

/// A file of an IDE's, and our part in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The file.
    pub(super) path: PathBuf,
    /// The name of the copy of what it would be without us; `None` when it would not be.
    pub(super) before: Option<String>,
    /// The hash of what we left there last.
    pub(super) written: String,
    /// Folders that we made for it.
    #[serde(default)]
    pub(super) folders: Vec<PathBuf>,
    /// What is ours in it.
    pub(super) entries: Vec<Entry>,
}

/// All of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Ledger {
    format: u32,
    #[serde(default)]
    written_by: String,
    pub(super) files: Vec<Record>,
}

impl Ledger {
    /// Reads it; one that is not there is empty.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
            #[serde(default)]
            written_by: String,
        }
        let broken = |detail: String| Error::Ledger {
            path: path.display().to_string(),
            detail,
        };
        let Some(bytes) = super::book::read(path, MAX_SIZE)? else {
            return Ok(Self::default());
        };
        let head: Head =
            serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
        if head.format > FORMAT {
            let writer: String = head.written_by.chars().take(40).collect();
            let (format, writer) = (head.format, writer.escape_debug());
            return Err(broken(format!(
                "qdebug {writer} wrote it (format {format})"
            )));
        }
        let ledger: Self =
            serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
        match ledger.files.iter().find(|record| !record.is_sound()) {
            Some(odd) => Err(broken(format!("an odd record of {:?}", odd.path))),
            None => Ok(ledger),
        }
    }

    /// Writes it, or removes it when there is nothing to tell.
    pub(super) fn write(&mut self, path: &Path) -> Result<(), Error> {
        if self.files.is_empty() {
            return match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::file("remove", path)(error))
                }
                _ => Ok(()),
            };
        }
        self.format = FORMAT;
        self.written_by = env!("CARGO_PKG_VERSION").to_owned();
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|error| Error::Ledger {
            path: path.display().to_string(),
            detail: error.to_string(),
        })?;
        bytes.push(b'\n');
        disk::replace(path, &bytes).map_err(Error::file("write", path))
    }
}

impl Record {
    fn is_sound(&self) -> bool {
        let is_hash =
            |text: &String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_plain = |path: &PathBuf| {
            let up = |part| matches!(part, std::path::Component::ParentDir);
            path.is_absolute() && !path.components().any(up)
        };
        is_plain(&self.path)
            && self.folders.iter().all(is_plain)
            && is_hash(&self.written)
            && self.before.as_ref().is_none_or(is_hash)
            && self.entries.iter().all(|entry| is_alias(&entry.alias))
    }

    /// Its bytes without any entry of ours.
    pub(super) fn without_all(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut text = text(bytes)?.to_owned();
        for entry in &self.entries {
            text = entry.without(&text)?;
        }
        Ok(text.into_bytes())
    }
}

/// Bytes as text.
pub(super) fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| error.to_string())
}

/// The hash of some bytes, in hexadecimal digits.
pub(super) fn hash(bytes: &[u8]) -> String {
    let digits = Sha256::digest(bytes);
    digits.iter().map(|byte| format!("{byte:02x}")).collect()
}
