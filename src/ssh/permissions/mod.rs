//! What OpenSSH refuses because others may read or write it: of its client's configuration and
//! keys, and of what sshd reads of a user.
//!
//! | file | owns |
//! |---|---|
//! | `unix` | modes |
//! | `windows` | access lists, as PowerShell tells them |
//! | `descriptor` | a security descriptor as text, and what Win32-OpenSSH makes of it; pure |
//!
//! It finds; the words and the cures are the command line's.

#[cfg(any(windows, test))]
mod descriptor;
#[cfg(unix)]
mod unix;
#[cfg(any(windows, test))]
mod windows;

use std::io::Read as _;
use std::path::{Path, PathBuf};

#[cfg(unix)]
pub use unix::of_client;
#[cfg(target_os = "linux")]
pub use unix::of_server;
#[cfg(windows)]
pub use windows::of_client;

/// What ssh makes of the user's own files in `~/.ssh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFiles {
    /// It takes them.
    Closed {
        /// How many private keys there are.
        keys: usize,
    },
    /// Private keys that it does not use: "UNPROTECTED PRIVATE KEY FILE".
    OpenKeys(Vec<OpenFile>),
    /// A configuration with which it does not start: "Bad owner or permissions".
    OpenConfig(OpenFile),
    /// It cannot be told here.
    Unread {
        /// Why.
        reason: String,
    },
}

/// A file that others may use as ssh forbids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFile {
    /// The file.
    pub path: PathBuf,
    /// Who may.
    pub access: Access,
}

/// Who may use a file as ssh forbids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Unix: the file's group or all others.
    Mode,
    /// Windows: accounts whose owning or entries in the file's access list ssh does not take.
    Accounts {
        /// The user's own identifier (SID): `S-1-5-21-...`.
        user: String,
        /// The file's owner, where it is none that ssh takes.
        owner: Option<String>,
        /// Those in the list: identifiers, or what security descriptors abbreviate them to.
        others: Vec<String>,
        /// Whether there is no list at all, which lets everybody do anything.
        no_list: bool,
    },
}

/// What sshd, with `StrictModes`, makes of the files by which a user is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerFiles {
    /// It takes them.
    Closed,
    /// One is neither the user's nor root's.
    Foreign(PathBuf),
    /// Others may write to these.
    Open(Vec<PathBuf>),
}

/// The private keys below `~/.ssh`: what stands beside a `.pub`, and what says so itself.
fn private_keys(dot_ssh: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dot_ssh).into_iter().flatten().flatten();
    let mut keys: Vec<PathBuf> = files
        .map(|entry| entry.path())
        .filter_map(|path| match path.extension() {
            Some(end) if end == "pub" => Some(path.with_extension("")),
            _ => is_private_key(&path).then_some(path),
        })
        .filter(|path| path.is_file())
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Whether a file begins as all formats of private keys do: `-----BEGIN ... PRIVATE KEY-----`.
fn is_private_key(path: &Path) -> bool {
    let begin = || -> std::io::Result<Vec<u8>> {
        let mut begin = Vec::new();
        // Looked at before it is opened: a FIFO or a socket of an agent may lie there, too.
        if std::fs::metadata(path)?.is_file() {
            std::fs::File::open(path)?
                .take(80)
                .read_to_end(&mut begin)?;
        }
        Ok(begin)
    };
    let begin = begin().unwrap_or_default();
    let line = begin
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    line.starts_with(b"-----BEGIN ") && line.trim_ascii_end().ends_with(b"PRIVATE KEY-----")
}
