//! CDI specs of this machine, and what a real Docker says of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A CDI spec of this machine, of GPUs that nobody else knows; taken away when dropped.
pub(crate) struct CdiSpec {
    path: PathBuf,
}

impl CdiSpec {
    /// The folder of specs that live as long as the machine runs.
    const FOLDER: &str = "/var/run/cdi";

    /// Describes each of these by its UUID: the device of that number is `device` of this machine. As
    /// NVIDIA's tool writes it, the driver's own device comes along. `None`, and said so, where
    /// Docker has no CDI, which it has from 25 on.
    pub(crate) fn of(gpus: &[(&str, u32)], device: &str) -> Option<Self> {
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
pub(crate) fn api() -> [u32; 2] {
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
