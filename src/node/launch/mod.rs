//! From a granted job to a session that is ready: GPUs, engine, image, kit, container, port, ssh.
//!
//! Every step tells its phase, and what it makes is put into [`Made`] in the moment it exists: the
//! work may be cut off between any two awaits by a signal.
//!
//! - `spec`: what the container shall be;
//! - `start`: from there to sshd's banner;
//! - `details`: what is told of it then.

mod details;
mod spec;
mod start;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use super::aside::aside;
use super::clock::Clock;
use super::deadline;
use super::end::Made;
use super::environment::{self, Parts};
use super::folders;
use super::gc::{self, Sweep};
use super::gpus;
use super::host::{self, User};
use super::image::{self, Known, Lookup};
use super::job::OwnJob;
use super::place::{DEFAULT_BASE, NodeDir};
use super::publish;
use super::report::Reporter;
use super::run::Options;
use super::server::{self, Server};
use crate::engine::{self, Engine, Image};
use crate::gpu::Selected;
use crate::kit::{Kit, paths};
use crate::session::{
    ConnectionDetails, EngineChoice, GpuRequest, Phase, Request, SessionDir, Sshd,
};

/// The port of sshd in the container.
const SSH_PORT: u16 = 2222;
/// How long the NVIDIA driver may take to answer; one that has to wake its GPUs first takes many
/// seconds.
const DRIVER_LIMIT: Duration = Duration::from_secs(120);

/// How long the user's folders may take to be looked at: an automounter mounts them first.
const FOLDERS_LIMIT: Duration = Duration::from_secs(120);
/// How long the session's keys may take to be read.
const KEYS_LIMIT: Duration = Duration::from_secs(10);

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
    let asked = request.clone();
    let doing = "looking at your home, the project and the mounts";
    aside(doing, FOLDERS_LIMIT, move || folders::check(&asked)).await?;

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
    let (wanted, base) = (wanted.clone(), base.to_owned());
    let choosing = move || gpus::choose(&wanted, &base, may_pick);
    aside("asking the NVIDIA driver", DRIVER_LIMIT, choosing).await
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
        let published = self.published().await;
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
        let labels = self.labels();
        let lookup = Lookup {
            engine: self.engine,
            image: self.image,
            folder: self.node_dir.path(),
            labels: &labels,
            sshd: request.sshd,
        };
        let looking = made.looking.clone();
        let kit = self.unpack_kit().await?;
        let kept = lookup.kept();
        let mut known = kept.clone();
        if request.sshd != Sshd::Kit {
            // How it is configured depends on its version.
            if known.is_none() {
                known = Some(lookup.look(&looking).await?);
            }
            if !known.as_ref().is_some_and(Known::has_sshd) {
                return Err(Error::NoSshd {
                    image: self.image_name.to_owned(),
                });
            }
        }
        // Keys that cannot be read now come with the next look.
        let session = self.plan.session.clone();
        let read = move || Ok(session.keys_as_written()?);
        let keys = aside("reading the session's keys", KEYS_LIMIT, read).await;
        let keys = keys.unwrap_or_else(|error| {
            tracing::warn!(error = error.sentence(), "no keys yet");
            None
        });
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
        let server = made.server.insert(prepared);
        let (spec, mut unmet) = self.spec(&labels, uuids, &environment, server);
        let laid_down = known.clone();
        let look = async {
            match known {
                Some(known) => Ok(known),
                None => lookup.look(&looking).await,
            }
        };
        let at = published.as_ref().ok().copied().flatten();
        let ((port, looked), mut known) = tokio::try_join!(self.start(made, spec, at), look)?;
        let mut notices = Vec::new();
        match looked.look().await {
            Some(look) => {
                notices = look.notices();
                known.shell = look.shell;
            }
            None => tracing::warn!("nothing is heard of the programs in the container"),
        }
        if laid_down.as_ref() != Some(&known) {
            self.complete(made, &known).await?;
        }
        if kept.as_ref() != Some(&known) {
            lookup.keep(&known);
        }
        notices.append(&mut unmet);
        notices.extend(published.err());
        Ok(self.details(made, port, notices, address.await))
    }

    /// The address of this node to publish on beside the loopback, as the site chose; else why not,
    /// in words for the user: the other ways may lead here all the same.
    async fn published(&self) -> Result<Option<Ipv4Addr>, String> {
        let lookup = |name: &str| std::env::var(name).ok();
        let found = publish::find(&self.plan.options.publish, lookup).await;
        found.map_err(|why| {
            tracing::warn!(why, "not published");
            format!(
                "the session's port is on the node's loopback alone, although the site's file wants \
                 it published: {why}; `qdebug doctor --node` on this node tells more"
            )
        })
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

    fn gpu_uuids(&self) -> Vec<String> {
        let gpus = self.gpus.map(|selected| selected.gpus.as_slice());
        let uuids = gpus.unwrap_or_default().iter().map(|gpu| gpu.uuid.clone());
        uuids.collect()
    }

    fn ends_in(&self) -> Duration {
        deadline::lease(self.plan.job.deadline, self.plan.clock.now())
    }
}
