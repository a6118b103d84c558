//! Who ended a container, and when: the kernel and the engine are asked, not qdebug.

use std::cell::Cell;
use std::fmt;
use std::process::Child;
use std::time::{Duration, Instant, SystemTime};

use crate::host::Host;
use crate::session::Session;

/// What ended a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cleanup {
    /// The node half's own end: init got its SIGTERM.
    NodeHalf,
    /// The lease: init saw that its holder is dead.
    Lease,
    /// The deadline that init keeps itself.
    Deadline,
    /// SIGKILL: of a hook, the job's epilogue or gc, or the blow itself.
    Force,
    /// There was no container.
    None,
    /// The blow does not end the job.
    Nothing,
}

impl fmt::Display for Cleanup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NodeHalf => "the node half",
            Self::Lease => "the lease",
            Self::Deadline => "the deadline",
            Self::Force => "SIGKILL from outside",
            Self::None => "there is none",
            Self::Nothing => "the job runs on",
        })
    }
}

/// What was seen of an end.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) cleanup: Cleanup,
    /// From the blow until the container's first process was no more.
    pub(super) after: Duration,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {:.1} s", self.cleanup, self.after.as_secs_f64())
    }
}

/// Watches the first process of a session's container from before the blow.
pub(super) struct Witness {
    node: Host,
    container: String,
    watching: Child,
    struck: Cell<SystemTime>,
    asks_the_engine: bool,
}

impl Witness {
    /// Begins to watch; the blow is taken to come down now.
    #[track_caller]
    pub(super) fn of(session: &Session) -> Self {
        let node = session.node();
        let container = session.containers().remove(0);
        let ask = ["docker", "inspect", "-f", "{{.State.Pid}}", &container];
        let pid: u32 = node.run(&ask).ok().text().parse().expect("a process id");
        // One moment of the kernel's clock, which all hosts share, when it is no more.
        let line = format!("while [ -e /proc/{pid} ]; do sleep 0.01; done; date +%s%N");
        Self {
            node,
            container,
            watching: node.watch(&line),
            struck: Cell::new(SystemTime::now()),
            asks_the_engine: true,
        }
    }

    /// The engine is hit, too, and forgets: what is left to say is that nobody else could do it.
    pub(super) fn does_without_the_engine(&mut self) {
        self.asks_the_engine = false;
    }

    /// The blow comes down now.
    pub(super) fn struck_now(&self) {
        self.struck.set(SystemTime::now());
    }

    /// Strikes by a line of root's on the node; the moment is taken there, right before.
    #[track_caller]
    pub(super) fn strike(&self, line: &str) {
        let ran = self.node.root(&format!("date +%s%N; {line}")).ok();
        let nanos = ran.text().lines().next().and_then(|line| line.parse().ok());
        self.struck.set(moment(nanos.expect("a time")));
    }

    /// Waits for the end.
    #[track_caller]
    pub(super) fn testify(mut self, limit: Duration) -> Seen {
        let began = Instant::now();
        while self.watching.try_wait().expect("the watching").is_none() {
            if began.elapsed() > limit {
                let _ = self.watching.kill();
                panic!("the container lives {limit:?} after the blow");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut text = String::new();
        let mut out = self.watching.stdout.take().expect("its output");
        std::io::Read::read_to_string(&mut out, &mut text).expect("its output");
        let died = moment(text.trim().parse().expect("a time"));
        Seen {
            cleanup: self.cleanup(),
            after: died.duration_since(self.struck.get()).unwrap_or_default(),
        }
    }

    /// By the exit status of its first process, as the engine's events have it.
    #[track_caller]
    fn cleanup(&self) -> Cleanup {
        if !self.asks_the_engine {
            // A node half without an engine has no other means.
            return Cleanup::Lease;
        }
        let line = format!(
            "for try in $(seq 50); do found=$(docker events --since 10m --until 0s \
             --filter container={} --filter event=die --format '{{{{.Actor.Attributes.exitCode}}}}'); \
             [ -n \"$found\" ] && break; sleep 0.1; done; echo \"$found\"",
            self.container
        );
        match self.node.root(&line).ok().text() {
            "143" => Cleanup::NodeHalf,
            "70" => Cleanup::Deadline,
            "71" => Cleanup::Lease,
            "137" => Cleanup::Force,
            other => panic!("the container ended with status {other:?}"),
        }
    }
}

/// A moment that `date +%s%N` printed.
fn moment(nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
}
