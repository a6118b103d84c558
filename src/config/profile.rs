//! Keeping a cluster's profile: the one thing qdebug itself adds to the user's file.

use std::io;
use std::path::Path;

use super::Error;
use crate::disk;

/// Adds `[clusters.NAME]` to the user's file and makes it the default when there is none; whether
/// it is that now. What the user wrote stays as it is, comments included; the file is replaced by
/// one rename.
///
/// # Errors
/// [`Error::Read`], [`Error::Edit`], [`Error::Write`].
pub fn keep_profile(
    path: &Path,
    name: &str,
    login: &str,
    qdebug: Option<&Path>,
) -> Result<bool, Error> {
    let cannot = cannot(path);
    let mut document = document(path)?;
    if !document.contains_key("default_cluster") {
        document["default_cluster"] = toml_edit::value(name);
    }
    let is_default = document["default_cluster"].as_str() == Some(name);
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
    profile["login"] = toml_edit::value(login);
    if let Some(qdebug) = qdebug.and_then(Path::to_str) {
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
    let profile = clusters
        .and_then(|clusters| clusters.get_mut(name))
        .and_then(toml_edit::Item::as_table_like_mut);
    match (profile, qdebug.to_str()) {
        (Some(profile), Some(qdebug)) => {
            profile.insert("qdebug", toml_edit::value(qdebug));
            write(path, &document)
        }
        _ => keep_profile(path, name, login, Some(qdebug)).map(|_| ()),
    }
}

/// Takes `[clusters.NAME]` out of the user's file, and it is the default no more; whether it was
/// there. What else the user wrote stays as it is.
///
/// # Errors
/// As [`keep_profile`].
pub fn forget_profile(path: &Path, name: &str) -> Result<bool, Error> {
    let mut document = document(path)?;
    let clusters = document
        .get_mut("clusters")
        .and_then(toml_edit::Item::as_table_like_mut);
    let Some(clusters) = clusters else {
        return Ok(false);
    };
    if clusters.remove(name).is_none() {
        return Ok(false);
    }
    if clusters.is_empty() {
        document.remove("clusters");
    }
    let default = document.get("default_cluster");
    if default.and_then(toml_edit::Item::as_str) == Some(name) {
        document.remove("default_cluster");
    }
    write(path, &document)?;
    Ok(true)
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
    replace(path, &document.to_string()).map_err(|source| Error::Write {
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

    #[test]
    fn a_profile_is_added_and_what_was_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/config.toml");
        assert!(keep_profile(&path, "lab", "al@host", None).unwrap());
        let mine = "# mine\nhome = '/x' # here\n\n";
        let text = format!("{mine}{}", std::fs::read_to_string(&path).unwrap());
        std::fs::write(&path, text).unwrap();
        assert!(!keep_profile(&path, "two", "b@c", Some(Path::new("/opt/q d"))).unwrap());
        assert!(keep_profile(&path, "lab", "al@host", None).unwrap());
        let again = keep_profile(&path, "lab", "bob@elsewhere", None).unwrap_err();
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
    fn a_profile_is_pointed_elsewhere_and_forgotten_with_the_rest_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let mine = "# mine\nhome = '/x' # here\n";
        std::fs::write(&path, mine).unwrap();
        assert!(!forget_profile(&path, "lab").unwrap());
        keep_profile(&path, "lab", "al@host", None).unwrap();
        for name in ["lab", "two"] {
            point_profile(&path, name, "al@host", Path::new("/opt/q d")).unwrap();
            let config = Config::read(Path::new("/none"), Some(&path)).unwrap();
            let profile = config.profile(name).unwrap();
            assert_eq!(profile.qdebug.as_deref(), Some(Path::new("/opt/q d")));
            assert_eq!(profile.login, "al@host");
        }
        assert!(forget_profile(&path, "two").unwrap());
        let config = Config::read(Path::new("/none"), Some(&path)).unwrap();
        assert_eq!(config.default_cluster(), Some("lab"));
        assert!(forget_profile(&path, "lab").unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), mine);
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
