//! Where engines listen: Docker's as the docker command finds it, Podman's as its own does.
//!
//! Docker's order: `DOCKER_HOST`, then `DOCKER_CONTEXT`, then `currentContext` of docker's `config.json`,
//! then `/var/run/docker.sock`. Only a socket of this machine will do: mounts and the published
//! port are this node's. Pure but for reading docker's own small files.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::Error;

const DEFAULT: &str = "/var/run/docker.sock";
const DEFAULT_ORIGIN: &str = "docker's default";

/// A socket and what named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) origin: String,
}

/// The environment that decides, so that it can be tested.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment {
    pub(super) host: Option<String>,
    pub(super) context: Option<String>,
    /// Docker's configuration directory.
    pub(super) config: Option<PathBuf>,
    /// Where Podman's own command would connect to.
    pub(super) podman_host: Option<String>,
    /// The user's runtime folders, the likeliest first.
    pub(super) runtime: Vec<PathBuf>,
}

impl Environment {
    /// This process's.
    pub(super) fn of_this_process() -> Self {
        let var = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            host: var("DOCKER_HOST"),
            context: var("DOCKER_CONTEXT"),
            config: config_directory(),
            podman_host: var("CONTAINER_HOST"),
            runtime: runtime_directories(),
        }
    }

    /// Whether the user says which socket is Podman's.
    pub(super) fn podman_is_chosen(&self) -> bool {
        self.podman_host.is_some()
    }
}

/// The user's runtime folders: a job's environment may lack the one that is there.
fn runtime_directories() -> Vec<PathBuf> {
    let said = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usual = format!("/run/user/{}", rustix::process::getuid().as_raw());
    let mut folders: Vec<PathBuf> = said.into_iter().filter(|path| path.is_absolute()).collect();
    if !folders.iter().any(|folder| folder == Path::new(&usual)) {
        folders.push(usual.into());
    }
    folders
}

/// Whether this process's environment or docker's configuration names an engine: then no other will
/// do.
pub(super) fn docker_is_chosen() -> bool {
    match find(&Environment::of_this_process()) {
        Ok(found) => found.origin != DEFAULT_ORIGIN,
        Err(_) => true,
    }
}

/// The sockets that Podman's services may listen on: the one that is said, else those that are
/// there.
pub(super) fn podman(environment: &Environment) -> Vec<Result<Found, Error>> {
    if let Some(host) = &environment.podman_host {
        return vec![unix_socket(host, "CONTAINER_HOST".to_owned())];
    }
    let sockets = environment.runtime.iter();
    sockets
        .map(|folder| folder.join("podman/podman.sock"))
        .filter(|path| path.exists())
        .map(|path| {
            Ok(Found {
                path,
                origin: "podman's default".to_owned(),
            })
        })
        .collect()
}

/// Docker's configuration directory of this user.
pub(super) fn config_directory() -> Option<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    var("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| var("HOME").map(|home| Path::new(&home).join(".docker")))
}

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "currentContext", default)]
    current_context: String,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "Endpoints", default)]
    endpoints: std::collections::BTreeMap<String, Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "Host", default)]
    host: String,
}

/// The socket to talk to.
pub(super) fn find(environment: &Environment) -> Result<Found, Error> {
    if let Some(host) = &environment.host {
        return unix_socket(host, "DOCKER_HOST".to_owned());
    }
    let default = || Found {
        path: PathBuf::from(DEFAULT),
        origin: DEFAULT_ORIGIN.to_owned(),
    };
    let Some(config) = &environment.config else {
        return Ok(default());
    };
    let context = match &environment.context {
        Some(context) => context.clone(),
        None => current_context(&config.join("config.json"))?,
    };
    if context.is_empty() || context == "default" {
        return Ok(default());
    }
    let folder = Sha256::digest(context.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    let path = config.join("contexts/meta").join(folder).join("meta.json");
    let meta: Meta = read_json(&path)?.ok_or_else(|| Error::Configuration {
        path: path.clone(),
        reason: format!("the context {context:?} is not there"),
    })?;
    match meta.endpoints.get("docker") {
        Some(endpoint) if !endpoint.host.is_empty() => {
            unix_socket(&endpoint.host, format!("docker's context {context}"))
        }
        _ => Ok(default()),
    }
}

fn current_context(path: &Path) -> Result<String, Error> {
    Ok(read_json::<Config>(path)?
        .map(|config| config.current_context)
        .unwrap_or_default())
}

/// Reads one of docker's files; `None` when it is not there.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let refuse = |reason: String| Error::Configuration {
        path: path.to_owned(),
        reason,
    };
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        // As the docker command does: a configuration that cannot be opened is told and passed over.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            tracing::warn!(path = %path.display(), "may not read docker's configuration");
            return Ok(None);
        }
        Err(error) => return Err(refuse(error.to_string())),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| refuse(error.to_string()))
}

fn unix_socket(host: &str, origin: String) -> Result<Found, Error> {
    match host.strip_prefix("unix://") {
        Some(path) if path.starts_with('/') => Ok(Found {
            path: PathBuf::from(path),
            origin,
        }),
        _ => Err(Error::Remote {
            host: host.to_owned(),
            origin,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_config(config: Option<&str>) -> (tempfile::TempDir, Environment) {
        let home = tempfile::tempdir().unwrap();
        if let Some(config) = config {
            std::fs::write(home.path().join("config.json"), config).unwrap();
        }
        let environment = Environment {
            config: Some(home.path().to_owned()),
            ..Environment::default()
        };
        (home, environment)
    }

    fn add_context(home: &Path, name: &str, host: &str) {
        let folder: String = Sha256::digest(name.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let folder = home.join("contexts/meta").join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        let meta = serde_json::json!({"Name": name, "Endpoints": {"docker": {"Host": host}}});
        std::fs::write(folder.join("meta.json"), meta.to_string()).unwrap();
    }

    #[test]
    fn podmans_socket_is_the_one_said_or_those_that_are_there() {
        let runtime = tempfile::tempdir().unwrap();
        let mut environment = Environment {
            runtime: vec!["/no such".into(), runtime.path().to_owned()],
            ..Environment::default()
        };
        assert!(podman(&environment).is_empty());
        let socket = runtime.path().join("podman/podman.sock");
        std::fs::create_dir(runtime.path().join("podman")).unwrap();
        std::fs::write(&socket, "").unwrap();
        let found = podman(&environment).remove(0).unwrap();
        assert_eq!(found.path, socket);
        environment.podman_host = Some("unix:///x.sock".to_owned());
        let found = podman(&environment).remove(0).unwrap();
        assert_eq!(found.path, Path::new("/x.sock"));
        environment.podman_host = Some("ssh://u@host/x.sock".to_owned());
        assert!(matches!(
            podman(&environment).remove(0),
            Err(Error::Remote { .. })
        ));
    }

    #[test]
    fn nothing_said_is_the_default() {
        let (_home, environment) = with_config(None);
        assert_eq!(find(&environment).unwrap().path, Path::new(DEFAULT));
        let (_home, environment) = with_config(Some(r#"{"auths":{}}"#));
        assert_eq!(find(&environment).unwrap().path, Path::new(DEFAULT));
        assert_eq!(
            find(&Environment::default()).unwrap().path,
            Path::new(DEFAULT)
        );
    }

    #[test]
    fn docker_host_goes_before_any_context() {
        let (_home, mut environment) = with_config(Some(r#"{"currentContext":"gone"}"#));
        environment.host = Some("unix:///run/user/7/docker.sock".into());
        let found = find(&environment).unwrap();
        assert_eq!(found.path, Path::new("/run/user/7/docker.sock"));
        assert_eq!(found.origin, "DOCKER_HOST");
    }

    #[test]
    fn the_current_context_is_followed_and_the_variable_goes_before_it() {
        let (home, mut environment) = with_config(Some(r#"{"currentContext":"rootless"}"#));
        add_context(home.path(), "rootless", "unix:///run/user/7/docker.sock");
        add_context(home.path(), "Ü b", "unix:///odd path.sock");
        assert_eq!(
            find(&environment).unwrap().path,
            Path::new("/run/user/7/docker.sock")
        );
        environment.context = Some("Ü b".into());
        assert_eq!(
            find(&environment).unwrap().path,
            Path::new("/odd path.sock")
        );
        environment.context = Some("default".into());
        assert_eq!(find(&environment).unwrap().path, Path::new(DEFAULT));
    }

    #[test]
    fn what_is_not_this_machine_is_refused_by_name() {
        for host in [
            "tcp://10.0.0.1:2375",
            "ssh://a@b",
            "unix://relative",
            "",
            "x",
        ] {
            let environment = Environment {
                host: Some(host.into()),
                ..Environment::default()
            };
            let error = find(&environment).unwrap_err();
            assert!(matches!(error, Error::Remote { .. }), "{host}: {error}");
        }
    }

    #[test]
    fn a_missing_context_and_a_broken_file_are_named() {
        let (_home, environment) = with_config(Some(r#"{"currentContext":"gone"}"#));
        let error = find(&environment).unwrap_err().to_string();
        assert!(error.contains("gone"), "{error}");
        let (home, environment) = with_config(Some("{"));
        let error = find(&environment).unwrap_err().to_string();
        assert!(
            error.contains(&home.path().display().to_string()),
            "{error}"
        );
    }
}
