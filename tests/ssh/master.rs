//! Masters: opened once, shared, adopted, refused.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use qdebug::process::Program;
use qdebug::ssh::{Error, Prompt};

use crate::bench::kill_master;
use crate::common::{Bench, block_on, login};

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
        kill_master(first.socket()).await;
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
