//! The ssh adapter against a real sshd on the loopback: started as whoever runs the tests, on a
//! port of its own, with keys and configuration of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)] // A test.

mod common;
#[path = "common/server.rs"]
mod server;
mod support;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use qdebug::process::Program;
use qdebug::ssh::{Destination, Error, Event, Listener, Prompt, Remote, Route, Tunnel};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use common::{Bench, block_on, login, ok};
use server::{ask, upper_case_server};

/// Ends a master as a broken network would: with SIGKILL.
async fn kill(socket: &Path) {
    let check = Program::new("ssh").args(["-F", "none", "-O", "check", "-S"]);
    let output = check.arg(socket).arg("none").output().await.unwrap();
    // `Master running (pid=123)`
    let pid: String = output.stderr.chars().filter(char::is_ascii_digit).collect();
    ok(Program::new("kill").args(["-9", &pid])).await;
}

#[test]
fn a_master_is_opened_once_and_shared() {
    block_on(async {
        let mut bench = Bench::new().await;
        let (port, key) = bench.sshd("login", "").await;
        let client = bench.config(&[("login", port, &key)], "");
        let (to, also) = (login(), login());
        let (first, second) = tokio::join!(
            client.login(&to, Prompt::Never),
            client.login(&also, Prompt::Never)
        );
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(first.socket(), second.socket());
        assert!(!first.is_users_own());
        let log = fs::read_to_string(bench.path("login.log")).unwrap();
        assert_eq!(log.matches("Accepted publickey").count(), 1, "{log}");
        // A socket that a dead master left is no hindrance.
        kill(first.socket()).await;
        assert!(first.socket().exists() && !first.is_alive().await);
        assert!(
            client
                .login(&to, Prompt::Never)
                .await
                .unwrap()
                .is_alive()
                .await
        );
        first.close().await;
        assert!(!first.is_alive().await);
    });
}

#[test]
fn the_users_own_master_is_used_and_never_closed() {
    block_on(async {
        let mut bench = Bench::new().await;
        let (port, key) = bench.sshd("login", "").await;
        let theirs = bench.path("own-%C");
        let more = format!("ControlPath {}\nControlMaster auto", theirs.display());
        let client = bench.config(&[("login", port, &key)], &more);
        let own = Program::new("ssh").arg("-F").arg(bench.path("config"));
        let mut own = own
            .args(["-M", "-N", "login"])
            .spawn(Stdio::null())
            .unwrap();
        let master = loop {
            // Until theirs is up ours is opened, which is right, too.
            let master = client.login(&login(), Prompt::Never).await.unwrap();
            if master.is_users_own() {
                break master;
            }
            master.close().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert!(master.socket().to_str().unwrap().contains("own-"));
        master.close().await;
        assert!(master.is_alive().await);
        own.kill().await.unwrap();
    });
}

#[test]
fn refusals_are_told_apart() {
    block_on(async {
        let mut bench = Bench::new().await;
        let (port, key) = bench.sshd("login", "").await;
        let other = bench.key_pair("other").await;

        let client = bench.config(&[("login", port, &other)], "");
        let error = client.login(&login(), Prompt::Never).await.unwrap_err();
        assert!(matches!(error, Error::HostKey { .. }), "{error:?}");

        let client = bench.config(&[("login", port, &key)], "PubkeyAuthentication no");
        let error = client.login(&login(), Prompt::Never).await.unwrap_err();
        assert!(
            matches!(error, Error::Authentication { asked: false, .. }),
            "{error:?}"
        );

        let client = bench.config(&[("login", 1, &key)], "");
        let error = client.login(&login(), Prompt::Never).await.unwrap_err();
        assert!(
            matches!(&error, Error::Unreachable { detail, .. } if detail.contains("refused")),
            "{error:?}"
        );
    });
}

#[test]
fn a_remote_command_is_framed_against_noise_in_every_shell() {
    block_on(async {
        let mut bench = Bench::new().await;
        let qdebug = bench.fake_qdebug("it's a dir/qdebug");
        let args = ["status", "it's", "wow!", "$HOME", "a\\b", "ü", ""];
        let wanted = "<status>\n<it's>\n<wow!>\n<$HOME>\n<a\\b>\n<ü>\n<>\nfrom stdin";
        for shell in ["sh", "bash", "tcsh"] {
            if Program::new(shell)
                .args(["-c", "true"])
                .output()
                .await
                .is_err()
            {
                support::skip(&format!("no {shell} is installed"));
                continue;
            }
            let noise = format!(
                "ForceCommand printf 'Welcome!\\nquota \\033[1m'; {shell} -c \
                 \"$SSH_ORIGINAL_COMMAND\"; echo bye; echo noise >&2"
            );
            let (port, key) = bench.sshd(&format!("login-{shell}"), &noise).await;
            let name = format!("login-{shell}");
            let client = bench.config(&[(&name, port, &key)], "");
            let to: Destination = name.parse().unwrap();
            let remote = Remote::at(client, to, &qdebug, Prompt::Never).unwrap();
            let answer = remote
                .run(&args, Some(b"from stdin"), Duration::from_secs(20))
                .await
                .unwrap();
            assert_eq!((answer.status, &*answer.stdout), (3, wanted), "{shell}");
            assert!(answer.stderr.contains("oops"), "{shell}");
            assert!(
                remote
                    .run(&["a\nb"], None, Duration::from_secs(1))
                    .await
                    .is_err()
            );

            let mut streamed = Vec::new();
            let answer = remote
                .stream(&["x"], |piece| streamed.extend_from_slice(piece))
                .await
                .unwrap();
            assert_eq!((answer.status, streamed.as_slice()), (3, &b"<x>\n"[..]));
        }
    });
}

#[test]
fn qdebug_is_found_on_the_cluster_or_missed_by_name() {
    block_on(async {
        let mut bench = Bench::new().await;
        let home = bench.path("home");
        let force = format!(
            "ForceCommand echo hi; HOME={} PATH=/usr/bin:/bin sh -c \"$SSH_ORIGINAL_COMMAND\"",
            home.display()
        );
        let (port, key) = bench.sshd("login", &force).await;
        let client = bench.config(&[("login", port, &key)], "");
        if !Path::new("/usr/local/bin/qdebug").exists() {
            let error = Remote::find(client.clone(), login(), Prompt::Never)
                .await
                .unwrap_err();
            assert!(matches!(error, Error::QdebugMissing { .. }), "{error:?}");
        }
        let path = bench.fake_qdebug("home/.local/bin/qdebug");
        let remote = Remote::find(client.clone(), login(), Prompt::Never)
            .await
            .unwrap();
        assert_eq!(remote.qdebug(), path);

        let limit = Duration::from_secs(20);
        let gone = Remote::at(client.clone(), login(), "/no/qdebug", Prompt::Never).unwrap();
        let error = gone.run(&["list"], None, limit).await.unwrap_err();
        assert!(matches!(error, Error::QdebugMissing { .. }), "{error:?}");
        let other = Remote::at(client.clone(), login(), "/bin/echo", Prompt::Never).unwrap();
        let error = other.run(&["list"], None, limit).await.unwrap_err();
        assert!(matches!(error, Error::NoAnswer { .. }), "{error:?}");
        let slow = Remote::at(client, login(), "/bin/sleep", Prompt::Never).unwrap();
        let error = slow.run(&["list"], None, limit).await.unwrap_err();
        assert!(matches!(error, Error::NoAnswer { .. }), "{error:?}");
    });
}

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
            kill(node_master().await.socket()).await;
            assert_eq!(ask(port, b"two").await, b"SSH-2.0-test\nTWO");
            let login_master = client.login(&login(), Prompt::Never).await.unwrap();
            kill(login_master.socket()).await;
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
            let mut old = TcpStream::connect(("127.0.0.1", at)).await.unwrap();
            let mut banner = [0; 13];
            old.read_exact(&mut banner).await.unwrap();
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
            old.write_all(b"old").await.unwrap();
            old.shutdown().await.unwrap();
            let mut rest = Vec::new();
            old.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"OLD");
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
fn a_node_with_another_host_key_is_refused() {
    block_on(async {
        let mut bench = Bench::new().await;
        let (login_port, login_key) = bench.sshd("login", "").await;
        let (node_port, node_key) = bench.sshd("node", "").await;
        let client = bench.config(&[("login", login_port, &login_key)], "");
        // The user's own known_hosts would let it pass; the pin alone counts.
        let node = bench.node(node_port, &login_key);
        fs::write(bench.path("known"), {
            let known = fs::read_to_string(bench.path("known")).unwrap();
            format!("{known}[127.0.0.1]:{node_port} {node_key}\nqdebug-node1 {node_key}\n")
        })
        .unwrap();
        let via = client.login(&login(), Prompt::Never).await.unwrap();
        let error = client
            .node(Some(&via), &node, Prompt::Never)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::HostKey { .. }), "{error:?}");
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

/// Which keys are for a login is what ssh itself would offer there.
#[test]
fn the_keys_for_a_login_are_those_of_its_configuration() {
    block_on(async {
        let bench = Bench::new().await;
        let [mine, held, other] = [
            bench.key_pair("mine").await,
            bench.key_pair("held").await,
            bench.key_pair("other").await,
        ];
        let socket = bench.path("agent");
        let agent = Program::new("ssh-agent").args(["-D", "-a"]).arg(&socket);
        let agent = agent.spawn_with(Stdio::null(), Stdio::null(), Stdio::null());
        let _agent = agent.unwrap();
        for name in ["held", "other"] {
            // Until it listens.
            for _ in 0..100 {
                let add = Program::new("ssh-add").arg("-q").arg(bench.path(name));
                if add
                    .env("SSH_AUTH_SOCK", &socket)
                    .output()
                    .await
                    .unwrap()
                    .status
                    == 0
                {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let at = bench.dir().display();
        let to: Destination = "keys".parse().unwrap();
        let keys = async |settings: &str| -> Vec<String> {
            let first = format!("Host keys\n{settings}");
            let client = bench.config(&[], "");
            let rest = fs::read_to_string(bench.path("config")).unwrap();
            let rest = rest.replace("IdentityFile", "# IdentityFile");
            fs::write(bench.path("config"), format!("{first}\n{rest}")).unwrap();
            let keys = client.keys_for(&to, bench.dir()).await;
            keys.iter().map(|key| key.key.to_string()).collect()
        };
        let agent = format!("IdentityAgent {at}/agent\n");
        let files = format!("IdentityFile {at}/mine\nIdentityFile {at}/held.pub\n");
        // A public half alone is of use where the agent has the other.
        let only = format!("{files}IdentitiesOnly yes\n");
        assert_eq!(keys(&format!("{agent}{only}")).await, [&mine[..], &held]);
        assert_eq!(
            keys(&format!("IdentityAgent none\n{only}")).await,
            [&mine[..]]
        );
        let all = keys(&format!("{agent}{files}IdentitiesOnly no\n")).await;
        assert_eq!(all, [mine, held, other]);
    });
}
