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

    /// Fails unless that way is remembered as the one that led through it.
    #[track_caller]
    pub(crate) fn led_by(&self, way: &str) {
        let ways = Host::Laptop.sh("cat .local/state/qdebug/reach.json");
        let ways = ways.ok().json();
        assert_eq!(ways["clusters"][self.name()], way, "{ways:#}");
    }

    pub(crate) fn connect(&self, session: &Session, more: &[&str]) -> Ran {
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
fn jump_where_login_has_no_way_of_its_own() {
    let closed = Closed::but_to(2225, &[NO_KEY, NO_STEP], "any");
    let session = Session::ready("reach-jump", &SMALL);
    closed.door.connect(&session, &["--detach"]).ok();
    closed.door.led_by("jump");
    assert_eq!(session.ssh(&["id -un"]).ok().text(), "alice");
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
    door.led_by("nested");

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
    copies_there_and_back(&session);

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
pub(crate) struct Closed {
    pub(crate) door: Door,
    folder: String,
}

impl Closed {
    #[track_caller]
    fn open(port: u16, tools: &[(&str, &str)]) -> Self {
        Self::with(port, tools, "AllowTcpForwarding=no")
    }

    /// The same that forwards to these targets alone.
    #[track_caller]
    pub(crate) fn but_to(port: u16, tools: &[(&str, &str)], targets: &str) -> Self {
        Self::with(port, tools, &format!("PermitOpen={targets}"))
    }

    #[track_caller]
    fn with(port: u16, tools: &[(&str, &str)], rule: &str) -> Self {
        let folder = format!("/opt/closed-{port}");
        let mut line = format!("set -e; install -d {folder}");
        for (tool, says) in tools {
            let script = format!("#!/bin/sh\\necho \"{says}\" >&2\\nexit 255\\n");
            let path = format!("{folder}/{tool}");
            line.push_str(&format!("; printf '{script}' > {path}; chmod 755 {path}"));
        }
        Host::Login.root(&line).ok();
        let environment = format!(
            "SetEnv=PATH={folder}:/usr/local/bin:/usr/bin:/bin QDEBUG_SITE={folder}/site.toml"
        );
        let door = Door::open(port, &[rule, &environment]);
        Self { door, folder }
    }

    /// What its users' qdebug is to read as the site's file.
    #[track_caller]
    fn site(&self, text: &str) {
        let line = format!("echo '{text}' >{}/site.toml", self.folder);
        Host::Login.root(&line).ok();
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        Host::Login.root(&format!("rm -r {}", self.folder));
    }
}

/// A file into the session and out of it again, over what leads there.
#[track_caller]
fn copies_there_and_back(session: &Session) {
    let name = &session.name;
    let copy = format!(
        "set -e; cd \"$(mktemp -d)\"; head -c 20000000 /dev/urandom > big
         scp -q big qdebug-{name}:{name}; scp -q qdebug-{name}:{name} back; cmp big back
         ssh qdebug-{name} rm {name}"
    );
    Host::Laptop.sh(&copy).ok();
}

pub(crate) const NO_KEY: (&str, &str) = ("ssh", "alice@node: Permission denied (publickey).");

pub(crate) const NO_STEP: (&str, &str) =
    ("srun", "srun: error: Unable to create step: Access denied");

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
    copies_there_and_back(&session);
    // A step that is over is no end of the job.
    assert_eq!(session.status()["state"], "ready");
}

#[test]
fn when_no_way_leads_there_each_says_why() {
    let closed = Closed::open(2223, &[NO_KEY, NO_STEP]);
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

/// Nodes whose site file publishes sessions' ports, until this is dropped.
pub(crate) struct Publishing;

impl Publishing {
    #[track_caller]
    pub(crate) fn to_login() -> Self {
        for node in Host::NODES {
            node.root("mkdir -p /etc/qdebug; echo 'publish = \"login\"' >>/etc/qdebug/site.toml")
                .ok();
        }
        Self
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        for node in Host::NODES {
            node.root(
                "sed -i '/^publish = /d' /etc/qdebug/site.toml; find /etc/qdebug -empty -delete",
            );
        }
    }
}

/// A session whose port its node publishes: the address with the port.
#[track_caller]
pub(crate) fn published(name: &str) -> (Session, String) {
    let publishing = Publishing::to_login();
    let session = Session::ready(name, &SMALL);
    drop(publishing);
    let details = session.status()["details"].clone();
    let address = details["published"].as_str().unwrap_or_default();
    assert!(!address.is_empty(), "{details:#}\n{}", session.logs());
    let at = format!("{address}:{}", details["port"]);
    (session, at)
}

#[test]
fn port_where_login_forwards_to_nothing_else() {
    let (session, at) = published("reach-port");
    let (address, port) = at.split_once(':').unwrap_or_default();
    // On the loopback and on that one address, and nowhere else.
    let listening = format!("ss -Hltn 'sport = {port}' | awk '{{print $4}}' | sort");
    let expected = [format!("127.0.0.1:{port}"), at.clone()];
    let mut expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    expected.sort_unstable();
    let listens = session.node().root(&listening).ok();
    assert_eq!(listens.text(), expected.join("\n"));
    // Whoever comes there without a key that the session knows stays outside.
    let stranger = format!(
        "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
         -p {port} alice@{address} true"
    );
    let refused = Host::Login.run_as("bob", &["bash", "-c", &stranger]);
    refused.fails(255, &["Permission denied (publickey)"]);

    let closed = Closed::but_to(2226, &[NO_KEY, NO_STEP], &at);
    let door = &closed.door;
    door.connect(&session, &["--detach"]).ok();
    door.led_by("port");
    assert_eq!(session.ssh(&["id -un"]).ok().text(), "alice");
    copies_there_and_back(&session);

    // The site's order rules, and the user's profile before it.
    closed.site("reach = [\"jump\"]");
    let ran = door.connect(&session, &["--detach"]);
    let ran = ran.fails(6, &["by jump: ", "does not forward to it"]);
    assert!(!ran.err.contains("by port"), "{ran}");
    let on = door.name();
    let mine = format!(
        "d=$(mktemp -d); printf '[clusters.shut]\\nlogin = \"{on}\"\\nreach = [\"port\"]\\n' >$d/c
         export QDEBUG_CONFIG=$d/c; set -e
         qdebug connect {} --on shut --yes --detach; qdebug doctor --on shut; rm -r $d",
        session.name
    );
    let ran = Host::Laptop.sh(&mine).ok();
    assert!(ran.out.contains("tried: port alone"), "{ran}");
    closed.site("reach = [\"jmp\"]");
    let ran = door.connect(&session, &["--detach"]);
    ran.fails(14, &["site.toml:1: reach: ", "did you mean jump?"]);
}
