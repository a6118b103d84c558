//! The ways to a session where sites forbid the usual one: each shown with the others shut.

use std::time::Duration;

use crate::host::{Host, Ran, within};
use crate::session::Session;

const SMALL: [&str; 6] = ["-g", "none", "-w", "30m", "-i", "qdebug/demo"];

/// A second sshd of the login node with rules of its own; the first and its users are left alone.
struct Door {
    port: u16,
}

impl Door {
    #[track_caller]
    fn open(port: u16, rules: &[&str]) -> Self {
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

    fn name(&self) -> String {
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
        let forget = format!("ssh-keygen -R '[login]:{port}'");
        Host::Laptop.sh(&forget);
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
        "set -e; cd \"$(mktemp -d)\"; head -c 50000000 /dev/urandom > big
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

#[test]
fn when_no_way_leads_there_each_says_why() {
    // An ssh of login that has no key for any node.
    let fake = "install -d /opt/no-key && printf '#!/bin/sh\\necho \
                \"alice@node: Permission denied (publickey).\" >&2\\nexit 255\\n' \
                > /opt/no-key/ssh && chmod 755 /opt/no-key/ssh";
    Host::Login.root(fake).ok();
    let path = "SetEnv=PATH=/opt/no-key:/usr/local/bin:/usr/bin:/bin";
    let door = Door::open(2223, &["AllowTcpForwarding=no", path]);
    let session = Session::ready("reach-none", &SMALL);
    let ran = door.connect(&session, &["--detach"]);
    Host::Login.root("rm -r /opt/no-key");
    ran.fails(
        6,
        &["by jump: ", "by nested: ", "Permission denied (publickey)"],
    );
}
