//! A local job's directory: what was asked, who runs it, how it ended.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::process_id::ProcessId;
use crate::disk;
use crate::scheduler::{Error, JobEnd, JobId};

/// The most that is read of any of these files, in bytes: they hold a few lines.
const MAX_SIZE: u64 = 64 << 10;

/// `job.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) script: PathBuf,
    pub(super) output: PathBuf,
    pub(super) walltime_seconds: u64,
}

/// `alive.json`: the processes of a job that has started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Alive {
    pub(super) supervisor: ProcessId,
    pub(super) script: Option<ProcessId>,
    pub(super) started: Timestamp,
}

impl Alive {
    /// Whether any of it still runs.
    pub(super) fn runs(&self) -> bool {
        self.supervisor.runs() || self.script.as_ref().is_some_and(ProcessId::runs)
    }
}

/// A job's directory.
#[derive(Debug, Clone)]
pub(super) struct JobDir {
    path: PathBuf,
}

impl JobDir {
    /// Makes the directory of a new job; its id is the next number.
    pub(super) fn create(root: &Path, asked: &Asked) -> Result<(JobId, Self), Error> {
        disk::private_folder(root).map_err(Error::file("create", root))?;
        let mut number = Self::all(root)?.last().map_or(1, |(id, _)| number(id) + 1);
        loop {
            let path = root.join(number.to_string());
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(Error::file("create", &path)(error)),
                Ok(()) => {
                    let job = Self { path };
                    if let Err(error) = job.write("job.json", asked) {
                        // Nothing half-made stays; the first error is the one to tell.
                        let _ = fs::remove_dir(&job.path);
                        return Err(error);
                    }
                    return Ok((number.to_string().parse()?, job));
                }
            }
        }
    }

    /// A job that was submitted here.
    pub(super) fn open(root: &Path, id: &JobId) -> Option<Self> {
        let path = root.join(id.as_str());
        path.join("job.json").exists().then_some(Self { path })
    }

    /// A job by its directory.
    pub(super) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Every job, by rising number.
    pub(super) fn all(root: &Path) -> Result<Vec<(JobId, Self)>, Error> {
        let entries = match fs::read_dir(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::file("list", root))?,
        };
        let job = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let digits = name.bytes().all(|byte| byte.is_ascii_digit());
            let id: JobId = digits.then(|| name.parse().ok()).flatten()?;
            Some((id, Self { path: entry.path() }))
        };
        let mut jobs: Vec<_> = entries.filter_map(Result::ok).filter_map(job).collect();
        jobs.sort_by_key(|(id, _)| number(id));
        Ok(jobs)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn asked(&self) -> Result<Option<Asked>, Error> {
        self.read("job.json")
    }

    /// How long ago it was submitted.
    pub(super) fn age(&self) -> Duration {
        let written = fs::metadata(self.path.join("job.json")).and_then(|file| file.modified());
        let age = written.ok().and_then(|written| written.elapsed().ok());
        age.unwrap_or_default()
    }

    pub(super) fn alive(&self) -> Result<Option<Alive>, Error> {
        self.read("alive.json")
    }

    pub(super) fn end(&self) -> Result<Option<JobEnd>, Error> {
        self.read("end.json")
    }

    pub(super) fn write_alive(&self, alive: &Alive) -> Result<(), Error> {
        self.write("alive.json", alive)
    }

    pub(super) fn write_end(&self, end: &JobEnd) -> Result<(), Error> {
        self.write("end.json", end)
    }

    /// The supervisor's own log.
    pub(super) fn log(&self) -> Result<File, Error> {
        let path = self.path.join("supervisor.log");
        append(&path).map_err(Error::file("write", &path))
    }

    /// What the supervisor said so far.
    pub(super) fn log_text(&self) -> String {
        let log = File::open(self.path.join("supervisor.log"));
        let mut text = Vec::new();
        // What can be read of it is shown; there need not be any.
        let _ = log.and_then(|log| log.take(MAX_SIZE).read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let path = self.path.join(name);
        let text = match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(Error::file("read", &path))?,
        };
        let value = serde_json::from_slice(&text).map_err(io::Error::from);
        value.map(Some).map_err(Error::file("read", &path))
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Error> {
        let path = self.path.join(name);
        let write = || disk::replace(&path, &serde_json::to_vec_pretty(value)?);
        write().map_err(Error::file("write", &path))
    }
}

/// A whole file of bounded size. Only regular files: a FIFO in its place must not hang us.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut options = File::options();
    options.read(true);
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, nonblock);
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_SIZE {
        let limit = MAX_SIZE >> 10;
        return Err(io::Error::other(format!("it is larger than {limit} KiB")));
    }
    Ok(bytes)
}

/// A file that is only added to, 0600 from its creation.
pub(super) fn append(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).append(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn number(id: &JobId) -> u64 {
    id.as_str().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_fifo_nor_a_flood_holds_us_up() {
        let root = tempfile::tempdir().unwrap();
        let asked = Asked {
            name: "qdebug-otter".to_owned(),
            script: "/job.sh".into(),
            output: "/job.log".into(),
            walltime_seconds: 60,
        };
        let (_, job) = JobDir::create(root.path(), &asked).unwrap();
        assert_eq!(job.asked().unwrap(), Some(asked));
        assert_eq!(job.end().unwrap(), None);
        let path = job.path().join("end.json");
        // Long, and no damage but for its length.
        let flood = "\"completed\"".to_owned() + &" ".repeat(1 << 20);
        fs::write(&path, flood).unwrap();
        let error = job.end().unwrap_err();
        assert!(
            matches!(error, Error::File { verb: "read", .. }),
            "{error:?}"
        );
        fs::remove_file(&path).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(job.end().is_err());
    }
}
