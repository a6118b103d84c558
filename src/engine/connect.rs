//! Finding an engine and agreeing with it on a version.
//!
//! Order where nothing else is wished: what the docker command would talk to; when that is docker's
//! default and not there, or not for this user, Podman: its socket (`CONTAINER_HOST`, or the one of
//! its user service), else a service of our own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::{ClientVersion, Docker};

use super::flavour::{CanLimit, Flavour, cgroups_are_old};
use super::podman::{Home, Service};
use super::{Choice, Engine, Error, Kind, REQUEST_LIMIT, error, socket};

/// How long connecting and negotiating may take. A node under load answers late, not never.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The same for Podman, which tells its version only after a look at every container, and waits for
/// one that is being made or removed by another of its processes: 10 s of that were seen.
pub(super) const PODMAN_LIMIT: Duration = Duration::from_secs(30);
/// Docker 20.10 speaks 1.41; device requests came with 1.40.
const OLDEST_API: (usize, usize) = (1, 40);
/// The first with the API that is spoken here, and with what 4.3 was tried for.
const OLDEST_PODMAN: u32 = 4;

impl Engine {
    /// Connects to the engine that is wanted. `folder`, private and on the node, is where a Podman
    /// service of our own would keep its things; without one none is started.
    ///
    /// # Errors
    /// By phase: [`Error::Remote`], [`Error::Configuration`], [`Error::NoSocket`],
    /// [`Error::Permission`], [`Error::Refused`], [`Error::Silent`], [`Error::TooOld`],
    /// [`Error::NoPodman`], [`Error::PodmanHome`], [`Error::Podman`].
    pub async fn connect(wanted: Choice, folder: Option<&Path>) -> Result<Self, Error> {
        match wanted {
            Choice::Docker => Self::docker().await,
            Choice::Podman => Self::podman(folder).await,
            Choice::Auto => {
                let missing = match Self::docker().await {
                    Err(error) if error.is_absence() && !socket::docker_is_chosen() => error,
                    found => return found,
                };
                match Self::podman(folder).await {
                    // Docker's error is the one that can be mended.
                    Err(Error::NoPodman) => Err(missing),
                    found => found,
                }
            }
        }
    }

    /// The same engine anew, where it was a service of our own and is gone: a scheduler's signal
    /// reaches every process of the job. `None` where there is nothing to do.
    ///
    /// # Errors
    /// As [`Engine::connect`].
    pub async fn revived(&self) -> Result<Option<Self>, Error> {
        let Some(service) = &self.service else {
            return Ok(None);
        };
        if tokio::net::UnixStream::connect(&self.socket).await.is_ok() {
            return Ok(None);
        }
        tracing::info!("podman's service was ended with the job: another is started");
        Self::own(service.home()).await.map(Some)
    }

    pub(super) async fn docker() -> Result<Self, Error> {
        let found = socket::find(&socket::Environment::of_this_process())?;
        Self::connect_to(&found, CONNECT_LIMIT, None).await
    }

    async fn podman(folder: Option<&Path>) -> Result<Self, Error> {
        let environment = socket::Environment::of_this_process();
        let mut missing = Error::NoPodman;
        for found in socket::podman(&environment) {
            let found = found?;
            match Self::connect_to(&found, PODMAN_LIMIT, None).await {
                // A socket that a service of the past has left.
                Err(error @ (Error::Refused { .. } | Error::NoSocket { .. })) => missing = error,
                connected => return connected,
            }
        }
        match folder {
            Some(folder) if !environment.podman_is_chosen() => {
                Self::own(&Home::below(folder)).await
            }
            _ => Err(missing),
        }
    }

    /// A service of our own.
    pub(super) async fn own(home: &Home) -> Result<Self, Error> {
        let service = Service::start(home).await?;
        let found = socket::Found {
            path: service.socket().to_owned(),
            origin: "our own service".to_owned(),
        };
        Self::connect_to(&found, PODMAN_LIMIT, Some(Arc::new(service))).await
    }

    pub(super) async fn connect_to(
        found: &socket::Found,
        limit: Duration,
        service: Option<Arc<Service>>,
    ) -> Result<Self, Error> {
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
        let too_old = |found, needed| Error::TooOld {
            socket: socket.to_owned(),
            found,
            needed,
        };
        let shown = answer.api_version.unwrap_or_default();
        let spoken = parse_version(&shown).unwrap_or((0, 0));
        if spoken < OLDEST_API {
            return Err(too_old(format!("API {shown}"), "API 1.40 (Docker 19.03)"));
        }
        let components = answer.components.unwrap_or_default();
        let podman = components.iter().find(|c| c.name.starts_with("Podman"));
        let podman = podman.map(|podman| podman.version.clone());
        let crun = components.iter().any(|c| c.name == "OCI Runtime (crun)");
        let (major_version, minor_version) =
            spoken.min((newest.major_version, newest.minor_version));
        let docker = ask(&ClientVersion {
            major_version,
            minor_version,
        })?;
        let flavour = match &podman {
            None => Flavour::DOCKER,
            Some(version) => {
                let major = version.split('.').next().unwrap_or_default();
                let major = major.parse().unwrap_or(0);
                if major < OLDEST_PODMAN {
                    return Err(too_old(format!("Podman {version}"), "Podman 4.0"));
                }
                let (rootless, own) = (is_rootless(socket), service.is_some());
                Flavour {
                    kind: Kind::Podman,
                    rootless,
                    own,
                    major,
                    crun,
                    limits: match own {
                        true => CanLimit::NONE,
                        false => what_podman_limits(&docker, rootless, limit).await,
                    },
                }
            }
        };
        let engine = Self {
            docker,
            socket: socket.to_owned(),
            flavour,
            api: (major_version, minor_version),
            gpu_way: Arc::default(),
            version: podman.or(answer.version).unwrap_or_default(),
            architecture: answer.arch.unwrap_or_default(),
            service,
        };
        tracing::debug!(
            socket = %engine.socket.display(), origin, version = engine.version, api = shown,
            flavour = ?engine.flavour, "connected to the engine"
        );
        Ok(engine)
    }
}

/// Which limits a service of Podman's says that it sets; what it does not tell is taken for the
/// worst. It looks at every container for that, so it is asked only where it matters.
async fn what_podman_limits(docker: &Docker, rootless: bool, limit: Duration) -> CanLimit {
    if rootless && cgroups_are_old(Path::new("/")) {
        // It says that it can, and then ignores them.
        return CanLimit::NONE;
    }
    match tokio::time::timeout(limit, docker.info()).await {
        Ok(Ok(info)) => CanLimit {
            memory: info.memory_limit == Some(true),
            cpuset: info.cpu_set == Some(true),
            cpu_time: info.cpu_cfs_quota == Some(true),
            pids: info.pids_limit == Some(true),
        },
        told => {
            tracing::debug!(?told, "podman does not tell about itself");
            CanLimit::NONE
        }
    }
}

/// Podman 4.3 does not say whether it is; the owner of its socket does.
fn is_rootless(socket: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    socket.metadata().is_ok_and(|about| about.uid() != 0)
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
    use std::path::PathBuf;

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
        Engine::connect_to(&found, Duration::from_millis(200), None)
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
