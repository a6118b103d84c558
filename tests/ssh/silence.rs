//! Hops that say nothing any more: what they carry is left to them, and another is dialled.

use std::fs;
use std::time::{Duration, Instant};

use qdebug::process::Program;
use qdebug::ssh::{Listener, NoMasters, PipeCommand, PlainPath, Prompt, Route, Tunnel};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bench::{
    HELP, LIMIT, QDEBUG, TRUNK, entered, remote, sshs, tunnel, within, without_masters,
};
use crate::common::{Bench, block_on, login, ok};
use crate::server::{ask, upper_case_server};

/// A connection through the listener, up to the server's first words.
async fn opened(at: u16) -> TcpStream {
    let mut old = TcpStream::connect(("127.0.0.1", at)).await.unwrap();
    let mut banner = [0; 13];
    old.read_exact(&mut banner).await.unwrap();
    old
}

/// It was not let go.
async fn still_works(mut old: TcpStream) {
    old.write_all(b"old").await.unwrap();
    old.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(LIMIT, old.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"OLD");
}

#[test]
fn a_silent_hop_is_left_to_what_it_carries_and_another_dialled() {
    block_on(async {
        let mut bench = Bench::new().await;
        let (port, key) = bench.sshd("login", "").await;
        let client = bench.config(&[("login", port, &key)], "");
        let server = upper_case_server().await;
        let route = Route::Login(login());
        let tunnel = Tunnel::new(client.clone(), route, server, Prompt::Never);
        let listener = Listener::bind(0).await.unwrap();
        let at = listener.port();
        let story = async {
            let old = opened(at).await;
            // As a network that is gone: what is there says nothing, what is new is answered.
            let stopped = bench.carriers_of_last().await;
            assert!(!stopped.is_empty());
            ok(Program::new("kill").arg("-STOP").args(&stopped)).await;
            // One that was heard of just now is not asked first: who comes then is let go.
            assert_eq!(ask(at, b"lost").await, b"");
            let begun = Instant::now();
            let many = (0..5).map(|_| ask(at, b"new"));
            for answer in futures_util::future::join_all(many).await {
                assert_eq!(answer, b"SSH-2.0-test\nNEW");
            }
            assert!(begun.elapsed() < Duration::from_secs(15));
            // One that was not heard of for a while is asked, and nobody is let go.
            let stopped_too = bench.carriers_of_last().await;
            ok(Program::new("kill").arg("-STOP").args(&stopped_too)).await;
            for entry in fs::read_dir(bench.path("run")).unwrap().flatten() {
                if entry.path().extension().is_some_and(|end| end == "lock") {
                    let lock = fs::File::options().append(true).open(entry.path()).unwrap();
                    lock.set_modified(std::time::UNIX_EPOCH).unwrap();
                }
            }
            let many = (0..5).map(|_| ask(at, b"new"));
            for answer in futures_util::future::join_all(many).await {
                assert_eq!(answer, b"SSH-2.0-test\nNEW");
            }
            ok(Program::new("kill").arg("-CONT").args(&stopped_too)).await;
            ok(Program::new("kill").arg("-CONT").args(&stopped)).await;
            still_works(old).await;
            let master = client.login(&login(), Prompt::Never).await.unwrap();
            assert!(master.is_alive().await);
            master.close().await;
        };
        tokio::select! {
            () = listener.serve(&tunnel, |_| {}) => {}
            () = story => {}
        }
    });
}

#[test]
fn one_that_is_silent_is_left_to_what_it_carries_and_another_dialled() {
    block_on(async {
        let (bench, client) = without_masters("").await;
        let server = upper_case_server().await;
        let remote = remote(&client, QDEBUG);
        remote.run(&HELP, None, LIMIT).await.unwrap();
        let tunnel = tunnel(&client, server);
        let listener = Listener::bind(0).await.unwrap();
        let at = listener.port();
        let story = async {
            let old = opened(at).await;
            let stopped = bench.carriers_of_last().await;
            assert!(!stopped.is_empty());
            ok(Program::new("kill").arg("-STOP").args(&stopped)).await;
            let answer = remote.run(&HELP, None, LIMIT).await.unwrap();
            assert_eq!(answer.status, 0);
            assert_eq!(ask(at, b"new").await, b"SSH-2.0-test\nNEW");
            ok(Program::new("kill").arg("-CONT").args(&stopped)).await;
            still_works(old).await;
            // With the last that it carries it ends.
            within("the old one's end", async || sshs(&bench).await.len() == 1).await;
        };
        tokio::select! {
            () = listener.serve(&tunnel, |event| panic!("{event:?}")) => {}
            () = story => {}
        }
        assert_eq!(entered(&bench), 2);
    });
}

/// What carries a way on from login, and a connection over it, fall silent; login goes on. Who comes
/// then is through all the same, and what was open goes on later.
async fn falls_silent(at: u16, stopped: impl AsyncFnOnce() -> Vec<String>) {
    let mut old = TcpStream::connect(("127.0.0.1", at)).await.unwrap();
    let mut banner = [0; 13];
    old.read_exact(&mut banner).await.unwrap();
    let stopped = stopped().await;
    assert!(!stopped.is_empty());
    ok(Program::new("kill").arg("-STOP").args(&stopped)).await;
    // ssh itself would take 45 s to notice.
    let many = (0..5).map(|_| ask(at, b"new"));
    for answer in futures_util::future::join_all(many).await {
        assert_eq!(answer, b"SSH-2.0-test\nNEW");
    }
    ok(Program::new("kill").arg("-CONT").args(&stopped)).await;
    old.write_all(b"old").await.unwrap();
    old.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(LIMIT, old.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"OLD");
}

#[test]
fn a_node_that_is_silent_behind_a_login_that_answers_is_dialled_again() {
    block_on(async {
        let mut bench = Bench::new().await;
        let (login_port, login_key) = bench.sshd("login", "MaxSessions 1").await;
        let (node_port, node_key) = bench.sshd("node", "").await;
        let client = bench.config(&[("login", login_port, &login_key)], "");
        let own = PlainPath::new(QDEBUG).unwrap();
        let client = client.without_masters(NoMasters::Anywhere).with_qdebug(own);
        let server = upper_case_server().await;
        let route = Route::Jump {
            login: Some(login()),
            node: bench.node(node_port, &node_key),
        };
        let tunnel = Tunnel::by(client, route, server, Prompt::Never, Some(QDEBUG));
        let listener = Listener::bind(0).await.unwrap();
        tokio::select! {
            () = listener.serve(&tunnel, |event| panic!("{event:?}")) => {}
            () = falls_silent(listener.port(), async || bench.carriers_of_last().await) => {}
        }
        assert_eq!(entered(&bench), 1);
        let log = fs::read_to_string(bench.path("node.log")).unwrap();
        assert_eq!(log.matches("Accepted publickey").count(), 2, "{log}");
    });
}

/// The relays of this machine to a port, by their process ids.
async fn relays(port: u16) -> Vec<String> {
    let all = ok(Program::new("ps").args(["-eo", "pid=,args="])).await;
    let end = format!(" relay {port}");
    let ours = all.lines().filter(|line| line.ends_with(&end));
    let pids = ours.filter_map(|line| line.split_whitespace().next());
    pids.map(str::to_owned).collect()
}

#[test]
fn a_relay_that_is_silent_behind_a_login_that_answers_is_begun_again() {
    block_on(async {
        let mut bench = Bench::new().await;
        let (port, key) = bench.sshd("login", "").await;
        // In place of login's own ssh to a node.
        let pipe = format!("{TRUNK}exec '{QDEBUG}' --frame \"$3\" relay \"$4\"\n");
        let qdebug = bench.script("pipe", &pipe);
        let client = bench.config(&[("login", port, &key)], "");
        let trunk = client.clone().without_masters(NoMasters::Anywhere);
        for client in [client, trunk] {
            let server = upper_case_server().await;
            let command = PipeCommand {
                qdebug: qdebug.clone(),
                words: vec!["pipe".to_owned(), server.to_string()],
                node: "node1".parse().unwrap(),
            };
            let login = login();
            let route = Route::Pipe { login, command };
            let tunnel = Tunnel::by(client, route, server, Prompt::Never, Some(&qdebug));
            let listener = Listener::bind(0).await.unwrap();
            let story = async {
                falls_silent(listener.port(), async || relays(server).await).await;
                // With the last that it carries the old one ends.
                within("the old one's end", async || {
                    relays(server).await.len() == 1
                })
                .await;
            };
            tokio::select! {
                () = listener.serve(&tunnel, |event| panic!("{event:?}")) => {}
                () = story => {}
            }
        }
        assert_eq!(entered(&bench), 2);
    });
}
