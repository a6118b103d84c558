//! One session's directory: each of its files read and written as what it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::authorized_keys::{Import, PublicKey};
use super::clock::Clock;
use super::file::{self, Error};
use super::keys::{read_keys, write_keys};
use super::request::{Job, Request, Stop};
use super::state::{Deadline, End, State};
use super::{Presumed, Record, SessionName};

/// A `state.json` younger than this by our own clock is not asked about any further.
const LOOKS_OLD: Duration = Duration::from_secs(30);

/// One session's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDir {
    pub(super) path: PathBuf,
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
    /// itself. `None` when that cannot be told.
    fn silence(&self, clock: &Clock) -> Option<Duration> {
        // Opened, so that NFS asks its server.
        let written = fs::File::open(self.file("state.json")).ok()?;
        let written = written.metadata().ok()?.modified().ok()?;
        let looks_old = SystemTime::now().duration_since(written).ok()? > LOOKS_OLD;
        if !looks_old {
            return Some(Duration::ZERO);
        }
        clock.now(&self.path)?.duration_since(written).ok()
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

    /// What was concluded of it, where nothing was heard since: neither `job.json` nor `state.json`
    /// was written later, by the one clock of their file system.
    fn presumed(&self) -> Result<Option<Presumed>, Error> {
        let written = |name: &str| fs::metadata(self.file(name)).ok()?.modified().ok();
        let Some(concluded) = written("presumed.json") else {
            return Ok(None);
        };
        let heard = [written("job.json"), written("state.json")];
        match heard.iter().flatten().any(|heard| *heard >= concluded) {
            true => Ok(None),
            false => file::read(&self.file("presumed.json")),
        }
    }

    /// Everything at once, but for what was concluded: one session is judged anew.
    ///
    /// # Errors
    /// [`Error`] of the first file that cannot be read.
    pub fn record(&self) -> Result<Record, Error> {
        Ok(self.heard(self.written()?, &Clock::default()))
    }

    /// Everything of one among many that are read by one clock.
    ///
    /// # Errors
    /// As [`SessionDir::record`].
    pub fn record_by(&self, clock: &Clock) -> Result<Record, Error> {
        let mut record = self.written()?;
        if !record.is_over() {
            record = record.presumed_over(self.presumed()?);
        }
        Ok(self.heard(record, clock))
    }

    fn written(&self) -> Result<Record, Error> {
        Ok(Record::new(
            self.request()?,
            self.job()?,
            self.state()?,
            (self.stop()?, self.end()?),
            self.keys()?.keys,
        ))
    }

    /// How long an ended one has been silent is nobody's question.
    fn heard(&self, record: Record, clock: &Clock) -> Record {
        match record.is_over() {
            true => record,
            false => record.heard(self.silence(clock)),
        }
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

    /// Writes `presumed.json`; status's.
    ///
    /// # Errors
    /// [`Error`].
    pub fn write_presumed(&self, presumed: &Presumed) -> Result<(), Error> {
        file::write(&self.file("presumed.json"), presumed)
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
