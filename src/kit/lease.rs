//! The holder's end of the lease.
//!
//! Problem: the container must end when we die of whatever, SIGKILL included. Evidence: the
//! kernel hangs a FIFO up when its last writer is gone. Solution: we are the only one that ever
//! can open it for writing; init, on the other end, ends the container at the hang-up.
//!
//! It must be made before the container, whose init takes a FIFO without a writer as lost. The
//! FIFO loses its write permission once it is open here: a process of the container, which runs
//! as the same user, could otherwise hold it open in our stead (a read-only mount does not keep
//! anybody from writing into a FIFO, but does from changing its mode).

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags};

use super::Error;
use super::protocol::Message;

/// Holds the lease of one container; dropping it (or dying) ends the container.
#[derive(Debug)]
pub struct Lease {
    fifo: File,
    path: PathBuf,
}

impl Lease {
    /// Makes the FIFO, which must not be there yet, and holds it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path) -> Result<Self, Error> {
        let private = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, private, 0)
            .map_err(io::Error::from)
            .map_err(Error::io("create", path))?;
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fifo = rustix::fs::open(path, flags, Mode::empty())
            .and_then(|fifo| rustix::fs::fchmod(&fifo, Mode::RUSR).map(|()| fifo))
            .map_err(io::Error::from)
            .map_err(Error::io("open", path))?;
        Ok(Self {
            fifo: fifo.into(),
            path: path.to_owned(),
        })
    }

    /// A lease on the container's stdin: what is written here is to be carried there from the other
    /// end, which is returned. Whoever carries it drops both when it ends.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn on_stdin() -> Result<(Self, std::os::fd::OwnedFd), Error> {
        let path = PathBuf::from("the container's stdin");
        let flags = rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK;
        let (reader, writer) = rustix::pipe::pipe_with(flags)
            .map_err(io::Error::from)
            .map_err(Error::io("make", &path))?;
        let fifo = writer.into();
        Ok((Self { fifo, path }, reader))
    }

    /// Lets the container live for this long from now, rounded up to a second. The first call
    /// lets init start sshd.
    ///
    /// # Errors
    /// [`Error::LeaseFull`], and [`Error::Io`].
    pub fn renew(&self, left: Duration) -> Result<(), Error> {
        let up = u64::from(left.subsec_nanos() > 0);
        self.send(&Message::Deadline(left.as_secs().saturating_add(up)))
    }

    /// Writes a text to every terminal of the container: one line, control characters blanked,
    /// cut after about 500 bytes.
    ///
    /// # Errors
    /// [`Error::LeaseFull`], and [`Error::Io`].
    pub fn notice(&self, text: &str) -> Result<(), Error> {
        self.send(&Message::Notice(text.to_owned()))
    }

    /// Writes the line whole or not at all, which a pipe promises for lines this short.
    fn send(&self, message: &Message) -> Result<(), Error> {
        match (&self.fifo).write_all(message.line().as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Error::LeaseFull {
                path: self.path.clone(),
            }),
            done => done.map_err(Error::io("write", &self.path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

    fn lease() -> (tempfile::TempDir, Lease) {
        let folder = tempfile::tempdir().unwrap();
        let lease = Lease::create(&folder.path().join("le ase")).unwrap();
        (folder, lease)
    }

    fn read(lease: &Lease) -> String {
        let mut bytes = [0; 4096];
        let count = (&lease.fifo).read(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    #[test]
    fn nobody_else_can_hold_it() {
        let (_folder, lease) = lease();
        let about = std::fs::metadata(&lease.path).unwrap();
        assert!(about.file_type().is_fifo());
        assert_eq!(about.permissions().mode() & 0o777, 0o400);
    }

    #[test]
    fn an_old_one_is_not_taken_over() {
        let (_folder, lease) = lease();
        assert!(matches!(Lease::create(&lease.path), Err(Error::Io { .. })));
    }

    #[test]
    fn writes_lines_init_understands() {
        let (_folder, lease) = lease();
        lease.renew(Duration::from_millis(1500)).unwrap();
        lease.notice("five\nminutes").unwrap();
        assert_eq!(read(&lease), "deadline 2\nnotice five minutes\n");
    }

    #[test]
    fn one_on_stdin_speaks_the_same_and_hangs_up() {
        let (lease, reader) = Lease::on_stdin().unwrap();
        lease.renew(Duration::from_secs(7)).unwrap();
        let mut reader = File::from(reader);
        let mut bytes = [0; 64];
        let count = reader.read(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"deadline 7\n");
        drop(lease);
        assert_eq!(reader.read(&mut bytes).unwrap(), 0);
    }

    #[test]
    fn a_full_pipe_is_told_and_never_waited_for() {
        let (_folder, lease) = lease();
        let full = (0..100_000).find_map(|_| lease.notice(&"x".repeat(400)).err());
        assert!(matches!(full, Some(Error::LeaseFull { .. })));
    }

    #[test]
    fn dropping_it_hangs_up() {
        let (_folder, lease) = lease();
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let reader = rustix::fs::open(&lease.path, flags, Mode::empty()).unwrap();
        let mut reader = File::from(reader);
        let mut byte = [0];
        let silent = reader.read(&mut byte).unwrap_err();
        assert_eq!(silent.kind(), io::ErrorKind::WouldBlock);
        drop(lease);
        assert_eq!(reader.read(&mut byte).unwrap(), 0);
    }
}
