//! The user's folders in the container: home, mounts, project, at the paths the user knows.
//!
//! Problem: the engine makes the mounts, as root, and root is nobody on an NFS with root_squash: a
//! folder that the user reads well may be closed to it. Evidence: `stat /home/alice: permission
//! denied` from Docker when the container is made; nothing else knows before. Solution: the refusal
//! is held against what was to be mounted, and told with the folders that are closed to others.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Error;
use crate::engine::{self, Bind};
use crate::session::Request;

/// Home, project and mounts must be there before anything is made.
pub(super) fn check(request: &Request) -> Result<(), Error> {
    let missing = |what, path: &Path| match path.metadata() {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::NoFolder {
            what,
            path: path.to_owned(),
            reason: error.to_string(),
        }),
    };
    missing("the home directory", &request.home)?;
    missing("the project", &request.project)?;
    for mount in &request.mounts {
        mount.source().metadata().map_err(|error| Error::Mount {
            source_path: mount.source().to_owned(),
            reason: error.to_string(),
        })?;
    }
    Ok(())
}

/// Home, mounts and the project at the paths the user knows; the project only where neither home
/// nor a mount has it already.
pub(super) fn binds(request: &Request) -> Vec<Bind> {
    let same = |path: &PathBuf| Bind::new(path.clone(), path.to_string_lossy());
    let mut binds: Vec<Bind> = Vec::new();
    let mut add = |bind: Bind| {
        // The same target twice is refused by the engine; the later wish counts.
        binds.retain(|other| other.target != bind.target);
        binds.push(bind);
    };
    add(same(&request.home));
    for mount in &request.mounts {
        let bind = Bind::new(mount.source(), mount.target().to_string_lossy());
        add(if mount.is_read_only() {
            bind.read_only()
        } else {
            bind
        });
    }
    let targets = request.mounts.iter().map(|mount| mount.target());
    let covered = targets
        .chain([request.home.as_path()])
        .any(|target| request.project.starts_with(target));
    if !covered {
        add(same(&request.project));
    }
    binds
}

/// What a refusal of the engine means for the session's own folders; any other stays as it is.
pub(super) fn explain(error: engine::Error, request: &Request) -> Error {
    let engine::Error::MountSource {
        detail,
        denied: true,
    } = &error
    else {
        return error.into();
    };
    let own = binds(request);
    let named = own
        .iter()
        .filter(|bind| names(detail, &bind.source))
        // The engine names the folder it stopped at; the longest is the one it was about.
        .max_by_key(|bind| bind.source.as_os_str().len());
    let Some(bind) = named else {
        return error.into();
    };
    Error::ClosedToEngine {
        what: match &bind.source {
            home if *home == request.home => "your home",
            project if *project == request.project => "the project",
            _ => "the mount",
        },
        path: bind.source.clone(),
        closed: closed_to_others(&bind.source),
        detail: detail.clone(),
    }
}

/// Whether a sentence of the engine names this very path.
fn names(sentence: &str, path: &Path) -> bool {
    let path = path.to_string_lossy();
    sentence.match_indices(&*path).any(|(at, _)| {
        let after = sentence[at + path.len()..].chars().next();
        after.is_none_or(|c| matches!(c, ':' | ' ' | '"' | '\'' | ','))
    })
}

/// The folders of a path that nobody but its owner and group may pass through.
fn closed_to_others(path: &Path) -> Vec<PathBuf> {
    let closed = |folder: &&Path| {
        folder
            .metadata()
            .is_ok_and(|about| about.is_dir() && about.permissions().mode() & 0o001 == 0)
    };
    let mut all: Vec<PathBuf> = path
        .ancestors()
        .filter(closed)
        .map(Path::to_owned)
        .collect();
    all.reverse();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::samples::request;

    fn targets(request: &Request) -> Vec<(String, bool)> {
        let binds = binds(request).into_iter();
        binds.map(|bind| (bind.target, bind.read_only)).collect()
    }

    #[test]
    fn the_project_is_mounted_where_nothing_has_it() {
        let mut asked = request("otter");
        asked.project = "/home/alice/a b".into();
        assert_eq!(targets(&asked), [("/home/alice".to_owned(), false)]);
        asked.project = "/scratch/alice".into();
        assert_eq!(targets(&asked).len(), 2);
        asked.mounts = vec!["/scratch:/scratch:ro".parse().unwrap()];
        assert_eq!(
            targets(&asked),
            [
                ("/home/alice".to_owned(), false),
                ("/scratch".to_owned(), true)
            ]
        );
    }

    #[test]
    fn a_mount_over_home_takes_its_place() {
        let mut asked = request("otter");
        asked.mounts = vec!["/other:/home/alice".parse().unwrap()];
        let binds = binds(&asked);
        assert_eq!(binds.len(), 1);
        assert_eq!(binds[0].source, Path::new("/other"));
    }

    #[test]
    fn what_is_not_on_the_node_is_named() {
        let home = tempfile::tempdir().unwrap();
        let mut asked = request("otter");
        let error = check(&asked).unwrap_err().to_string();
        assert!(error.contains("/home/alice"), "{error}");
        asked.home = home.path().to_owned();
        asked.project = home.path().to_owned();
        check(&asked).unwrap();
        asked.mounts = vec!["/no such/folder:/x".parse().unwrap()];
        let error = check(&asked).unwrap_err().to_string();
        assert!(error.contains("/no such/folder"), "{error}");
    }

    #[test]
    fn a_refusal_is_told_of_the_folder_it_is_about() {
        let home = tempfile::tempdir().unwrap();
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let data = home.path().join("data");
        std::fs::create_dir(&data).unwrap();
        set(home.path(), 0o711);
        set(&data, 0o700);
        let mut asked = request("otter");
        asked.home = home.path().to_owned();
        asked.project = home.path().to_owned();
        asked.mounts = vec![format!("{}:/data", data.display()).parse().unwrap()];
        let refusal = |path: &Path, denied| engine::Error::MountSource {
            detail: format!(
                "invalid mount config for type \"bind\": stat {}: permission denied",
                path.display()
            ),
            denied,
        };
        let Error::ClosedToEngine { what, closed, .. } = explain(refusal(&data, true), &asked)
        else {
            panic!("another error");
        };
        assert_eq!((what, closed), ("the mount", vec![data.clone()]));
        let of_home = explain(refusal(home.path(), true), &asked);
        assert!(of_home.to_string().contains("your home"), "{of_home}");
        for other in [
            explain(refusal(&data, false), &asked),
            explain(refusal(Path::new("/elsewhere"), true), &asked),
        ] {
            assert!(matches!(other, Error::Engine(_)), "{other}");
        }
    }
}
