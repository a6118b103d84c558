//! The container engine: images, containers, devices, behind one client.
//!
//! Owns everything that is said to Docker, and is the only place that knows `bollard`. It knows
//! containers, not sessions: what is made, and when it must go, is the node half's business.
//! Podman has its place in [`Kind`]; today Docker alone is driven.
//!
//! - [`Engine::connect`] finds the socket and negotiates the version;
//! - `image`: looking at and pulling images ([`Image`], [`Reference`], [`PullProgress`]);
//! - `build`: building them ([`Build`], [`Context`]);
//! - `store`: saving, loading, naming and removing them;
//! - `container`: making ([`ContainerSpec`]), starting, stopping, removing, listing;
//! - `watch`: the exit and the output of a running container;
//! - `peek`: looking into a container that does not run;
//! - `throwaway`: a container that is run to its end and removed.

mod auth;
mod build;
mod container;
mod error;
mod hand_over;
mod image;
mod peek;
mod pipe;
mod reference;
mod socket;
mod store;
mod throwaway;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::{ClientVersion, Docker};

pub use build::{Build, BuildError, BuildProgress, Built, Context};
pub use container::{Bind, ContainerId, ContainerSpec, ContainerState, Listed, Publish};
pub use error::Error;
pub use image::{Image, PullProgress};
pub use peek::{FileKind, FileStat};
pub use reference::{Reference, ReferenceError};
pub use throwaway::ThrowAway;
pub use watch::{ExitWatch, Output};

/// How long connecting and negotiating may take. A node under load answers late, not never.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long any one request may take until its first answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(120);
/// Docker 20.10 speaks 1.41; device requests came with 1.40.
const OLDEST_API: (usize, usize) = (1, 40);

/// A connection to the engine of this machine.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    socket: PathBuf,
    kind: Kind,
    version: String,
    architecture: String,
}

/// Which engine answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Docker, rootful or rootless.
    Docker,
}

impl Engine {
    /// Connects to the engine that the docker command would talk to.
    ///
    /// # Errors
    /// By phase: [`Error::Remote`], [`Error::Configuration`], [`Error::NoSocket`],
    /// [`Error::Permission`], [`Error::Refused`], [`Error::Silent`], [`Error::TooOld`],
    /// [`Error::Unsupported`].
    pub async fn connect() -> Result<Self, Error> {
        let found = socket::find(&socket::Environment::of_this_process())?;
        Self::connect_to(&found, CONNECT_LIMIT).await
    }

    async fn connect_to(found: &socket::Found, limit: Duration) -> Result<Self, Error> {
        let (socket, origin) = (found.path.as_path(), found.origin.as_str());
        knock(socket, origin, limit).await?;
        let path = socket.to_string_lossy();
        let ask = |version: &ClientVersion| {
            Docker::connect_with_unix(&path, REQUEST_LIMIT.as_secs(), version)
                .map_err(|error| error::from_api("connecting", error))
        };
        let newest = bollard::API_DEFAULT_VERSION;
        let answer = tokio::time::timeout(limit, ask(newest)?.version())
            .await
            .map_err(|_| Error::Silent {
                socket: socket.to_owned(),
                limit,
            })?
            .map_err(|error| error::from_api("negotiating the version", error))?;
        let components = answer.components.unwrap_or_default();
        if let Some(podman) = components.iter().find(|c| c.name.starts_with("Podman")) {
            return Err(Error::Unsupported {
                socket: socket.to_owned(),
                name: format!("Podman {}", podman.version),
            });
        }
        let shown = answer.api_version.unwrap_or_default();
        let spoken = parse_version(&shown).unwrap_or((0, 0));
        if spoken < OLDEST_API {
            return Err(Error::TooOld {
                socket: socket.to_owned(),
                found: shown,
                needed: "1.40 (Docker 19.03)",
            });
        }
        let (major_version, minor_version) =
            spoken.min((newest.major_version, newest.minor_version));
        let engine = Self {
            docker: ask(&ClientVersion {
                major_version,
                minor_version,
            })?,
            socket: socket.to_owned(),
            kind: Kind::Docker,
            version: answer.version.unwrap_or_default(),
            architecture: answer.arch.unwrap_or_default(),
        };
        tracing::debug!(
            socket = %engine.socket.display(), origin, version = engine.version, api = shown,
            "connected to the engine"
        );
        Ok(engine)
    }

    /// Whether it still answers, within `limit`.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::TimedOut`].
    pub async fn ping(&self, limit: Duration) -> Result<(), Error> {
        let doing = "asking whether it is there";
        match tokio::time::timeout(limit, self.docker.ping()).await {
            Err(_) => Err(Error::TimedOut { doing, limit }),
            Ok(answer) => answer
                .map(|_| ())
                .map_err(|error| error::from_api(doing, error)),
        }
    }

    /// The socket it listens on.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Which engine it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its version, as it tells it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The architecture it runs on, as images write it (`amd64`).
    pub fn architecture(&self) -> &str {
        &self.architecture
    }
}

/// Whether this machine runs SELinux, under which a container may not read what is bound in unless
/// its label is switched off or the files are relabelled (which qdebug never does to a home).
pub fn selinux_is_on() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

/// Opens the socket once by hand: the client folds all reasons not to into one.
async fn knock(socket: &Path, origin: &str, limit: Duration) -> Result<(), Error> {
    let opening = tokio::net::UnixStream::connect(socket);
    let socket = socket.to_owned();
    match tokio::time::timeout(limit, opening).await {
        Err(_) => Err(Error::Silent { socket, limit }),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(source)) => Err(match source.kind() {
            std::io::ErrorKind::NotFound => Error::NoSocket {
                socket,
                origin: origin.to_owned(),
            },
            std::io::ErrorKind::PermissionDenied => Error::Permission {
                group: owning_group(&socket),
                socket,
            },
            std::io::ErrorKind::ConnectionRefused => Error::Refused { socket },
            _ => Error::Connect { socket, source },
        }),
    }
}

/// The group of a file by name, or by number where `/etc/group` has no name for it.
fn owning_group(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(metadata) = path.metadata() else {
        return "unknown".to_owned();
    };
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    group_name(&groups, metadata.gid()).unwrap_or_else(|| metadata.gid().to_string())
}

fn group_name(groups: &str, gid: u32) -> Option<String> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(gid)).then(|| name.to_owned())
    })
}

fn parse_version(text: &str) -> Option<(usize, usize)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_versions_compare_as_numbers() {
        assert!(parse_version("1.9") < Some(OLDEST_API));
        assert!(parse_version("1.41") > Some(OLDEST_API));
        assert_eq!(parse_version("new"), None);
    }

    #[test]
    fn a_group_is_found_by_number() {
        let groups = "root:x:0:\ndocker:x:998:alice,bob\nbroken\n";
        assert_eq!(group_name(groups, 998).as_deref(), Some("docker"));
        assert_eq!(group_name(groups, 5), None);
    }

    async fn error_at(path: PathBuf) -> Error {
        let found = socket::Found {
            path,
            origin: "the test".to_owned(),
        };
        Engine::connect_to(&found, Duration::from_millis(200))
            .await
            .unwrap_err()
    }

    #[tokio::test]
    async fn a_missing_a_dead_and_a_silent_socket_are_three_errors() {
        let folder = tempfile::tempdir().unwrap();
        let error = error_at(folder.path().join("a b.sock")).await;
        assert!(matches!(error, Error::NoSocket { .. }), "{error}");

        let dead = folder.path().join("dead.sock");
        drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
        let error = error_at(dead).await;
        assert!(matches!(error, Error::Refused { .. }), "{error}");

        let silent = folder.path().join("silent.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&silent).unwrap();
        let error = error_at(silent).await;
        assert!(matches!(error, Error::Silent { .. }), "{error}");
    }
}
