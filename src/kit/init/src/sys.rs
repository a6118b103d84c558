//! The few calls of the C library that std does not offer, each behind a safe function.
//!
//! The only place of the crate with `unsafe`. It decides nothing. The declarations are those of
//! Linux, whose numbers are the same for glibc and musl on every architecture we build for.

use std::ffi::{c_int, c_long, c_ulong, c_void};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// Hang-up.
pub(crate) const SIGHUP: c_int = 1;
/// Interrupt.
pub(crate) const SIGINT: c_int = 2;
/// Kill.
pub(crate) const SIGKILL: c_int = 9;
/// Terminate.
pub(crate) const SIGTERM: c_int = 15;
/// A child changed.
pub(crate) const SIGCHLD: c_int = 17;

/// `open`: do not wait for anybody. The number of Linux except on MIPS, SPARC, Alpha, PA-RISC.
pub(crate) const O_NONBLOCK: c_int = 0o4000;
/// `open`: a terminal opened does not become ours.
pub(crate) const O_NOCTTY: c_int = 0o400;

const F_GETFL: c_int = 3;
const F_SETFL: c_int = 4;
const PR_SET_DUMPABLE: c_int = 4;
const CLOCK_BOOTTIME: c_int = 7;
const WNOHANG: c_int = 1;
const POLLIN: i16 = 1;
const ECHILD: i32 = 10;

#[repr(C)]
struct PollFd {
    fd: c_int,
    events: i16,
    revents: i16,
}

#[repr(C)]
struct TimeSpec {
    seconds: c_long,
    nanoseconds: c_long,
}

unsafe extern "C" {
    fn prctl(option: c_int, ...) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    fn poll(fds: *mut PollFd, count: c_ulong, milliseconds: c_int) -> c_int;
    fn clock_gettime(clock: c_int, time: *mut TimeSpec) -> c_int;
    fn signal(signal: c_int, handler: usize) -> usize;
    fn write(fd: c_int, bytes: *const c_void, count: usize) -> isize;
    fn __errno_location() -> *mut c_int;
}

/// Makes this process non-dumpable: processes of the same user can neither trace it nor look
/// into its `/proc` folder.
pub(crate) fn forbid_tracing() {
    // SAFETY: PR_SET_DUMPABLE takes one integer and touches no memory of ours.
    unsafe {
        prctl(
            PR_SET_DUMPABLE,
            0 as c_ulong,
            0 as c_ulong,
            0 as c_ulong,
            0 as c_ulong,
        )
    };
}

/// Sends a signal; `pid` as kill(2) reads it. That nobody is left to get it is no error.
pub(crate) fn send(pid: i32, number: c_int) {
    // SAFETY: kill takes two integers and touches no memory of ours.
    unsafe { kill(pid, number) };
}

/// From now on nobody waits in a read of this descriptor.
pub(crate) fn never_wait(fd: BorrowedFd<'_>) {
    // SAFETY: both commands take integers and touch no memory of ours.
    unsafe {
        let flags = fcntl(fd.as_raw_fd(), F_GETFL);
        fcntl(fd.as_raw_fd(), F_SETFL, flags | O_NONBLOCK);
    }
}

/// What [`reap`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reaped {
    /// This child had ended and is gone now, with the raw wait status.
    Child(i32, c_int),
    /// Children live, none has ended.
    Living,
    /// There is no child any more.
    Childless,
}

/// Takes one ended child away, without waiting.
pub(crate) fn reap() -> Reaped {
    let mut status = 0;
    // SAFETY: `status` is a valid place for one integer during the call.
    match unsafe { waitpid(-1, &raw mut status, WNOHANG) } {
        pid if pid > 0 => Reaped::Child(pid, status),
        -1 if io::Error::last_os_error().raw_os_error() == Some(ECHILD) => Reaped::Childless,
        _ => Reaped::Living,
    }
}

/// Waits until one of the descriptors has something to say (bytes, hang-up, error), a signal
/// comes or the time is over; says which ones have.
pub(crate) fn wait<const N: usize>(fds: [BorrowedFd<'_>; N], limit: Duration) -> [bool; N] {
    let mut polled = fds.map(|fd| PollFd {
        fd: fd.as_raw_fd(),
        events: POLLIN,
        revents: 0,
    });
    // Rounded up: a wait that ends just before its time would spin.
    let limit = limit.as_millis().saturating_add(1);
    let limit = c_int::try_from(limit).unwrap_or(c_int::MAX);
    // SAFETY: `polled` is an array of N pollfd, valid and ours alone during the call.
    let found = unsafe { poll(polled.as_mut_ptr(), N as c_ulong, limit) };
    polled.map(|polled| found > 0 && polled.revents != 0)
}

/// Time since boot, sleep of the machine included, that no setting of the clock moves.
pub(crate) fn since_boot() -> Duration {
    let mut time = TimeSpec {
        seconds: 0,
        nanoseconds: 0,
    };
    // SAFETY: `time` is a valid timespec during the call.
    unsafe { clock_gettime(CLOCK_BOOTTIME, &raw mut time) };
    Duration::new(
        u64::try_from(time.seconds).unwrap_or(0),
        u32::try_from(time.nanoseconds).unwrap_or(0),
    )
}

/// The write end of the self-pipe, for the handler.
static SELF_PIPE: AtomicI32 = AtomicI32::new(-1);

/// From now on each of these signals writes its number into the pipe instead of its usual
/// effect. A program started later gets the usual effects back, since exec resets handlers.
pub(crate) fn catch(signals: &[c_int], pipe: OwnedFd) {
    use std::os::fd::IntoRawFd as _;
    SELF_PIPE.store(pipe.into_raw_fd(), Ordering::SeqCst);
    let handler: extern "C" fn(c_int) = note;
    for &number in signals {
        // SAFETY: `note` is a handler of the right type and only makes calls that are allowed
        // in one (an atomic load and write(2)).
        unsafe { signal(number, handler as usize) };
    }
}

extern "C" fn note(number: c_int) {
    let fd: RawFd = SELF_PIPE.load(Ordering::SeqCst);
    let byte = u8::try_from(number).unwrap_or(0);
    // SAFETY: one byte is read from a live local; the pipe is never closed and never blocks; the
    // interrupted code gets its errno back, whose place is valid for the thread's life.
    unsafe {
        let errno = __errno_location();
        let before = *errno;
        write(fd, (&raw const byte).cast(), 1);
        *errno = before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_runs() {
        let first = since_boot();
        assert!(first > Duration::ZERO);
        assert!(since_boot() >= first);
    }

    #[test]
    fn waits_no_longer_than_told_and_sees_what_is_there() {
        use std::io::Write as _;
        use std::os::fd::AsFd as _;
        let (reader, mut writer) = io::pipe().unwrap();
        assert_eq!(wait([reader.as_fd()], Duration::from_millis(5)), [false]);
        writer.write_all(b"x").unwrap();
        assert_eq!(wait([reader.as_fd()], Duration::from_secs(60)), [true]);
    }
}
