//! The node half on a real Docker: ready, entered, ended in every way, and nothing left.
//!
//! The node half runs in a process of its own, as the job script would run it; for that this test
//! program starts itself. Skipped, and said so, where there is no engine, no kit or no image.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods
)] // A test.

mod support;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use qdebug::engine::{Choice, Engine};
use qdebug::kit::Kit;
use qdebug::node::{self, Explanation, Options};
use qdebug::session::{
    Cluster, ConnectionDetails, EndReason, EngineChoice, ImageSource, Phase, PublicKey, Qdebug,
    Request, SessionDir, Sshd, Stop, Store, Token,
};

const SESSION: &str = "QDEBUG_TEST_SESSION";
/// The folder of the shared cache, for the tests that have one.
const CACHE: &str = "QDEBUG_TEST_CACHE";
const NODE_DIR: &str = "QDEBUG_TEST_NODE_DIR";
/// The user the node half runs as unless a test says otherwise: no root, in the engine's group.
const UID: u32 = 2001;

/// Not a test: what the other tests start as the node half.
#[test]
fn as_the_node_half() {
    let Some(session) = std::env::var_os(SESSION) else {
        return;
    };
    let options = Options {
        node_dir: std::env::var_os(NODE_DIR).map(PathBuf::from),
        may_pick_gpus: true,
        engine: Choice::Docker,
        pass_env: Vec::new(),
        publish: node::Publish::Loopback,
        cache: std::env::var_os(CACHE).map(|folder| node::CacheOptions {
            folder: folder.into(),
            limit: 10 << 30,
        }),
        explain: |_| Explanation {
            hint: Some("a hint".into()),
            code: Some(7),
        },
    };
    let run = node::run(Path::new(&session), &options);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    if let Err(error) = runtime.block_on(run) {
        eprintln!("{}", error.sentence());
    }
    runtime.shutdown_background();
}

struct Trial {
    _home: tempfile::TempDir,
    home: PathBuf,
    node_dir: PathBuf,
    key: PathBuf,
    session: SessionDir,
    request: Request,
    uid: u32,
    env: Vec<(&'static str, PathBuf)>,
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

fn give(path: &Path) {
    chown(path, Some(UID), Some(UID)).unwrap();
}

fn make_key(path: &Path) -> PublicKey {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status();
    assert!(made.unwrap().success());
    let text = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    text.trim().parse().unwrap()
}

impl Trial {
    fn new(change: impl FnOnce(&mut Request)) -> Option<Self> {
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

    fn owned_by_root(mut self) -> Self {
        self.uid = 0;
        for path in walk(&self.home).into_iter().chain([self.node_dir.clone()]) {
            chown(path, Some(0), Some(0)).unwrap();
        }
        self
    }

    fn start(&mut self) {
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
            .envs(self.env.iter().cloned())
            .uid(self.uid)
            .gid(if self.uid == 0 { 0 } else { socket.gid() })
            .spawn();
        self.child = Some(child.unwrap());
    }

    fn phase(&self) -> Option<Phase> {
        self.session.state().unwrap().map(|state| state.phase)
    }

    fn wait_for(&self, limit: u64, what: impl Fn(&Phase) -> bool) -> Phase {
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

    fn ready(&mut self) -> ConnectionDetails {
        self.start();
        let phase = self.wait_for(60, |phase| *phase == Phase::Ready || phase.is_final());
        let log = || std::fs::read_to_string(self.session.node_log()).unwrap_or_default();
        assert_eq!(phase, Phase::Ready, "{}", log());
        self.session.state().unwrap().unwrap().details.unwrap()
    }

    fn ssh(&self, details: &ConnectionDetails, key: &Path, command: &str) -> (bool, String) {
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
    fn containers(&self) -> usize {
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

    fn assert_gone_within(&self, seconds: u64) {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while self.containers() > 0 {
            assert!(Instant::now() < deadline, "a container is still there");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    fn leftovers(&self) -> usize {
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

#[test]
fn a_session_is_ready_entered_and_stopped() {
    let Some(mut trial) = Trial::new(|_| ()) else {
        return;
    };
    let began = Instant::now();
    let details = trial.ready();
    eprintln!("ready after {:?}", began.elapsed());
    assert_eq!(trial.containers(), 1);
    let (well, said) = trial.ssh(
        &details,
        &trial.key,
        "id -u; pwd; echo \"$ODD\"; echo $SLURM_JOB_ID; echo [$PBS_JOBCOOKIE]; touch 'a file'; \
         grep CapEff /proc/self/status",
    );
    assert!(well, "{said}");
    let home = trial.home.display();
    assert_eq!(
        said,
        format!("2001\n{home}\na 'b' \"c\" $d é\n33\n[]\nCapEff:\t0000000000000000\n")
    );
    assert_eq!(trial.home.join("a file").metadata().unwrap().uid(), UID);

    // A key that comes later enters, too.
    let late = trial.key.with_file_name("late");
    let public = make_key(&late);
    assert!(!trial.ssh(&details, &late, "true").0);
    trial.session.write_keys(&[public]).unwrap();
    give(&trial.session.authorized_keys_path());
    let deadline = Instant::now() + Duration::from_secs(10);
    while !trial.ssh(&details, &late, "true").0 {
        assert!(Instant::now() < deadline, "the late key does not enter");
        std::thread::sleep(Duration::from_millis(200));
    }

    let stop = Stop {
        token: trial.request.token.clone(),
        by: "alice@login".into(),
        at: jiff::Timestamp::now(),
    };
    trial.session.write_stop(&stop).unwrap();
    give(&trial.session.path().join("stop.json"));
    let asked = Instant::now();
    let phase = trial.wait_for(15, Phase::is_final);
    eprintln!("stopped after {:?}", asked.elapsed());
    let by = "alice@login".to_owned();
    assert!(
        matches!(&phase, Phase::Ended { reason, .. } if *reason == EndReason::Stopped { by }),
        "{phase:?}"
    );
    assert_eq!((trial.containers(), trial.leftovers()), (0, 0));
}

#[test]
fn the_schedulers_signal_ends_it_within_its_grace() {
    let Some(mut trial) = Trial::new(|_| ()) else {
        return;
    };
    trial.ready();
    trial.signal("TERM");
    let began = Instant::now();
    let phase = trial.wait_for(5, Phase::is_final);
    eprintln!("ended {:?} after the signal", began.elapsed());
    assert!(
        matches!(
            phase,
            Phase::Ended {
                reason: EndReason::CancelledByScheduler,
                ..
            }
        ),
        "{phase:?}"
    );
    assert_eq!((trial.containers(), trial.leftovers()), (0, 0));
}

#[test]
fn the_walltime_ends_it() {
    let Some(mut trial) = Trial::new(|request| request.walltime_seconds = 5) else {
        return;
    };
    trial.ready();
    let phase = trial.wait_for(15, Phase::is_final);
    assert!(
        matches!(
            phase,
            Phase::Ended {
                reason: EndReason::Walltime,
                ..
            }
        ),
        "{phase:?}"
    );
    assert_eq!(trial.containers(), 0);
}

#[test]
fn a_killed_node_half_takes_its_container_along_and_the_next_one_sweeps() {
    let Some(mut trial) = Trial::new(|_| ()) else {
        return;
    };
    trial.ready();
    trial.signal("KILL");
    let began = Instant::now();
    trial.assert_gone_within(5);
    eprintln!("gone {:?} after the kill", began.elapsed());
    assert_eq!(trial.leftovers(), 1);
    assert_eq!(trial.phase(), Some(Phase::Ready));

    let Some(mut next) = Trial::new(|_| ()) else {
        return;
    };
    next.node_dir = trial.node_dir.clone();
    next.ready();
    assert_eq!(next.leftovers(), 1, "only its own");
}

/// Another image to try, by a variable or its usual name.
fn other_image(variable: &str, usual: &str) -> Option<String> {
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

#[test]
fn a_bare_image_gives_a_shell_and_says_what_an_ide_misses() {
    let Some(bare) = other_image("QDEBUG_TEST_BARE_IMAGE", "qdebug/busybox") else {
        return;
    };
    let change = |request: &mut Request| request.image = ImageSource::Reference { reference: bare };
    let Some(mut trial) = Trial::new(change) else {
        return;
    };
    let details = trial.ready();
    let (well, said) = trial.ssh(
        &details,
        &trial.key,
        "echo $0 && id -un && scp 2>&1 | head -n 1",
    );
    assert!(
        well && said.contains("user2001") && said.contains("scp"),
        "{said}"
    );
    for word in ["bash", "python3"] {
        let told = details.notices.iter().any(|notice| notice.contains(word));
        assert!(told, "{word}: {:?}", details.notices);
    }
}

#[test]
fn the_images_own_sshd_serves_where_that_is_asked_for() {
    let Some(image) = other_image("QDEBUG_TEST_SSHD_IMAGE", "qdebug-cluster:bookworm") else {
        return;
    };
    let change = |request: &mut Request| {
        request.sshd = Sshd::Image;
        request.image = ImageSource::Reference { reference: image };
    };
    let Some(mut trial) = Trial::new(change) else {
        return;
    };
    let details = trial.ready();
    let (well, said) = trial.ssh(&details, &trial.key, "echo \"$ODD\"; cat /proc/1/comm");
    assert!(well, "{said}");
    assert_eq!(said, "a 'b' \"c\" $d é\ninit\n");
    trial.signal("KILL");
    trial.assert_gone_within(5);

    // An image without one is refused, and nothing is left.
    let Some(mut none) = Trial::new(|request| request.sshd = Sshd::Image) else {
        return;
    };
    none.start();
    let phase = none.wait_for(30, Phase::is_final);
    assert!(
        matches!(&phase, Phase::Failed { error, .. } if error.contains("no sshd")),
        "{phase:?}"
    );
    assert_eq!((none.containers(), none.leftovers()), (0, 0));
}

#[test]
fn root_gets_a_session_too() {
    let Some(trial) = Trial::new(|_| ()) else {
        return;
    };
    let mut trial = trial.owned_by_root();
    let details = trial.ready();
    let (well, said) = trial.ssh(&details, &trial.key, "id -un; touch 'a file' && echo made");
    assert!(well, "{said}");
    assert_eq!((details.user.as_str(), &*said), ("root", "root\nmade\n"));
}

/// A session with a V100, on a machine that has, as the stand-in for NVML says, a P100 and two V100s of
/// these UUIDs; the first V100 is granted to it.
fn with_gpus(uuids: [&str; 3]) -> Option<Trial> {
    let target = std::env::current_exe().unwrap();
    let target = target.parent().and_then(Path::parent).unwrap();
    let library = target.join("libqdebug_test_nvml.so");
    if !library.exists() {
        support::skip(&format!("no {}", library.display()));
        return None;
    }
    let mut trial = Trial::new(|request| {
        request.gpu = Some(qdebug::session::GpuRequest {
            kind: "V100".into(),
            count: 1,
            pattern: None,
            allow_busy: false,
        });
    })?;
    let folder = trial.node_dir.with_file_name("nvml");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(&library, folder.join("libnvidia-ml.so.1")).unwrap();
    let machine = folder.join("machine");
    let names = [
        "Tesla P100-PCIE-16GB",
        "Tesla V100-SXM2-32GB",
        "Tesla V100-SXM2-32GB",
    ];
    let gpus = names.into_iter().zip(uuids).enumerate();
    let gpus = gpus.map(|(n, (name, uuid))| {
        format!("gpu {n}\nname {name}\nuuid {uuid}\nbus 00000000:{n}B:00.0\nmemory 1024\n")
    });
    std::fs::write(&machine, gpus.collect::<String>()).unwrap();
    trial.env = vec![
        ("LD_LIBRARY_PATH", folder),
        ("QDEBUG_TEST_NVML", machine),
        ("CUDA_VISIBLE_DEVICES", "1".into()),
    ];
    Some(trial)
}

#[test]
fn an_engine_that_cannot_hand_out_gpus_says_so_after_the_right_ones_were_chosen() {
    let Some(mut trial) = with_gpus(["GPU-0", "GPU-1", "GPU-2"]) else {
        return;
    };
    trial.start();
    let phase = trial.wait_for(30, Phase::is_final);
    assert!(
        matches!(&phase, Phase::Failed { error, .. } if error.contains("cannot hand out GPUs")),
        "{phase:?}"
    );
    let log = std::fs::read_to_string(trial.session.node_log()).unwrap();
    assert!(log.contains("Selected") && log.contains("GPU-1"), "{log}");
    assert_eq!((trial.containers(), trial.leftovers()), (0, 0));
}

/// A CDI spec of this machine, of GPUs that nobody else knows; taken away when dropped.
struct CdiSpec {
    path: PathBuf,
}

impl CdiSpec {
    /// The folder of specs that live as long as the machine runs.
    const FOLDER: &str = "/var/run/cdi";

    /// Describes each of these by its UUID: the device of that number is `device` of this machine. As
    /// NVIDIA's tool writes it, the driver's own device comes along. `None`, and said so, where
    /// Docker has no CDI, which it has from 25 on.
    fn of(gpus: &[(&str, u32)], device: &str) -> Option<Self> {
        let folders = docker_info("{{json .CDISpecDirs}}");
        if !folders.contains(Self::FOLDER) {
            eprintln!(
                "skipped: this Docker reads no CDI specs in {}: {folders}",
                Self::FOLDER
            );
            return None;
        }
        let node = |path: String, host: &str| serde_json::json!({"path": path, "hostPath": host});
        let devices = gpus.iter().map(|(uuid, minor)| {
            let nodes = [node(format!("/dev/nvidia{minor}"), device)];
            serde_json::json!({"name": uuid, "containerEdits": {"deviceNodes": nodes}})
        });
        let all = [node("/dev/nvidiactl".into(), "/dev/null")];
        let spec = serde_json::json!({
            "cdiVersion": "0.5.0", "kind": "nvidia.com/gpu",
            "devices": devices.collect::<Vec<_>>(),
            "containerEdits": {"deviceNodes": all},
        });
        std::fs::create_dir_all(Self::FOLDER).unwrap();
        let name = format!("qdebug-test-{}.json", gpus[0].0);
        let path = Path::new(Self::FOLDER).join(name);
        // Written aside: Docker looks at each change of the folder.
        let aside = path.with_extension("new");
        std::fs::write(&aside, spec.to_string()).unwrap();
        std::fs::rename(aside, &path).unwrap();
        let own = Self { path };
        // From API 1.50 on Docker tells what its specs describe; before, it reads them when asked.
        if api() >= [1, 50] {
            let told = format!("={}\"", gpus[0].0);
            let deadline = Instant::now() + Duration::from_secs(20);
            while !docker_info("{{json .DiscoveredDevices}}").contains(&told) {
                let path = own.path.display();
                assert!(Instant::now() < deadline, "Docker does not see {path}");
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Some(own)
    }
}

impl Drop for CdiSpec {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What a real Docker says of itself; nothing where its command cannot tell.
fn docker_info(format: &str) -> String {
    docker(&["info", "-f", format])
}

/// The version of its API.
fn api() -> [u32; 2] {
    let version = docker(&["version", "-f", "{{.Server.APIVersion}}"]);
    let numbers = version.trim().split_once('.');
    numbers
        .and_then(|(major, minor)| Some([major.parse().ok()?, minor.parse().ok()?]))
        .unwrap_or([0, 0])
}

fn docker(words: &[&str]) -> String {
    let output = Command::new("docker").args(words).output().unwrap();
    match output.status.success() {
        true => String::from_utf8_lossy(&output.stdout).into_owned(),
        false => String::new(),
    }
}

/// UUIDs of this run's own.
fn uuids(test: &str) -> [String; 3] {
    let pid = std::process::id();
    [0, 1, 2].map(|number| format!("GPU-{test}-{pid}-{number}"))
}

#[test]
fn by_cdi_exactly_the_granted_gpu_arrives() {
    let uuids = uuids("arrives");
    let [first, granted, last] = uuids.each_ref().map(|uuid| uuid.as_str());
    let Some(mut trial) = with_gpus([first, granted, last]) else {
        return;
    };
    let gpus = [(first, 0), (granted, 1), (last, 2)];
    let Some(_spec) = CdiSpec::of(&gpus, "/dev/null") else {
        return;
    };
    let details = trial.ready();
    assert_eq!(details.gpus[0].uuid, granted, "{:?}", details.gpus);
    let look = "ls /dev | grep nvidia | tr '\\n' ' '; echo hello >/dev/nvidia1 && echo works";
    let (well, said) = trial.ssh(&details, &trial.key, look);
    assert!(well, "{said}");
    assert_eq!(said, "nvidia1 nvidiactl works\n");
    let log = std::fs::read_to_string(trial.session.node_log()).unwrap();
    assert!(log.contains("way=Cdi"), "{log}");
    trial.signal("TERM");
    trial.wait_for(15, Phase::is_final);
    assert_eq!((trial.containers(), trial.leftovers()), (0, 0));
}

#[test]
fn what_cdi_specs_lack_or_describe_wrong_is_told() {
    // Of which GPU a spec describes which device, and what is told: one that was not granted, a device
    // that is not there, and another GPU's device under the name of the one that was.
    let other = match api() >= [1, 50] {
        true => "its CDI specs describe other GPUs",
        false => "unresolvable CDI devices",
    };
    let cases: [(usize, u32, &str, &[&str]); 3] = [
        (2, 2, "/dev/null", &[other]),
        (
            1,
            1,
            "/dev/qdebug-no-such-device",
            &["CDI", "/dev/qdebug-no-such-device"],
        ),
        (
            1,
            2,
            "/dev/null",
            &["/dev/nvidia2", "should have /dev/nvidia1"],
        ),
    ];
    for (number, (described, minor, device, words)) in cases.into_iter().enumerate() {
        let uuids = uuids(&format!("lacks{number}"));
        let Some(mut trial) = with_gpus(uuids.each_ref().map(|uuid| uuid.as_str())) else {
            return;
        };
        let Some(_spec) = CdiSpec::of(&[(&uuids[described], minor)], device) else {
            return;
        };
        trial.start();
        let phase = trial.wait_for(60, Phase::is_final);
        let Phase::Failed { error, .. } = &phase else {
            panic!("{phase:?}");
        };
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
        assert_eq!((trial.containers(), trial.leftovers()), (0, 0), "{error}");
    }
}

#[test]
fn a_signal_in_the_middle_of_launching_leaves_nothing() {
    for after in [50, 150, 250, 350, 450] {
        let Some(mut trial) = Trial::new(|_| ()) else {
            return;
        };
        trial.start();
        trial.wait_for(20, |_| true);
        std::thread::sleep(Duration::from_millis(after));
        trial.signal("TERM");
        let phase = trial.wait_for(10, Phase::is_final);
        assert!(matches!(phase, Phase::Ended { .. }), "{after}: {phase:?}");
        assert_eq!((trial.containers(), trial.leftovers()), (0, 0), "{after}");
    }
}

#[test]
fn a_container_that_is_removed_from_outside_ends_the_session() {
    let Some(mut trial) = Trial::new(|_| ()) else {
        return;
    };
    let details = trial.ready();
    let removed = Command::new("docker")
        .args(["rm", "-f", &details.container])
        .output();
    assert!(removed.unwrap().status.success());
    let phase = trial.wait_for(5, Phase::is_final);
    assert!(
        matches!(
            phase,
            Phase::Ended {
                reason: EndReason::ContainerExited { .. },
                ..
            }
        ),
        "{phase:?}"
    );
}

#[test]
fn what_cannot_be_is_said_and_leaves_nothing() {
    let change: [fn(&mut Request); 3] = [
        |request| {
            request.image = ImageSource::Reference {
                reference: "localhost:1/no/such".into(),
            };
        },
        |request| request.project = "/no such/project".into(),
        |request| {
            request.gpu = Some(qdebug::session::GpuRequest {
                kind: "V100".into(),
                count: 1,
                pattern: None,
                allow_busy: false,
            });
        },
    ];
    let words = ["localhost:1/no/such", "/no such/project", "1 x V100"];
    for (change, word) in change.into_iter().zip(words) {
        let Some(mut trial) = Trial::new(change) else {
            return;
        };
        trial.start();
        let phase = trial.wait_for(30, Phase::is_final);
        let Phase::Failed { error, hint, code } = &phase else {
            panic!("{word}: {phase:?}");
        };
        assert!(error.contains(word), "{error}");
        assert_eq!((hint.as_deref(), *code), (Some("a hint"), Some(7)));
        assert_eq!((trial.containers(), trial.leftovers()), (0, 0), "{word}");
    }
}
