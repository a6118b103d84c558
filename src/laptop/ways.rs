//! Which way led to a cluster's sessions last: a new session begins with it, so that what a site
//! forbids is tried once and not for every session.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::known::{Known, Place, Reach};
use super::paths::Paths;
use crate::ssh::files;

/// The format of the file; changes are additive.
const FORMAT: u32 = 1;

#[derive(Default, Serialize, Deserialize)]
struct Ways {
    format: u32,
    /// By login, as the user names it.
    clusters: BTreeMap<String, Reach>,
}

fn file(paths: &Paths) -> PathBuf {
    paths.sessions.with_file_name("reach.json")
}

/// What the file says; nothing where it is missing, broken or newer: then all ways are tried.
fn read(paths: &Paths) -> Ways {
    let bytes = files::read(&file(paths)).ok().flatten().unwrap_or_default();
    serde_json::from_slice(&bytes)
        .ok()
        .filter(|ways: &Ways| ways.format <= FORMAT)
        .unwrap_or_default()
}

/// The way to begin with: the session's own last one, else its cluster's.
pub(super) fn of(known: &Known, paths: &Paths) -> Option<Reach> {
    match (&known.reach, &known.place) {
        (Some(reach), _) => Some(*reach),
        (None, Place::Login { login, .. }) if known.scheduler != "local" => {
            read(paths).clusters.get(login).copied()
        }
        _ => None,
    }
}

/// Remembers what led there.
pub(super) fn remember(known: &Known, reach: Reach, paths: &Paths) -> Result<(), Error> {
    let Place::Login { login, .. } = &known.place else {
        return Ok(());
    };
    let mut ways = read(paths);
    if known.scheduler == "local" || ways.clusters.get(login) == Some(&reach) {
        return Ok(());
    }
    ways.format = FORMAT;
    ways.clusters.insert(login.clone(), reach);
    let path = file(paths);
    let mut text = serde_json::to_vec_pretty(&ways).map_err(|error| Error::Memory {
        path: path.display().to_string(),
        detail: error.to_string(),
    })?;
    text.push(b'\n');
    Ok(files::replace(&path, &text)?)
}

#[cfg(test)]
mod tests {
    use super::super::known::tests::status;
    use super::super::paths::tests::paths;
    use super::*;

    #[test]
    fn a_cluster_is_begun_with_the_way_that_led_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut paths = paths();
        paths.sessions = folder.path().join("sessions");
        let at = |login: &str| {
            let (login, qdebug) = (login.to_owned(), "/q".to_owned());
            Known::new(&status("otter", '1'), Place::Login { login, qdebug }, &[]).unwrap()
        };
        let mut known = at("alice@login");
        assert_eq!(of(&known, &paths), None);
        remember(&known, Reach::Nested, &paths).unwrap();
        assert_eq!(of(&known, &paths), Some(Reach::Nested));
        assert_eq!(of(&at("alice@other"), &paths), None);
        remember(&at("alice@other"), Reach::Jump, &paths).unwrap();
        assert_eq!(of(&known, &paths), Some(Reach::Nested));
        known.reach = Some(Reach::Jump);
        assert_eq!(of(&known, &paths), Some(Reach::Jump));
        known.reach = None;
        for odd in ["", "{", r#"{"format":2,"clusters":{"alice@login":"jump"}}"#] {
            std::fs::write(folder.path().join("reach.json"), odd).unwrap();
            assert_eq!(of(&known, &paths), None, "{odd}");
        }
        // A workstation's own sessions are not a cluster's.
        known.scheduler = "local".to_owned();
        remember(&known, Reach::Nested, &paths).unwrap();
        assert_eq!(of(&known, &paths), None);
    }
}
