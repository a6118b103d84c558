//! Where sessions lie: one directory each, found by name or by job id.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::directory::SessionDir;
use super::file::{self, Error};
use super::request::{Job, Request};
use super::{SessionName, Token};

/// How the name of a session's directory begins until its request is in it.
const HALF_MADE: &[u8] = b".new-";
/// Far longer than any submit takes for that.
const HALF_MADE_FOR: Duration = Duration::from_secs(3600);

/// How long the files of a session that has ended are kept.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// How many old ones a submit removes at most: it must not take long.
const SWEPT_AT_ONCE: usize = 20;

/// All sessions of one user: `<QDEBUG_HOME>/sessions`.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) root: PathBuf,
}

impl Store {
    /// The store below qdebug's home on the cluster, such as `~/.qdebug`.
    pub fn below(home: &Path) -> Self {
        Self {
            root: home.join("sessions"),
        }
    }

    /// Where a session of that name lies, or would lie.
    pub fn place(&self, name: &SessionName) -> PathBuf {
        self.root.join(name.as_str())
    }

    /// Makes the directory of a new session with its request in it, by one rename: a submit that
    /// dies halfway leaves no name that is taken by nothing.
    ///
    /// # Errors
    /// [`Error::Exists`] when the name is taken, else what the file system said.
    pub fn create(&self, request: &Request) -> Result<SessionDir, Error> {
        make_private(&self.root)?;
        self.sweep_half_made();
        self.sweep_ended();
        let path = self.place(&request.name);
        let made = self.root.join(format!(".new-{}", request.token.as_str()));
        make_directory(&made).map_err(Error::io("create", &made))?;
        let create = || {
            file::write(&made.join("request.json"), request)?;
            // A directory may be renamed onto an empty one, and onto no other.
            fs::rename(&made, &path).map_err(|error| match error.kind() {
                ErrorKind::DirectoryNotEmpty
                | ErrorKind::AlreadyExists
                | ErrorKind::NotADirectory => Error::Exists {
                    name: request.name.clone(),
                },
                _ => Error::io("create", &path)(error),
            })
        };
        if let Err(error) = create() {
            // Nothing half-made stays; the first error is the one to tell.
            let _ = fs::remove_dir_all(&made);
            return Err(error);
        }
        Ok(SessionDir { path })
    }

    /// Removes what submits that died halfway left; nobody waits for it, so failing is no error.
    fn sweep_half_made(&self) {
        let entries = fs::read_dir(&self.root).into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            let half_made = entry.file_name().as_encoded_bytes().starts_with(HALF_MADE);
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let age = modified.ok().and_then(|at| at.elapsed().ok());
            if half_made && age.is_some_and(|age| age > HALF_MADE_FOR) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Removes some of the sessions that ended long ago: those alone whose own files say so. One that
    /// cannot be read stays, as does one that is over by a list's conclusion only. As above, failing
    /// is no error.
    fn sweep_ended(&self) {
        let is_old = |session: &&SessionDir| {
            // Each of its files is replaced by a rename, which the folder's time tells.
            let folder = fs::symlink_metadata(&session.path).ok();
            let folder = folder.filter(fs::Metadata::is_dir);
            let written = folder.and_then(|folder| folder.modified().ok());
            let age = written.and_then(|written| written.elapsed().ok());
            age.is_some_and(|age| age > KEPT_FOR)
        };
        let ended = |session: &&SessionDir| {
            let record = session.record();
            record.is_ok_and(|record| record.is_over())
        };
        let sessions = self.all().unwrap_or_default();
        let old = sessions.iter().filter(is_old).filter(ended);
        for session in old.take(SWEPT_AT_ONCE) {
            tracing::debug!(session = %session.path.display(), "removed: it ended long ago");
            // A removal that is cut short leaves no session without its request.
            let name = session.path.file_name().unwrap_or_default();
            let mut half_made = std::ffi::OsString::from(".new-old-");
            half_made.push(name);
            let path = self.root.join(half_made);
            if fs::rename(&session.path, &path).is_ok() {
                let _ = fs::remove_dir_all(path);
            }
        }
    }

    /// The session of that name that still has it.
    ///
    /// # Errors
    /// [`Error::NoSuchSession`].
    pub fn by_name(&self, name: &SessionName) -> Result<SessionDir, Error> {
        let path = self.place(name);
        if path.join("request.json").exists() {
            Ok(SessionDir { path })
        } else {
            Err(Error::NoSuchSession {
                wanted: name.to_string(),
            })
        }
    }

    /// All sessions, those that lost their name to a later one included; unreadable ones too, so
    /// that they can be told.
    ///
    /// # Errors
    /// When the store is there and cannot be listed.
    pub fn all(&self) -> Result<Vec<SessionDir>, Error> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::io("list", &self.root))?,
        };
        let mut sessions: Vec<SessionDir> = entries
            .filter_map(Result::ok)
            .map(|entry| SessionDir { path: entry.path() })
            .filter(|session| session.shown_name().is_some())
            .collect();
        sessions.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(sessions)
    }

    /// Every session whose job has this id, full (`33.server`) or short (`33`). Ids come again, so
    /// there may be several; which one is meant is for the caller to judge.
    ///
    /// # Errors
    /// As [`Store::all`]; a session whose `job.json` cannot be read is passed over.
    pub fn by_job(&self, id: &str) -> Result<Vec<SessionDir>, Error> {
        let matches = |job: &Job| job.id == id || job.id.split('.').next() == Some(id);
        Ok(self
            .all()?
            .into_iter()
            .filter(|session| matches!(session.job(), Ok(Some(job)) if matches(&job)))
            .collect())
    }

    /// Takes the name from a session that has ended: its directory gets its token into its name.
    ///
    /// # Errors
    /// What the file system said.
    pub fn retire(&self, session: &SessionDir, token: &Token) -> Result<SessionDir, Error> {
        let name = session.shown_name().unwrap_or_default();
        let path = self.root.join(format!("{name}.{}", token.short()));
        fs::rename(&session.path, &path).map_err(Error::io("rename", &session.path))?;
        Ok(SessionDir { path })
    }

    /// Removes a session that never got a job.
    ///
    /// # Errors
    /// What the file system said.
    pub fn discard(&self, session: &SessionDir) -> Result<(), Error> {
        fs::remove_dir_all(&session.path).map_err(Error::io("remove", &session.path))
    }
}

/// Makes a directory and its parents; those that are made are 0700.
pub(super) fn make_private(path: &Path) -> Result<(), Error> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(Error::io("create", path))
}

fn make_directory(path: &Path) -> std::io::Result<()> {
    let builder = &mut fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
