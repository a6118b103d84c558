//! Builds that were cut off with their engine: what they left is found again and goes.
//!
//! Problem: a step of a recipe runs in a container that the engine's builder names and labels as it
//! likes, and removes at the end; an engine that is killed meanwhile leaves it for ever. Evidence: in
//! its labels and its environment nothing of ours can be put; what a build adds to `/etc/hosts` lies
//! in the container's description and in no image. Solution: each build adds a name of its own there,
//! its mark, and a file of that name in the node's folder is locked while the build lives. A file that
//! nobody holds makes gc look for the mark.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};

use crate::disk;
use crate::engine::{self, Engine, Kind};
use crate::node::gc::Sweep;
use crate::session::Token;

/// What marks begin with; the rest is chance.
const PREFIX: &str = "qdebug-build-";
/// So long a cut-off build may take until its container is there.
const APPEAR_LIMIT: Duration = Duration::from_secs(60);

/// A build that runs.
#[derive(Debug)]
pub(super) struct Unfinished {
    mark: String,
    path: PathBuf,
    _lock: File,
}

impl Unfinished {
    /// One that begins now. Without the file it would only not be found again.
    pub(super) fn begin(node_dir: &Path) -> Option<Self> {
        let begun = begin(node_dir);
        if let Err(error) = &begun {
            tracing::warn!(%error, "what this build leaves would not be found again");
        }
        begun.ok()
    }

    /// What its containers are found by.
    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// It came to an end of which the engine knows, good or bad. Else dropping it leaves the file.
    pub(super) fn done(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn begin(node_dir: &Path) -> io::Result<Unfinished> {
    let folder = folder(node_dir);
    disk::private_folder(&folder)?;
    let token = Token::random().map_err(io::Error::other)?;
    let mark = format!("{PREFIX}{}", token.as_str());
    // Under its name it is held from its first moment on.
    let (new, path) = (folder.join(format!(".{mark}")), folder.join(&mark));
    let lock = File::create_new(&new)?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    std::fs::rename(&new, &path)?;
    Ok(Unfinished {
        mark,
        path,
        _lock: lock,
    })
}

fn folder(node_dir: &Path) -> PathBuf {
    node_dir.join("builds")
}

/// Removes, or only tells, the containers of this user's builds that nobody waits for any more:
/// their names, and what could not be removed, with the reason.
pub(in crate::node) async fn sweep(
    engine: &Engine,
    node_dir: &Path,
    how: Sweep,
) -> Result<(Vec<String>, Vec<(String, String)>), engine::Error> {
    let (mut removed, mut failed) = (Vec::new(), Vec::new());
    if engine.kind() != Kind::Docker {
        return Ok((removed, failed));
    }
    let mut builds = cut_off(node_dir);
    // Of these, one container at least is still there.
    let mut kept = Vec::new();
    let marks: Vec<&str> = builds.iter().map(|build| build.mark.as_str()).collect();
    for (place, container) in engine.marked(&marks).await? {
        if how == Sweep::Tell {
            removed.push(container.name);
            continue;
        }
        tracing::info!(name = container.name, "removing what a build left");
        match engine.remove(&container.id).await {
            Ok(()) => {
                removed.push(container.name);
                builds[place].is_over = true;
            }
            Err(error) => {
                failed.push((container.name, error.to_string()));
                kept.push(place);
            }
        }
    }
    if how == Sweep::Remove {
        for (place, build) in builds.iter().enumerate() {
            if build.is_over && !kept.contains(&place) {
                let _ = std::fs::remove_file(&build.path);
            }
        }
    }
    Ok((removed, failed))
}

/// A build that nobody waits for any more.
#[derive(Debug)]
struct CutOff {
    mark: String,
    path: PathBuf,
    _lock: File,
    /// There is nothing of it any more, and will not be.
    is_over: bool,
}

/// The builds whose files nobody holds, held now.
fn cut_off(node_dir: &Path) -> Vec<CutOff> {
    let Ok(entries) = std::fs::read_dir(folder(node_dir)) else {
        return Vec::new();
    };
    let files = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let mark = path.file_name()?.to_str()?.to_owned();
        mark.strip_prefix(PREFIX)?.parse::<Token>().ok()?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(open(&path, flags, Mode::empty()).ok()?);
        flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
        Some(CutOff {
            mark,
            path,
            is_over: is_old(&file),
            _lock: file,
        })
    });
    files.collect()
}

fn is_old(file: &File) -> bool {
    let modified = file.metadata().and_then(|about| about.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > APPEAR_LIMIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_lives_or_is_done_was_not_cut_off() {
        let node_dir = tempfile::tempdir().unwrap();
        let marks = || {
            let all = cut_off(node_dir.path()).into_iter();
            all.map(|build| build.mark).collect::<Vec<_>>()
        };
        assert!(marks().is_empty());
        let build = Unfinished::begin(node_dir.path()).unwrap();
        assert!(build.mark().starts_with(PREFIX));
        assert!(marks().is_empty(), "it lives");
        build.done();
        assert!(marks().is_empty(), "it is done");
        let build = Unfinished::begin(node_dir.path()).unwrap();
        let mark = build.mark().to_owned();
        drop(build);
        assert_eq!(marks(), [mark]);
    }

    #[test]
    fn what_else_lies_there_is_passed_over() {
        let node_dir = tempfile::tempdir().unwrap();
        let build = Unfinished::begin(node_dir.path()).unwrap();
        let folder = folder(node_dir.path());
        std::fs::write(folder.join("qdebug-build-x"), "").unwrap();
        std::fs::write(folder.join("other"), "").unwrap();
        let link = format!("{PREFIX}{}", Token::random().unwrap().as_str());
        std::os::unix::fs::symlink("/etc/passwd", folder.join(link)).unwrap();
        assert!(cut_off(node_dir.path()).is_empty());
        drop(build);
    }
}
