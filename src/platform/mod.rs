//! The boundary: what Unix and Windows do each in their own way, under one set of names.
//!
//! | file | owns |
//! |---|---|
//! | `unix` | modes, `flock`, signals, process groups |
//! | `windows` | access lists, sharing modes, console events, `PATHEXT`, paths as ssh takes them |
//!
//! Both give the same names, so that whoever needs one of them asks no question about the system.
//! Whole modules that a system does not have are left out where they are declared: the halves of
//! the cluster, which runs Linux, and what needs ssh's ControlMaster, which Windows lacks.
//!
//! It runs no program and knows nothing of ours: what takes a program here is given as an argv.

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

use tokio::io::{AsyncRead, AsyncWrite};

pub use system::{
    Interrupts, ask_to_end, closing, data_folder, for_ssh, group_of_its_own, is_alive, is_unread,
    make_private_folder, may_run, names_of_program, signal_of, stdio, try_lock, user_and_host,
    without_waiting,
};

/// What this program reads as its stdin, and writes as its stdout.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// See [`Reader`].
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// What an absolute path of here begins with, in tests.
#[cfg(test)]
pub(crate) const DRIVE: &str = if cfg!(windows) { "C:" } else { "" };

/// Who asked this program to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// Ctrl-C: whoever pressed it can be asked back.
    Keyboard,
    /// SIGTERM or SIGHUP, the end of the console or of the system: nobody can be asked.
    Outside,
}
