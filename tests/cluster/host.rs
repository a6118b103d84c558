//! The hosts of the tests' cluster, and what a person does on them.

use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

/// A host of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    Laptop,
    Login,
    Node1,
    Node2,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) command: String,
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Host {
    pub(crate) const NODES: [Self; 2] = [Self::Node1, Self::Node2];

    /// Its name in the cluster.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Laptop => "laptop",
            Self::Login => "login",
            Self::Node1 => "node1",
            Self::Node2 => "node2",
        }
    }

    /// The host of that name.
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "node1" => Self::Node1,
            "node2" => Self::Node2,
            other => panic!("no node {other:?}"),
        }
    }

    /// The container that is this host.
    pub(crate) fn container(self) -> String {
        let cluster = std::env::var("QDEBUG_CLUSTER").unwrap_or_else(|_| "qdebug-test".to_owned());
        format!("{cluster}-{}", self.name())
    }

    /// Runs a program as alice, its words as they are.
    pub(crate) fn run(self, words: &[&str]) -> Ran {
        self.run_as("alice", words)
    }

    /// Runs a line of shell as alice.
    pub(crate) fn sh(self, line: &str) -> Ran {
        self.run(&["bash", "-c", line])
    }

    /// Runs a line of shell as root.
    pub(crate) fn root(self, line: &str) -> Ran {
        self.run_as("root", &["bash", "-c", line])
    }

    /// Starts a program as alice and leaves it running; it is killed when the child is dropped.
    pub(crate) fn start(self, words: &[&str]) -> Running {
        let mut command = self.command("alice", words);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Running {
            child: command.spawn().expect("docker"),
            host: self,
            line: words.join(" "),
        }
    }

    /// Starts a line of shell as root, for what it prints; it is not waited for.
    pub(crate) fn watch(self, line: &str) -> std::process::Child {
        let limited = ["timeout", "-k", "5", "300", "bash", "-c", line];
        let mut command = self.command("root", &limited);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.spawn().expect("docker")
    }

    fn command(self, user: &str, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        let home = if user == "root" {
            "/root".to_owned()
        } else {
            format!("/home/{user}")
        };
        command.args(["exec", "-i", "-u", user, "-w", &home]);
        command.args(["-e", &format!("HOME={home}"), "-e", &format!("USER={user}")]);
        if self == Self::Laptop {
            command.args(["-e", "XDG_RUNTIME_DIR=/run/user/2001"]);
        }
        command.arg(self.container()).args(words);
        command
    }

    pub(crate) fn run_as(self, user: &str, words: &[&str]) -> Ran {
        // docker exec does not pass a death on: the limit is counted inside the host as well.
        let limited = [&["timeout", "-k", "5", "120"], words].concat();
        let mut command = self.command(user, &limited);
        let Output {
            status,
            stdout,
            stderr,
        } = command.stdin(Stdio::null()).output().expect("docker");
        Ran {
            command: format!("{}$ {}", self.name(), words.join(" ")),
            code: status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&stdout).into_owned(),
            err: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }
}

impl Ran {
    /// The same, when it went well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self}");
        self
    }

    /// The same, when it failed with this exit code and said each of these words on stderr.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self}");
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in: {self}");
        }
        self
    }

    /// Stdout without its last line break.
    pub(crate) fn text(&self) -> &str {
        self.out.trim_end_matches('\n')
    }

    /// Stdout as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}\nexit {}\n{}{}",
            self.command, self.code, self.out, self.err
        )
    }
}

/// A program that runs on a host until this is dropped.
pub(crate) struct Running {
    child: std::process::Child,
    host: Host,
    line: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ending `docker exec` leaves the program inside; it is ended by its own command line.
        self.host.run(&["pkill", "-INT", "-x", "-f", &self.line]);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Asks again until the answer is yes; fails with the last no.
///
/// Each question costs a program in a container, a tenth of a second of CPU and more, which the other
/// tests need. So the pause grows with the wait, by a tenth of it up to half a second: what is timed
/// by this is told within a tenth of its length.
#[track_caller]
pub(crate) fn within(
    limit: Duration,
    what: &str,
    mut ask: impl FnMut() -> Result<(), String>,
) -> Duration {
    let began = Instant::now();
    loop {
        match ask() {
            Ok(()) => return began.elapsed(),
            Err(last) if began.elapsed() > limit => {
                panic!("{what}: not within {limit:?}; last: {last}")
            }
            Err(_) => {
                let pause = began.elapsed() / 10;
                sleep(pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
            }
        }
    }
}
