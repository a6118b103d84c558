//! qdebug-init: PID 1 of a qdebug container.
//!
//! It starts one program (sshd) once somebody holds the lease, takes orphans away, and ends,
//! and with it everything in the container, when the lease is lost, the deadline passes, the
//! program dies or a signal comes. The exit status says which ([`protocol::exit`]).
//!
//! Problem: no container process may outlive the job, by whatever blow the job ends. Evidence:
//! hooks of schedulers and engines can fail or be late; the death of PID 1 is the kernel's own
//! way to end a container. Solution: PID 1 watches a FIFO whose other end dies with the job.
//!
//! That the program is started only then makes an answer of sshd mean that the lease is held.
//! As any other process than PID 1 (in tests) it ends only its own program's process group. It
//! depends on nothing but std, so that one call of rustc makes it, static.

mod args;
mod devices;
mod lease;
mod processes;
mod programs;
#[allow(dead_code, unreachable_pub)] // The qdebug crate uses it too, the holder's half.
mod protocol;
mod sys;
mod terminals;

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use args::Args;
use devices::{Change, Devices};
use lease::{Lease, Read};
use protocol::{Line, Message, exit, report};

/// How long the first line of the lease may take.
const LEASE_LIMIT: Duration = Duration::from_secs(10);

/// The longest grace when the lease is lost: the job is over by then, and its GPUs may be somebody
/// else's already.
const LOST_GRACE: Duration = Duration::from_millis(500);

/// How often is looked whether the user's processes have ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long sshd may take to hand on what processes said that have ended. It shuts a connection
/// whose last process has ended itself; one without any, as `ssh -N` has it, is not waited for
/// longer.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The longest single sleep; the deadline's clock goes on while the machine sleeps, poll's not.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let Some(args) = Args::parse(std::env::args_os().skip(1)) else {
        say(args::USAGE);
        return ExitCode::from(exit::USAGE);
    };
    sys::forbid_tracing();
    ExitCode::from(run(&args))
}

/// The whole life; returns the exit status.
fn run(args: &Args) -> u8 {
    let mut init = match Init::new(&args.lease) {
        Ok(init) => init,
        Err(error) => {
            say(&format!("lease {}: {error}", args.lease.display()));
            return exit::LEASE;
        }
    };
    if let Err(reason) = init.confirm_lease() {
        return init.end(reason, Duration::ZERO);
    }
    let devices = devices::names(Path::new("/dev"));
    say(format!("{} {}", report::DEVICES, devices.join(" ")).trim_end());
    tell_programs();
    if let Err(error) = init.start(args) {
        say(&format!("cannot start {}: {error}", args.program.display()));
        return exit::PROGRAM;
    }
    let reason = init.watch();
    let grace = match reason {
        Reason::LeaseLost => args.grace.min(LOST_GRACE),
        _ => args.grace,
    };
    init.end(reason, grace)
}

/// Why it ends.
#[derive(Debug, Clone, Copy)]
enum Reason {
    Deadline,
    LeaseLost,
    LeaseSilent,
    ProgramDied(i32),
    Signal(u8),
}

struct Init {
    lease: Lease,
    signals: UnixStream,
    /// On the clock of [`sys::since_boot`].
    deadline: Option<Duration>,
    /// The program's process id, which is its process group's too.
    child: Option<i32>,
    is_pid_1: bool,
    devices: Devices,
}

impl Init {
    fn new(lease: &Path) -> io::Result<Self> {
        let (signals, pipe) = UnixStream::pair()?;
        signals.set_nonblocking(true)?;
        pipe.set_nonblocking(true)?;
        let caught = [sys::SIGTERM, sys::SIGINT, sys::SIGHUP, sys::SIGCHLD];
        sys::catch(&caught, pipe.into());
        Ok(Self {
            lease: Lease::open(lease)?,
            signals,
            deadline: None,
            child: None,
            is_pid_1: std::process::id() == 1,
            devices: Devices::watch(Path::new("/dev"), sys::since_boot()),
        })
    }

    /// Waits for the first deadline, by which the holder shows itself.
    fn confirm_lease(&mut self) -> Result<(), Reason> {
        let limit = sys::since_boot() + LEASE_LIMIT;
        loop {
            self.read_lease()?;
            if self.deadline.is_some() {
                return Ok(());
            }
            let left = limit.saturating_sub(sys::since_boot());
            if left.is_zero() {
                return Err(Reason::LeaseSilent);
            }
            self.wait(left)?;
        }
    }

    /// Starts the program in a process group of its own.
    #[allow(clippy::disallowed_methods)] // The one place of this crate.
    fn start(&mut self, args: &Args) -> io::Result<()> {
        let mut command = Command::new(&args.program);
        command.args(&args.args).stdin(Stdio::null());
        let child = command.process_group(0).spawn()?;
        self.child = i32::try_from(child.id()).ok();
        Ok(())
    }

    /// Serves until there is a reason to end.
    fn watch(&mut self) -> Reason {
        loop {
            if let Err(reason) = self.step() {
                return reason;
            }
        }
    }

    fn step(&mut self) -> Result<(), Reason> {
        // Everything is looked at each time: what poll said is only a reason to look.
        self.reap()?;
        self.read_lease()?;
        let now = sys::since_boot();
        match self.devices.look(now) {
            Some(Change::Lost(reason)) => say(&format!("{} {reason}", report::LOST)),
            Some(Change::Back) => say(report::BACK),
            None => {}
        }
        let left = match self.deadline {
            Some(deadline) if deadline <= now => return Err(Reason::Deadline),
            Some(deadline) => deadline - now,
            None => LONGEST_WAIT,
        };
        self.wait(left.min(LONGEST_WAIT))
    }

    /// Sleeps until the lease or a signal has something to say.
    fn wait(&mut self, limit: Duration) -> Result<(), Reason> {
        sys::wait([self.lease.as_fd(), self.signals.as_fd()], limit);
        match self.signal() {
            Some(number) => Err(Reason::Signal(number)),
            None => Ok(()),
        }
    }

    /// The first caught signal that means to end, if any.
    fn signal(&mut self) -> Option<u8> {
        let mut numbers = [0; 64];
        let count = self.signals.read(&mut numbers).unwrap_or(0);
        let ends = |number: &&u8| i32::from(**number) != sys::SIGCHLD;
        numbers[..count].iter().find(ends).copied()
    }

    fn reap(&mut self) -> Result<(), Reason> {
        loop {
            match sys::reap() {
                sys::Reaped::Child(pid, status) if Some(pid) == self.child => {
                    return Err(Reason::ProgramDied(status));
                }
                sys::Reaped::Child(..) => {}
                sys::Reaped::Living | sys::Reaped::Childless => return Ok(()),
            }
        }
    }

    fn read_lease(&mut self) -> Result<(), Reason> {
        let lines = match self.lease.read() {
            Read::Lost => return Err(Reason::LeaseLost),
            Read::Lines(lines) => lines,
        };
        for line in lines {
            match line {
                Line::Message(Message::Deadline(seconds)) => {
                    self.deadline = Some(sys::since_boot() + Duration::from_secs(seconds));
                }
                Line::Message(Message::Notice(text)) => self.announce(&text),
                Line::Strange => say("ignored a strange line in the lease"),
            }
        }
        Ok(())
    }

    fn announce(&self, text: &str) {
        say(text);
        // Elsewhere these are the terminals of people who have nothing to do with it.
        if self.is_pid_1 {
            terminals::write(Path::new("/dev/pts"), text);
        }
    }

    /// TERM to the user's processes, then to all, within the grace, and out. The kernel kills what
    /// is left when PID 1 exits.
    fn end(&mut self, reason: Reason, grace: Duration) -> u8 {
        let (text, status) = match reason {
            Reason::Deadline => ("the deadline has passed".to_owned(), exit::DEADLINE),
            Reason::LeaseLost => ("the lease is lost".to_owned(), exit::LEASE),
            Reason::LeaseSilent => ("nobody confirmed the lease".to_owned(), exit::LEASE),
            Reason::ProgramDied(raw) => {
                (format!("the program ended: {}", told(raw)), exit::PROGRAM)
            }
            Reason::Signal(number) => (format!("got signal {number}"), exit::SIGNAL),
        };
        say(&text);
        let limit = sys::since_boot() + grace;
        if self.is_pid_1 {
            self.end_users(sys::since_boot() + grace * 3 / 4);
        }
        self.signal_all(sys::SIGTERM);
        while !self.is_alone() {
            let left = limit.saturating_sub(sys::since_boot());
            if left.is_zero() {
                self.signal_all(sys::SIGKILL);
                break;
            }
            sys::wait([self.signals.as_fd()], left);
            self.signal();
        }
        status
    }

    /// Lets the user's processes end before sshd does, so that their last words reach whoever is
    /// connected. Elsewhere than in a container everybody else is somebody else's.
    fn end_users(&mut self, limit: Duration) {
        let proc = Path::new("/proc");
        for process in processes::of_the_user(proc) {
            sys::send(process.pid, sys::SIGTERM);
        }
        self.wait_while(limit, || {
            let users = processes::of_the_user(proc);
            users.iter().any(|process| !process.ignores_term)
        });
        self.wait_while(limit.min(sys::since_boot() + LAST_WORDS), || {
            processes::sshd_may_have_words(proc)
        });
    }

    /// Waits as long as that is so, at most until `limit`, taking away whoever has ended.
    fn wait_while(&mut self, limit: Duration, is_so: impl Fn() -> bool) {
        loop {
            while let sys::Reaped::Child(..) = sys::reap() {}
            let left = limit.saturating_sub(sys::since_boot());
            if left.is_zero() || !is_so() {
                return;
            }
            sys::wait([self.signals.as_fd()], left.min(LOOK_EVERY));
            self.signal();
        }
    }

    /// To everybody in the container but us; without one, to the program's group.
    fn signal_all(&self, number: i32) {
        match self.child {
            _ if self.is_pid_1 => sys::send(-1, number),
            Some(group) => sys::send(-group, number),
            None => {}
        }
    }

    /// Whether no child is left, those that have ended taken away. The children of PID 1 are in
    /// the end all processes of the container, since orphans become its children.
    fn is_alone(&self) -> bool {
        loop {
            match sys::reap() {
                sys::Reaped::Child(..) => {}
                sys::Reaped::Living => return false,
                sys::Reaped::Childless => return true,
            }
        }
    }
}

/// A raw wait status in words.
fn told(raw: i32) -> String {
    let status = <std::process::ExitStatus as std::os::unix::process::ExitStatusExt>::from_raw(raw);
    status.to_string()
}

/// Says which programs there are, on a thread of its own: the lease must be watched even while a
/// file system hangs. Where none can be had, nobody is told.
fn tell_programs() {
    let tell = || {
        let path = std::env::var("PATH").unwrap_or_default();
        let words = programs::words(Path::new("/"), &path).join(" ");
        say(format!("{} {words}", report::PROGRAMS).trim_end());
    };
    let _ = std::thread::Builder::new().spawn(tell);
}

/// One line on stderr, which is the container's log, in one piece since others write there too;
/// that it is closed is no trouble.
fn say(text: &str) {
    let _ = io::stderr().write_all(format!("qdebug-init: {text}\n").as_bytes());
}
