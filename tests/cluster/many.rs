//! Many at once: sessions, clusters, connections, and more ports of one session.

use std::time::Duration;

use crate::host::{Host, Running, within};
use crate::reach::Door;
use crate::session::Session;

const SMALL: [&str; 6] = ["-g", "none", "-w", "30m", "-i", "qdebug/busybox"];

/// A connect that runs until this is dropped; it is waited for until the way is open.
#[track_caller]
fn connecting(session: &Session, on: &str, more: &[&str]) -> Running {
    let words = ["qdebug", "connect", &session.name, "--on", on, "--yes"];
    let running = Host::Laptop.start(&[&words[..], more].concat());
    let alias = format!("qdebug-{}", session.name);
    let by_port = ["ssh", "-o", "ProxyCommand=none", &alias, "true"];
    within(
        Duration::from_secs(60),
        "the listener is there",
        || match Host::Laptop.run(&by_port) {
            ran if ran.code == 0 => Ok(()),
            ran => Err(ran.to_string()),
        },
    );
    running
}

#[test]
fn five_sessions_of_two_clusters_and_fifty_connections_are_not_mixed_up() {
    let door = Door::open(2232, &[]);
    let logins = ["alice@login".to_owned(), door.name()];
    let sessions: Vec<Session> = (1..=5)
        .map(|n| Session::submit(&format!("many-{n}"), &SMALL))
        .collect();
    for session in &sessions {
        session.await_state("ready");
    }
    let on = |at: usize| logins[at % 2].as_str();
    let all = sessions.iter().enumerate();
    let _running: Vec<Running> = all.map(|(at, s)| connecting(s, on(at), &[])).collect();

    // A second connect of one that is served leaves the first alone.
    let second = ["qdebug", "connect", "many-1", "--on", on(0), "--yes"];
    Host::Laptop
        .run(&second)
        .fails(1, &["another `qdebug connect` holds `many-1`"]);

    // Five by the listener's port and five by the proxy into each, each with an answer of its own.
    let line = "for n in 1 2 3 4 5; do for by in BatchMode=yes ProxyCommand=none; do
             for turn in 1 2 3 4 5; do
                 ssh -o $by qdebug-many-$n \"cat; sleep 1; hostname; echo $n.$by.$turn\" \
                     <<<\"$n.$by.$turn\" | xargs &
             done
         done; done | sort; wait";
    let said = Host::Laptop.sh(line).ok();
    let mut expected: Vec<String> = Vec::new();
    for n in 1..=5 {
        for by in ["BatchMode=yes", "ProxyCommand=none"] {
            for turn in 1..=5 {
                let mark = format!("{n}.{by}.{turn}");
                expected.push(format!("{mark} many-{n} {mark}"));
            }
        }
    }
    expected.sort();
    let mut lines: Vec<&str> = said.text().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, expected, "{said}");
}

#[test]
fn more_ports_go_both_ways() {
    let session = Session::ready(
        "many-ports",
        &["-g", "none", "-w", "30m", "-i", "qdebug/demo"],
    );
    // Nothing is said of a port into a session that is not known.
    let ran = Host::Laptop
        .run(&["qdebug", "forward", "never-was", "18410"])
        .fails(3, &["never-was"]);
    assert!(!ran.err.contains("http://"), "{ran}");

    let ports = ["-L", "18411:18412", "-R", "18413"];
    let _running = connecting(&session, "alice@login", &ports);
    // As pydevd does, the program in the session calls the debugger on the laptop; and a page of the
    // session is seen on the laptop.
    let serve = "import socket, sys
s = socket.create_server(('127.0.0.1', int(sys.argv[1])))
c = s.accept()[0]; print(c.recv(9).decode(), flush=True); c.sendall(b'heard'); c.close()";
    let call = "import socket, sys
c = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 10); c.sendall(b'called')
print(c.recv(9).decode())";
    let line = format!(
        "cat >/tmp/many-serve.py <<'END'\n{serve}\nEND\ncat >/tmp/many-call.py <<'END'\n{call}\nEND
         scp -q -O /tmp/many-*.py qdebug-many-ports:/tmp/"
    );
    Host::Laptop.sh(&line).ok();
    let into = "ssh qdebug-many-ports python3 /tmp/many-";
    for (serving, calling) in [
        (
            "python3 /tmp/many-serve.py 18413",
            format!("{into}call.py 18413"),
        ),
        (
            "ssh qdebug-many-ports python3 /tmp/many-serve.py 18412",
            "python3 /tmp/many-call.py 18411".to_owned(),
        ),
    ] {
        let line = format!(
            "timeout 60 {serving} >/tmp/many-heard & serving=$!
             for try in $(seq 100); do
                 said=$({calling} 2>/dev/null) && [ \"$said\" = heard ] && break; sleep 0.2
             done
             wait $serving; echo \"$said $(cat /tmp/many-heard)\""
        );
        assert_eq!(Host::Laptop.sh(&line).ok().text(), "heard called");
    }
    let forward = ["qdebug", "forward", "many-ports", "18414:18412"];
    let forwarding = Host::Laptop.start(&forward);
    let line = format!(
        "{into}serve.py 18412 >/tmp/many-heard & serving=$!
         for try in $(seq 100); do
             said=$(python3 /tmp/many-call.py 18414 2>/dev/null) && [ \"$said\" = heard ] && break
             sleep 0.2
         done
         wait $serving; echo \"$said $(cat /tmp/many-heard)\"; rm /tmp/many-*"
    );
    assert_eq!(Host::Laptop.sh(&line).ok().text(), "heard called");
    drop(forwarding);
}

#[test]
fn connect_shows_the_log_of_a_session_that_failed() {
    let small = ["-g", "none", "-w", "10m", "-i", "qdebug/no-such-image"];
    let session = Session::submit("many-failed", &small);
    session.await_state("failed");
    let connect = [
        "qdebug",
        "connect",
        &session.name,
        "--on",
        "alice@login",
        "--yes",
    ];
    let ran = Host::Laptop.run(&connect);
    ran.fails(
        10,
        &[
            "the end of the log of many-failed:",
            "no-such-image",
            "many-failed is over",
        ],
    );
}
