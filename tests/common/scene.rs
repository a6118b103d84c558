//! The laptop half's own scene: a real sshd as login, another as a session's container, and a cluster's
//! qdebug that is a script and answers with what the test has written.

#![allow(dead_code, unreachable_pub)] // Each test binary uses its part.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qdebug::ide::Home;
use qdebug::laptop::{Cluster, Connect, Event, Paths, Ui};
use qdebug::process::Program;
use qdebug::ssh::{Client, PlainPath, Prompt};

use crate::common::{Bench, login};

/// A login node with a script for qdebug, and a session's container beside it.
pub struct Scene {
    pub bench: Bench,
    pub client: Client,
    pub paths: Paths,
    pub port: u16,
    pub host_key: String,
    /// What the image lacks.
    pub notices: Vec<String>,
    /// Whose session it is said to be, and the order of ways that the cluster says.
    pub scheduler: &'static str,
    pub ways: Option<Vec<&'static str>>,
}

impl Scene {
    pub async fn new() -> Self {
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
            home: Home::below(&at),
        };
        let scene = Self {
            bench,
            client,
            paths,
            port,
            host_key,
            notices: Vec::new(),
            scheduler: "local",
            ways: None,
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

    pub fn qdebug(&self) -> PathBuf {
        self.bench.path("cluster-qdebug")
    }

    /// Writes what `status` answers from now on.
    pub fn says(&self, state: &str, token: char, reason: Option<&str>) {
        let details = (state == "ready").then(|| {
            serde_json::json!({
                "node": "localhost", "port": self.port, "user": self.bench.user,
                "host_key": self.host_key, "container": "c", "image": "i",
                "started": "2026-01-01T00:00:00Z", "project": "/home/alice/my proj",
                "notices": self.notices,
            })
        });
        let ways = self.ways.as_ref();
        let ways = ways.map(|order| serde_json::json!({"order": order, "from": "site.toml:3"}));
        let status = serde_json::json!({
            "ways": ways, "format": 1, "name": "v100-otter", "token": token.to_string().repeat(32),
            "job": "7", "cluster": {"scheduler": self.scheduler, "server": "login"},
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

    pub async fn cluster(&self) -> Cluster {
        let path = self.qdebug();
        let path = path.to_str();
        Cluster::at(&self.client, &login(), path, Prompt::Never)
            .await
            .unwrap()
    }

    pub async fn ssh(&self, words: &[&str]) -> qdebug::process::Output {
        let ssh = Program::new("ssh")
            .arg("-F")
            .arg(self.paths.ssh_config.as_path());
        // There is no built qdebug to be the proxy here: by the listener's port.
        let ssh = ssh.args(["-o", "ProxyCommand=none", "-o", "BatchMode=yes"]);
        ssh.args(words).output().await.unwrap()
    }
}

pub fn ask() -> Connect {
    Connect {
        job: "7".into(),
        port: None,
        forwards: Vec::new(),
        prompt: Prompt::Never,
        detach: false,
        opening: None,
        order: None,
    }
}

pub fn ui() -> (Ui, Arc<Mutex<Vec<Event>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&events);
    let ui = Ui {
        tell: Arc::new(move |event| told.lock().unwrap().push(event)),
        confirm: Box::new(|plan| Box::pin(async { plan.lines.contains("Include") })),
    };
    (ui, events)
}

pub async fn until(events: &Mutex<Vec<Event>>, wanted: impl Fn(&Event) -> bool) {
    for _ in 0..600 {
        if events.lock().unwrap().iter().any(&wanted) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not come: {events:?}");
}
