//! Giving the node back when nobody uses the session (`--idle-timeout`).
//!
//! Problem: who is connected must be known for any image and either engine, and the image may have
//! no tool that tells. Evidence: the container's processes are processes of this machine, of the
//! user's own id, and `/proc/PID/stat` shows parent and name of every one, also of those that
//! forbid tracing; sshd has one child for each connection. Solution: count the children of the sshd
//! that the container's first process started. GPUs tell through NVML whether they work.
//!
//! What cannot be seen counts as use: a session is never ended out of ignorance.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::gpu;

/// How often is looked, at most.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// How long before the end is warned, at most.
const WARN_BEFORE: Duration = Duration::from_secs(300);

/// What use is made of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Use {
    /// Somebody is connected, or a GPU works.
    Used,
    /// Neither.
    Unused,
    /// It cannot be seen, for this reason.
    Unknown(String),
}

/// What follows from how long a session has been unused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Idle {
    /// It ends after this long, unless somebody comes.
    Soon(Duration),
    /// Somebody came.
    NoMore,
    /// It has been unused for all of its time.
    Over,
}

/// How long a session has been unused. Pure but for the clock it is handed.
#[derive(Debug)]
struct Idleness {
    timeout: Duration,
    since: Option<Instant>,
    warned: bool,
}

impl Idleness {
    fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            since: None,
            warned: false,
        }
    }

    /// Takes in what was seen now.
    fn see(&mut self, seen: &Use, now: Instant) -> Option<Idle> {
        if *seen != Use::Unused {
            self.since = None;
            return std::mem::take(&mut self.warned).then_some(Idle::NoMore);
        }
        let unused = now.duration_since(*self.since.get_or_insert(now));
        let left = self.timeout.saturating_sub(unused);
        if left.is_zero() {
            return Some(Idle::Over);
        }
        let warn = left <= WARN_BEFORE.min(self.timeout / 3);
        let first = warn && !self.warned;
        self.warned |= warn;
        first.then_some(Idle::Soon(left))
    }
}

/// The watch over a session's use, by a task that ends with this.
#[derive(Debug)]
pub(super) struct IdleWatch {
    told: mpsc::UnboundedReceiver<Idle>,
    looking: Option<JoinHandle<()>>,
}

impl IdleWatch {
    /// Watches the container whose first process is `pid` on this machine, and these GPUs.
    pub(super) fn start(timeout: Duration, pid: Option<u32>, gpus: Vec<String>) -> Self {
        let (sender, told) = mpsc::unbounded_channel();
        let look = Look {
            proc: PathBuf::from("/proc"),
            pid,
            gpus,
        };
        let looking = Some(tokio::spawn(keep_looking(timeout, look, sender)));
        Self { told, looking }
    }

    /// Nobody watches: no time-out was asked for.
    pub(super) fn never() -> Self {
        let (_, told) = mpsc::unbounded_channel();
        let looking = None;
        Self { told, looking }
    }

    /// The next thing to know. May be dropped and asked again.
    pub(super) async fn next(&mut self) -> Idle {
        match self.told.recv().await {
            Some(idle) => idle,
            None => std::future::pending().await,
        }
    }
}

impl Drop for IdleWatch {
    fn drop(&mut self) {
        if let Some(looking) = &self.looking {
            looking.abort();
        }
    }
}

async fn keep_looking(timeout: Duration, look: Look, sender: mpsc::UnboundedSender<Idle>) {
    let mut idleness = Idleness::new(timeout);
    let mut complained = false;
    let pace = LOOK_EVERY.min(timeout / 6).max(Duration::from_secs(1));
    loop {
        let once = look.clone();
        let seen = tokio::task::spawn_blocking(move || once.once()).await;
        let seen = seen.unwrap_or_else(|error| Use::Unknown(error.to_string()));
        if let Use::Unknown(reason) = &seen
            && !std::mem::replace(&mut complained, true)
        {
            tracing::warn!(
                reason,
                "cannot see whether the session is used; it stays meanwhile"
            );
        }
        if let Some(idle) = idleness.see(&seen, Instant::now())
            && sender.send(idle).is_err()
        {
            return;
        }
        tokio::time::sleep(pace).await;
    }
}

/// Where is looked.
#[derive(Debug, Clone)]
struct Look {
    proc: PathBuf,
    pid: Option<u32>,
    gpus: Vec<String>,
}

impl Look {
    fn once(&self) -> Use {
        let connections = self.pid.and_then(|pid| connections(&self.proc, pid));
        match connections {
            None => {
                return Use::Unknown("the container's processes are not seen from here".to_owned());
            }
            Some(0) => {}
            Some(_) => return Use::Used,
        }
        match gpu::at_work(&self.gpus) {
            Ok(true) => Use::Used,
            Ok(false) => Use::Unused,
            Err(error) => Use::Unknown(crate::text::chain(&error)),
        }
    }
}

/// How many connections the sshd has that the container's first process started; `None` when it is
/// not there to be seen.
fn connections(proc: &Path, first: u32) -> Option<usize> {
    let processes: Vec<(u32, Process)> = std::fs::read_dir(proc)
        .ok()?
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            // One that has ended meanwhile is none.
            let stat = std::fs::read(proc.join(format!("{pid}/stat"))).ok()?;
            Some((pid, Process::parse(&String::from_utf8_lossy(&stat))?))
        })
        .collect();
    let children = |parent: u32| {
        let all = processes.iter();
        all.filter(move |(_, process)| process.parent == parent)
    };
    // Orphans of the container become children of its first process, and may call themselves
    // anything; the listener is the oldest.
    let (sshd, _) = children(first)
        .filter(|(_, process)| process.name == "sshd")
        .min_by_key(|(_, process)| process.started)?;
    Some(children(*sshd).filter(|(_, child)| child.lives).count())
}

/// A process as `/proc/PID/stat` tells it.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    name: String,
    parent: u32,
    started: u64,
    lives: bool,
}

impl Process {
    /// Reads the line; the name stands between the first and the last parenthesis and may hold any.
    fn parse(stat: &str) -> Option<Self> {
        let (before, after) = stat.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        let fields: Vec<&str> = after.split_ascii_whitespace().collect();
        Some(Self {
            name: name.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
            lives: !matches!(*fields.first()?, "Z" | "X"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60)
    }

    #[test]
    fn an_unused_session_is_warned_and_ends() {
        let (mut idleness, start) = (Idleness::new(HALF_AN_HOUR), Instant::now());
        let mut see = |at| idleness.see(&Use::Unused, start + minutes(at));
        assert_eq!(see(0), None);
        assert_eq!(see(24), None);
        assert_eq!(see(25), Some(Idle::Soon(minutes(5))));
        assert_eq!(see(26), None, "it is told once");
        assert_eq!(see(30), Some(Idle::Over));
    }

    #[test]
    fn whoever_comes_sets_the_clock_back() {
        let (mut idleness, start) = (Idleness::new(HALF_AN_HOUR), Instant::now());
        let mut see = |seen: &Use, at| idleness.see(seen, start + minutes(at));
        assert_eq!(see(&Use::Unused, 0), None);
        assert_eq!(see(&Use::Unused, 26), Some(Idle::Soon(minutes(4))));
        assert_eq!(see(&Use::Used, 27), Some(Idle::NoMore));
        assert_eq!(see(&Use::Used, 40), None);
        assert_eq!(see(&Use::Unused, 41), None);
        assert_eq!(see(&Use::Unused, 65), None);
        assert_eq!(see(&Use::Unused, 67), Some(Idle::Soon(minutes(4))));
    }

    #[test]
    fn what_cannot_be_seen_is_use() {
        let (mut idleness, start) = (Idleness::new(HALF_AN_HOUR), Instant::now());
        let unknown = Use::Unknown("hidden".to_owned());
        for at in [0, 20, 40, 60] {
            assert_eq!(idleness.see(&unknown, start + minutes(at)), None);
        }
        let look = Look {
            proc: PathBuf::from("/no such"),
            pid: Some(1),
            gpus: Vec::new(),
        };
        assert!(matches!(look.once(), Use::Unknown(_)));
    }

    fn proc(processes: &[(u32, &str, char, u32, u64)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (pid, name, state, parent, started) in processes {
            let zeros = "0 ".repeat(17);
            let stat = format!("{pid} ({name}) {state} {parent} {zeros}{started} 1 2\n");
            let own = folder.path().join(pid.to_string());
            std::fs::create_dir(&own).unwrap();
            std::fs::write(own.join("stat"), stat).unwrap();
        }
        std::fs::create_dir(folder.path().join("self")).unwrap();
        folder
    }

    #[test]
    fn the_children_of_sshd_are_connections() {
        let listener = [(1, "systemd", 'S', 0, 1), (50, "init", 'S', 40, 10)];
        let sshd = [(51, "sshd", 'S', 50, 11)];
        let none = proc(&[&listener[..], &sshd].concat());
        assert_eq!(connections(none.path(), 50), Some(0));
        let busy = [
            (60, "sshd-session", 'S', 51, 20),
            (61, "sshd-session", 'Z', 51, 20),
            (62, "bash", 'S', 60, 21),
            (63, "odd) (name", 'R', 51, 22),
            // Not ours: a daemon that calls itself so, later, and another container's.
            (70, "sshd", 'S', 50, 30),
            (71, "sshd-session", 'S', 70, 31),
            (80, "sshd-session", 'S', 79, 31),
        ];
        let two = proc(&[&listener[..], &sshd, &busy].concat());
        assert_eq!(connections(two.path(), 50), Some(2));
        let hidden = proc(&listener);
        assert_eq!(connections(hidden.path(), 50), None);
    }

    #[test]
    fn a_damaged_line_is_no_process() {
        for line in ["", "1", "1 (a", "1 (a) S", "1 (a) S x 0", ")("] {
            assert_eq!(Process::parse(line), None, "{line:?}");
        }
        let own = std::fs::read_to_string("/proc/self/stat").unwrap();
        let own = Process::parse(&own).unwrap();
        assert!(own.lives && own.parent > 0 && own.started > 0);
    }
}
