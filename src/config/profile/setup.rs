//! What `setup` writes of a profile, marked so that it can be told from the user's words and taken
//! away again.

use std::path::Path;

use super::{Error, KeptBy, MADE, NewProfile, cannot, document, keep_profile, write};

/// What stands behind a path that setup has put in, before the one that was there, if any.
const POINTED: &str = "# by `qdebug setup`";
const INSTEAD: &str = " instead of ";

/// What of a profile in the user's file is setup's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrote {
    /// All of it.
    Profile,
    /// The path of its qdebug.
    Path,
    /// Nothing, or the user has added to it.
    Nothing,
    /// It is not in that file.
    Absent,
}

/// Says in the user's file where the qdebug of this cluster is. A profile of the site's file gets
/// one of the same login over it.
///
/// # Errors
/// As [`keep_profile`].
pub fn point_profile(path: &Path, name: &str, login: &str, qdebug: &Path) -> Result<(), Error> {
    let mut document = document(path)?;
    let clusters = document
        .get_mut("clusters")
        .and_then(toml_edit::Item::as_table_like_mut);
    let Some(profile) = clusters.and_then(|clusters| clusters.get_mut(name)) else {
        let new = NewProfile {
            name,
            login,
            qdebug: Some(qdebug),
            by: KeptBy::Setup,
            becomes_default: false,
        };
        return keep_profile(path, new).map(|_| ());
    };
    // A comment, which says what was there, has no place in a table of one line.
    let (Some(profile), Some(qdebug)) = (profile.as_table_mut(), qdebug.to_str()) else {
        return Err(cannot(path)(format!(
            "the profile `{name}` stands in one line: write it as [clusters.{name}], a key a line"
        )));
    };
    let old = profile.get("qdebug").and_then(toml_edit::Item::as_value);
    let mark = match old {
        // Of an earlier setup, which knows what was there before.
        Some(old) if pointed(old).is_some() => suffix(old).to_owned(),
        Some(old) => format!(
            " {POINTED}{INSTEAD}{}",
            old.clone().decorated("", suffix(old))
        ),
        None => format!(" {POINTED}"),
    };
    let value = toml_edit::Value::from(qdebug).decorated(" ", mark);
    profile.insert("qdebug", toml_edit::Item::Value(value));
    write(path, &document)
}

/// What stands behind a value.
fn suffix(value: &toml_edit::Value) -> &str {
    let suffix = value.decor().suffix().and_then(|raw| raw.as_str());
    suffix.unwrap_or_default()
}

/// Whether setup has put a value in, and what was there before, with the comment behind it.
fn pointed(value: &toml_edit::Value) -> Option<Option<toml_edit::Value>> {
    let rest = suffix(value).trim().strip_prefix(POINTED)?;
    let Some(old) = rest.strip_prefix(INSTEAD) else {
        return rest.is_empty().then_some(None);
    };
    let line: toml_edit::DocumentMut = format!("old = {old}\n").parse().ok()?;
    line.get("old")?.as_value().cloned().map(Some)
}

/// What of the profile `[clusters.NAME]` of the user's file setup has written.
///
/// # Errors
/// [`Error::Read`], [`Error::Edit`].
pub fn setup_wrote(path: &Path, name: &str) -> Result<Wrote, Error> {
    let document = document(path)?;
    let clusters = document.get("clusters");
    let profile = clusters.and_then(|clusters| clusters.get(name));
    Ok(profile.map_or(Wrote::Absent, wrote))
}

fn wrote(profile: &toml_edit::Item) -> Wrote {
    let made = profile.as_table().is_some_and(|table| {
        let prefix = table.decor().prefix().and_then(|raw| raw.as_str());
        prefix.unwrap_or_default().trim() == MADE
            && table.iter().all(|(key, _)| is_of_setup(table, key))
    });
    let path = profile.get("qdebug").and_then(toml_edit::Item::as_value);
    match path.and_then(pointed) {
        _ if made => Wrote::Profile,
        Some(_) => Wrote::Path,
        None => Wrote::Nothing,
    }
}

/// Whether a key is one that setup writes, and the user has put no comment to it.
fn is_of_setup(table: &toml_edit::Table, key: &str) -> bool {
    let above = table.key(key).and_then(|key| key.leaf_decor().prefix());
    let above = above.and_then(|raw| raw.as_str()).unwrap_or_default();
    let value = table.get(key).and_then(toml_edit::Item::as_value);
    let is_plain = |value| suffix(value).trim().is_empty() || matches!(pointed(value), Some(None));
    let behind = value.is_some_and(is_plain);
    ["login", "qdebug"].contains(&key) && above.trim().is_empty() && behind
}

/// Takes what setup has written of `[clusters.NAME]` out of the user's file; one that is gone is the
/// default no more. What the user wrote stays as it is. Tells what there was.
///
/// # Errors
/// As [`keep_profile`].
pub fn forget_profile(path: &Path, name: &str) -> Result<Wrote, Error> {
    let mut document = document(path)?;
    let clusters = document
        .get_mut("clusters")
        .and_then(toml_edit::Item::as_table_like_mut);
    let Some((clusters, profile)) = clusters.and_then(|clusters| {
        let profile = clusters.get(name)?.clone();
        Some((clusters, profile))
    }) else {
        return Ok(Wrote::Absent);
    };
    let was = wrote(&profile);
    match was {
        Wrote::Profile => {
            clusters.remove(name);
            if clusters.is_empty() {
                document.remove("clusters");
            }
            let default = document.get("default_cluster");
            if default.and_then(toml_edit::Item::as_str) == Some(name) {
                document.remove("default_cluster");
            }
        }
        Wrote::Path => {
            let profile = clusters
                .get_mut(name)
                .and_then(toml_edit::Item::as_table_like_mut);
            if let Some(profile) = profile {
                let old = profile.get("qdebug").and_then(toml_edit::Item::as_value);
                match old.and_then(pointed).flatten() {
                    Some(old) => {
                        profile.insert("qdebug", toml_edit::Item::Value(old));
                    }
                    None => {
                        profile.remove("qdebug");
                    }
                }
            }
        }
        Wrote::Nothing | Wrote::Absent => return Ok(was),
    }
    write(path, &document)?;
    Ok(was)
}

#[cfg(test)]
mod tests {
    use super::super::tests::new;
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_sites_default_stays_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let new = NewProfile {
            becomes_default: false,
            ..new("two", "b@c", KeptBy::Setup)
        };
        assert!(!keep_profile(&path, new).unwrap());
        point_profile(&path, "lab", "al@host", Path::new("/q")).unwrap();
        let config = Config::read(Path::new("/none"), Some(&path)).unwrap();
        assert_eq!(config.default_cluster(), None);
        assert_eq!(config.profiles(), ["lab", "two"]);
    }

    #[test]
    fn a_profile_is_pointed_elsewhere_and_forgotten_with_the_rest_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let mine = "# mine\nhome = '/x' # here\n";
        std::fs::write(&path, mine).unwrap();
        assert_eq!(forget_profile(&path, "lab").unwrap(), Wrote::Absent);
        keep_profile(&path, new("lab", "al@host", KeptBy::Setup)).unwrap();
        for name in ["lab", "two"] {
            point_profile(&path, name, "al@host", Path::new("/opt/q d")).unwrap();
            let config = Config::read(Path::new("/none"), Some(&path)).unwrap();
            let profile = config.profile(name).unwrap();
            assert_eq!(profile.qdebug.as_deref(), Some(Path::new("/opt/q d")));
            assert_eq!(profile.login, "al@host");
        }
        assert_eq!(forget_profile(&path, "two").unwrap(), Wrote::Profile);
        let config = Config::read(Path::new("/none"), Some(&path)).unwrap();
        assert_eq!(config.default_cluster(), Some("lab"));
        assert_eq!(forget_profile(&path, "lab").unwrap(), Wrote::Profile);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), mine);
    }

    #[test]
    fn a_profile_that_setup_has_not_made_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let text = || std::fs::read_to_string(&path).unwrap();
        keep_profile(&path, new("kept", "al@host", KeptBy::Connect)).unwrap();
        let kept = text();
        assert_eq!(forget_profile(&path, "kept").unwrap(), Wrote::Nothing);
        assert_eq!(text(), kept);

        // What setup has put into one goes, and what was there before comes back.
        for mine in [
            "[clusters.kept]\nlogin = \"a@b\"\n",
            "[clusters.kept]\nqdebug = \"/my q\\\"\"\nlogin = \"a@b\" # mine\n",
            "[clusters.kept]\nqdebug = \"/my\"  # the group's\nlogin = \"a@b\"\n",
        ] {
            std::fs::write(&path, mine).unwrap();
            for to in ["/new", "/newer"] {
                point_profile(&path, "kept", "a@b", Path::new(to)).unwrap();
                let config = Config::read(Path::new("/none"), Some(&path)).unwrap();
                let profile = config.profile("kept").unwrap();
                assert_eq!(profile.qdebug.as_deref(), Some(Path::new(to)));
            }
            assert_eq!(setup_wrote(&path, "kept").unwrap(), Wrote::Path);
            assert_eq!(forget_profile(&path, "kept").unwrap(), Wrote::Path);
            assert_eq!(text(), mine);
        }

        // One that the user has added to is the user's.
        std::fs::write(&path, "").unwrap();
        keep_profile(&path, new("lab", "a@b", KeptBy::Setup)).unwrap();
        std::fs::write(&path, format!("{}scratch = \"/s\"\n", text())).unwrap();
        assert_eq!(forget_profile(&path, "lab").unwrap(), Wrote::Nothing);
        assert!(text().contains("scratch"));
        let commented =
            "# of mine\n# made by `qdebug setup`; `qdebug setup --remove` takes it away\n";
        for theirs in [
            format!("{commented}[clusters.lab]\nlogin = \"a@b\"\n"),
            format!("\n{MADE}\n[clusters.lab]\nlogin = \"a@b\" # mine\n"),
            format!("\n{MADE}\n[clusters.lab]\nlogin = \"a@b\"\n# mine\nqdebug = \"/q\"\n"),
        ] {
            std::fs::write(&path, &theirs).unwrap();
            assert_eq!(forget_profile(&path, "lab").unwrap(), Wrote::Nothing);
            assert_eq!(text(), theirs);
        }

        // In one line there is no room for what was there before.
        for line in [
            "[clusters]\nlab = { login = \"a@b\" }\n",
            "clusters = { lab = { login = \"a@b\" } }\n",
        ] {
            std::fs::write(&path, line).unwrap();
            let refused = point_profile(&path, "lab", "a@b", Path::new("/new")).unwrap_err();
            assert!(refused.to_string().contains("[clusters.lab]"), "{refused}");
            assert_eq!(text(), line);
        }
    }
}
