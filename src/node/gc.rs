//! Leftovers: containers and folders of the caller's own sessions whose node half is dead.
//!
//! Only what carries the caller's uid and this very node_dir is looked at, and only where the lock
//! of the session's folder says that nobody serves it any more. A container whose session has no
//! folder here has nobody either: the folder is made, and locked, before the container. One of
//! another node_dir (a site or a user moved it, or it is another job's private `/var/tmp`) cannot be
//! judged from here: its lock lies there. One that runs is then left to its lease and to the hooks of
//! the scheduler, which know its job; one that does not run, and is not just being started, goes.

use std::path::{Path, PathBuf};

use super::place::{DEFAULT_BASE, NodeDir};
use super::{Error, image, label};
use crate::engine::{self, Choice, ContainerState, Engine, Listed};
use crate::kit;
use crate::session::{Cluster, Token};

/// How old a container of another folder that does not run must be, in seconds: between its making and
/// its start, and between its end and its removal, seconds pass.
const STRANGER_AGE: i64 = 600;

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

impl Swept {
    fn add(&mut self, other: Self) {
        self.containers.extend(other.containers);
        self.failed.extend(other.failed);
        self.folders += other.folders;
    }
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
    let asking = Engine::each(Choice::Auto, Some(node_dir.path()), None, async |engine| {
        let swept = containers(&engine, &node_dir, cluster, how).await;
        (engine, swept)
    });
    let (asked, errors) = asking.await;
    let mut all = Swept::default();
    let mut errors: Vec<Error> = errors.into_iter().map(Error::from).collect();
    let mut engines = Vec::new();
    for (engine, swept) in asked {
        match swept {
            Ok(swept) => all.add(swept),
            Err(error) => errors.push(error),
        }
        engines.push(engine);
    }
    // After all containers: who takes a dead session's folder looks alive to the others meanwhile.
    all.add(folders(&node_dir, how).await);
    if let Some(error) = errors.into_iter().next() {
        return Err(error);
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
    let mut swept = containers(engine, node_dir, cluster, how).await?;
    swept.add(folders(node_dir, how).await);
    Ok(swept)
}

/// What an engine has left.
async fn containers(
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
        if !is_left_over(&container, node_dir, jiff::Timestamp::now().as_second()) {
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
    Ok(swept)
}

/// The files of dead sessions, and of kits that were not unpacked to their end.
async fn folders(node_dir: &NodeDir, how: Sweep) -> Swept {
    let mut swept = Swept::default();
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
    swept
}

/// Whether nobody serves a container of this user's and this path any more; `now` in seconds since
/// 1970. In doubt somebody does.
fn is_left_over(container: &Listed, node_dir: &NodeDir, now: i64) -> bool {
    // A label that is no token was not written by a node half: not ours to remove.
    let token = container.labels.get(label::TOKEN);
    let Some(Ok(token)) = token.map(|token| token.parse::<Token>()) else {
        return false;
    };
    let folder = container.labels.get(label::NODE_FOLDER);
    if folder.is_none_or(|folder| folder == node_dir.identity()) {
        return !node_dir.lives(&token);
    }
    let age = now.saturating_sub(container.created);
    container.state != ContainerState::Running && age >= STRANGER_AGE
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn container(token: &Token, folder: Option<&str>, state: ContainerState, age: i64) -> Listed {
        let token = (label::TOKEN, token.as_str());
        let folder = folder.map(|folder| (label::NODE_FOLDER, folder));
        let labels = std::iter::once(token).chain(folder);
        Listed {
            id: engine::ContainerId::of_test(&"a".repeat(64)),
            name: "qdebug-v100-otter".to_owned(),
            labels: labels
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            state,
            created: NOW - age,
        }
    }

    #[test]
    fn a_folder_says_nothing_about_a_container_of_another() {
        use ContainerState::{Created, Exited, Running};
        let base = tempfile::tempdir().unwrap();
        let node_dir = NodeDir::open(base.path()).unwrap();
        let (living, dead) = (Token::random().unwrap(), Token::random().unwrap());
        let _held = node_dir.make_session(&living).unwrap();
        let own = Some(node_dir.identity());
        let day = 86_400;
        let goes = |token, folder, state, age| {
            is_left_over(&container(token, folder, state, age), &node_dir, NOW)
        };
        for state in [Created, Running, Exited] {
            // One that was made before there was such a label is judged by the path.
            for folder in [own, None] {
                assert!(goes(&dead, folder, state, 0), "{state:?} {folder:?}");
                assert!(!goes(&living, folder, state, day), "{state:?} {folder:?}");
            }
        }
        // Another job's private /var/tmp, or a folder that was deleted.
        let other = Some("0:1:2");
        assert!(!goes(&dead, other, Running, day));
        for state in [Created, Exited] {
            assert!(!goes(&dead, other, state, 5), "{state:?}");
            assert!(goes(&dead, other, state, day), "{state:?}");
        }
        let mut forged = container(&dead, own, Exited, day);
        forged.labels.insert(label::TOKEN.into(), "../..".into());
        assert!(!is_left_over(&forged, &node_dir, NOW));
    }
}
