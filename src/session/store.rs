//! Where sessions lie: one directory each, found by name or by job id.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::authorized_keys::{Import, PublicKey};
use super::file::{self, Error};
use super::keys::{read_keys, write_keys};
use super::request::{Job, Request, Stop};
use super::state::{Deadline, End, State};
use super::{Record, SessionName, Token};

/// A `state.json` younger than this by our own clock is not asked about any further.
const LOOKS_OLD: Duration = Duration::from_secs(30);

/// How the name of a session's directory begins until its request is in it.
const HALF_MADE: &[u8] = b".new-";
/// Far longer than any submit takes for that.
const HALF_MADE_FOR: Duration = Duration::from_secs(3600);

/// All sessions of one user: `<QDEBUG_HOME>/sessions`.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) root: PathBuf,
}

/// One session's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDir {
    path: PathBuf,
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

impl SessionDir {
    /// A session's directory by its path, as the job script names it.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name as the directory tells it, with or without a token behind it; `None` for what is
    /// no session's directory.
    pub fn shown_name(&self) -> Option<&str> {
        let full = self.path.file_name()?.to_str()?;
        let name = match full.split_once('.') {
            None => full,
            Some((name, token)) => {
                let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                (token.len() == 8 && token.bytes().all(hex)).then_some(name)?
            }
        };
        name.parse::<SessionName>().is_ok().then_some(name)
    }

    /// What was asked.
    ///
    /// # Errors
    /// [`Error`]; [`Error::NoSuchSession`] when it is not there.
    pub fn request(&self) -> Result<Request, Error> {
        file::read(&self.file("request.json"))?.ok_or_else(|| Error::NoSuchSession {
            wanted: self.path.display().to_string(),
        })
    }

    /// The job it became, once the scheduler has answered.
    ///
    /// # Errors
    /// [`Error`].
    pub fn job(&self) -> Result<Option<Job>, Error> {
        file::read(&self.file("job.json"))
    }

    /// What the node half said last.
    ///
    /// # Errors
    /// [`Error`].
    pub fn state(&self) -> Result<Option<State>, Error> {
        file::read(&self.file("state.json"))
    }

    /// Says that the node half still lives: renews the time of `state.json`, and nothing else.
    ///
    /// # Errors
    /// What the system said.
    #[cfg(unix)]
    pub fn renew_state(&self) -> Result<(), Error> {
        use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
        let path = self.file("state.json");
        let now = || Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        let times = Timestamps {
            last_access: now(),
            last_modification: now(),
        };
        utimensat(CWD, &path, &times, AtFlags::empty())
            .map_err(|error| Error::io("renew", &path)(error.into()))
    }

    /// How long ago the node half wrote or renewed `state.json`, by the clock of the file system
    /// itself: clocks of two machines may differ. `None` when that cannot be told.
    pub fn silence(&self) -> Option<Duration> {
        // Opened, so that NFS asks its server.
        let written = fs::File::open(self.file("state.json")).ok()?;
        let written = written.metadata().ok()?.modified().ok()?;
        let looks_old = SystemTime::now().duration_since(written).ok()? > LOOKS_OLD;
        if !looks_old {
            return Some(Duration::ZERO);
        }
        let probe = tempfile::NamedTempFile::new_in(&self.path).ok()?;
        let now = probe.as_file().metadata().ok()?.modified().ok()?;
        now.duration_since(written).ok()
    }

    /// Whether somebody asked for the end.
    ///
    /// # Errors
    /// [`Error`].
    pub fn stop(&self) -> Result<Option<Stop>, Error> {
        file::read(&self.file("stop.json"))
    }

    /// The scheduler's last word, where it was heard.
    ///
    /// # Errors
    /// [`Error`].
    pub fn end(&self) -> Result<Option<End>, Error> {
        file::read(&self.file("end.json"))
    }

    /// When the scheduler will end the job, where status heard of another time.
    ///
    /// # Errors
    /// [`Error`].
    pub fn deadline(&self) -> Result<Option<Deadline>, Error> {
        file::read(&self.file("deadline.json"))
    }

    /// Everything at once.
    ///
    /// # Errors
    /// [`Error`] of the first file that cannot be read.
    pub fn record(&self) -> Result<Record, Error> {
        Ok(Record::new(
            self.request()?,
            self.job()?,
            self.state()?,
            (self.stop()?, self.end()?),
            self.keys()?.keys,
        )
        .heard(self.silence()))
    }

    /// Writes `job.json`; submit's.
    ///
    /// # Errors
    /// [`Error`].
    pub fn write_job(&self, job: &Job) -> Result<(), Error> {
        file::write(&self.file("job.json"), job)
    }

    /// Writes `state.json`; the node half's.
    ///
    /// # Errors
    /// [`Error`].
    pub fn write_state(&self, state: &State) -> Result<(), Error> {
        file::write(&self.file("state.json"), state)
    }

    /// Writes `stop.json`; stop's.
    ///
    /// # Errors
    /// [`Error`].
    pub fn write_stop(&self, stop: &Stop) -> Result<(), Error> {
        file::write(&self.file("stop.json"), stop)
    }

    /// Writes `end.json`; status's.
    ///
    /// # Errors
    /// [`Error`].
    pub fn write_end(&self, end: &End) -> Result<(), Error> {
        file::write(&self.file("end.json"), end)
    }

    /// Writes `deadline.json`; status's.
    ///
    /// # Errors
    /// [`Error`].
    pub fn write_deadline(&self, deadline: &Deadline) -> Result<(), Error> {
        file::write(&self.file("deadline.json"), deadline)
    }

    /// Writes the job script, executable by its owner; submit's.
    ///
    /// # Errors
    /// [`Error`].
    pub fn write_script(&self, script: &str) -> Result<PathBuf, Error> {
        let path = self.file("job.sh");
        file::replace(&path, script.as_bytes(), 0o700)?;
        Ok(path)
    }

    /// Where the job's own shell lies, for a scheduler that needs one.
    pub fn job_shell(&self) -> PathBuf {
        self.file("shell")
    }

    /// Where the script lies that the node runs as the user when the job is over, likewise.
    pub fn job_epilogue(&self) -> PathBuf {
        self.file("epilogue")
    }

    /// Writes the job's shell and epilogue, which nobody may change; submit's.
    ///
    /// # Errors
    /// [`Error`].
    pub fn write_job_files(&self, shell: &str, epilogue: &str) -> Result<(), Error> {
        file::replace(&self.job_shell(), shell.as_bytes(), 0o500)?;
        file::replace(&self.job_epilogue(), epilogue.as_bytes(), 0o500)
    }

    /// The keys that may enter.
    ///
    /// # Errors
    /// [`Error`].
    pub fn keys(&self) -> Result<Import, Error> {
        read_keys(&self.authorized_keys_path())
    }

    /// The same as they lie there, for a server to read; `None` when the file is not there.
    ///
    /// # Errors
    /// [`Error`].
    pub fn keys_as_written(&self) -> Result<Option<Vec<u8>>, Error> {
        file::read_bytes(&self.authorized_keys_path())
    }

    /// Replaces the keys that may enter.
    ///
    /// # Errors
    /// [`Error`].
    pub fn write_keys(&self, keys: &[PublicKey]) -> Result<(), Error> {
        write_keys(&self.authorized_keys_path(), keys)
    }

    /// Where `authorized_keys` lies.
    pub fn authorized_keys_path(&self) -> PathBuf {
        self.file("authorized_keys")
    }

    /// Where the scheduler writes what the job printed.
    pub fn job_log(&self) -> PathBuf {
        self.file("job.log")
    }

    /// Where the node half logs.
    pub fn node_log(&self) -> PathBuf {
        self.file("node.log")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
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
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
