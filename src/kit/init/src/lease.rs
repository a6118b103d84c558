//! The reader's end of the lease: a FIFO that somebody on the node holds open for writing.
//!
//! Problem: the container must end when its holder dies of whatever, without asking anybody.
//! Evidence: the kernel hangs the FIFO up when the last writer is gone; but poll never reports a
//! writer that died before the FIFO was opened, and a blocking open waits for one for ever; a
//! non-blocking read tells both cases apart (0 bytes: no writer, EAGAIN: one that is silent).
//! Solution: the holder opens it before the container is made; here it is opened non-blocking and
//! read once before the first poll.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::protocol::{Line, Lines};
use crate::sys;

/// The FIFO, open for reading.
pub(crate) struct Lease {
    fifo: File,
    lines: Lines,
}

/// What one look into the FIFO gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// These lines, perhaps none.
    Lines(Vec<Line>),
    /// Nobody holds it any more.
    Lost,
}

impl Lease {
    /// Opens it without waiting; anything but a FIFO is refused, since only a FIFO hangs up. `-` is
    /// stdin, which an engine feeds as long as whoever made the container is attached.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let fifo = if path == Path::new("-") {
            let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
            sys::never_wait(stdin.as_fd());
            stdin
        } else {
            let mut options = OpenOptions::new();
            options.read(true).custom_flags(sys::O_NONBLOCK);
            options.open(path)?
        };
        if !fifo.metadata()?.file_type().is_fifo() {
            return Err(io::Error::other("not a FIFO"));
        }
        Ok(Self {
            fifo,
            lines: Lines::default(),
        })
    }

    /// Takes what is there. One bufferful at a time, so that a flood starves nobody.
    pub(crate) fn read(&mut self) -> Read {
        let mut bytes = [0; 4096];
        match self.fifo.read(&mut bytes) {
            Ok(0) => Read::Lost,
            Ok(count) => Read::Lines(self.lines.feed(&bytes[..count])),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Read::Lines(Vec::new()),
                _ => Read::Lost,
            },
        }
    }
}

impl AsFd for Lease {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fifo.as_fd()
    }
}
