//! What submit writes: what was asked, the job it became, and the wish to stop it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{SessionName, Token};

/// `request.json`: everything the node half needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The session's name when it was submitted.
    pub name: SessionName,
    /// What tells this session from any other of the same name or job id.
    pub token: Token,
    /// The cluster that alone may judge or delete this session.
    pub cluster: Cluster,
    /// The qdebug that submitted, and that the job runs.
    pub qdebug: Qdebug,
    /// When it was asked.
    pub created: Timestamp,
    /// Walltime in seconds.
    pub walltime_seconds: u64,
    /// The GPUs; `None` for a session without.
    #[serde(default)]
    pub gpu: Option<GpuRequest>,
    /// Cores, where they were asked for.
    #[serde(default)]
    pub cpus: Option<u32>,
    /// Memory in bytes, where it was asked for.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// The size of /dev/shm in bytes; the node half's default when absent.
    #[serde(default)]
    pub shm_bytes: Option<u64>,
    /// How long nobody may be connected and no GPU at work before the session gives its node back;
    /// for ever when absent. In seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout_seconds: Option<u64>,
    /// Where the image comes from.
    pub image: ImageSource,
    /// Which sshd serves the session.
    #[serde(default)]
    pub sshd: Sshd,
    /// Which container engine; the node's own choice when absent.
    #[serde(default, skip_serializing_if = "EngineChoice::is_auto")]
    pub engine: EngineChoice,
    /// What is mounted besides home.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// Environment of the session, over the image's.
    #[serde(default)]
    pub env: BTreeMap<EnvName, String>,
    /// The user's home on the cluster, mounted at the same path.
    pub home: PathBuf,
    /// Where terminals and IDEs open.
    pub project: PathBuf,
}

/// Who grants jobs: the scheduler and which one of its kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cluster {
    /// `slurm`, `local`, ...
    pub scheduler: String,
    /// The server's or cluster's own name; for `local` the host.
    pub server: String,
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.scheduler, self.server)
    }
}

/// A qdebug binary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qdebug {
    /// Its version.
    pub version: String,
    /// Its absolute path on the cluster.
    pub path: PathBuf,
}

/// A number of GPUs of one type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuRequest {
    /// The type as the catalogue writes it, such as `V100`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How many; at least 1.
    pub count: u32,
    /// The type as a regular expression over NVML's names, upper and lower case alike; what the
    /// type's own words say when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Somebody else's processes on them are no hindrance.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_busy: bool,
}

/// Where the image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum ImageSource {
    /// An image by name, tag or digest: the node's, else pulled.
    Reference {
        /// As `docker run` would take it.
        reference: String,
    },
    /// An image built from a recipe, where there is none yet.
    Recipe {
        /// The recipe's file on the shared file system.
        recipe: PathBuf,
        /// The folder it may copy from.
        context: PathBuf,
        /// Values of its `ARG`s.
        #[serde(default)]
        args: BTreeMap<EnvName, String>,
    },
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference { reference } => f.write_str(reference),
            Self::Recipe { recipe, .. } => write!(f, "{}", recipe.display()),
        }
    }
}

/// Which sshd serves the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sshd {
    /// The kit's own, which works in any image.
    #[default]
    Kit,
    /// The one the image brings.
    Image,
    /// One that is put on top of the image by its own package manager.
    Layer,
}

/// Which container engine runs the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineChoice {
    /// What the node's configuration says, else what is there.
    #[default]
    Auto,
    /// Docker.
    Docker,
    /// Podman, rootless.
    Podman,
}

impl EngineChoice {
    #[allow(clippy::trivially_copy_pass_by_ref)] // As serde calls it.
    fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// A directory or file of the node, mounted into the container: `SRC:DST[:ro]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "MountParts", into = "MountParts")]
pub struct Mount {
    source: PathBuf,
    target: PathBuf,
    read_only: bool,
}

#[derive(Serialize, Deserialize)]
struct MountParts {
    source: PathBuf,
    target: PathBuf,
    #[serde(default)]
    read_only: bool,
}

/// Why a text is no mount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no mount: {reason}")]
pub struct MountError {
    text: String,
    reason: &'static str,
}

impl Mount {
    /// A mount of `source` at `target`, both absolute, neither holding a line break, `..` or NUL.
    ///
    /// # Errors
    /// [`MountError`] names the path and what is wrong with it.
    pub fn new(source: PathBuf, target: PathBuf, read_only: bool) -> Result<Self, MountError> {
        for path in [&source, &target] {
            let bad = |reason| MountError {
                text: path.to_string_lossy().into_owned(),
                reason,
            };
            let text = path.to_str().ok_or_else(|| bad("it is not UTF-8"))?;
            if text.chars().any(char::is_control) {
                return Err(bad(
                    "a path with a line break or control character is not taken",
                ));
            }
            if !text.starts_with('/') {
                return Err(bad("both paths must be absolute, as in /data:/data"));
            }
            if text.split('/').any(|part| part == "..") {
                return Err(bad("a path with `..` is not taken"));
            }
        }
        Ok(Self {
            source,
            target,
            read_only,
        })
    }

    /// Reads `SRC:DST[:ro]`, several of them joined by `;` as the scripts of old did.
    ///
    /// # Errors
    /// [`MountError`] for the first that is none.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, MountError> {
        text.split(';')
            .filter(|one| !one.trim().is_empty())
            .map(str::parse)
            .collect()
    }

    /// The path on the node.
    pub fn source(&self) -> &std::path::Path {
        &self.source
    }

    /// The path in the container.
    pub fn target(&self) -> &std::path::Path {
        &self.target
    }

    /// Whether the container may only read it.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }
}

impl FromStr for Mount {
    type Err = MountError;

    fn from_str(text: &str) -> Result<Self, MountError> {
        let bad = |reason| MountError {
            text: text.to_owned(),
            reason,
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, read_only) = match parts[..] {
            [source, target] | [source, target, "rw"] => (source, target, false),
            [source, target, "ro"] => (source, target, true),
            [_, _, _] => return Err(bad("the third word may only be `ro` or `rw`")),
            _ => return Err(bad("it is written SOURCE:TARGET or SOURCE:TARGET:ro")),
        };
        Self::new(source.into(), target.into(), read_only)
    }
}

impl TryFrom<MountParts> for Mount {
    type Error = MountError;

    fn try_from(parts: MountParts) -> Result<Self, MountError> {
        Self::new(parts.source, parts.target, parts.read_only)
    }
}

impl From<Mount> for MountParts {
    fn from(mount: Mount) -> Self {
        Self {
            source: mount.source,
            target: mount.target,
            read_only: mount.read_only,
        }
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.read_only { ":ro" } else { "" };
        write!(
            f,
            "{}:{}{mode}",
            self.source.display(),
            self.target.display()
        )
    }
}

/// The name of an environment variable: `[A-Za-z_][A-Za-z0-9_]*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvName(String);

/// Why a text is no name of a variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of an environment variable (letters, digits and underscores)")]
pub struct EnvNameError(String);

impl EnvName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EnvName {
    type Err = EnvNameError;

    fn from_str(text: &str) -> Result<Self, EnvNameError> {
        let first = text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if first && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            Ok(Self(text.to_owned()))
        } else {
            Err(EnvNameError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for EnvName {
    type Error = EnvNameError;

    fn try_from(text: String) -> Result<Self, EnvNameError> {
        text.parse()
    }
}

impl From<EnvName> for String {
    fn from(name: EnvName) -> Self {
        name.0
    }
}

/// `job.json`: what the scheduler answered. When it is missing, submit died in between, and the
/// job is found by its name, `qdebug-<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The session it belongs to.
    pub token: Token,
    /// The full job id.
    pub id: String,
    /// The cluster that gave it.
    pub cluster: Cluster,
    /// When.
    pub submitted: Timestamp,
}

/// `stop.json`: somebody asked for the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The session it is meant for.
    pub token: Token,
    /// Who asked: user and host.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
