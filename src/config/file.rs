//! One configuration file: its keys, their types, and what may be wrong with them.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;

use serde::Deserialize;

use super::catalogue::{GpuKeys, TypeName};
use super::fields::{
    absolute, cache_folder, destination, engine, queue, scheduler, size, there, variables,
};
use super::origin::{self, Leaf};
use super::reach::{Publish, publish, ways};
use super::said::in_words;
use crate::platform;
use crate::text::nearest;

/// Bytes that a file may have.
const SIZE_LIMIT: u64 = 1 << 20;

/// The keys of a file, for warnings about others.
const TOP: [&str; 14] = [
    "home",
    "node_dir",
    "cache",
    "cache_size",
    "scheduler",
    "engine",
    "environment",
    "gpu_pick",
    "reach",
    "publish",
    "default_cluster",
    "submit",
    "clusters",
    "gpus",
];
const SUBMIT: [&str; 8] = [
    "gpu",
    "walltime",
    "image",
    "mounts",
    "queue",
    "project",
    "account",
    "idle_timeout",
];
const PROFILE: [&str; 5] = ["login", "qdebug", "scratch", "reach", "masters"];
const GPU: [&str; 8] = [
    "pattern", "openpbs", "torque", "slurm", "queue", "cpus", "memory", "aliases",
];

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
    /// It is no TOML, or a value is not what its key takes.
    #[error("{}:{line}: {}{reason}", path.display(), about(key.as_deref()))]
    Value {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key, dotted, where one is to blame.
        key: Option<String>,
        /// What is wrong, and what to write instead.
        reason: String,
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

fn about(key: Option<&str>) -> String {
    key.map_or_else(String::new, |key| format!("{key}: "))
}

/// Something odd in a file that does not hinder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    path: PathBuf,
    line: Option<usize>,
    key: String,
    known: Option<&'static str>,
}

impl Warning {
    /// Whether it is about this leaf of a file: then nothing reads it.
    pub(super) fn is_about(&self, layer: &Layer, leaf: &Leaf) -> bool {
        let key = leaf.dotted();
        let below = key.strip_prefix(&self.key);
        self.path == layer.path
            && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": there is no key {}", self.key)?;
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
    #[serde(deserialize_with = "cache_folder")]
    pub(super) cache: Option<PathBuf>,
    #[serde(deserialize_with = "size")]
    pub(super) cache_size: Option<u64>,
    #[serde(deserialize_with = "scheduler")]
    pub(super) scheduler: Option<String>,
    #[serde(deserialize_with = "engine")]
    pub(super) engine: Option<String>,
    #[serde(deserialize_with = "variables")]
    pub(super) environment: Vec<String>,
    pub(super) gpu_pick: Option<GpuPick>,
    #[serde(deserialize_with = "ways")]
    pub(super) reach: Option<Vec<String>>,
    #[serde(deserialize_with = "publish")]
    pub(super) publish: Option<Publish>,
    pub(super) default_cluster: Option<String>,
    pub(super) submit: SubmitDefaults,
    pub(super) clusters: BTreeMap<String, Profile>,
    pub(super) gpus: BTreeMap<TypeName, GpuKeys>,
}

/// `gpu_pick`: what to do where the scheduler shows no grant of GPUs to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum GpuPick {
    /// Idle ones of the type are picked.
    Idle,
    /// The session fails.
    Refuse,
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
    #[serde(deserialize_with = "queue")]
    pub queue: Option<String>,
    /// `-P`.
    pub project: Option<String>,
    /// `-A`.
    pub account: Option<String>,
    /// `--idle-timeout`.
    pub idle_timeout: Option<String>,
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
            idle_timeout: self.idle_timeout.or(other.idle_timeout),
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
    /// A folder there that sessions mount, for what IDEs put on the other side instead of the home.
    #[serde(default, deserialize_with = "there")]
    pub scratch: Option<PathBuf>,
    /// The order in which the ways to its sessions are tried, over the site's own.
    #[serde(default, deserialize_with = "ways")]
    pub reach: Option<Vec<String>>,
    /// `false`: no ssh masters there, but one connection of each qdebug that carries everything.
    #[serde(default)]
    pub masters: Option<bool>,
}

impl Profile {
    /// Takes what it says nothing of from another of the same login.
    pub(super) fn fill(&mut self, other: &Self) {
        if self.login != other.login {
            return;
        }
        let Self {
            login: _,
            qdebug,
            scratch,
            reach,
            masters,
        } = other.clone();
        self.qdebug = self.qdebug.take().or(qdebug);
        self.scratch = self.scratch.take().or(scratch);
        self.reach = self.reach.take().or(reach);
        self.masters = self.masters.or(masters);
    }
}

/// A file as it was read: what it says, and where it says so.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer {
    pub(super) path: PathBuf,
    /// Whether it is there.
    pub(super) found: bool,
    pub(super) file: File,
    pub(super) leaves: Vec<Leaf>,
}

impl Layer {
    /// An error about a key of this file.
    pub(super) fn wrong(&self, key: &[&str], reason: impl Into<String>) -> Error {
        Error::Value {
            path: self.path.clone(),
            line: origin::line_of(&self.leaves, key).unwrap_or(1),
            key: Some(key.join(".")),
            reason: reason.into(),
        }
    }
}

/// All of a small file. Neither a FIFO that nobody writes nor a device without an end holds it up.
fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true);
    platform::without_waiting(&mut options);
    let file = options.open(path)?;
    let mut bytes = Vec::new();
    file.take(SIZE_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SIZE_LIMIT {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(bytes)
}

/// Reads a file; one that is not there is empty.
pub(super) fn read(path: &Path, warnings: &mut Vec<Warning>) -> Result<Layer, Error> {
    let path = path.to_owned();
    let bytes = match bytes_of(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Layer {
                path,
                ..Layer::default()
            });
        }
        Err(source) => return Err(Error::Read { path, source }),
        Ok(bytes) => bytes,
    };
    let text = String::from_utf8(bytes).map_err(|error| no_text(&path, &error))?;
    let table: toml::Table =
        toml::from_str(&text).map_err(|error| wrong(&path, &text, &[], &error))?;
    let leaves = origin::leaves(&text, &table);
    warnings.extend(odd_keys(&path, &table, &leaves));
    let file = toml::from_str(&text).map_err(|error| wrong(&path, &text, &leaves, &error))?;
    Ok(Layer {
        path,
        found: true,
        file,
        leaves,
    })
}

/// A file that is no UTF-8, with the line where that begins and the key in front of it.
fn no_text(path: &Path, error: &FromUtf8Error) -> Error {
    let good = error.utf8_error().valid_up_to();
    let good = String::from_utf8_lossy(error.as_bytes().get(..good).unwrap_or_default());
    let key = good
        .rsplit('\n')
        .next()
        .and_then(|line| line.split_once('='));
    Error::Value {
        path: path.to_owned(),
        line: origin::line(&good, good.len()),
        key: key.map(|(key, _)| key.trim().to_owned()),
        reason: "this is not UTF-8; save the file in that encoding".to_owned(),
    }
}

fn wrong(path: &Path, text: &str, leaves: &[Leaf], error: &toml::de::Error) -> Error {
    let at = error.span().map_or(0, |span| span.start);
    Error::Value {
        path: path.to_owned(),
        line: origin::line(text, at),
        key: origin::key_at(leaves, at),
        reason: in_words(error.message()),
    }
}

fn odd_keys(path: &Path, table: &toml::Table, leaves: &[Leaf]) -> Vec<Warning> {
    let mut odd = Vec::new();
    let mut check = |above: &[&str], table: &toml::Table, known: &[&'static str]| {
        for name in table.keys().filter(|key| !known.contains(&key.as_str())) {
            let key = [above, &[name.as_str()]].concat();
            odd.push(Warning {
                path: path.to_owned(),
                line: origin::line_of(leaves, &key),
                key: key.join("."),
                known: nearest(name, known.iter().copied()),
            });
        }
    };
    check(&[], table, &TOP);
    if let Some(toml::Value::Table(submit)) = table.get("submit") {
        check(&["submit"], submit, &SUBMIT);
    }
    for (above, known) in [("clusters", &PROFILE[..]), ("gpus", &GPU[..])] {
        let Some(toml::Value::Table(tables)) = table.get(above) else {
            continue;
        };
        for (name, keys) in tables {
            if let toml::Value::Table(keys) = keys {
                check(&[above, name], keys, known);
            }
        }
    }
    odd
}
