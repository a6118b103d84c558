//! Keeping a cluster's profile: the one thing qdebug itself adds to the user's file.

use std::io;
use std::path::Path;

use super::Error;
use crate::disk;

/// Adds `[clusters.NAME]` to the user's file and makes it the default when there is none. What
/// the user wrote stays as it is, comments included; the file is replaced by one rename.
///
/// # Errors
/// [`Error::Read`], [`Error::Edit`], [`Error::Write`].
pub fn keep_profile(
    path: &Path,
    name: &str,
    login: &str,
    qdebug: Option<&Path>,
) -> Result<(), Error> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text.map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?,
    };
    let cannot = |reason: String| Error::Edit {
        path: path.to_owned(),
        reason,
    };
    let mut document: toml_edit::DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| cannot(error.to_string()))?;
    if !document.contains_key("default_cluster") {
        document["default_cluster"] = toml_edit::value(name);
    }
    let clusters = document
        .entry("clusters")
        .or_insert_with(|| {
            let mut table = toml_edit::Table::new();
            table.set_implicit(true);
            table.into()
        })
        .as_table_mut()
        .ok_or_else(|| cannot("`clusters` is no table".to_owned()))?;
    let mut profile = toml_edit::Table::new();
    profile["login"] = toml_edit::value(login);
    if let Some(qdebug) = qdebug.and_then(Path::to_str) {
        profile["qdebug"] = toml_edit::value(qdebug);
    }
    clusters.insert(name, profile.into());
    replace(path, &document.to_string()).map_err(|source| Error::Write {
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
    use super::super::Config;
    use super::*;

    #[test]
    fn a_profile_is_added_and_what_was_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/config.toml");
        keep_profile(&path, "lab", "al@host", None).unwrap();
        let mine = "# mine\nhome = '/x' # here\n\n";
        let text = format!("{mine}{}", std::fs::read_to_string(&path).unwrap());
        std::fs::write(&path, text).unwrap();
        keep_profile(&path, "two", "b@c", Some(Path::new("/opt/q d"))).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(mine), "{text}");
        let config = Config::read(Path::new("/none"), Some(&path)).unwrap();
        assert_eq!(config.default_cluster(), Some("lab"));
        assert_eq!(config.profiles(), ["lab", "two"]);
    }
}
