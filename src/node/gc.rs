//! Leftovers: containers and folders of the caller's own sessions whose node half is dead.
//!
//! Only what carries the caller's uid and this very node_dir is looked at, and only where the lock
//! of the session's folder says that nobody serves it any more. A container whose session has no
//! folder here has nobody either: the folder is made, and locked, before the container. One of
//! another node_dir (a site or a user moved it) cannot be judged from here: its lock lies there.

use std::path::{Path, PathBuf};

use super::place::{DEFAULT_BASE, NodeDir};
use super::{Error, image, label};
use crate::engine::{self, Choice, Engine};
use crate::kit;
use crate::session::{Cluster, Token};

/// Whether what is found goes, or is only told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// It goes.
    Remove,
    /// It is only told: `--dry-run`.
    Tell,
}

/// What was found and, unless it was only to be told, removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Names of the containers that were removed, or would be.
    pub containers: Vec<String>,
    /// What could not be removed, with the reason.
    pub failed: Vec<(String, String)>,
    /// How many folders of dead sessions were removed, or would be.
    pub folders: usize,
}

/// Removes, or only tells, what is left of the caller's sessions on this machine: of one cluster,
/// or of all.
///
/// # Errors
/// When the engine does not answer or the node's folder cannot be used.
pub async fn gc(
    node_dir: Option<&Path>,
    cluster: Option<&Cluster>,
    how: Sweep,
) -> Result<Swept, Error> {
    let base = node_dir.map_or_else(|| PathBuf::from(DEFAULT_BASE), Path::to_owned);
    let node_dir = NodeDir::open(&base)?;
    let (engines, errors) = Engine::all(Choice::Auto, Some(node_dir.path())).await;
    let mut all = Swept::default();
    for engine in &engines {
        let swept = sweep(engine, &node_dir, cluster, how).await?;
        all.containers.extend(swept.containers);
        all.failed.extend(swept.failed);
        // A folder that is only told of is told by each.
        all.folders = all.folders.max(swept.folders);
    }
    if let Some(error) = errors.into_iter().next() {
        return Err(error.into());
    }
    // What is known of an image is soon found out again, but for ever kept.
    if how == Sweep::Remove
        && let Err(error) = image::forget_gone(&engines, node_dir.path()).await
    {
        tracing::debug!(%error, "cannot tell which images are gone");
    }
    Ok(all)
}

/// The same with what is at hand.
pub(super) async fn sweep(
    engine: &Engine,
    node_dir: &NodeDir,
    cluster: Option<&Cluster>,
    how: Sweep,
) -> Result<Swept, Error> {
    let uid = rustix::process::getuid().as_raw().to_string();
    let of_cluster = cluster.map(ToString::to_string);
    let folder = node_dir.shown();
    let mut filter = vec![(label::UID, uid.as_str()), (label::NODE_DIR, &folder)];
    if let Some(cluster) = &of_cluster {
        filter.push((label::CLUSTER, cluster.as_str()));
    }
    let mut swept = Swept::default();
    for container in engine.list(&filter).await? {
        // A label that is no token was not written by a node half: not ours to remove.
        let token = container.labels.get(label::TOKEN);
        let Some(Ok(token)) = token.map(|token| token.parse::<Token>()) else {
            continue;
        };
        if node_dir.lives(&token) {
            continue;
        }
        if how == Sweep::Tell {
            swept.containers.push(container.name);
            continue;
        }
        tracing::info!(name = container.name, "removing what a dead node half left");
        match engine.remove(&container.id).await {
            Ok(()) => swept.containers.push(container.name),
            Err(error) => {
                tracing::warn!(name = container.name, %error, "cannot remove it");
                swept.failed.push((container.name, error.to_string()));
            }
        }
    }
    match image::sweep_builds(engine, node_dir.path(), how).await {
        Ok((removed, failed)) => {
            swept.containers.extend(removed);
            swept.failed.extend(failed);
        }
        // What else there is to sweep does not wait for it.
        Err(error) => {
            tracing::warn!(%error, "cannot look for what builds left");
            let what = "what builds of a killed engine left".to_owned();
            swept.failed.push((what, error.to_string()));
        }
    }
    if how == Sweep::Remove {
        kit::sweep_half_made(node_dir.path());
    }
    for (token, lives) in node_dir.all_sessions() {
        if lives {
            continue;
        }
        let removed = match how {
            Sweep::Tell => Ok(true),
            Sweep::Remove => remove_dead(node_dir, &token).await,
        };
        match removed {
            Ok(removed) => swept.folders += usize::from(removed),
            Err(error) => {
                tracing::warn!(
                    error = error.sentence(),
                    "cannot remove a dead session's folder"
                );
                let folder = format!("the folder of session {}", token.short());
                swept.failed.push((folder, error.sentence()));
            }
        }
    }
    Ok(swept)
}

/// Removes the folder of a session whose node half is dead, and before it what the engine has forgotten
/// of its container; whether it was there to remove.
async fn remove_dead(node_dir: &NodeDir, token: &Token) -> Result<bool, Error> {
    let Some(folder) = node_dir.take_dead(token)? else {
        return Ok(false);
    };
    if let Some(id) = folder.noted_container() {
        let _ = tokio::task::spawn_blocking(move || engine::kill_strays(&id)).await;
    }
    folder.remove().map(|()| true)
}
