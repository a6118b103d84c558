//! What the texts of a configuration file may be. What is wrong with one is found here, where its
//! line and key are known, and not by the program that would stumble over it later.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Deserializer, de};

/// The values of `engine`.
const ENGINES: [&str; 3] = ["auto", "docker", "podman"];

/// The values of `scheduler`.
const SCHEDULERS: [&str; 4] = ["openpbs", "torque", "slurm", "local"];

/// The longest path, in bytes: Linux takes 4096, and more is put behind it.
const PATH_LIMIT: usize = 1024;

/// The longest name of a file or folder, in bytes (NAME_MAX).
const NAME_LIMIT: usize = 255;

/// The longest name of a queue, in bytes; OpenPBS takes 15, Slurm names its partitions freely.
const QUEUE_LIMIT: usize = 255;

/// An absolute path.
pub(super) fn absolute<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    // On Windows a path of the cluster has a root and no drive.
    if path.has_root() {
        usable(path).map(Some).map_err(de::Error::custom)
    } else {
        Err(de::Error::custom("the path must be absolute"))
    }
}

/// A folder for the cache: absolute, below home as `~/...`, or empty for none.
pub(super) fn cache_folder<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let path = match text.strip_prefix("~/") {
        Some(below) => etcetera::home_dir()
            .map_err(|_| de::Error::custom("HOME is not set, and the path begins with ~"))?
            .join(below),
        None => PathBuf::from(&text),
    };
    if path.has_root() || text.is_empty() {
        usable(path).map(Some).map_err(de::Error::custom)
    } else {
        Err(de::Error::custom(
            "the path must be absolute, or begin with ~/, or be \"\" for no cache",
        ))
    }
}

/// A path that means the same to the shell, the engine and the kernel, on every host.
fn usable(path: PathBuf) -> Result<PathBuf, String> {
    let long = |path: &Path| {
        let mut names = path.components();
        names.any(|name| name.as_os_str().len() > NAME_LIMIT)
    };
    if path.to_string_lossy().contains(char::is_control) {
        return Err("the path holds a control character, such as a line break".to_owned());
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err("the path leads up by `..`; write where it ends".to_owned());
    }
    if path.as_os_str().len() > PATH_LIMIT || long(&path) {
        return Err(format!(
            "the path is too long; it may have {PATH_LIMIT} bytes, and {NAME_LIMIT} in each name"
        ));
    }
    Ok(path)
}

/// One of [`ENGINES`].
pub(super) fn engine<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    one_of(
        deserializer,
        &ENGINES,
        "an engine is docker, podman or auto",
    )
}

/// One of [`SCHEDULERS`].
pub(super) fn scheduler<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let known = "a scheduler is openpbs, torque, slurm or local";
    one_of(deserializer, &SCHEDULERS, known)
}

fn one_of<'de, D: Deserializer<'de>>(
    deserializer: D,
    known: &[&str],
    otherwise: &str,
) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if known.contains(&text.as_str()) {
        Ok(Some(text))
    } else {
        Err(de::Error::custom(otherwise))
    }
}

/// The name of a queue or partition, `queue@server` of PBS included, or partitions with commas
/// between them: one word that is no option.
pub(super) fn queue<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let odd = |c: char| c.is_whitespace() || c.is_control();
    if text.is_empty() || text.starts_with('-') || text.contains(odd) || text.len() > QUEUE_LIMIT {
        return Err(de::Error::custom(
            "a queue is one word that does not begin with `-`",
        ));
    }
    Ok(Some(text))
}

/// Names of environment variables.
pub(super) fn variables<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let is_name = |name: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(plain)
    };
    match names.iter().find(|name| !is_name(name)) {
        None => Ok(names),
        Some(odd) => Err(de::Error::custom(format!(
            "{odd:?} is no name of a variable; write names alone, such as SCRATCH"
        ))),
    }
}

/// `28G` and the like, in bytes.
pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    crate::text::size(&text)
        .map(Some)
        .map_err(de::Error::custom)
}

/// An absolute path of another machine, where this one's home means nothing.
pub(super) fn there<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if !text.starts_with('/') || text.contains(char::is_control) {
        return Err(de::Error::custom(format!(
            "{text:?} is no absolute path of the cluster; write one such as /scratch/alice"
        )));
    }
    Ok(Some(text.into()))
}

/// `USER@HOST`, as ssh takes it.
pub(super) fn destination<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let odd = |c: char| c.is_whitespace() || c.is_control();
    if text.is_empty() || text.starts_with('-') || text.contains(odd) {
        return Err(de::Error::custom(
            "a login is written USER@HOST, as for ssh",
        ));
    }
    Ok(text)
}
