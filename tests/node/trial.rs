//! One session of a node half: its folders, its process, and what is left of it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use qdebug::engine::{Choice, Engine};
use qdebug::kit::Kit;
use qdebug::session::{
    Cluster, ConnectionDetails, EngineChoice, ImageSource, Phase, PublicKey, Qdebug, Request,
    SessionDir, Sshd, Store, Token,
};

use crate::support;

pub(crate) const SESSION: &str = "QDEBUG_TEST_SESSION";
/// The folder of the shared cache, for the tests that have one.
pub(crate) const CACHE: &str = "QDEBUG_TEST_CACHE";
pub(crate) const NODE_DIR: &str = "QDEBUG_TEST_NODE_DIR";
/// The user the node half runs as unless a test says otherwise: no root, in the engine's group.
pub(crate) const UID: u32 = 2001;

pub(crate) struct Trial {
    _home: tempfile::TempDir,
    pub(crate) home: PathBuf,
    pub(crate) node_dir: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) session: SessionDir,
    pub(crate) request: Request,
    uid: u32,
    pub(crate) env: Vec<(&'static str, PathBuf)>,
    child: Option<Child>,
}

/// The image to try, or why there is nothing to try.
fn image() -> Option<String> {
    let name = std::env::var("QDEBUG_TEST_IMAGE").unwrap_or("qdebug-base:bookworm".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let found = runtime.block_on(async {
        let engine = Engine::connect(Choice::Docker, None)
            .await
            .map_err(|error| error.to_string())?;
        let image = engine.image(&name.parse().unwrap()).await;
        match image.map_err(|error| error.to_string())? {
            None => Err(format!("no image {name}")),
            Some(_) => Kit::find().map_err(|error| error.to_string()),
        }
    });
    match found {
        Ok(_) => Some(name),
        Err(reason) => {
            support::skip(&reason);
            None
        }
    }
}

pub(crate) fn give(path: &Path) {
    chown(path, Some(UID), Some(UID)).unwrap();
}

pub(crate) fn make_key(path: &Path) -> PublicKey {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status();
    assert!(made.unwrap().success());
    let text = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    text.trim().parse().unwrap()
}

impl Trial {
    pub(crate) fn new(change: impl FnOnce(&mut Request)) -> Option<Self> {
        if !support::is_root("only root can start a node half as another user") {
            return None;
        }
        let image = image()?;
        let folder = tempfile::Builder::new()
            .prefix("qdebug node é'")
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir_in("/var/tmp")
            .unwrap();
        let home = folder.path().join("home a b");
        let node_dir = folder.path().join("node");
        for folder in [&home, &node_dir] {
            std::fs::create_dir(folder).unwrap();
            give(folder);
        }
        let mut request = Request {
            name: "otter".parse().unwrap(),
            token: Token::random().unwrap(),
            cluster: Cluster {
                scheduler: "slurm".into(),
                server: format!("test-{}", std::process::id()),
            },
            qdebug: Qdebug {
                version: env!("CARGO_PKG_VERSION").into(),
                path: "/usr/bin/qdebug".into(),
            },
            created: jiff::Timestamp::now(),
            walltime_seconds: 600,
            gpu: None,
            cpus: None,
            memory_bytes: Some(1 << 30),
            shm_bytes: None,
            idle_timeout_seconds: None,
            image: ImageSource::Reference { reference: image },
            sshd: Sshd::Kit,
            engine: EngineChoice::Auto,
            mounts: Vec::new(),
            env: [("ODD".parse().unwrap(), "a 'b' \"c\" $d é".to_owned())].into(),
            home: home.clone(),
            project: home.clone(),
        };
        change(&mut request);
        let session = Store::below(&home.join(".qdebug"))
            .create(&request)
            .unwrap();
        let key = folder.path().join("key");
        let public = make_key(&key);
        session.write_keys(&[public]).unwrap();
        for path in walk(&home) {
            give(&path);
        }
        Some(Self {
            _home: folder,
            home,
            node_dir,
            key,
            session,
            request,
            uid: UID,
            env: Vec::new(),
            child: None,
        })
    }

    pub(crate) fn owned_by_root(mut self) -> Self {
        self.uid = 0;
        for path in walk(&self.home).into_iter().chain([self.node_dir.clone()]) {
            chown(path, Some(0), Some(0)).unwrap();
        }
        self
    }

    pub(crate) fn start(&mut self) {
        let socket = Path::new("/var/run/docker.sock").metadata().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "as_the_node_half", "--nocapture"])
            .env(SESSION, self.session.path())
            .env(NODE_DIR, &self.node_dir)
            .env("SLURM_JOB_ID", "33")
            .env("SLURM_CLUSTER_NAME", &self.request.cluster.server)
            .env("HOME", &self.home)
            .env("PBS_JOBCOOKIE", "secret")
            .stdin(Stdio::null())
            // Its own line of results is none of this run's.
            .stdout(Stdio::null())
            .envs(self.env.iter().cloned())
            .uid(self.uid)
            .gid(if self.uid == 0 { 0 } else { socket.gid() })
            .spawn();
        self.child = Some(child.unwrap());
    }

    pub(crate) fn phase(&self) -> Option<Phase> {
        self.session.state().unwrap().map(|state| state.phase)
    }

    pub(crate) fn wait_for(&self, limit: u64, what: impl Fn(&Phase) -> bool) -> Phase {
        let deadline = Instant::now() + Duration::from_secs(limit);
        while Instant::now() < deadline {
            if let Some(phase) = self.phase().filter(|phase| what(phase)) {
                return phase;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = std::fs::read_to_string(self.session.node_log()).unwrap_or_default();
        panic!("still {:?} after {limit} s\n{log}", self.phase());
    }

    pub(crate) fn ready(&mut self) -> ConnectionDetails {
        self.start();
        let phase = self.wait_for(60, |phase| *phase == Phase::Ready || phase.is_final());
        let log = || std::fs::read_to_string(self.session.node_log()).unwrap_or_default();
        assert_eq!(phase, Phase::Ready, "{}", log());
        self.session.state().unwrap().unwrap().details.unwrap()
    }

    pub(crate) fn ssh(
        &self,
        details: &ConnectionDetails,
        key: &Path,
        command: &str,
    ) -> (bool, String) {
        let known = self.key.with_extension("known");
        std::fs::write(&known, format!("session {}\n", details.host_key)).unwrap();
        let output = Command::new("ssh")
            .args([
                "-F",
                "none",
                "-o",
                "BatchMode=yes",
                "-o",
                "IdentitiesOnly=yes",
            ])
            .args([
                "-o",
                "HostKeyAlias=session",
                "-o",
                "StrictHostKeyChecking=yes",
            ])
            .arg("-o")
            .arg(format!("UserKnownHostsFile=\"{}\"", known.display()))
            .arg("-i")
            .arg(key)
            .args(["-p", &details.port.to_string()])
            .arg(format!("{}@127.0.0.1", details.user))
            .arg(command)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    /// How many containers carry this session's token, in any state.
    pub(crate) fn containers(&self) -> usize {
        let output = Command::new("docker")
            .args(["ps", "-aq", "--filter"])
            .arg(format!(
                "label=qdebug.token={}",
                self.request.token.as_str()
            ))
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).lines().count()
    }

    pub(crate) fn assert_gone_within(&self, seconds: u64) {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while self.containers() > 0 {
            assert!(Instant::now() < deadline, "a container is still there");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    pub(crate) fn leftovers(&self) -> usize {
        let sessions = self.node_dir.join(format!("qdebug-{}/sessions", self.uid));
        std::fs::read_dir(sessions).map_or(0, Iterator::count)
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        let token = self.request.token.as_str();
        let remove =
            format!("docker ps -aq --filter label=qdebug.token={token} | xargs -r docker rm -f");
        let _ = Command::new("sh").args(["-c", &remove]).output();
    }
}

fn walk(path: &Path) -> Vec<PathBuf> {
    let mut all = vec![path.to_owned()];
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            all.extend(walk(&entry.unwrap().path()));
        }
    }
    all
}

/// Another image to try, by a variable or its usual name.
pub(crate) fn other_image(variable: &str, usual: &str) -> Option<String> {
    let name = std::env::var(variable).unwrap_or(usual.to_owned());
    let there = Command::new("docker")
        .args(["image", "inspect", &name])
        .output();
    if there.is_ok_and(|output| output.status.success()) {
        return Some(name);
    }
    support::skip(&format!("no image {name}"));
    None
}
