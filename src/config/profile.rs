//! Keeping a cluster's profile: the one thing qdebug itself adds to the user's file.

use std::io;
use std::path::Path;

use super::Error;
use crate::disk;

/// What stands above a profile that setup has made.
const MADE: &str = "# made by `qdebug setup`; `qdebug setup --remove` takes it away";

/// What stands behind a path that setup has put in, before the one that was there, if any.
const POINTED: &str = "# by `qdebug setup`";
const INSTEAD: &str = " instead of ";

/// Who keeps a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptBy {
    /// `connect` or `up`, when the user wants it.
    Connect,
    /// `setup`, which takes it away again.
    Setup,
}

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

/// A profile to be kept.
#[derive(Debug, Clone, Copy)]
pub struct NewProfile<'a> {
    /// The cluster's name.
    pub name: &'a str,
    /// As ssh takes it.
    pub login: &'a str,
    /// The path of its qdebug, where that is known.
    pub qdebug: Option<&'a Path>,
    /// Whose it is.
    pub by: KeptBy,
    /// Whether no file names a default cluster, so that it becomes that.
    pub becomes_default: bool,
}

/// Adds `[clusters.NAME]` to the user's file; whether it is the default now. What the user wrote
/// stays as it is, comments included; the file is replaced by one rename.
///
/// # Errors
/// [`Error::Read`], [`Error::Edit`], [`Error::Write`].
pub fn keep_profile(path: &Path, new: NewProfile<'_>) -> Result<bool, Error> {
    let NewProfile { name, login, .. } = new;
    let cannot = cannot(path);
    let mut document = document(path)?;
    if new.becomes_default && !document.contains_key("default_cluster") {
        document["default_cluster"] = toml_edit::value(name);
    }
    let default = document.get("default_cluster");
    let is_default = default.and_then(toml_edit::Item::as_str) == Some(name);
    let clusters = document
        .entry("clusters")
        .or_insert_with(|| {
            let mut table = toml_edit::Table::new();
            table.set_implicit(true);
            table.into()
        })
        .as_table_mut()
        .ok_or_else(|| cannot("`clusters` is no table".to_owned()))?;
    let known = clusters.get(name).map(|profile| profile.get("login"));
    match known {
        None => {}
        // Another connect was as fast.
        Some(there) if there.and_then(toml_edit::Item::as_str) == Some(login) => {
            return Ok(is_default);
        }
        Some(_) => return Err(cannot(format!("there is a cluster `{name}` already"))),
    }
    let mut profile = toml_edit::Table::new();
    if new.by == KeptBy::Setup {
        profile.decor_mut().set_prefix(format!("\n{MADE}\n"));
    }
    profile["login"] = toml_edit::value(login);
    if let Some(qdebug) = new.qdebug.and_then(Path::to_str) {
        profile["qdebug"] = toml_edit::value(qdebug);
    }
    clusters.insert(name, profile.into());
    write(path, &document)?;
    Ok(is_default)
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

fn cannot(path: &Path) -> impl Fn(String) -> Error {
    let path = path.to_owned();
    move |reason| Error::Edit {
        path: path.clone(),
        reason,
    }
}

/// The user's file; an empty one where there is none.
fn document(path: &Path) -> Result<toml_edit::DocumentMut, Error> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text.map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?,
    };
    text.parse()
        .map_err(|error: toml_edit::TomlError| cannot(path)(error.to_string()))
}

fn write(path: &Path, document: &toml_edit::DocumentMut) -> Result<(), Error> {
    let text = document.to_string();
    // Whatever the user's file looks like, what comes out of it can be read again.
    let read: Result<toml_edit::DocumentMut, toml_edit::TomlError> = text.parse();
    read.map_err(|error| cannot(path)(error.to_string()))?;
    replace(path, &text).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

/// The name for a new profile of this host: its first label, else all of it, else with a number,
/// whichever is not `taken`. An address is no name by its first number alone.
pub fn profile_name(host: &str, taken: &[&str]) -> String {
    let first = host.split('.').next().unwrap_or(host);
    let short = Some(first).filter(|name| !name.chars().all(|c| c.is_ascii_digit()));
    // The word for this machine.
    let is_free = |name: &&str| *name != "here" && !taken.contains(name);
    let plain = [short, Some(host)].into_iter().flatten().find(is_free);
    plain.map_or_else(
        || {
            let mut numbered = (2..).map(|number| format!("{first}-{number}"));
            let free = numbered.find(|name| !taken.contains(&name.as_str()));
            free.unwrap_or_else(|| host.to_owned())
        },
        str::to_owned,
    )
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        disk::private_folder(folder)?;
    }
    disk::replace(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn new<'a>(name: &'a str, login: &'a str, by: KeptBy) -> NewProfile<'a> {
        NewProfile {
            name,
            login,
            qdebug: None,
            by,
            becomes_default: true,
        }
    }

    #[test]
    fn a_profile_is_added_and_what_was_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/config.toml");
        assert!(keep_profile(&path, new("lab", "al@host", KeptBy::Setup)).unwrap());
        let mine = "# mine\nhome = '/x' # here\n\n";
        let text = format!("{mine}{}", std::fs::read_to_string(&path).unwrap());
        std::fs::write(&path, text).unwrap();
        assert!(
            !keep_profile(
                &path,
                NewProfile {
                    qdebug: Some(Path::new("/opt/q d")),
                    ..new("two", "b@c", KeptBy::Connect)
                }
            )
            .unwrap()
        );
        assert!(keep_profile(&path, new("lab", "al@host", KeptBy::Setup)).unwrap());
        let again = keep_profile(&path, new("lab", "bob@elsewhere", KeptBy::Setup)).unwrap_err();
        assert!(matches!(again, Error::Edit { .. }), "{again:?}");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(mine), "{text}");
        let config = Config::read(Path::new("/none"), Some(&path)).unwrap();
        assert_eq!(config.default_cluster(), Some("lab"));
        assert_eq!(config.profiles(), ["lab", "two"]);
        let lab = config.profile("lab").unwrap();
        assert_eq!(lab.login, "al@host");
    }

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

    #[test]
    fn a_new_profile_takes_no_others_name() {
        assert_eq!(profile_name("login.a.org", &[]), "login");
        assert_eq!(profile_name("login.b.org", &["login"]), "login.b.org");
        assert_eq!(profile_name("login", &["login"]), "login-2");
        assert_eq!(profile_name("here", &["here-2"]), "here-3");
        assert_eq!(profile_name("10.0.0.7", &[]), "10.0.0.7");
    }
}
