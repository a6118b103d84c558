//! What this laptop remembers of a session: one file each, so that `ssh` and `proxy` work later
//! without a running connect.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};

use super::error::Error;
use super::order::Order;
use crate::session::{ConnectionDetails, SessionName, Status, Token};
use crate::ssh::{Alias, files};

/// The format of these files; changes are additive.
const FORMAT: u32 = 1;

/// Ports that are tried are below those that systems give out by themselves.
pub(super) const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;

/// Where a cluster is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// This machine.
    Here,
    /// Behind a login node.
    Login {
        /// `[USER@]HOST[:PORT]`.
        login: String,
        /// The path of qdebug there.
        qdebug: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => f.write_str("this machine"),
            Self::Login { login, .. } => f.write_str(login),
        }
    }
}

impl Place {
    /// Whether it is the same cluster, wherever its qdebug lies.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Here, Self::Here) => true,
            (Self::Login { login: a, .. }, Self::Login { login: b, .. }) => a == b,
            _ => false,
        }
    }

    /// A word for it in an alias.
    fn word(&self) -> String {
        let host = match self {
            Self::Here => "here",
            Self::Login { login, .. } => login.rsplit('@').next().unwrap_or(login),
        };
        host.to_ascii_lowercase()
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '.' {
                    c
                } else {
                    '-'
                }
            })
            .collect()
    }
}

/// A session that this laptop has connected to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Known {
    format: u32,
    /// What the user types after `ssh`.
    pub alias: String,
    /// The cluster.
    pub place: Place,
    /// The session's name there.
    pub name: SessionName,
    /// Which session of that name.
    pub token: Token,
    /// Its job.
    pub job: Option<String>,
    /// Which scheduler runs it: `local` is reached otherwise.
    pub scheduler: String,
    /// The listener's port on 127.0.0.1.
    pub port: u16,
    /// How to reach it, as the cluster said last.
    pub details: ConnectionDetails,
    /// The way that worked last.
    #[serde(default, deserialize_with = "known_way")]
    pub reach: Option<Reach>,
    /// In which order the ways are tried.
    #[serde(default)]
    pub order: Order,
}

/// A way that only a newer qdebug knows is as good as none.
fn known_way<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Reach>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// A way to a session's port.
///
/// The words are also what the cluster's `pipe --by` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// Through the node's own sshd.
    Jump,
    /// Through login's own ssh client and a relay on the node.
    Nested,
    /// Over the login node to the session's own port, which its node publishes, as its site chose.
    Port,
    /// Through a step of the job, which the scheduler begins, and a relay in it.
    Exec,
    /// The port is one of this machine or of the login node.
    Direct,
}

impl Reach {
    /// A word of `reach` in the configuration: the ways to a scheduler's sessions.
    pub(super) fn of_scheduler(word: &str) -> Option<Self> {
        let all = [Self::Jump, Self::Nested, Self::Port, Self::Exec];
        all.into_iter().find(|reach| reach.to_string() == word)
    }

    /// Whether all connections go over a relay, which belongs to one process, as a master does not.
    pub(super) fn is_relayed(self) -> bool {
        matches!(self, Self::Nested | Self::Exec)
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jump => "jump",
            Self::Nested => "nested",
            Self::Port => "port",
            Self::Exec => "exec",
            Self::Direct => "direct",
        })
    }
}

impl Known {
    /// A session that is ready, as this laptop will know it: under the alias and port it had, or
    /// under free ones.
    ///
    /// # Errors
    /// [`Error::Details`] for a session without details.
    pub fn new(status: &Status, place: Place, others: &[Self]) -> Result<Self, Error> {
        let Some(details) = status.details.clone() else {
            return Err(Error::Details {
                name: status.name.to_string(),
                detail: "it is ready, but not how to reach it".to_owned(),
            });
        };
        let mine = |known: &&Self| known.place.is_same(&place) && known.name == status.name;
        let before = others.iter().find(mine);
        let alias = match before {
            Some(known) => known.alias.clone(),
            None => free_alias(&status.name, &place, others),
        };
        let port = match before {
            Some(known) => known.port,
            None => ports(&alias)
                .find(|port| others.iter().all(|known| known.port != *port))
                .unwrap_or(FIRST_PORT),
        };
        Ok(Self {
            format: FORMAT,
            alias,
            place,
            name: status.name.clone(),
            token: status.token.clone(),
            job: status.job.clone(),
            scheduler: status.cluster.scheduler.clone(),
            port,
            details,
            reach: before.and_then(|known| known.reach),
            order: Order::of_cluster(status),
        })
    }

    /// All that this laptop knows; a file that cannot be read is told of in the log and left.
    pub fn all(dir: &Path) -> Vec<Self> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .collect();
        files.sort();
        let read = |path: &PathBuf| match Self::read(path) {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(%error, "passed over");
                None
            }
        };
        files.iter().filter_map(read).collect()
    }

    /// The one a user means by `word`: an alias, a name, or a job id, short or full, that only one
    /// of them has.
    ///
    /// # Errors
    /// [`Error::NotKnown`]; [`Error::Memory`] for a file that cannot be used.
    pub fn find(dir: &Path, word: &str) -> Result<Self, Error> {
        for alias in [format!("qdebug-{word}"), word.to_owned()] {
            if let Ok(alias) = alias.parse::<Alias>()
                && let Some(known) = Self::read(&file(dir, alias.as_ref()))?
            {
                return Ok(known);
            }
        }
        let is_meant = |known: &Self| known.is_of_job(word);
        let mut all = Self::all(dir).into_iter().filter(is_meant);
        match (all.next(), all.next()) {
            (Some(known), None) => Ok(known),
            _ => Err(Error::NotKnown {
                name: word.to_owned(),
            }),
        }
    }

    /// Whether that is its job's id, short or full.
    pub(super) fn is_of_job(&self, word: &str) -> bool {
        let id = self.job.as_deref().unwrap_or_default();
        !word.is_empty() && (id == word || id.split('.').next() == Some(word))
    }

    fn read(path: &Path) -> Result<Option<Self>, Error> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let broken = |detail: String| Error::Memory {
            path: path.display().to_string(),
            detail,
        };
        let Some(bytes) = files::read(path)? else {
            return Ok(None);
        };
        let first: Format =
            serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
        if first.format > FORMAT {
            let newer = format!("a newer qdebug wrote it (format {})", first.format);
            return Err(broken(newer));
        }
        let known: Self =
            serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
        if path
            .file_stem()
            .is_some_and(|stem| stem == known.alias.as_str())
        {
            Ok(Some(known))
        } else {
            Err(broken("its name and its alias differ".to_owned()))
        }
    }

    /// The lock that a running connect of it holds.
    pub(super) fn lock(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{}.lock", self.alias))
    }

    /// Remembers it.
    ///
    /// # Errors
    /// [`Error::Ssh`] when the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        files::private_dir(dir)?;
        let alias: Alias = self.alias.parse()?;
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| Error::Memory {
            path: self.alias.clone(),
            detail: error.to_string(),
        })?;
        text.push(b'\n');
        Ok(files::replace(&file(dir, alias.as_ref()), &text)?)
    }

    /// Forgets it, unless its name is a later session's by now; whether nothing of that name is
    /// known any more.
    pub fn forget(&self, dir: &Path) -> bool {
        let all = Self::all(dir);
        let Some(known) = all.iter().find(|other| other.alias == self.alias) else {
            return true;
        };
        if known.token != self.token {
            return false;
        }
        if let Ok(alias) = self.alias.parse::<Alias>() {
            let _ = std::fs::remove_file(file(dir, alias.as_ref()));
        }
        true
    }

    /// The name of its pinned host key: another session of the same name has another.
    ///
    /// # Errors
    /// [`Error::Ssh`] for a name that is none.
    pub fn host_key_alias(&self) -> Result<Alias, Error> {
        Ok(format!("{}-{}", self.alias, self.token.short()).parse()?)
    }

    /// The name of its node's pinned host keys: nodes of two clusters may have the same name.
    ///
    /// # Errors
    /// [`Error::Ssh`] for a node's name that is none.
    pub fn node_key_alias(&self) -> Result<Alias, Error> {
        let node = self.details.node.to_ascii_lowercase();
        Ok(format!("qdebug-node-{node}-{}", digits(&self.place.to_string())).parse()?)
    }
}

fn file(dir: &Path, alias: &str) -> PathBuf {
    dir.join(format!("{alias}.json"))
}

fn free_alias(name: &SessionName, place: &Place, others: &[Known]) -> String {
    let plain = format!("qdebug-{name}");
    if others.iter().all(|known| known.alias != plain) {
        return plain;
    }
    let longer = format!("{plain}.{}", place.word());
    if others.iter().all(|known| known.alias != longer) {
        return longer;
    }
    format!("{longer}-{}", digits(&place.to_string()))
}

/// The ports to try for an alias: the same ones every time.
pub(super) fn ports(alias: &str) -> impl Iterator<Item = u16> + use<> {
    let hash = Sha256::digest(alias.as_bytes());
    let start = u16::from_be_bytes([hash[0], hash[1]]) % PORTS;
    (0..100).map(move |step| FIRST_PORT + (start + step) % PORTS)
}

fn digits(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash[..3].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "known_tests.rs"]
pub(super) mod tests;
