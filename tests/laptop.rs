//! The laptop half from waiting to the end, against real sshds and a cluster's qdebug that is a
//! script: it answers with what the test has written.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
#[path = "common/scene.rs"]
mod scene;

use std::fs;
use std::time::{Duration, Instant};

use common::block_on;
use qdebug::laptop::{Error, Event, Order, Outcome, connect, sweep};
use qdebug::session::Standing;
use scene::{Scene, ask, ui, until};

#[test]
fn from_the_queue_to_the_end() {
    block_on(async {
        let scene = Scene::new().await;
        let cluster = scene.cluster().await;
        let (ui, events) = ui();
        scene.says("queued", '1', Some("waits for free resources"));
        let story = async {
            until(
                &events,
                |event| matches!(event, Event::Status(status) if status.position == Some(2)),
            )
            .await;
            until(&events, |event| matches!(event, Event::KeyHandedOver)).await;
            scene.says("launching", '1', None);
            until(&events, |event| {
                matches!(event, Event::Status(status) if status.state == Standing::Launching)
            })
            .await;
            scene.says("ready", '1', None);
            until(&events, |event| matches!(event, Event::Connected { .. })).await;

            let config = fs::read_to_string(&scene.paths.user_config).unwrap();
            assert!(config.contains("Include \""), "{config}");
            let shell = scene.ssh(&["qdebug-v100-otter", "echo", "hello"]).await;
            assert_eq!(
                (shell.status, &*shell.stdout),
                (0, "hello\n"),
                "{}",
                shell.stderr
            );
            let shell = scene.ssh(&["qdebug-v100-otter", "exit 7"]).await;
            assert_eq!(shell.status, 7);

            // A second one does not fight for the port.
            let second = connect(&cluster, &scene.client, &scene.paths, &ask(), &ui).await;
            assert!(
                matches!(second, Err(Error::AlreadyConnected { .. })),
                "{second:?}"
            );

            // The cluster has just been asked, and would be asked again in ten seconds.
            scene.says("ending", '1', Some("stopped by alice"));
            scene.bench.cut_last().await;
            let cut = Instant::now();
            until(
                &events,
                |event| matches!(event, Event::Status(status) if status.state == Standing::Ending),
            )
            .await;
            scene.says("ended", '1', Some("stopped by alice"));
            cut
        };
        let asked = ask();
        let connecting = connect(&cluster, &scene.client, &scene.paths, &asked, &ui);
        let (outcome, cut) = tokio::join!(connecting, story);
        let known_after = cut.elapsed();
        assert!(known_after < Duration::from_secs(4), "{known_after:?}");
        let Ok(Outcome::Ended(status)) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(status.reason.as_deref(), Some("stopped by alice"));
        // Its entry is gone, the user's line stays.
        let own = fs::read_to_string(scene.paths.ssh_config.as_path()).unwrap();
        assert!(!own.contains("Host "), "{own}");
        assert_eq!(fs::read(scene.paths.known_hosts.as_path()).unwrap(), b"");
    });
}

#[test]
fn a_container_with_another_host_key_is_refused() {
    block_on(async {
        let mut scene = Scene::new().await;
        scene.host_key = scene.bench.key_pair("other").await;
        let cluster = scene.cluster().await;
        scene.says("ready", '1', None);
        let (ui, _) = ui();
        let outcome = connect(&cluster, &scene.client, &scene.paths, &ask(), &ui).await;
        assert!(
            matches!(outcome, Err(Error::Ssh(qdebug::ssh::Error::HostKey { .. }))),
            "{outcome:?}"
        );
    });
}

#[test]
fn the_clusters_order_of_ways_rules_and_the_users_before_it() {
    block_on(async {
        let mut scene = Scene::new().await;
        scene.scheduler = "slurm";
        // A word of a newer cluster's is no harm.
        scene.ways = Some(vec!["port", "quantum", "exec", "jump"]);
        let cluster = scene.cluster().await;
        scene.says("ready", '1', None);
        let (ui, _) = ui();
        let mut asked = ask();
        let outcome = connect(&cluster, &scene.client, &scene.paths, &asked, &ui).await;
        let Err(Error::NoReach { tried, .. }) = outcome else {
            panic!("{outcome:?}");
        };
        let [exec, port, jump] = tried.as_slice() else {
            panic!("{tried:?}");
        };
        assert!(exec.starts_with("by exec: "), "{exec}");
        assert!(
            port.starts_with("by port: its node publishes it on the loopback"),
            "{port}"
        );
        assert!(
            jump.starts_with("by jump: its node told no host key"),
            "{jump}"
        );

        asked.order = Some(Order::of_words(&["nested"]));
        let outcome = connect(&cluster, &scene.client, &scene.paths, &asked, &ui).await;
        let Err(Error::NoReach { tried, .. }) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(
            tried.len() == 1 && tried[0].starts_with("by nested: "),
            "{tried:?}"
        );
    });
}

#[test]
fn what_failed_or_never_was_is_told_and_leaves_nothing() {
    block_on(async {
        let scene = Scene::new().await;
        let cluster = scene.cluster().await;
        let (ui, _) = ui();
        let outcome = connect(&cluster, &scene.client, &scene.paths, &ask(), &ui).await;
        assert!(
            matches!(outcome, Err(Error::Cluster { code: 3, .. })),
            "{outcome:?}"
        );
        scene.says("failed", '1', Some("no GPU on this node"));
        let outcome = connect(&cluster, &scene.client, &scene.paths, &ask(), &ui).await;
        assert!(matches!(outcome, Ok(Outcome::Over(_))), "{outcome:?}");
        assert!(!scene.paths.user_config.exists() && !scene.paths.sessions.exists());
    });
}

#[test]
fn entries_outlive_connect_and_are_swept_when_their_session_is_over() {
    block_on(async {
        let scene = Scene::new().await;
        let cluster = scene.cluster().await;
        scene.says("ready", '1', None);
        let (ui, events) = ui();
        let asked = ask();
        tokio::select! {
            outcome = connect(&cluster, &scene.client, &scene.paths, &asked, &ui) => {
                panic!("{outcome:?}")
            }
            () = until(&events, |event| matches!(event, Event::Connected { .. })) => {}
        }
        let own = || fs::read_to_string(scene.paths.ssh_config.as_path()).unwrap();
        assert!(own().contains("Host qdebug-v100-otter\n"));
        assert!(sweep(&cluster, &scene.paths).await.unwrap().is_empty());
        // A session of the same name and another token is another one.
        scene.says("ready", '2', None);
        let swept = sweep(&cluster, &scene.paths).await.unwrap();
        assert_eq!(swept, ["qdebug-v100-otter"]);
        assert!(!own().contains("Host "));
    });
}

#[test]
fn silence_is_told_once_and_waited_out() {
    block_on(async {
        let scene = Scene::new().await;
        let cluster = scene.cluster().await;
        scene.says("launching", '1', None);
        let (ui, events) = ui();
        let asked = ask();
        let story = async {
            until(&events, |event| matches!(event, Event::KeyHandedOver)).await;
            let (qdebug, away) = (scene.qdebug(), scene.bench.path("away"));
            fs::rename(&qdebug, &away).unwrap();
            tokio::time::sleep(Duration::from_secs(4)).await;
            fs::rename(&away, &qdebug).unwrap();
            until(&events, |event| matches!(event, Event::Answers)).await;
            let events = events.lock().unwrap();
            let silent = |event: &&Event| matches!(event, Event::Silent(_));
            assert_eq!(events.iter().filter(silent).count(), 1, "{events:?}");
        };
        tokio::select! {
            outcome = connect(&cluster, &scene.client, &scene.paths, &asked, &ui) => {
                panic!("{outcome:?}")
            }
            () = story => {}
        }
    });
}
