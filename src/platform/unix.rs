//! Unix: Linux and macOS.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use etcetera::BaseStrategy;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Interrupt, Reader, Writer};

/// Listens for signals that ask this program to end; from then on they end nothing by themselves,
/// in this whole process.
#[derive(Debug)]
pub struct Interrupts {
    keyboard: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Interrupts {
    /// Begins to listen.
    ///
    /// # Errors
    /// What the system said.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            keyboard: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one. May be dropped and asked again.
    pub async fn next(&mut self) -> Interrupt {
        tokio::select! {
            _ = self.keyboard.recv() => Interrupt::Keyboard,
            _ = self.terminate.recv() => Interrupt::Outside,
            _ = self.hangup.recv() => Interrupt::Outside,
        }
    }
}

/// Whether what is written there reaches nobody any more: the other end of a pipe or of a connection
/// is closed, or the terminal hung up. A file or a device is never told to be so.
pub fn is_unread(out: impl AsFd) -> bool {
    // These two are told unasked.
    let gone = PollFlags::HUP | PollFlags::ERR;
    let mut polled = [PollFd::new(&out, PollFlags::empty())];
    matches!(poll(&mut polled, Some(&Timespec::default())), Ok(1..))
        && polled[0].revents().intersects(gone)
}

/// This program's stdin and stdout, for a runtime. Where they are pipes, as behind an sshd, that reads
/// and writes them itself: a thread for each read and write costs more than what it carries.
pub fn stdio() -> (Reader, Writer) {
    let reader = || pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?);
    let writer = || pipe::Sender::from_owned_fd(io::stdout().as_fd().try_clone_to_owned()?);
    let reader = reader().map_or_else(
        |_| Box::new(tokio::io::stdin()) as Reader,
        |pipe| Box::new(pipe),
    );
    let writer = writer().map_or_else(
        |_| Box::new(tokio::io::stdout()) as Writer,
        |pipe| Box::new(pipe),
    );
    (reader, writer)
}

/// Takes the lock of a lock file, made when missing; `None` when somebody else holds it. It is held
/// as long as the file is open.
///
/// # Errors
/// What the system said.
pub fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    let file = options.open(path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes a folder and its parents, those that are made for this user alone.
///
/// # Errors
/// What the system said.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// What closes a file to everybody but its user, to be run; `None` where it is made so.
pub fn closing(_: &Path) -> Option<Vec<OsString>> {
    None
}

/// Lets an opening wait for nobody, such as the writer of a FIFO.
pub fn without_waiting(options: &mut OpenOptions) {
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
}

/// Whether somebody may run a file with such metadata.
pub fn may_run(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o111 != 0
}

/// The names of the file of a program of this name.
pub fn names_of_program(name: &str) -> Vec<OsString> {
    vec![name.into()]
}

/// Makes a program the leader of a process group of its own, which a Ctrl-C on our terminal does
/// not reach and a signal reaches as a whole.
pub fn group_of_its_own(command: &mut Command) {
    command.process_group(0);
}

/// The signal that a program died of.
pub fn signal_of(status: ExitStatus) -> Option<i32> {
    status.signal()
}

/// Asks a process to end, by SIGTERM.
pub fn ask_to_end(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// Whether a process of that id lives.
pub fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

/// This user and this machine, as `alice@laptop`.
pub fn user_and_host() -> String {
    let user = ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    let system = rustix::system::uname();
    let host = OsStr::to_string_lossy(std::os::unix::ffi::OsStrExt::from_bytes(
        system.nodename().to_bytes(),
    ));
    format!("{user}@{host}")
}

/// A path in the form that ssh takes.
pub fn for_ssh(path: PathBuf) -> PathBuf {
    path
}

/// The folder of a user's data that stays on this machine.
pub fn data_folder(base: &impl BaseStrategy) -> PathBuf {
    base.data_dir()
}
