//! Containers: made from a plain description, started, stopped, removed.
//!
//! [`ContainerSpec`] says what is wanted; how the API words it is [`body`], pure and tested. Made
//! containers are hardened without asking: every capability dropped, no new privileges, no restart
//! policy. A failed start leaves a container behind ("Created"), so whoever starts removes.

use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, HostConfig, Mount, MountTmpfsOptions, MountType, PortBinding,
    RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, RemoveContainerOptionsBuilder,
    StopContainerOptionsBuilder,
};

use super::devices::{Asked, Way};
use super::error::from_api;
use super::flavour::Flavour;
use super::stray::kill_strays;
use super::{Engine, Error, Kind};

/// What a container shall be. Everything not said is the engine's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerSpec {
    /// Its name; the engine makes one up when empty.
    pub name: String,
    /// The image, by id.
    pub image: String,
    /// The program and its arguments: the image's entrypoint and command are put aside.
    pub argv: Vec<String>,
    /// The user and group ids it runs as; the image's user when absent.
    pub user: Option<(u32, u32)>,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Capabilities it keeps all the same, without `CAP_`.
    pub capabilities: Vec<String>,
    /// Labels.
    pub labels: Vec<(String, String)>,
    /// Environment, over the image's.
    pub env: Vec<(String, String)>,
    /// Files and directories of this machine.
    pub binds: Vec<Bind>,
    /// Paths that are in memory, with their size in bytes.
    pub tmpfs: Vec<(String, u64)>,
    /// A port of the container, published on this machine.
    pub publish: Option<Publish>,
    /// UUIDs of the GPUs it gets.
    pub gpus: Vec<String>,
    /// Size of /dev/shm in bytes.
    pub shm_bytes: Option<u64>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Swap in bytes on top of it; none when absent.
    pub swap_bytes: Option<u64>,
    /// CPU time, in thousandths of a CPU.
    pub millicpus: Option<u64>,
    /// The CPUs it may use, as the kernel lists them (`0-3,8`).
    pub cpuset: Option<String>,
    /// How many processes and threads it may have.
    pub pids: Option<u64>,
    /// Where its program starts.
    pub workdir: Option<String>,
    /// Its host name.
    pub hostname: Option<String>,
    /// The engine's word for its network (`host`, `none`); its default network when absent.
    pub network: Option<String>,
    /// Keep capabilities and privileges, for a build that needs root in its container.
    pub privileged_user: bool,
    /// Switch its SELinux label off.
    pub unlabelled: bool,
    /// The engine removes it when it exits.
    pub auto_remove: bool,
    /// It has a stdin, which hangs up when whoever attached to it is gone.
    pub stdin: bool,
}

/// A file or directory of this machine, seen in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// Here; it must exist.
    pub source: PathBuf,
    /// There, absolute.
    pub target: String,
    /// Not writable there.
    pub read_only: bool,
}

impl Bind {
    /// A bind that may be written through.
    pub fn new(source: impl Into<PathBuf>, target: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            target: target.into(),
            read_only: false,
        }
    }

    /// The same, not writable there.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }
}

/// A TCP port of the container, published on addresses of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The addresses here; each is named, or the engine would publish on all.
    pub addresses: Vec<Ipv4Addr>,
    /// The port here.
    pub port: u16,
    /// The port there.
    pub container_port: u16,
}

/// A container's id, as the engine gave it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContainerId(String);

impl ContainerId {
    /// An id the engine gave: hexadecimal digits and nothing else, since it becomes part of a path.
    pub fn new(id: String) -> Option<Self> {
        let plain = (12..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit());
        plain.then_some(Self(id))
    }

    /// An id for tests of what handles containers.
    #[cfg(test)]
    pub(crate) fn of_test(id: &str) -> Self {
        Self(id.to_owned())
    }

    /// All of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part that people read.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Engine {
    /// Makes a container.
    ///
    /// # Errors
    /// [`Error::MountSource`], [`Error::NameTaken`], [`Error::NoSuchImage`], [`Error::NoSpace`] and
    /// what else the engine says.
    pub async fn create(&self, spec: &ContainerSpec) -> Result<ContainerId, Error> {
        const DOING: &str = "making the container";
        let options = (!spec.name.is_empty()).then(|| {
            CreateContainerOptionsBuilder::default()
                .name(&spec.name)
                .build()
        });
        let way = self.way_to(&spec.gpus).await?;
        let made = self
            .docker
            .create_container(options, body(spec, &self.flavour, way))
            .await
            .map_err(|error| self.about_gpus(from_api(DOING, error)))?;
        for warning in &made.warnings {
            tracing::warn!(warning, "the engine warned while making the container");
        }
        ContainerId::new(made.id).ok_or_else(|| Error::Other {
            doing: DOING,
            status: 0,
            message: "the engine's id for it is none".to_owned(),
        })
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`Error::PortTaken`], [`Error::Devices`], [`Error::MountSource`], [`Error::Command`] and
    /// what else the engine says; the container is still there then.
    pub async fn start(&self, id: &ContainerId) -> Result<(), Error> {
        self.docker
            .start_container(id.as_str(), None)
            .await
            .map_err(|error| self.about_gpus(from_api("starting the container", error)))
    }

    /// Asks it to end, and kills it after `grace` (whole seconds). A container that has ended or
    /// is gone is no error.
    ///
    /// # Errors
    /// What the engine says; [`Error::TimedOut`] when it takes 5 s longer than the grace.
    pub async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), Error> {
        const DOING: &str = "stopping the container";
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        let limit = grace + Duration::from_secs(5);
        let stopping = self.docker.stop_container(id.as_str(), Some(options));
        let stopped = tokio::time::timeout(limit, stopping)
            .await
            .map_err(|_| Error::TimedOut {
                doing: DOING,
                limit,
            })?;
        forgive_gone(stopped.map_err(|error| from_api(DOING, error)))
    }

    /// Removes it, running or not, with its anonymous volumes, and returns when it is gone. One
    /// that is gone already is no error.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn remove(&self, id: &ContainerId) -> Result<(), Error> {
        if self.kind() == Kind::Podman {
            // Its removal by force begins with a friendly signal and ten seconds. What does not run
            // cannot be killed, which is as well.
            let kill = KillContainerOptionsBuilder::default()
                .signal("KILL")
                .build();
            let _ = self.docker.kill_container(id.as_str(), Some(kill)).await;
        }
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        let removed = self
            .docker
            .remove_container(id.as_str(), Some(options))
            .await
            .map_err(|error| from_api("removing the container", error));
        match forgive_gone(removed) {
            // Auto-remove is at it.
            Err(Error::Other { message, .. }) if message.contains("already in progress") => {
                self.until_gone(id).await?;
            }
            removed => removed?,
        }
        // Podman's containers are its children, and its monitors have their id in their groups, too.
        if self.kind() == Kind::Docker {
            let id = id.clone();
            let _ = tokio::task::spawn_blocking(move || kill_strays(&id)).await;
        }
        Ok(())
    }

    /// What of a container's description this engine cannot do, in words for the user.
    pub fn unmet(&self, spec: &ContainerSpec) -> Vec<String> {
        self.flavour.unmet(spec)
    }

    async fn until_gone(&self, id: &ContainerId) -> Result<(), Error> {
        const DOING: &str = "removing the container";
        const LIMIT: Duration = Duration::from_secs(30);
        let waiting = async {
            loop {
                if !self.is_there(id, DOING).await? {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, waiting)
            .await
            .unwrap_or(Err(Error::TimedOut {
                doing: DOING,
                limit: LIMIT,
            }))
    }
}

fn forgive_gone(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.is_no_such_container() => Ok(()),
        result => result,
    }
}

/// The request that makes it; `way` is how its GPUs are asked for.
fn body(spec: &ContainerSpec, flavour: &Flavour, way: Option<Way>) -> ContainerCreateBody {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let pairs = |pairs: &[(String, String)]| {
        pairs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
    };
    // Mounts, not "binds": a source that is missing is an error and not made by root, and a colon
    // in a path is a colon.
    let binds = spec.binds.iter().map(|bind| Mount {
        typ: Some(MountType::BIND),
        source: Some(bind.source.to_string_lossy().into_owned()),
        target: Some(bind.target.clone()),
        read_only: Some(bind.read_only),
        ..Mount::default()
    });
    let tmpfs = spec.tmpfs.iter().map(|(target, bytes)| Mount {
        typ: Some(MountType::TMPFS),
        target: Some(target.clone()),
        tmpfs_options: Some(MountTmpfsOptions {
            size_bytes: Some(signed(*bytes)),
            mode: Some(0o1777),
            ..MountTmpfsOptions::default()
        }),
        ..Mount::default()
    });
    let port = spec.publish.as_ref().map(|publish| {
        let key = format!("{}/tcp", publish.container_port);
        let bindings = publish.addresses.iter().map(|address| PortBinding {
            host_ip: Some(address.to_string()),
            host_port: Some(publish.port.to_string()),
        });
        (key, bindings.collect::<Vec<_>>())
    });
    let mut security = Vec::new();
    if !spec.privileged_user {
        security.push("no-new-privileges".to_owned());
    }
    if spec.unlabelled {
        security.push("label=disable".to_owned());
    }
    let mut env = spec.env.clone();
    let gpus = way.map_or_else(Asked::default, |way| way.ask(&spec.gpus, &mut env));
    let (groups, annotations) = flavour.groups(&spec.groups);
    let limits = flavour.limits;
    let memory = spec.memory_bytes.filter(|_| limits.memory).map(signed);
    let host = HostConfig {
        mounts: Some(binds.chain(tmpfs).collect()),
        port_bindings: port
            .clone()
            .map(|(key, bindings)| HashMap::from([(key, Some(bindings))])),
        cap_drop: (!spec.privileged_user).then(|| vec!["ALL".to_owned()]),
        cap_add: (!spec.capabilities.is_empty()).then(|| spec.capabilities.clone()),
        security_opt: Some(security),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            ..RestartPolicy::default()
        }),
        auto_remove: Some(spec.auto_remove),
        group_add: Some(groups),
        annotations: (!annotations.is_empty()).then_some(annotations),
        userns_mode: flavour.user_namespace().filter(|_| spec.user.is_some()),
        shm_size: spec.shm_bytes.map(signed),
        memory,
        memory_swap: memory.map(|memory| {
            let swap = spec.swap_bytes.map_or(0, signed);
            memory.saturating_add(swap)
        }),
        nano_cpus: spec
            .millicpus
            .filter(|_| limits.cpu_time)
            .map(|share| signed(share.saturating_mul(1_000_000))),
        cpuset_cpus: spec.cpuset.clone().filter(|_| limits.cpuset),
        pids_limit: spec.pids.filter(|_| limits.pids).map(signed),
        device_requests: gpus.requests,
        runtime: gpus.runtime,
        network_mode: spec.network.clone().or_else(|| flavour.network()),
        log_config: Some(flavour.log()),
        ..HostConfig::default()
    };
    let mut argv = spec.argv.iter().cloned();
    let entrypoint = argv.next().map(|program| vec![program]);
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        // An empty command, or docker would append the image's to our entrypoint.
        cmd: entrypoint.is_some().then(|| argv.collect()),
        entrypoint,
        user: spec.user.map(|(uid, gid)| format!("{uid}:{gid}")),
        env: Some(pairs(&env)),
        labels: Some(spec.labels.iter().cloned().collect()),
        exposed_ports: port.map(|(key, _)| vec![key]),
        working_dir: spec.workdir.clone(),
        hostname: spec.hostname.clone(),
        open_stdin: Some(spec.stdin),
        attach_stdin: Some(spec.stdin),
        stdin_once: Some(spec.stdin),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

#[cfg(test)]
#[path = "container_tests.rs"]
mod tests;
