//! Without masters: one ssh process carries everything, on to a node too, and is dialled again.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qdebug::process::Program;
use qdebug::ssh::{
    Client, Error, Event, Listener, LoginShell, NoMasters, Node, PlainPath, Prompt, Route, Tunnel,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::bench::{HELP, LIMIT, QDEBUG, entered, remote, sshs, tunnel, within, without_masters};
use crate::common::{Bench, block_on, login, ok};
use crate::server::{ask, upper_case_server};

#[test]
fn everything_goes_over_one_connection_and_one_session() {
    block_on(async {
        let (bench, client) = without_masters("MaxSessions 1").await;
        // Scripts where there is no qdebug yet, and every byte of a file.
        let shell = LoginShell::new(client.clone(), login(), Prompt::Never).unwrap();
        shell.dial().await.unwrap();
        let path = bench.path("sub/a b");
        let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        let file = path.to_str().unwrap();
        assert_eq!(shell.write(file, &bytes).await.unwrap().status, 0);
        assert!(fs::read(&path).unwrap() == bytes);
        assert_ne!(shell.write(file, &bytes).await.unwrap().status, 0);
        let script = "printf '%s' \"$1\"; echo oops >&2; finish 3";
        let answer = shell.run(script, &["it's $HOME !"]).await.unwrap();
        assert_eq!((answer.status, &*answer.stdout), (3, "it's $HOME !"));
        assert_eq!(answer.stderr, "oops\n");

        // Then qdebug's own commands.
        let remote = remote(&client, QDEBUG);
        let answer = remote.run(&HELP, None, LIMIT).await.unwrap();
        assert_eq!(answer.status, 0, "{answer:?}");
        assert!(answer.stdout.contains("130"), "{answer:?}");
        let answer = remote.run(&["no such thing"], None, LIMIT).await;
        assert!(matches!(answer, Err(Error::NoAnswer { .. })), "{answer:?}");
        let answer = shell.run(script, &["x"]).await.unwrap();
        assert_eq!((answer.status, &*answer.stderr), (3, "oops\n"));

        // And connections, beside a command that goes on.
        let server = upper_case_server().await;
        let tunnel = tunnel(&client, server);
        assert_eq!(tunnel.probe().await.unwrap(), "SSH-2.0-test");
        let listener = Listener::bind(0).await.unwrap();
        let port = listener.port();
        let many = async {
            let large = vec![b'a'; 5 << 20];
            let all = (0..20).map(|_| ask(port, b"many"));
            let (all, large, answer) = tokio::join!(
                futures_util::future::join_all(all),
                ask(port, &large),
                remote.run(&["completions", "bash"], None, LIMIT)
            );
            assert!(all.iter().all(|answer| answer == b"SSH-2.0-test\nMANY"));
            assert_eq!(large.len(), (5 << 20) + 13);
            assert!(answer.unwrap().stdout.len() > 1000);
        };
        tokio::select! {
            () = listener.serve(&tunnel, |event| panic!("{event:?}")) => {}
            () = many => {}
        }
        assert_eq!(entered(&bench), 1);
        // No master was made, although the user's configuration asks for one.
        assert_eq!(fs::read_dir(bench.path("run")).unwrap().count(), 0);
    });
}

#[test]
fn refusals_are_told_apart() {
    block_on(async {
        let mut bench = Bench::new().await;
        let (port, key) = bench.sshd("login", "").await;
        let other = bench.key_pair("other").await;
        let tried = async |client: Client| {
            let client = client.without_masters(NoMasters::Anywhere);
            let remote = remote(&client, QDEBUG);
            remote.dial().await.unwrap_err()
        };
        let error = tried(bench.config(&[("login", port, &other)], "")).await;
        assert!(matches!(error, Error::HostKey { .. }), "{error:?}");
        let no_key = "PubkeyAuthentication no";
        let error = tried(bench.config(&[("login", port, &key)], no_key)).await;
        assert!(
            matches!(error, Error::Authentication { asked: false, .. }),
            "{error:?}"
        );
        let error = tried(bench.config(&[("login", 1, &key)], "")).await;
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    });
}

#[test]
fn one_that_dies_is_dialled_again_and_told_once() {
    block_on(async {
        let (bench, client) = without_masters("").await;
        let remote = remote(&client, QDEBUG);
        remote.run(&HELP, None, LIMIT).await.unwrap();
        let server = upper_case_server().await;
        let tunnel = tunnel(&client, server);
        let listener = Listener::bind(0).await.unwrap();
        let port = listener.port();
        let events = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&events);
        let story = async {
            assert_eq!(ask(port, b"one").await, b"SSH-2.0-test\nONE");
            let ssh = sshs(&bench).await;
            assert_eq!(ssh.len(), 1);
            let mut open = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let mut banner = [0; 13];
            open.read_exact(&mut banner).await.unwrap();
            ok(Program::new("kill").arg("-9").args(&ssh)).await;
            let mut rest = Vec::new();
            let _ = tokio::time::timeout(LIMIT, open.read_to_end(&mut rest))
                .await
                .expect("what it carried ends with it");
            let lost = async {
                while events.lock().unwrap().is_empty() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(LIMIT, lost).await.expect("it is told");
            assert_eq!(ask(port, b"two").await, b"SSH-2.0-test\nTWO");
            remote.run(&HELP, None, LIMIT).await.unwrap();
            let back = async {
                while events.lock().unwrap().len() < 2 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(LIMIT, back).await.expect("it is told");
            let events = events.lock().unwrap();
            assert!(
                matches!(events.as_slice(), [Event::Lost(_), Event::Back]),
                "{events:?}"
            );
        };
        tokio::select! {
            () = listener.serve(&tunnel, move |event| told.lock().unwrap().push(event)) => {}
            () = story => {}
        }
        assert_eq!(entered(&bench), 2);
        // Nothing of it outlives the client.
        drop((tunnel, listener, remote, client));
        let gone = async {
            while !sshs(&bench).await.is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(LIMIT, gone).await.expect("ssh ends");
    });
}

/// Files of gates that are open on this machine.
fn gates() -> Vec<std::ffi::OsString> {
    let files = fs::read_dir(std::env::temp_dir()).unwrap();
    let names = files.filter_map(|file| Some(file.ok()?.file_name()));
    names
        .filter(|name| name.to_string_lossy().starts_with("qdebug-gate-"))
        .collect()
}

#[test]
fn a_node_behind_login_is_reached_with_the_keys_of_here() {
    block_on(async {
        let mut bench = Bench::new().await;
        // Login forwards nothing, and its own users have no key for the node.
        let closed = "MaxSessions 1\nAllowTcpForwarding no";
        let (login_port, login_key) = bench.sshd("login", closed).await;
        let (node_port, node_key) = bench.sshd("node", closed).await;
        let client = bench.config(&[("login", login_port, &login_key)], "");
        let own = PlainPath::new(QDEBUG).unwrap();
        let client = client.without_masters(NoMasters::Anywhere).with_qdebug(own);
        let server = upper_case_server().await;
        let route = |node: Node| Route::Jump {
            login: Some(login()),
            node,
        };
        let by = |route, qdebug| Tunnel::by(client.clone(), route, server, Prompt::Never, qdebug);
        let node = bench.node(node_port, &node_key);
        let tunnel = by(route(node.clone()), Some(QDEBUG));
        assert_eq!(tunnel.probe().await.unwrap(), "SSH-2.0-test");
        let listener = Listener::bind(0).await.unwrap();
        let port = listener.port();
        let story = async {
            let all = (0..10).map(|_| ask(port, b"many"));
            let all = futures_util::future::join_all(all).await;
            assert!(all.iter().all(|answer| answer == b"SSH-2.0-test\nMANY"));
            // The way in is closed behind who is through, whose token nobody needs any more.
            within("the gate's end", async || gates().is_empty()).await;
            // A node that is gone is dialled again over the same login.
            bench.cut_last().await;
            assert_eq!(ask(port, b"again").await, b"SSH-2.0-test\nAGAIN");
        };
        tokio::select! {
            () = listener.serve(&tunnel, |_| {}) => {}
            () = story => {}
        }
        assert_eq!(entered(&bench), 1);
        let log = fs::read_to_string(bench.path("node.log")).unwrap();
        assert_eq!(log.matches("Accepted publickey").count(), 2, "{log}");

        // Another key of the node's, and a port that nobody has.
        let other = bench.node(node_port, &login_key);
        let error = by(route(other), Some(QDEBUG)).probe().await.unwrap_err();
        assert!(matches!(error, Error::HostKey { .. }), "{error:?}");
        let nobody = bench.node(1, &node_key);
        let error = by(route(nobody), Some(QDEBUG)).probe().await.unwrap_err();
        let told = error.to_string();
        assert!(told.contains("login does not reach it: "), "{told}");
        assert_eq!(entered(&bench), 1);
    });
}

#[test]
fn nobody_goes_through_a_gate_without_its_token() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gate");
        let gate = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = gate.local_addr().unwrap().port();
        fs::write(&path, format!("{port} {}", "ab".repeat(16))).unwrap();
        let through = Program::new(QDEBUG).arg("gate").arg(&path).stdin("in");
        let server = async {
            let (mut stream, _) = gate.accept().await.unwrap();
            let mut said = Vec::new();
            stream.read_to_end(&mut said).await.unwrap();
            stream.write_all(b"out").await.unwrap();
            said
        };
        let (ran, said) = tokio::join!(through.output(), server);
        assert_eq!(said, format!("{}in", "ab".repeat(16)).into_bytes());
        assert_eq!(ran.unwrap().stdout, "out");
        fs::write(&path, "no gate").unwrap();
        let refused = Program::new(QDEBUG).arg("gate").arg(&path).output().await;
        assert_ne!(refused.unwrap().status, 0);
    });
}
