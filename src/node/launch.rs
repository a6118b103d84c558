//! From a granted job to a session that is ready: GPUs, engine, image, kit, container, port, ssh.
//!
//! Every step tells its phase, and what it makes is put into [`Made`] in the moment it exists: the
//! work may be cut off between any two awaits by a signal.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::clock::Clock;
use super::deadline;
use super::devices::{self, Devices};
use super::end::Made;
use super::environment::{self, Parts};
use super::folders;
use super::gc::{self, Sweep};
use super::gpus;
use super::host::{self, User};
use super::image::{self, Found, Known, Lookup};
use super::job::OwnJob;
use super::limits::{Asked, Limits};
use super::place::{DEFAULT_BASE, NodeDir};
use super::report::Reporter;
use super::run::Options;
use super::server::{self, Server};
use super::{Error, label, port};
use crate::engine::{self, ContainerSpec, Engine, Image, Publish};
use crate::gpu::{Mode, Selected};
use crate::kit::{Kit, paths};
use crate::session::{
    ConnectionDetails, EngineChoice, Gpu, GpuRequest, Phase, Request, SessionDir, Sshd,
};

/// The port of sshd in the container.
const SSH_PORT: u16 = 2222;
/// How often a port is picked anew when somebody was faster.
const PORT_TRIES: u32 = 8;
/// How long the NVIDIA driver may take to answer; one that has to wake its GPUs first takes many
/// seconds.
const DRIVER_LIMIT: Duration = Duration::from_secs(120);
/// How long sshd may take to answer, on a node under load.
const SERVING_LIMIT: Duration = Duration::from_secs(60);

/// What a session is launched from.
pub(super) struct Plan<'a> {
    pub(super) session: &'a SessionDir,
    pub(super) request: &'a Request,
    pub(super) job: &'a OwnJob,
    pub(super) clock: Clock,
    pub(super) options: &'a Options,
}

/// Makes the session ready.
pub(super) async fn launch(
    plan: &Plan<'_>,
    made: &mut Made,
    reporter: &mut Reporter,
) -> Result<(), Error> {
    let request = plan.request;
    reporter.enter(Phase::CheckingGpus).await?;
    let base = plan.options.node_dir.as_deref();
    let base = base.unwrap_or(Path::new(DEFAULT_BASE));
    let gpus = match &request.gpu {
        Some(wanted) => {
            let (selected, held) = choose_gpus(wanted, base, plan.options.may_pick_gpus).await?;
            made.gpus = held;
            Some(selected)
        }
        None => None,
    };
    folders::check(request)?;

    let node_dir = NodeDir::open(base)?;
    let wanted = match request.engine {
        EngineChoice::Auto => plan.options.engine,
        EngineChoice::Docker => engine::Choice::Docker,
        EngineChoice::Podman => engine::Choice::Podman,
    };
    let (engine, user) = tokio::join!(
        Engine::connect(wanted, Some(node_dir.path())),
        User::of_this_process()
    );
    let engine = engine?;
    made.engine = Some(engine.clone());
    // The folder is locked first, so that no other node half takes this session for a dead one.
    let held = made.folder.insert(node_dir.make_session(&request.token)?);
    let folder = held.path().to_owned();
    match gc::sweep(&engine, &node_dir, Some(&request.cluster), Sweep::Remove).await {
        Ok(swept) => tracing::debug!(?swept, "swept"),
        Err(error) => tracing::warn!(error = error.sentence(), "cannot sweep"),
    }

    let cache = plan.options.cache.as_ref();
    let mut obtained =
        image::of_session(&engine, node_dir.path(), cache, request, reporter).await?;
    made.saving = obtained.saving.take();

    reporter.enter(Phase::Launching).await?;
    let launching = Launching {
        plan,
        engine: &engine,
        user: &user,
        node_dir: &node_dir,
        folder: &folder,
        image: &obtained.image,
        image_name: &obtained.name,
        image_notices: &obtained.notices,
        gpus: gpus.as_ref(),
    };
    let details = launching.container(made).await?;
    reporter.ready(details).await
}

/// Chooses the GPUs on a thread of its own: a driver that hangs must not keep a signal from being
/// heard.
async fn choose_gpus(
    wanted: &GpuRequest,
    base: &Path,
    may_pick: bool,
) -> Result<(Selected, gpus::Held), Error> {
    let hanging = |detail: String| Error::Hanging {
        doing: "asking the NVIDIA driver",
        detail,
    };
    let (wanted, base) = (wanted.clone(), base.to_owned());
    let choosing = tokio::task::spawn_blocking(move || gpus::choose(&wanted, &base, may_pick));
    match tokio::time::timeout(DRIVER_LIMIT, choosing).await {
        Ok(chosen) => chosen.map_err(|error| hanging(error.to_string()))?,
        Err(_) => Err(hanging(format!(
            "no answer within {} s",
            DRIVER_LIMIT.as_secs()
        ))),
    }
}

struct Launching<'a> {
    plan: &'a Plan<'a>,
    engine: &'a Engine,
    user: &'a User,
    node_dir: &'a NodeDir,
    folder: &'a Path,
    image: &'a Image,
    image_name: &'a str,
    image_notices: &'a [String],
    gpus: Option<&'a Selected>,
}

impl Launching<'_> {
    async fn container(&self, made: &mut Made) -> Result<ConnectionDetails, Error> {
        let request = self.plan.request;
        let address = host::address_in_background();
        let lookup = |name: &str| std::env::var(name).ok();
        let uuids = self.gpu_uuids();
        let environment = environment::of_session(
            &Parts {
                image: &self.image.env,
                image_id: &self.image.id,
                wished: request
                    .env
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect(),
                gpus: &uuids,
                home: &request.home.to_string_lossy(),
                site: &self.plan.options.pass_env,
                path_behind: paths::BIN,
            },
            lookup,
        );
        let path = self.image.env("PATH").unwrap_or(environment::DEFAULT_PATH);
        let labels = self.labels();
        let lookup = Lookup {
            engine: self.engine,
            image: self.image,
            folder: self.node_dir.path(),
            labels: &labels,
            path,
            sshd: request.sshd,
        };
        made.making = true;
        let (found, kit) = tokio::join!(lookup.begin(), self.unpack_kit());
        let found = found?;
        made.making = false;
        let kit = kit?;
        let (mut known, looking) = match found {
            Found::Kept(known) => (Some(known), None),
            Found::Looking(looking) => (None, Some(looking)),
        };
        if request.sshd != Sshd::Kit {
            // How it is configured depends on its version.
            if let Some(looking) = &looking {
                known = Some(looking.essentials().await?);
            }
            if !known.as_ref().is_some_and(Known::has_sshd) {
                return Err(Error::NoSshd {
                    image: self.image_name.to_owned(),
                });
            }
        }
        // Keys that cannot be read now come with the next look.
        let keys = self.plan.session.keys_as_written().ok().flatten();
        let prepared = Server::prepare(&server::Wanted {
            kit,
            folder: self.folder,
            user: self.user,
            home: &request.home,
            project: &request.project,
            known: known.as_ref(),
            environment: &environment,
            sshd: request.sshd,
            keys: &keys.unwrap_or_default(),
            port: SSH_PORT,
            ends_in: self.ends_in(),
        })?;
        let is_complete = known.is_some();
        let server = made.server.insert(prepared);
        let (spec, mut unmet) = self.spec(&labels, uuids, &environment, server);
        let look = async {
            let known = match (known, &looking) {
                (None, Some(looking)) => looking.essentials().await?,
                (known, _) => known.unwrap_or_default(),
            };
            Ok(match looking {
                Some(looking) => looking.finish(known).await,
                None => known,
            })
        };
        let (port, known) = tokio::try_join!(self.start(made, spec), look)?;
        if !is_complete {
            self.complete(made, &known).await?;
        }
        let mut notices = known.notices;
        notices.append(&mut unmet);
        Ok(self.details(made, port, notices, address.await))
    }

    /// Gives a running container what was found in its image while it started.
    async fn complete(&self, made: &Made, known: &Known) -> Result<(), Error> {
        if let (Some(server), Some(id)) = (&made.server, &made.container)
            && let Some(archive) = server.complete(known)?
        {
            self.engine.upload(id, archive).await?;
        }
        Ok(())
    }

    /// Unpacking takes a while the first time, and the engine can be asked meanwhile.
    async fn unpack_kit(&self) -> Result<PathBuf, Error> {
        let node_dir = self.node_dir.path().to_owned();
        let unpacking = tokio::task::spawn_blocking(move || Kit::find()?.unpack(&node_dir));
        match unpacking.await {
            Ok(unpacked) => Ok(unpacked?),
            Err(error) => Err(Error::Hanging {
                doing: "unpacking the kit",
                detail: error.to_string(),
            }),
        }
    }

    /// Makes and starts the container on a port that is free in the end, and waits for sshd.
    async fn start(&self, made: &mut Made, mut spec: ContainerSpec) -> Result<u16, Error> {
        let request = self.plan.request;
        let mut taken = String::new();
        for attempt in 1..=PORT_TRIES {
            let Some(port) = port::pick() else {
                break;
            };
            spec.publish = Some(Publish {
                address: Ipv4Addr::LOCALHOST,
                port,
                container_port: SSH_PORT,
            });
            made.making = true;
            let id = match self.engine.create(&spec).await {
                Ok(id) => id,
                Err(error) if !spec.stdin && self.is_unseen(&error) => {
                    tracing::warn!(%error, "the engine does not see this node's folder: uploading");
                    spec = self.without_binds(made, spec);
                    continue;
                }
                Err(error) => return Err(folders::explain(error, request)),
            };
            made.container = Some(id.clone());
            made.making = false;
            if spec.stdin {
                self.hand_over(made, &id).await?;
            }
            let (reports, mut heard) = Devices::listen();
            let log = move |line: &str| {
                tracing::info!(line, "the container says");
                if let Some(report) = devices::parse(line) {
                    // Nobody listens any more at the end.
                    let _ = reports.send(report);
                }
            };
            // Podman takes the port when it is attached to.
            let starting = async {
                let output = self.engine.collect_output(&id, log).await?;
                let exit = self.engine.watch_exit(&id).await?;
                self.engine.start(&id).await?;
                Ok((output, exit))
            };
            let (mut output, exit) = match starting.await {
                Ok(started) => started,
                Err(engine::Error::PortTaken { detail }) => {
                    tracing::info!(port, attempt, detail, "somebody was faster");
                    self.engine.remove(&id).await?;
                    made.container = None;
                    taken = detail;
                    continue;
                }
                Err(error) => return Err(folders::explain(error, request)),
            };
            let exit = made.exit.insert(exit);
            let deadline = Instant::now() + SERVING_LIMIT;
            let banner = tokio::select! {
                banner = port::banner(port, deadline) => banner,
                exit = exit.exited() => return Err(Error::Died {
                    exit: exit?,
                    lines: output.tail().await,
                }),
            };
            let Some(banner) = banner else {
                return Err(Error::NotServing {
                    port,
                    waited: SERVING_LIMIT.as_secs(),
                    lines: output.tail().await,
                });
            };
            tracing::info!(port, banner, id = id.short(), "sshd answers");
            let gpus = self.gpus.map_or(&[][..], |selected| &selected.gpus);
            if let Err(source) = heard.arrived(gpus, self.engine.gpu_way()).await {
                let wanted = match &request.gpu {
                    Some(gpu) => format!("{} x {}", gpu.count, gpu.kind),
                    None => "no GPU".to_owned(),
                };
                return Err(Error::Gpu { wanted, source });
            }
            heard.watch(self.gpu_uuids());
            made.devices = Some(heard);
            output.detach();
            return Ok(port);
        }
        Err(Error::NoPort {
            tries: PORT_TRIES,
            detail: taken,
        })
    }

    /// Whether the engine was refused, or could not find, what lies in the node's own folder.
    fn is_unseen(&self, error: &engine::Error) -> bool {
        let folder = self.node_dir.shown();
        matches!(error, engine::Error::MountSource { detail, .. } if detail.contains(&folder))
    }

    /// The same container, with everything of ours uploaded and its stdin for a lease.
    fn without_binds(&self, made: &mut Made, mut spec: ContainerSpec) -> ContainerSpec {
        if let Some(server) = &mut made.server {
            server.go_without_binds();
            spec.argv = server.argv();
        }
        spec.binds = folders::binds(self.plan.request);
        spec.stdin = true;
        spec
    }

    /// Gives a container that was made without mounts what it needs, before its start.
    async fn hand_over(&self, made: &mut Made, id: &engine::ContainerId) -> Result<(), Error> {
        let Some(server) = &mut made.server else {
            return Ok(());
        };
        let (archive, lease) = server.hand_over(self.ends_in())?;
        self.engine.upload(id, archive).await?;
        let mut stdin = self.engine.attach_stdin(id).await?;
        let mut lease = tokio::net::unix::pipe::Receiver::from_owned_fd(lease)
            .map_err(Error::io("read", Path::new("the lease")))?;
        // Ends with the lease, which the node half drops or takes along when it dies.
        tokio::spawn(async move {
            if let Err(error) = tokio::io::copy(&mut lease, &mut stdin).await {
                tracing::warn!(%error, "the lease does not reach the container any more");
            }
        });
        Ok(())
    }

    fn spec(
        &self,
        labels: &[(String, String)],
        gpus: Vec<String>,
        environment: &std::collections::BTreeMap<String, String>,
        server: &Server,
    ) -> (ContainerSpec, Vec<String>) {
        let request = self.plan.request;
        let limits = self.limits();
        tracing::debug!(?limits, "limits of the job");
        let mut binds = folders::binds(request);
        binds.extend(server.binds());
        // As root, sshd drops to its own user for a login and needs what that takes.
        let capabilities = match self.user.uid {
            0 => [
                "SETUID",
                "SETGID",
                "SYS_CHROOT",
                "CHOWN",
                "DAC_OVERRIDE",
                "FOWNER",
                "KILL",
            ]
            .map(str::to_owned)
            .to_vec(),
            _ => Vec::new(),
        };
        let spec = ContainerSpec {
            name: format!("qdebug-{}-{}", request.name, request.token.short()),
            image: self.image.id.clone(),
            argv: server.argv(),
            user: Some((self.user.uid, self.user.gid)),
            groups: self.user.groups.iter().map(|(gid, _)| *gid).collect(),
            capabilities,
            labels: labels.to_vec(),
            env: environment
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            binds,
            gpus,
            shm_bytes: request.shm_bytes.or_else(|| limits.default_shm()),
            memory_bytes: limits.memory,
            swap_bytes: limits.swap,
            millicpus: limits.millicpus,
            cpuset: limits.cpuset,
            pids: Some(limits.pids),
            workdir: Some("/".to_owned()),
            hostname: Some(request.name.to_string()),
            unlabelled: engine::selinux_is_on(),
            auto_remove: true,
            ..ContainerSpec::default()
        };
        let mut unmet = self.engine.unmet(&spec);
        if self.engine.shares_our_limits() && limits.memory_is_only_asked_for {
            unmet.push(
                "the scheduler does not hold this job to its memory, and Podman without root \
                 cannot either"
                    .to_owned(),
            );
        }
        (spec, unmet)
    }

    fn limits(&self) -> Limits {
        let request = self.plan.request;
        let asked = Asked {
            memory: request.memory_bytes,
            cpus: request.cpus,
        };
        Limits::of_this_process(Path::new("/"), asked)
    }

    fn labels(&self) -> Vec<(String, String)> {
        let Plan { request, job, .. } = self.plan;
        [
            (label::SESSION, request.name.to_string()),
            (label::TOKEN, request.token.as_str().to_owned()),
            (label::JOB, job.id.clone()),
            (label::CLUSTER, request.cluster.to_string()),
            (label::NODE_DIR, self.node_dir.shown()),
            (label::UID, self.user.uid.to_string()),
            (label::DEADLINE, job.deadline.as_second().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    fn gpu_uuids(&self) -> Vec<String> {
        let gpus = self.gpus.map(|selected| selected.gpus.as_slice());
        let uuids = gpus.unwrap_or_default().iter().map(|gpu| gpu.uuid.clone());
        uuids.collect()
    }

    fn ends_in(&self) -> Duration {
        deadline::lease(self.plan.job.deadline, self.plan.clock.now())
    }

    fn details(
        &self,
        made: &Made,
        port: u16,
        mut notices: Vec<String>,
        address: Option<std::net::IpAddr>,
    ) -> ConnectionDetails {
        let Plan { request, job, .. } = self.plan;
        let gpus = self.gpus.map_or(&[][..], |selected| &selected.gpus);
        notices.extend_from_slice(self.image_notices);
        if let Some(server) = made
            .server
            .as_ref()
            .filter(|server| !server.dropped.is_empty())
        {
            notices.push(format!(
                "these variables could not be carried into the session: {}",
                server.dropped.join(", ")
            ));
        }
        if made.server.as_ref().is_some_and(Server::is_uploaded) {
            notices.push(format!(
                "the container engine does not see {}, so the kit was copied into the container; \
                 `node_dir` in the site file moves it",
                self.node_dir.shown()
            ));
        }
        let exclusive = gpus.iter().filter(|gpu| gpu.mode == Mode::Exclusive);
        notices.extend(exclusive.map(|gpu| {
            format!(
                "GPU {} takes one process at a time (compute mode \"exclusive\")",
                gpu.uuid
            )
        }));
        let limits = self.limits();
        ConnectionDetails {
            limits: limits.told(request.shm_bytes.or_else(|| limits.default_shm())),
            node: host::node_name(),
            address,
            node_host_keys: host::ssh_host_keys(Path::new("/etc/ssh")),
            port,
            user: self.user.name.clone(),
            host_key: made
                .server
                .as_ref()
                .map(|server| server.host_key().to_owned())
                .unwrap_or_default(),
            container: made
                .container
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            image: self.image.id.clone(),
            gpus: gpus
                .iter()
                .map(|gpu| Gpu {
                    uuid: gpu.uuid.clone(),
                    name: gpu.name.clone(),
                    memory_bytes: gpu.memory_bytes,
                    picked: self.gpus.is_some_and(|selected| selected.picked),
                })
                .collect(),
            started: Timestamp::now(),
            deadline: Some(self.plan.clock.told(job.deadline)),
            idle_until: None,
            project: request.project.clone(),
            notices,
        }
    }
}
