//! The laptop half from waiting to the end, against real sshds and a cluster's qdebug that is a
//! script: it answers with what the test has written.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Bench, block_on, login};
use qdebug::laptop::{Cluster, Connect, Error, Event, Outcome, Paths, Ui, connect, sweep};
use qdebug::process::Program;
use qdebug::session::Standing;
use qdebug::ssh::{Client, PlainPath, Prompt};

/// A login node with a script for qdebug, and a session's container beside it.
struct Scene {
    bench: Bench,
    client: Client,
    paths: Paths,
    port: u16,
    host_key: String,
}

impl Scene {
    async fn new() -> Self {
        let mut bench = Bench::new().await;
        let (login_port, login_key) = bench
            .sshd(
                "login",
                "ForceCommand echo hi; sh -c \"$SSH_ORIGINAL_COMMAND\"",
            )
            .await;
        let keys = bench.path("authorized_keys");
        fs::write(&keys, "").unwrap();
        let (port, host_key) = bench.sshd_with_keys("container", &keys, "").await;
        let client = bench.config(&[("login", login_port, &login_key)], "");
        let at = bench.path("a b");
        let plain = |path: PathBuf| PlainPath::new(path).unwrap();
        let paths = Paths {
            qdebug: plain(at.join("qdebug")),
            user_config: at.join(".ssh/config"),
            ssh_config: plain(at.join("config/ssh_config")),
            known_hosts: plain(at.join("config/known_hosts")),
            identity: plain(at.join("data/id_ed25519")),
            sessions: at.join("state/sessions"),
        };
        let scene = Self {
            bench,
            client,
            paths,
            port,
            host_key,
        };
        scene.script();
        scene
    }

    fn script(&self) {
        let dir = self.bench.dir();
        let script = format!(
            "#!/bin/sh\nhex=$2; shift 2\necho \"qdebug-frame-$hex begin\"\ncd {}\ncode=0\n\
             case $1 in\n\
             status) if [ -f status ]; then cat status; else echo 'error: no session' >&2; code=3; fi;;\n\
             list) echo '['; cat status; echo ']';;\n\
             authorize) cat >> authorized_keys;;\n\
             esac\necho \"qdebug-frame-$hex end $code\"\nexit $code\n",
            dir.display()
        );
        let path = self.qdebug();
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn qdebug(&self) -> PathBuf {
        self.bench.path("cluster-qdebug")
    }

    /// Writes what `status` answers from now on.
    fn says(&self, state: &str, token: char, reason: Option<&str>) {
        let details = (state == "ready").then(|| {
            serde_json::json!({
                "node": "localhost", "port": self.port, "user": self.bench.user,
                "host_key": self.host_key, "container": "c", "image": "i",
                "started": "2026-01-01T00:00:00Z", "project": "/home/alice",
            })
        });
        let status = serde_json::json!({
            "format": 1, "name": "v100-otter", "token": token.to_string().repeat(32),
            "job": "7", "cluster": {"scheduler": "local", "server": "login"},
            "state": state, "reason": reason, "hint": null, "code": null, "never": false,
            "position": 2, "estimate": null, "progress": null,
            "created": "2026-01-01T00:00:00Z", "began": [], "deadline": null, "node": null,
            "gpu": null, "image": {"from": "reference", "reference": "busybox"},
            "doubts": [], "keys": [], "details": details,
        });
        let new = self.bench.path("status.new");
        fs::write(&new, status.to_string()).unwrap();
        fs::rename(new, self.bench.path("status")).unwrap();
    }

    async fn cluster(&self) -> Cluster {
        let path = self.qdebug();
        let path = path.to_str();
        Cluster::at(&self.client, &login(), path, Prompt::Never)
            .await
            .unwrap()
    }

    async fn ssh(&self, words: &[&str]) -> qdebug::process::Output {
        let ssh = Program::new("ssh")
            .arg("-F")
            .arg(self.paths.ssh_config.as_path());
        // There is no built qdebug to be the proxy here: by the listener's port.
        let ssh = ssh.args(["-o", "ProxyCommand=none", "-o", "BatchMode=yes"]);
        ssh.args(words).output().await.unwrap()
    }
}

fn ask() -> Connect {
    Connect {
        job: "7".into(),
        port: None,
        forwards: Vec::new(),
        prompt: Prompt::Never,
        detach: false,
    }
}

fn ui() -> (Ui, Arc<Mutex<Vec<Event>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&events);
    let ui = Ui {
        tell: Arc::new(move |event| told.lock().unwrap().push(event)),
        confirm: Box::new(|plan| plan.lines.contains("Include")),
    };
    (ui, events)
}

async fn until(events: &Mutex<Vec<Event>>, wanted: impl Fn(&Event) -> bool) {
    for _ in 0..600 {
        if events.lock().unwrap().iter().any(&wanted) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not come: {events:?}");
}

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
        assert!(matches!(outcome, Ok(Outcome::Ended(_))), "{outcome:?}");
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
