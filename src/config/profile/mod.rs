//! Keeping a cluster's profile: the one thing qdebug itself adds to the user's file.
//!
//! `setup` owns what setup writes of it and takes away again, `name` what a new one is called.

mod name;
mod setup;

use std::io;
use std::path::Path;

pub use name::profile_name;
pub use setup::{Wrote, forget_profile, point_profile, setup_wrote};

use super::Error;
use crate::disk;

/// What stands above a profile that setup has made.
const MADE: &str = "# made by `qdebug setup`; `qdebug setup --remove` takes it away";

/// Who keeps a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptBy {
    /// `connect` or `up`, when the user wants it.
    Connect,
    /// `setup`, which takes it away again.
    Setup,
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

fn replace(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        disk::private_folder(folder)?;
    }
    disk::replace(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    pub(super) fn new<'a>(name: &'a str, login: &'a str, by: KeptBy) -> NewProfile<'a> {
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
}
