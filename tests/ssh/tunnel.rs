//! The tunnel over masters: many at once, and dialled again when a hop is lost.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use qdebug::process::Program;
use qdebug::ssh::{Error, Event, Listener, Prompt, Route, Tunnel};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::bench::kill_master;
use crate::common::{Bench, block_on, login, ok};
use crate::server::{ask, upper_case_server};

#[test]
fn fifty_connections_at_once_through_both_hops() {
    block_on(async {
        let mut bench = Bench::new().await;
        let (login_port, login_key) = bench.sshd("login", "").await;
        let (node_port, node_key) = bench.sshd("node", "").await;
        let client = bench.config(&[("login", login_port, &login_key)], "");
        let route = Route::Jump {
            login: Some(login()),
            node: bench.node(node_port, &node_key),
        };
        let server = upper_case_server().await;
        let tunnel = Tunnel::new(client, route, server, Prompt::Never);
        assert_eq!(tunnel.probe().await.unwrap(), "SSH-2.0-test");
        let listener = Listener::bind(0).await.unwrap();
        let port = listener.port();
        let carried = async {
            let begun = Instant::now();
            let big = vec![b'a'; 3_000_000];
            let many = (0..50).map(|_| ask(port, &big[..100_000]));
            let answers = futures_util::future::join_all(many).await;
            for answer in answers {
                assert_eq!(answer.len(), 100_013);
            }
            let answer = ask(port, &big).await;
            assert_eq!(answer.len(), 3_000_013);
            assert!(answer.ends_with(b"AAA"), "{:?}", begun.elapsed());
        };
        tokio::select! {
            () = listener.serve(&tunnel, |event| panic!("{event:?}")) => {}
            () = carried => {}
        }
    });
}

#[test]
fn lost_hops_are_dialled_again_and_troubles_told_once() {
    block_on(async {
        let mut bench = Bench::new().await;
        let (login_port, login_key) = bench.sshd("login", "").await;
        let (node_port, node_key) = bench.sshd("node", "").await;
        let client = bench.config(&[("login", login_port, &login_key)], "");
        let node = bench.node(node_port, &node_key);
        let server = upper_case_server().await;
        let route = Route::Jump {
            login: Some(login()),
            node: node.clone(),
        };
        let node_master = async || {
            let via = client.login(&login(), Prompt::Never).await.unwrap();
            client.node(Some(&via), &node, Prompt::Never).await.unwrap()
        };
        let tunnel = Tunnel::new(client.clone(), route.clone(), server, Prompt::Never);
        let listener = Listener::bind(0).await.unwrap();
        let port = listener.port();
        let events = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&events);
        let story = async {
            assert_eq!(ask(port, b"one").await, b"SSH-2.0-test\nONE");
            kill_master(node_master().await.socket()).await;
            assert_eq!(ask(port, b"two").await, b"SSH-2.0-test\nTWO");
            let login_master = client.login(&login(), Prompt::Never).await.unwrap();
            kill_master(login_master.socket()).await;
            // The node's master notices that its way is gone, within a moment.
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(ask(port, b"three").await, b"SSH-2.0-test\nTHREE");
            assert!(events.lock().unwrap().is_empty(), "{events:?}");
        };
        tokio::select! {
            () = listener.serve(&tunnel, move |event| told.lock().unwrap().push(event)) => {}
            () = story => {}
        }

        // Nobody listens at the end of the way.
        let nobody = Tunnel::new(client, route, 1, Prompt::Never);
        let error = nobody.probe().await.unwrap_err();
        assert!(matches!(error, Error::Forward { port: 1, .. }), "{error:?}");
        let told = Arc::clone(&events);
        let silent = async {
            for _ in 0..3 {
                assert_eq!(ask(port, b"x").await, b"");
            }
            let events = events.lock().unwrap();
            assert!(matches!(events.as_slice(), [Event::Lost(_)]), "{events:?}");
        };
        tokio::select! {
            () = listener.serve(&nobody, move |event| told.lock().unwrap().push(event)) => {}
            () = silent => {}
        }
    });
}

#[test]
fn a_client_that_goes_away_leaves_no_ssh_behind() {
    block_on(async {
        let mut bench = Bench::new().await;
        let (port, key) = bench.sshd("login", "").await;
        let client = bench.config(&[("login", port, &key)], "");
        let server = upper_case_server().await;
        let master = client.login(&login(), Prompt::Never).await.unwrap();
        let tunnel = Tunnel::new(client, Route::Login(login()), server, Prompt::Never);
        let socket = master.socket().display().to_string();
        let listener = Listener::bind(0).await.unwrap();
        let at = listener.port();
        let story = async {
            let mut stream = TcpStream::connect(("127.0.0.1", at)).await.unwrap();
            let mut banner = [0; 13];
            stream.read_exact(&mut banner).await.unwrap();
            drop(stream);
            let begun = Instant::now();
            loop {
                let all = ok(Program::new("ps").args(["-eo", "args"])).await;
                let left = all
                    .lines()
                    .filter(|l| l.contains(&socket) && l.contains("-W"));
                if left.count() == 0 {
                    break;
                }
                assert!(begun.elapsed() < Duration::from_secs(10), "{all}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            () = listener.serve(&tunnel, |_| {}) => {}
            () = story => {}
        }
    });
}
