//! The ways to a session where sites forbid the usual one: each shown with the others shut.

use std::time::Duration;

use crate::host::{Host, Ran, within};
use crate::scheduler::{Scheduler, here};
use crate::session::Session;

const SMALL: [&str; 6] = ["-g", "none", "-w", "30m", "-i", "qdebug/demo"];

/// A second sshd of the login node with rules of its own; the first and its users are left alone.
pub(crate) struct Door {
    pub(crate) port: u16,
}

impl Door {
    #[track_caller]
    pub(crate) fn open(port: u16, rules: &[&str]) -> Self {
        let rules: String = rules.iter().map(|rule| format!(" -o '{rule}'")).collect();
        let pid = format!("-o PidFile=/run/sshd-{port}.pid");
        Host::Login
            .root(&format!("/usr/sbin/sshd -p {port} {pid}{rules}"))
            .ok();
        let known = format!("ssh-keyscan -p {port} login >> .ssh/known_hosts");
        within(
            Duration::from_secs(20),
            "its key is read",
            || match Host::Laptop.sh(&known) {
                ran if ran.code == 0 && ran.err.contains("SSH-2.0") => Ok(()),
                ran => Err(ran.to_string()),
            },
        );
        Self { port }
    }

    pub(crate) fn name(&self) -> String {
        format!("alice@login:{}", self.port)
    }

    fn connect(&self, session: &Session, more: &[&str]) -> Ran {
        let on = self.name();
        let words = ["qdebug", "connect", &session.name, "--on", &on, "--yes"];
        Host::Laptop.run(&[&words[..], more].concat())
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let port = self.port;
        let line =
            format!("pkill -P $(cat /run/sshd-{port}.pid); kill $(cat /run/sshd-{port}.pid)");
        Host::Login.root(&line);
    }
}

#[test]
fn nested_where_login_forwards_nothing() {
    let door = Door::open(
        2222,
        &[
            "AllowTcpForwarding=no",
            "AllowStreamLocalForwarding=no",
            "MaxSessions=4",
        ],
    );
    let session = Session::ready("reach-nested", &SMALL);
    let ran = door.connect(&session, &["--detach", "-v"]).ok();
    assert!(ran.err.contains("nested"), "{ran}");
    let ways = Host::Laptop
        .sh("cat .local/state/qdebug/reach.json")
        .ok()
        .json();
    assert_eq!(ways["clusters"][door.name()], "nested", "{ways:#}");

    // By the proxy alone, each connection with a relay of its own.
    assert_eq!(session.ssh(&["id -un"]).ok().text(), "alice");
    assert_eq!(session.ssh(&["exit 7"]).code, 7);

    // With a connect, all over one: more at once than login would take sessions.
    let on = door.name();
    let words = ["qdebug", "connect", &session.name, "--on", &on, "--yes"];
    let _running = Host::Laptop.start(&words);
    let alias = format!("qdebug-{}", session.name);
    let pipes = format!("pgrep -fc '^[^ ]*qdebug pipe .*{}$' || true", session.name);
    within(
        Duration::from_secs(60),
        "connect has a relay",
        || match Host::Login.sh(&pipes).ok().text() {
            "1" => Ok(()),
            other => Err(other.to_owned()),
        },
    );
    let many = format!(
        "for n in $(seq 20); do ssh {alias} \"sleep 2; echo $n\" & done | sort -n | xargs; wait"
    );
    let numbers: Vec<String> = (1..=20).map(|n: u32| n.to_string()).collect();
    assert_eq!(Host::Laptop.sh(&many).ok().text(), numbers.join(" "));
    assert_eq!(Host::Login.sh(&pipes).ok().text(), "1");
    let copy = format!(
        "set -e; cd \"$(mktemp -d)\"; head -c 20000000 /dev/urandom > big
         scp -q big {alias}:reach-big; scp -q {alias}:reach-big back; cmp big back
         ssh {alias} rm reach-big"
    );
    Host::Laptop.sh(&copy).ok();

    // A relay that dies is begun anew.
    let port = session.status()["details"]["port"].to_string();
    let kill = format!("pkill -f '^[^ ]*qdebug --frame [0-9a-f]* relay {port}$'");
    session.node().sh(&kill).ok();
    within(
        Duration::from_secs(30),
        "ssh works again",
        || match session.ssh(&["true"]) {
            ran if ran.code == 0 => Ok(()),
            ran => Err(ran.to_string()),
        },
    );
}

/// A door whose users find these tools as refusals.
struct Closed {
    door: Door,
    folder: String,
}

impl Closed {
    #[track_caller]
    fn open(port: u16, tools: &[(&str, &str)]) -> Self {
        let folder = format!("/opt/closed-{port}");
        let mut line = format!("set -e; install -d {folder}");
        for (tool, says) in tools {
            let script = format!("#!/bin/sh\\necho \"{says}\" >&2\\nexit 255\\n");
            let path = format!("{folder}/{tool}");
            line.push_str(&format!("; printf '{script}' > {path}; chmod 755 {path}"));
        }
        Host::Login.root(&line).ok();
        let path = format!("SetEnv=PATH={folder}:/usr/local/bin:/usr/bin:/bin");
        let door = Door::open(port, &["AllowTcpForwarding=no", &path]);
        Self { door, folder }
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        Host::Login.root(&format!("rm -r {}", self.folder));
    }
}

const NO_KEY: (&str, &str) = ("ssh", "alice@node: Permission denied (publickey).");

#[test]
fn exec_where_no_key_leads_to_a_node() {
    let closed = Closed::open(2224, &[NO_KEY]);
    let session = Session::ready("reach-exec", &SMALL);
    let ran = closed.door.connect(&session, &["--detach", "-v"]);
    if here() != Scheduler::Slurm {
        ran.fails(6, &["by nested: "]);
        return;
    }
    assert!(ran.ok().err.contains("exec"));
    assert_eq!(session.ssh(&["id -un"]).ok().text(), "alice");
    let alias = format!("qdebug-{}", session.name);
    let copy = format!(
        "set -e; cd \"$(mktemp -d)\"; head -c 20000000 /dev/urandom > big
         scp -q big {alias}:reach-exec; scp -q {alias}:reach-exec back; cmp big back
         ssh {alias} rm reach-exec"
    );
    Host::Laptop.sh(&copy).ok();
    // A step that is over is no end of the job.
    assert_eq!(session.status()["state"], "ready");
}

#[test]
fn when_no_way_leads_there_each_says_why() {
    let denied = ("srun", "srun: error: Unable to create step: Access denied");
    let closed = Closed::open(2223, &[NO_KEY, denied]);
    let session = Session::ready("reach-none", &SMALL);
    let ran = closed.door.connect(&session, &["--detach"]);
    let ran = ran.fails(
        6,
        &[
            "by jump: ",
            "does not forward to it",
            "by nested: ",
            "Permission denied (publickey)",
        ],
    );
    if here() == Scheduler::Slurm {
        ran.fails(6, &["by exec: ", "Access denied"]);
    }
}
