//! What a session will need of this node, looked at by hand: its engine, its own folder, its GPUs,
//! and the scheduler's hooks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use super::hooks::{self, PlainPath, Target};
use super::place::NodeDir;
use crate::disk::network_file_system;
use crate::engine::{Choice, Engine, Kind};
use crate::gpu::{self, Gpu, inventory};
use crate::kit::Kit;

/// How long a driver may take: one that hangs never answers.
const DRIVER_LIMIT: Duration = Duration::from_secs(20);

/// An engine that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFound {
    /// Docker or Podman.
    pub kind: &'static str,
    /// Its version.
    pub version: String,
    /// Its socket.
    pub socket: PathBuf,
}

/// The node's own folder of this user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderFound {
    /// The folder.
    pub path: PathBuf,
    /// The name of the network file system it lies on, where it should be a local disk.
    pub network: Option<&'static str>,
    /// How many bytes are free for this user, where the system tells.
    pub free_bytes: Option<u64>,
    /// Whether the kit has been unpacked there.
    pub has_kit: bool,
}

/// Connects to the engine as a session would.
///
/// # Errors
/// [`Error::Engine`]; [`Error::NodeDir`] and [`Error::Io`] of the folder that Podman needs.
pub async fn engine_found(node_dir: &Path, wanted: Choice) -> Result<EngineFound, Error> {
    let folder = NodeDir::open(node_dir)?;
    let engine = Engine::connect(wanted, Some(folder.path())).await?;
    Ok(EngineFound {
        kind: match engine.kind() {
            Kind::Docker => "Docker",
            Kind::Podman => "Podman",
        },
        version: engine.version().to_owned(),
        socket: engine.socket().to_owned(),
    })
}

/// Makes the folder where needed, as a session would, and looks at it.
///
/// # Errors
/// [`Error::NodeDir`] when it is not this user's alone, [`Error::Io`].
pub fn folder_found(node_dir: &Path, kit: Option<&Kit>) -> Result<FolderFound, Error> {
    let folder = NodeDir::open(node_dir)?;
    let path = folder.path();
    let free = rustix::fs::statvfs(path).ok();
    Ok(FolderFound {
        network: network_file_system(path),
        free_bytes: free.map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize)),
        has_kit: kit.is_some_and(|kit| kit.is_unpacked(path)),
        path: path.to_owned(),
    })
}

/// The GPUs of this machine; `None` when the driver does not answer.
pub async fn gpus_found() -> Option<Result<Vec<Gpu>, gpu::Error>> {
    let asked = tokio::task::spawn_blocking(inventory);
    tokio::time::timeout(DRIVER_LIMIT, asked).await.ok()?.ok()
}

/// Why hooks cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum HooksUnseen {
    /// No hook could hold the path of this program.
    #[error("qdebug's own path is odd")]
    OddPath,
    /// The scheduler's own tools or folders.
    #[error(transparent)]
    Hooks(#[from] hooks::Error),
}

/// The hooks of each scheduler that this machine has.
pub async fn hooks_found() -> Vec<Result<hooks::Found, HooksUnseen>> {
    let mut found = Vec::new();
    for kind in Target::kinds_here() {
        found.push(match target(kind) {
            Some(target) => target.look().await.map_err(HooksUnseen::from),
            None => Err(HooksUnseen::OddPath),
        });
    }
    found
}

fn target(kind: hooks::Kind) -> Option<Target> {
    let binary = std::env::current_exe().ok()?.canonicalize().ok()?;
    Some(Target {
        kind,
        binary: PlainPath::try_from(binary.as_path()).ok()?,
        folder: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_and_looked_at() {
        let base = tempfile::tempdir().unwrap();
        let found = folder_found(base.path(), None).unwrap();
        assert!(found.path.starts_with(base.path()) && found.path.is_dir());
        assert!(!found.has_kit && found.free_bytes.is_some());
        std::fs::remove_dir_all(&found.path).unwrap();
        std::fs::write(&found.path, "no folder").unwrap();
        assert!(folder_found(base.path(), None).is_err());
    }
}
