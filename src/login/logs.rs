//! The logs of a session: the node half's, and what the job itself printed.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use super::{Error, Login};
use crate::session::{SessionDir, open_regular};

/// How much one read takes, in bytes.
const CHUNK: usize = 64 << 10;

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// `job.log`: what the job script and the loader printed; small unless something broke.
    Job,
    /// `node.log`: the node half's.
    Node,
}

/// A log that is read on as it grows.
#[derive(Debug)]
pub struct LogTail {
    path: PathBuf,
    at: u64,
}

impl LogTail {
    /// A log from its beginning.
    pub fn new(session: &SessionDir, log: Log) -> Self {
        let path = match log {
            Log::Job => session.job_log(),
            Log::Node => session.node_log(),
        };
        Self { path, at: 0 }
    }

    /// The next bytes, at most 64 KiB; none when there are no new ones (yet). Opened anew each
    /// time, so that NFS shows what another machine wrote.
    ///
    /// # Errors
    /// What the system said; a log that is not there has no bytes yet.
    pub fn read(&mut self) -> Result<Vec<u8>, Error> {
        let mut read = || -> io::Result<Vec<u8>> {
            let mut file = match open_regular(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                file => file?,
            };
            file.seek(SeekFrom::Start(self.at))?;
            let mut bytes = Vec::new();
            file.take(CHUNK as u64).read_to_end(&mut bytes)?;
            self.at += bytes.len() as u64;
            Ok(bytes)
        };
        read().map_err(|source| Error::Log {
            path: self.path.clone(),
            source,
        })
    }
}

impl Login {
    /// The logs of a session, the job's first.
    ///
    /// # Errors
    /// As [`Login::find`].
    pub async fn logs(&self, wanted: &str) -> Result<[LogTail; 2], Error> {
        let session = self.find(wanted).await?;
        Ok([
            LogTail::new(&session, Log::Job),
            LogTail::new(&session, Log::Node),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_an_error_and_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.log");
        let mut log = LogTail {
            path: path.clone(),
            at: 0,
        };
        assert!(log.read().unwrap().is_empty());
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(log.read().unwrap(), b"one\n");
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let Error::Log { source, .. } = log.read().unwrap_err() else {
            panic!("another error");
        };
        let told = source.to_string();
        assert!(told.contains("regular file"), "{told}");
    }
}
