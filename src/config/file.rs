//! One configuration file: its keys, their types, and what may be wrong with them.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, de};

use crate::text::nearest;

/// The keys of a file, for warnings about others.
const TOP: [&str; 7] = [
    "home",
    "node_dir",
    "scheduler",
    "environment",
    "default_cluster",
    "submit",
    "clusters",
];
const SUBMIT: [&str; 7] = [
    "gpu", "walltime", "image", "mounts", "queue", "project", "account",
];
const PROFILE: [&str; 2] = ["login", "qdebug"];

/// What is wrong with a configuration file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is there and cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is no TOML, or a value is not what its key takes; the source names line and key.
    #[error("{} is wrong", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// It cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is edited by hand into something that qdebug cannot add to.
    #[error("{} cannot be added to: {reason}", path.display())]
    Edit {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Something odd in a file that does not hinder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    path: PathBuf,
    key: String,
    known: Option<&'static str>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: there is no key {}", self.path.display(), self.key)?;
        match self.known {
            Some(known) => write!(f, "; did you mean {known}?"),
            None => Ok(()),
        }
    }
}

/// What a file says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct File {
    #[serde(deserialize_with = "absolute")]
    pub(super) home: Option<PathBuf>,
    #[serde(deserialize_with = "absolute")]
    pub(super) node_dir: Option<PathBuf>,
    pub(super) scheduler: Option<String>,
    pub(super) environment: Vec<String>,
    pub(super) default_cluster: Option<String>,
    pub(super) submit: SubmitDefaults,
    pub(super) clusters: BTreeMap<String, Profile>,
}

/// `[submit]`: the texts of flags that are not given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SubmitDefaults {
    /// `-g`.
    pub gpu: Option<String>,
    /// `-w`.
    pub walltime: Option<String>,
    /// `-i`.
    pub image: Option<String>,
    /// `-m`, each as on the command line.
    pub mounts: Vec<String>,
    /// `-q`.
    pub queue: Option<String>,
    /// `-P`.
    pub project: Option<String>,
    /// `-A`.
    pub account: Option<String>,
}

impl SubmitDefaults {
    /// These, and what they do not say from `other`; mounts add up.
    pub(super) fn over(self, other: Self) -> Self {
        Self {
            gpu: self.gpu.or(other.gpu),
            walltime: self.walltime.or(other.walltime),
            image: self.image.or(other.image),
            mounts: other.mounts.into_iter().chain(self.mounts).collect(),
            queue: self.queue.or(other.queue),
            project: self.project.or(other.project),
            account: self.account.or(other.account),
        }
    }
}

/// `[clusters.NAME]`: how a laptop reaches a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Profile {
    /// As ssh takes it: `alice@login.example.org` or a host of the ssh config.
    #[serde(deserialize_with = "destination")]
    pub login: String,
    /// The absolute path of qdebug there; looked for when it is not set.
    #[serde(default, deserialize_with = "absolute")]
    pub qdebug: Option<PathBuf>,
}

fn absolute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    if path.is_absolute() {
        Ok(Some(path))
    } else {
        Err(de::Error::custom("the path must be absolute"))
    }
}

fn destination<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() || text.starts_with('-') || text.contains(char::is_whitespace) {
        return Err(de::Error::custom(
            "a login is written USER@HOST, as for ssh",
        ));
    }
    Ok(text)
}

/// Reads a file; one that is not there is empty.
pub(super) fn read(path: &Path, warnings: &mut Vec<Warning>) -> Result<File, Error> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(File::default()),
        text => text.map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?,
    };
    let wrong = |source| Error::Parse {
        path: path.to_owned(),
        source: Box::new(source),
    };
    let table: toml::Table = toml::from_str(&text).map_err(wrong)?;
    warnings.extend(odd_keys(path, &table));
    toml::from_str(&text).map_err(wrong)
}

fn odd_keys(path: &Path, table: &toml::Table) -> Vec<Warning> {
    let mut odd = Vec::new();
    let mut check = |prefix: &str, table: &toml::Table, known: &[&'static str]| {
        for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
            odd.push(Warning {
                path: path.to_owned(),
                key: format!("{prefix}{key}"),
                known: nearest(key, known.iter().copied()),
            });
        }
    };
    check("", table, &TOP);
    if let Some(toml::Value::Table(submit)) = table.get("submit") {
        check("submit.", submit, &SUBMIT);
    }
    if let Some(toml::Value::Table(clusters)) = table.get("clusters") {
        for (name, profile) in clusters {
            if let toml::Value::Table(profile) = profile {
                check(&format!("clusters.{name}."), profile, &PROFILE);
            }
        }
    }
    odd
}
