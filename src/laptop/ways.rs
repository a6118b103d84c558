//! Which way led to a cluster's sessions last: a new session begins with it, so that what a site
//! forbids is tried once and not for every session.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::known::{Known, Place, Reach};
use super::paths::Paths;
use crate::ssh::files::{self, Lock};

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

/// How long another qdebug that writes it is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the file says; nothing where it is missing or broken: then all ways are tried. A newer one
/// is `None`: it is not ours to read or to replace.
fn read(paths: &Paths) -> Option<Ways> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let bytes = files::read(&file(paths)).ok().flatten().unwrap_or_default();
    match serde_json::from_slice(&bytes) {
        Ok(Format { format }) if format > FORMAT => None,
        _ => Some(serde_json::from_slice(&bytes).unwrap_or_default()),
    }
}

/// The way to begin with: the session's own last one, else its cluster's.
pub(super) fn of(known: &Known, paths: &Paths) -> Option<Reach> {
    match (&known.reach, &known.place) {
        (Some(reach), _) => Some(*reach),
        (None, Place::Login { login, .. }) if known.scheduler != "local" => last_way(login, paths),
        _ => None,
    }
}

/// The way that led to the sessions of a login last.
pub fn last_way(login: &str, paths: &Paths) -> Option<Reach> {
    read(paths)?.clusters.get(login).copied()
}

/// Remembers what led there.
pub(super) async fn remember(known: &Known, reach: Reach, paths: &Paths) -> Result<(), Error> {
    let Place::Login { login, .. } = &known.place else {
        return Ok(());
    };
    let is_told = |ways: &Ways| ways.clusters.get(login) == Some(&reach);
    if known.scheduler == "local" || read(paths).is_none_or(|ways| is_told(&ways)) {
        return Ok(());
    }
    let path = file(paths);
    // Whoever holds it longer keeps us from nothing but this.
    let Some(_lock) = Lock::take(&path.with_extension("lock"), PATIENCE).await? else {
        return Ok(());
    };
    let Some(mut ways) = read(paths) else {
        return Ok(());
    };
    ways.format = FORMAT;
    ways.clusters.insert(login.clone(), reach);
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

    #[tokio::test]
    async fn a_cluster_is_begun_with_the_way_that_led_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut paths = paths();
        paths.sessions = folder.path().join("sessions");
        let at = |login: &str| {
            let (login, qdebug) = (login.to_owned(), "/q".to_owned());
            Known::new(&status("otter", '1'), Place::Login { login, qdebug }, &[]).unwrap()
        };
        let mut known = at("alice@login");
        assert_eq!(of(&known, &paths), None);
        remember(&known, Reach::Nested, &paths).await.unwrap();
        assert_eq!(of(&known, &paths), Some(Reach::Nested));
        assert_eq!(of(&at("alice@other"), &paths), None);
        remember(&at("alice@other"), Reach::Jump, &paths)
            .await
            .unwrap();
        assert_eq!(of(&known, &paths), Some(Reach::Nested));
        known.reach = Some(Reach::Jump);
        assert_eq!(of(&known, &paths), Some(Reach::Jump));
        known.reach = None;
        for odd in ["", "{", r#"{"format":2,"clusters":{"alice@login":"jump"}}"#] {
            std::fs::write(folder.path().join("reach.json"), odd).unwrap();
            assert_eq!(of(&known, &paths), None, "{odd}");
        }
        // A newer qdebug's file stays as it is.
        let newer = r#"{"format":2,"clusters":[]}"#;
        std::fs::write(folder.path().join("reach.json"), newer).unwrap();
        remember(&known, Reach::Jump, &paths).await.unwrap();
        let kept = std::fs::read_to_string(folder.path().join("reach.json")).unwrap();
        assert_eq!(kept, newer);
        std::fs::remove_file(folder.path().join("reach.json")).unwrap();
        // Several at once lose nothing.
        let all: Vec<Known> = (0..8).map(|n| at(&format!("a@{n}"))).collect();
        let remembered = all.iter().map(|known| remember(known, Reach::Exec, &paths));
        for one in futures_util::future::join_all(remembered).await {
            one.unwrap();
        }
        assert!(
            all.iter()
                .all(|known| of(known, &paths) == Some(Reach::Exec))
        );
        // A workstation's own sessions are not a cluster's.
        known.scheduler = "local".to_owned();
        remember(&known, Reach::Nested, &paths).await.unwrap();
        assert_eq!(of(&known, &paths), None);
    }
}
