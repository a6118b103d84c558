//! The cluster's halves on this machine: its schedulers and sessions. `elsewhere` stands in for it
//! where neither half runs.

use std::path::PathBuf;

use super::args::{Global, SchedulerFlag};
use super::setting::{Setting, user_home};
use super::{Exit, Failure, gpu_type};
use crate::config;
use crate::engine;
use crate::kit::Kit;
use crate::laptop::Cluster;
use crate::login::{Submitter, Unreadable};
use crate::node::Publish;
use crate::scheduler::{self, Kind, Local, OpenPbs, Scheduler, Slurm, Torque};
use crate::session::GpuSupply;

pub(super) use crate::login::{LogTail, Login};

/// What is meant by a command that names no cluster: the sessions of this machine.
pub(super) fn sessions() -> Result<Option<Cluster>, Failure> {
    Ok(None)
}

/// This machine as the cluster.
pub(super) fn cluster() -> Result<Cluster, Failure> {
    Ok(Cluster::here()?)
}

/// Whether this qdebug brings the kit, and may be put on a cluster.
pub(super) fn has_kit() -> bool {
    Kit::is_embedded()
}

impl Setting {
    /// qdebug's directory on the cluster: `QDEBUG_HOME`, else the configuration's, else
    /// `~/.qdebug`.
    pub(super) fn home(&self) -> Result<PathBuf, Failure> {
        if let Some(home) = std::env::var_os("QDEBUG_HOME").filter(|home| !home.is_empty()) {
            return Ok(std::path::absolute(home)?);
        }
        match self.config.home() {
            Some(home) => Ok(home.to_owned()),
            None => Ok(user_home()?.join(".qdebug")),
        }
    }

    /// The shared cache of images, where it is switched on.
    pub(super) fn cache(&self) -> Option<crate::node::CacheOptions> {
        let folder = self.config.cache()?.to_owned();
        Some(crate::node::CacheOptions {
            folder,
            limit: self.config.cache_size(),
        })
    }

    /// Where a session's port is published on a node beside its loopback.
    pub(super) fn publish(&self) -> Publish {
        match self.config.publish() {
            config::Publish::Loopback => Publish::Loopback,
            config::Publish::Login => Publish::Login,
            config::Publish::Network { address, prefix } => Publish::Network(address, prefix),
            config::Publish::Interface(name) => Publish::Interface(name),
        }
    }

    /// The login half with every scheduler of here: the one that was found, and `local`.
    pub(super) async fn login(&self) -> Result<Login, Failure> {
        let kind = self.found().await?;
        self.login_with(kind.unwrap_or(Kind::Local)).await
    }

    /// The login half with the one scheduler that is to be submitted to first.
    pub(super) async fn login_for_submit(&self, asked: Option<Kind>) -> Result<Login, Failure> {
        let kind = match asked {
            Some(kind) => Some(kind),
            None => self.found().await?,
        };
        let Some(kind) = kind else {
            return Err(
                Failure::new(Exit::SchedulerUnreachable, "no scheduler was found here")
                    .hint(
                        "on a cluster, submit on the login node; its module may have to be loaded",
                    )
                    .hint(
                        "without a cluster, `--scheduler local` runs the session on this machine",
                    ),
            );
        };
        self.login_with(kind).await
    }

    /// The login half with this scheduler, and `local` besides.
    async fn login_with(&self, kind: Kind) -> Result<Login, Failure> {
        let others = match kind {
            Kind::Local => Vec::new(),
            _ => vec![self.scheduler(Kind::Local)?],
        };
        let first = self.scheduler(kind)?;
        Ok(Login::new(&self.home()?, first, others).await)
    }

    /// The scheduler the configuration names, else the one its tools tell of. `local` is never
    /// found, only asked for.
    pub(super) async fn found(&self) -> Result<Option<Kind>, Failure> {
        match self.named_scheduler()? {
            Some(kind) => Ok(Some(kind)),
            None => Ok(scheduler::detect().await?),
        }
    }

    /// Whether this machine is of a cluster. A scheduler's tools with no server behind them, as a
    /// laptop may have them, do not make it one. They take seconds to say so: where another cluster
    /// is the default and no session was ever submitted here, they are not asked.
    pub(super) async fn is_cluster(&self) -> Result<bool, Failure> {
        if self.config.scheduler().is_some() {
            return Ok(true);
        }
        let has_default = !matches!(self.config.default_cluster(), None | Some("here"));
        if has_default && !self.home()?.join("sessions").exists() {
            return Ok(false);
        }
        match self.found().await? {
            Some(kind) => Ok(self.scheduler(kind)?.cluster().await.is_ok()),
            None => Ok(false),
        }
    }

    /// Whether this is a login node. Where no cluster is named, the tools of a scheduler that does
    /// not answer make it one, too: that is what is to be told.
    pub(super) async fn is_login(&self, global: &Global) -> bool {
        let unnamed = global.on.is_none() && self.config.default_cluster().is_none();
        matches!(self.is_cluster().await, Ok(true))
            || unnamed && matches!(self.found().await, Ok(Some(_)))
    }

    /// The engine the configuration names for sessions that do not ask for one.
    pub(super) fn engine(&self) -> engine::Choice {
        match self.config.engine() {
            "docker" => engine::Choice::Docker,
            "podman" => engine::Choice::Podman,
            _ => engine::Choice::Auto,
        }
    }

    /// The scheduler the configuration names, whose word it has checked.
    pub(super) fn named_scheduler(&self) -> Result<Option<Kind>, Failure> {
        let kind = self.config.scheduler().map(str::parse).transpose();
        Ok(kind?)
    }

    pub(super) fn scheduler(&self, kind: Kind) -> Result<Scheduler, Failure> {
        Ok(match kind {
            Kind::OpenPbs => Scheduler::OpenPbs(OpenPbs::default()),
            Kind::Slurm => Scheduler::Slurm(Slurm::default()),
            Kind::Torque => Scheduler::Torque(Torque::default()),
            Kind::Local => Scheduler::Local(Local::new(&self.home()?, own_path()?)),
        })
    }

    /// The GPUs of this machine's cluster.
    pub(super) async fn gpus(&self) -> Result<Vec<GpuSupply>, Failure> {
        let login = self.login().await?;
        let catalogue = self.config.catalogue();
        let supplies = login
            .gpus(&|word| gpu_type::type_of(catalogue, word))
            .await?;
        supplies.ok_or_else(|| {
            Failure::new(
                Exit::SchedulerUnreachable,
                "there is no scheduler here whose nodes could be asked for GPUs",
            )
            .hint("on your laptop, name the cluster: qdebug gpus --on CLUSTER")
            .hint("`nvidia-smi -L` shows the GPUs of this machine")
        })
    }

    /// Who submits.
    pub(super) fn submitter(&self) -> Result<Submitter, Failure> {
        let home = user_home()?;
        // Outside of home nothing is mounted by itself: then terminals open at home.
        let cwd = std::env::current_dir()
            .ok()
            .filter(|cwd| cwd.starts_with(&home));
        Ok(Submitter {
            qdebug: own_path()?,
            cwd: cwd.unwrap_or_else(|| home.clone()),
            home,
        })
    }
}

impl From<SchedulerFlag> for Kind {
    fn from(flag: SchedulerFlag) -> Self {
        match flag {
            SchedulerFlag::Openpbs => Self::OpenPbs,
            SchedulerFlag::Torque => Self::Torque,
            SchedulerFlag::Slurm => Self::Slurm,
            SchedulerFlag::Local => Self::Local,
        }
    }
}

/// This qdebug's own path, links resolved, as the job script and the ssh config name it.
pub(super) fn own_path() -> Result<PathBuf, Failure> {
    Ok(std::env::current_exe()?.canonicalize()?)
}

/// Says why a session is not listed.
pub(super) fn tell_unreadable(session: Unreadable) {
    Failure::from(session.error)
        .about(&format!("session {}", session.name))
        .tell(false);
}
