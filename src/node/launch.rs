//! From a granted job to a session that is ready: GPUs, engine, image, kit, container, port, ssh.
//!
//! Every step tells its phase, and what it makes is put into [`Made`] in the moment it exists: the
//! work may be cut off between any two awaits by a signal.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::end::Made;
use super::environment::{self, Parts};
use super::gc::{self, Sweep};
use super::host::{self, User};
use super::image::{self, CacheOptions, Lookup, Obtained, Sources, Teller, Wish};
use super::job::OwnJob;
use super::limits::Limits;
use super::place::{DEFAULT_BASE, NodeDir};
use super::report::Reporter;
use super::run::Options;
use super::server::{self, Server};
use super::{Error, label, port};
use crate::engine::{self, Bind, ContainerSpec, Engine, Image, Publish};
use crate::gpu::{self, Granted, Selected, TypePattern};
use crate::kit::{Kit, paths};
use crate::session::{
    ConnectionDetails, Gpu, GpuRequest, ImageSource, Phase, Request, SessionDir, Sshd,
};

/// The port of sshd in the container.
const SSH_PORT: u16 = 2222;
/// How often a port is picked anew when somebody was faster.
const PORT_TRIES: u32 = 8;
/// How long sshd may take to answer, on a node under load.
const SERVING_LIMIT: Duration = Duration::from_secs(60);
/// How long after the walltime the container ends by itself, should everything else have failed.
const GRACE: Duration = Duration::from_secs(120);

/// What a session is launched from.
pub(super) struct Plan<'a> {
    pub(super) session: &'a SessionDir,
    pub(super) request: &'a Request,
    pub(super) job: &'a OwnJob,
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
    let gpus = match &request.gpu {
        Some(wanted) => Some(choose_gpus(wanted)?),
        None => None,
    };
    check_folders(request)?;

    let (engine, user) = tokio::join!(Engine::connect(), User::of_this_process());
    let engine = engine?;
    made.engine = Some(engine.clone());
    let base = plan.options.node_dir.as_deref();
    let node_dir = NodeDir::open(base.unwrap_or(Path::new(DEFAULT_BASE)))?;
    // The folder is locked first, so that no other node half takes this session for a dead one.
    let held = made.folder.insert(node_dir.make_session(&request.token)?);
    let folder = held.path().to_owned();
    match gc::sweep(&engine, &node_dir, Some(&request.cluster), Sweep::Remove).await {
        Ok(swept) => tracing::debug!(?swept, "swept"),
        Err(error) => tracing::warn!(error = error.sentence(), "cannot sweep"),
    }

    let cache = plan.options.cache.as_ref();
    let mut obtained = obtain_image(&engine, node_dir.path(), cache, request, reporter).await?;
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

/// The image that the request asks for, and on top of it what serves ssh where that is asked for.
async fn obtain_image(
    engine: &Engine,
    node_dir: &Path,
    cache: Option<&CacheOptions>,
    request: &Request,
    reporter: &mut Reporter,
) -> Result<Obtained, Error> {
    let wish = match &request.image {
        ImageSource::Reference { reference } => Wish::Reference(reference.parse()?),
        ImageSource::Recipe {
            recipe,
            context,
            args,
        } => Wish::Recipe {
            recipe: recipe.clone(),
            context: context.clone(),
            args: args
                .iter()
                .map(|(name, value)| (name.as_str().to_owned(), value.clone()))
                .collect(),
        },
    };
    reporter
        .enter(Phase::PreparingImage {
            step: format!("looking for {}", request.image),
            progress: None,
        })
        .await?;
    let (sources, notice) = Sources::of_node(engine, node_dir, cache).await;
    let mut teller = Teller::session(reporter);
    let mut obtained = image::obtain(&sources, &wish, &mut teller).await?;
    if request.sshd == Sshd::Layer {
        obtained = image::with_sshd(&sources, obtained, &mut teller).await?;
    }
    obtained.notices.extend(notice);
    Ok(obtained)
}

/// The granted GPUs, held against what was asked for.
fn choose_gpus(wanted: &GpuRequest) -> Result<Selected, Error> {
    let choose = || {
        let granted = Granted::from_environment(|name| std::env::var(name).ok())?;
        let inventory = gpu::inventory()?;
        tracing::debug!(?granted, ?inventory, "GPUs");
        let pattern = match &wanted.pattern {
            Some(pattern) => TypePattern::of_regex(&wanted.kind, pattern)?,
            None => TypePattern::of_type(&wanted.kind),
        };
        gpu::select(&inventory, &granted, &pattern, wanted.count as usize)
    };
    let selected = choose().map_err(|source| Error::Gpu {
        wanted: format!("{} x {}", wanted.count, wanted.kind),
        source,
    })?;
    tracing::info!(?selected, "GPUs chosen");
    Ok(selected)
}

/// Home, project and mounts must be there before anything is made.
fn check_folders(request: &Request) -> Result<(), Error> {
    let missing = |what, path: &Path| match path.metadata() {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::NoFolder {
            what,
            path: path.to_owned(),
            reason: error.to_string(),
        }),
    };
    missing("the home directory", &request.home)?;
    missing("the project", &request.project)?;
    for mount in &request.mounts {
        mount.source().metadata().map_err(|error| Error::Mount {
            source_path: mount.source().to_owned(),
            reason: error.to_string(),
        })?;
    }
    Ok(())
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
        let (known, kit) = tokio::join!(lookup.essentials(), self.unpack_kit());
        let (known, looking) = known?;
        made.making = false;
        let kit = kit?;
        if request.sshd != Sshd::Kit && !known.has_sshd() {
            return Err(Error::NoSshd {
                image: self.image_name.to_owned(),
            });
        }
        // Keys that cannot be read now come with the next look.
        let keys = self.plan.session.keys_as_written().ok().flatten();
        let prepared = Server::prepare(&server::Wanted {
            kit,
            folder: self.folder,
            user: self.user,
            home: &request.home,
            known: &known,
            environment: &environment,
            sshd: request.sshd,
            keys: &keys.unwrap_or_default(),
            port: SSH_PORT,
            ends_in: self.ends_in(),
        })?;
        let server = made.server.insert(prepared);
        let spec = self.spec(&labels, uuids, &environment, server);
        let (port, notices) = tokio::join!(self.start(made, spec), async {
            match looking {
                Some(looking) => looking.finish(known).await,
                None => known.notices,
            }
        });
        Ok(self.details(made, port?, notices, address.await))
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
            let id = self.engine.create(&spec).await?;
            made.container = Some(id.clone());
            made.making = false;
            let log = |line: &str| tracing::info!(line, "the container says");
            let mut output = self.engine.collect_output(&id, log).await?;
            let exit = made.exit.insert(self.engine.watch_exit(&id).await?);
            match self.engine.start(&id).await {
                Ok(()) => {}
                Err(engine::Error::PortTaken { detail }) => {
                    tracing::info!(port, attempt, detail, "somebody was faster");
                    self.engine.remove(&id).await?;
                    made.container = None;
                    taken = detail;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
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
            output.detach();
            return Ok(port);
        }
        Err(Error::NoPort {
            tries: PORT_TRIES,
            detail: taken,
        })
    }

    fn spec(
        &self,
        labels: &[(String, String)],
        gpus: Vec<String>,
        environment: &std::collections::BTreeMap<String, String>,
        server: &Server,
    ) -> ContainerSpec {
        let request = self.plan.request;
        let limits = Limits::of_this_process(Path::new("/"), request.memory_bytes);
        tracing::debug!(?limits, "limits of the job");
        let mut binds = folders(request);
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
        ContainerSpec {
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
            cpuset: limits.cpuset,
            pids: limits.pids,
            workdir: Some("/".to_owned()),
            hostname: Some(request.name.to_string()),
            unlabelled: engine::selinux_is_on(),
            auto_remove: true,
            ..ContainerSpec::default()
        }
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
        let seconds = self.plan.job.deadline.as_second() - Timestamp::now().as_second();
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0)) + GRACE
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
        ConnectionDetails {
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
            deadline: Some(job.deadline),
            project: request.project.clone(),
            notices,
        }
    }
}

/// Home, mounts and the project at the paths the user knows; the project only where neither home
/// nor a mount has it already.
fn folders(request: &Request) -> Vec<Bind> {
    let same = |path: &PathBuf| Bind::new(path.clone(), path.to_string_lossy());
    let mut binds: Vec<Bind> = Vec::new();
    let mut add = |bind: Bind| {
        // The same target twice is refused by the engine; the later wish counts.
        binds.retain(|other| other.target != bind.target);
        binds.push(bind);
    };
    add(same(&request.home));
    for mount in &request.mounts {
        let bind = Bind::new(mount.source(), mount.target().to_string_lossy());
        add(if mount.is_read_only() {
            bind.read_only()
        } else {
            bind
        });
    }
    let targets = request.mounts.iter().map(|mount| mount.target());
    let covered = targets
        .chain([request.home.as_path()])
        .any(|target| request.project.starts_with(target));
    if !covered {
        add(same(&request.project));
    }
    binds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::samples::request;

    fn targets(request: &Request) -> Vec<(String, bool)> {
        let binds = folders(request).into_iter();
        binds.map(|bind| (bind.target, bind.read_only)).collect()
    }

    #[test]
    fn the_project_is_mounted_where_nothing_has_it() {
        let mut asked = request("otter");
        asked.project = "/home/alice/a b".into();
        assert_eq!(targets(&asked), [("/home/alice".to_owned(), false)]);
        asked.project = "/scratch/alice".into();
        assert_eq!(targets(&asked).len(), 2);
        asked.mounts = vec!["/scratch:/scratch:ro".parse().unwrap()];
        assert_eq!(
            targets(&asked),
            [
                ("/home/alice".to_owned(), false),
                ("/scratch".to_owned(), true)
            ]
        );
    }

    #[test]
    fn a_mount_over_home_takes_its_place() {
        let mut asked = request("otter");
        asked.mounts = vec!["/other:/home/alice".parse().unwrap()];
        let binds = folders(&asked);
        assert_eq!(binds.len(), 1);
        assert_eq!(binds[0].source, Path::new("/other"));
    }

    #[test]
    fn what_is_not_on_the_node_is_named() {
        let home = tempfile::tempdir().unwrap();
        let mut asked = request("otter");
        let error = check_folders(&asked).unwrap_err().to_string();
        assert!(error.contains("/home/alice"), "{error}");
        asked.home = home.path().to_owned();
        asked.project = home.path().to_owned();
        check_folders(&asked).unwrap();
        asked.mounts = vec!["/no such/folder:/x".parse().unwrap()];
        let error = check_folders(&asked).unwrap_err().to_string();
        assert!(error.contains("/no such/folder"), "{error}");
    }
}
