//! `podman system service`, as a child of ours that ends with us.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::task::JoinHandle;

use super::storage::{Environment, Storage};
use super::{Error, Trouble, failed, trouble};
use crate::disk::network_file_system;
use crate::engine::flavour::cgroups_are_old;
use crate::engine::list::ask;
use crate::process::{self, Program};

/// How long it lives when nobody is connected, in seconds: what ends it after a SIGKILL of ours.
const IDLE: u64 = 30;
/// How often it is asked whether it is there, so that it stays while an image is packed or a lock
/// waited for.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long it may take to answer. A first start makes namespaces and a store.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How often its socket is tried meanwhile.
const PACE: Duration = Duration::from_millis(10);
/// How many lines of its are kept, for an error.
const LINES_KEPT: usize = 6;
/// Podman refuses a longer one.
const RUNROOT_LIMIT: usize = 50;
/// What the kernel allows for a socket, less the NUL.
const SOCKET_LIMIT: usize = 107;

/// The folder on the node in which our own services of this user keep everything: private, on a
/// disk of the node, and the same for all of them, so that what one made another finds.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Home {
    path: PathBuf,
}

impl Home {
    /// In this folder of the user's, which is private already. Nothing is made yet.
    pub(in crate::engine) fn below(folder: &Path) -> Self {
        Self {
            path: folder.join("podman"),
        }
    }

    /// Whether a service was ever started here: else nothing can be left over.
    pub(in crate::engine) fn is_used(&self) -> bool {
        self.storage().exists()
    }

    fn storage(&self) -> PathBuf {
        self.path.join("storage")
    }

    fn runroot(&self) -> PathBuf {
        self.path.join("runroot")
    }

    /// Podman's XDG_RUNTIME_DIR: a job's own may be missing, or go while a container runs.
    fn runtime(&self) -> PathBuf {
        self.path.join("run")
    }

    fn make(&self) -> Result<(), Error> {
        let refuse = |reason: String| Error::PodmanHome {
            path: self.path.clone(),
            reason,
        };
        if self.runroot().as_os_str().len() > RUNROOT_LIMIT {
            return Err(refuse(format!(
                "its path is too long: podman takes {RUNROOT_LIMIT} bytes with /runroot"
            )));
        }
        for folder in [&self.path, &self.runtime()] {
            match std::fs::DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(refuse(error.to_string()));
                }
                _ => {}
            }
        }
        if let Some(name) = network_file_system(&self.path) {
            return Err(refuse(format!(
                "it is on {name}, and must be on a disk of the node"
            )));
        }
        self.forget_earlier_boots();
        Ok(())
    }

    /// Podman tells a reboot by its runtime folder, which is on a tmpfs by rights. Ours is not: what
    /// an earlier boot left there would be taken for processes of this one. One at a time, or the
    /// second would take away what the first has begun.
    fn forget_earlier_boots(&self) {
        let Ok(_held) = self.hold() else { return };
        let now = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let note = self.path.join("boot-id");
        if std::fs::read_to_string(&note).is_ok_and(|then| then == now) {
            return;
        }
        for folder in [self.runtime(), self.runroot()] {
            if let Err(error) = std::fs::remove_dir_all(&folder) {
                tracing::debug!(folder = %folder.display(), %error, "cannot empty it");
            }
        }
        let made = std::fs::DirBuilder::new()
            .mode(0o700)
            .create(self.runtime());
        if let Err(error) = made.and_then(|()| std::fs::write(&note, now)) {
            tracing::debug!(%error, "cannot note which boot this is");
        }
    }

    fn hold(&self) -> std::io::Result<std::fs::File> {
        let lock = std::fs::File::create(self.path.join("lock"))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        Ok(lock)
    }

    /// The words before `system service`.
    fn arguments(&self, storage: &Storage, mount_program: Option<&str>) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![
            "--root".into(),
            self.storage().into(),
            "--runroot".into(),
            self.runroot().into(),
            // systemd would put the containers outside of the job's cgroup, and its limits with it.
            "--cgroup-manager".into(),
            "cgroupfs".into(),
        ];
        if cgroups_are_old(Path::new("/")) && is_there("runc") {
            // crun refuses hybrid cgroups.
            words.extend(["--runtime".into(), "runc".into()]);
        }
        words.extend(
            storage
                .arguments(mount_program)
                .into_iter()
                .map(OsString::from),
        );
        words
    }
}

/// A service of ours, for as long as this is held.
#[derive(Debug)]
pub(in crate::engine) struct Service {
    home: Home,
    child: Child,
    socket: PathBuf,
    keeping: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts one and waits until its socket can be opened.
    pub(in crate::engine) async fn start(home: &Home) -> Result<Self, Error> {
        home.make()?;
        let storage = Storage::read(&Environment::of_this_process(), Path::new("/"));
        match Self::start_with(home, &storage, None).await {
            // A kernel without overlays for users; their program may be there all the same.
            Err(Error::Podman {
                trouble: Trouble::NoOverlay,
                ..
            }) if storage.mount_program.is_none() && is_there("fuse-overlayfs") => {
                Self::start_with(home, &storage, Some("fuse-overlayfs")).await
            }
            Err(Error::Podman {
                trouble: Trouble::StaleState,
                ..
            }) => Self::start_after_migration(home, &storage).await,
            started => started,
        }
    }

    /// Mends what a kill of everything has left, and starts again. One at a time, and not when
    /// somebody else has mended it meanwhile: a migration ends what runs.
    async fn start_after_migration(home: &Home, storage: &Storage) -> Result<Self, Error> {
        let ours = home.clone();
        let held = tokio::task::spawn_blocking(move || ours.hold()).await;
        match Self::start_with(home, storage, None).await {
            Err(Error::Podman {
                trouble: Trouble::StaleState,
                ..
            }) => {}
            started => return started,
        }
        tracing::info!("podman takes dead containers for running: migrating");
        let migrated = Program::new("podman")
            .args(home.arguments(storage, None))
            .args(["system", "migrate"])
            .env("XDG_RUNTIME_DIR", home.runtime())
            .time_limit(START_LIMIT)
            .output()
            .await;
        if let Err(error) = migrated {
            return Err(failed(crate::text::chain(&error)));
        }
        let started = Self::start_with(home, storage, None).await;
        drop(held);
        started
    }

    async fn start_with(
        home: &Home,
        storage: &Storage,
        mount_program: Option<&str>,
    ) -> Result<Self, Error> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}.sock", std::process::id());
        let socket = home.path.join(name);
        if socket.as_os_str().len() > SOCKET_LIMIT {
            return Err(Error::PodmanHome {
                path: home.path.clone(),
                reason: "its path is too long for a socket".to_owned(),
            });
        }
        // Of a process with our number that was killed.
        let _ = std::fs::remove_file(&socket);
        let mut address = OsString::from("unix://");
        address.push(&socket);
        let child = Program::new("podman")
            .args(home.arguments(storage, mount_program))
            .args(["system", "service", &format!("--time={IDLE}")])
            .arg(&address)
            .env("XDG_RUNTIME_DIR", home.runtime())
            .own_group()
            .spawn_with(Stdio::null(), Stdio::null(), Stdio::piped());
        let child = child.map_err(|error| match error {
            process::Error::NotFound { .. } => Error::NoPodman,
            error => failed(crate::text::chain(&error)),
        })?;
        let mut service = Self {
            home: home.clone(),
            child,
            socket,
            keeping: None,
        };
        let lines = service.collect_lines();
        let coming = tokio::time::timeout(START_LIMIT, service.answers());
        match coming.await {
            Ok(Ok(())) => {
                service.keeping = Some(tokio::spawn(keep_alive(service.socket.clone())));
                Ok(service)
            }
            Ok(Err(status)) => {
                // Its last words come through the pipe.
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(failed(said(&lines, status)))
            }
            Err(_) => Err(Error::Silent {
                socket: service.socket.clone(),
                limit: START_LIMIT,
            }),
        }
    }

    /// Where it keeps its things.
    pub(in crate::engine) fn home(&self) -> &Home {
        &self.home
    }

    /// Its socket.
    pub(in crate::engine) fn socket(&self) -> &Path {
        &self.socket
    }

    /// What it says goes into the log; the last lines are kept.
    fn collect_lines(&mut self) -> Arc<Mutex<VecDeque<String>>> {
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(stderr) = self.child.stderr.take() {
            let lines = Arc::clone(&kept);
            tokio::spawn(async move {
                let mut stderr = BufReader::new(stderr).lines();
                while let Ok(Some(line)) = stderr.next_line().await {
                    tracing::debug!(line, "podman's service says");
                    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                    if lines.len() == LINES_KEPT {
                        lines.pop_front();
                    }
                    lines.push_back(line);
                }
            });
        }
        kept
    }

    /// Waits until it can be connected to; its exit status when it ends instead.
    async fn answers(&mut self) -> Result<(), i32> {
        loop {
            if tokio::net::UnixStream::connect(&self.socket).await.is_ok() {
                return Ok(());
            }
            match self.child.try_wait() {
                Ok(Some(status)) => return Err(process::code(status)),
                Ok(None) => tokio::time::sleep(PACE).await,
                Err(_) => return Err(-1),
            }
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(keeping) = &self.keeping {
            keeping.abort();
        }
        // Both processes of it; what it has started is in groups of its own. A kill of the first one
        // follows when the child is dropped.
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::TERM);
        }
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Asks it now and then. A connection that says nothing it closes, and one that waits is not always
/// there.
async fn keep_alive(socket: PathBuf) {
    loop {
        tokio::time::sleep(KEEP_ALIVE).await;
        let asked = tokio::time::timeout(KEEP_ALIVE, ask(&socket, "/_ping")).await;
        if let Ok(Err(error)) = asked {
            tracing::debug!(%error, "podman's service does not answer");
        }
    }
}

/// The last lines, as one; the complaint that comes with every start is left out.
fn said(lines: &Mutex<VecDeque<String>>, status: i32) -> String {
    let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    let telling = lines
        .iter()
        .filter(|line| !line.contains("is not a shared mount"));
    let telling: Vec<&str> = telling.map(|line| line.trim()).collect();
    let known = telling.iter().find(|line| trouble(line).is_some());
    match (known, telling.is_empty()) {
        (Some(line), _) => (*line).to_owned(),
        (None, true) => format!("it ended with status {status} and said nothing"),
        (None, false) => telling.join(" | "),
    }
}

/// Whether there is a podman on this machine.
pub(in crate::engine) fn is_installed() -> bool {
    is_there("podman")
}

/// Whether a program is on PATH, or where Debian keeps what root runs.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/bin", "/usr/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
