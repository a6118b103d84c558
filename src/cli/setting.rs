//! Where a command stands: the configuration, this user, the sessions and schedulers of here.

use std::path::PathBuf;
use std::time::Duration;

use super::{Exit, Failure, output, values};
use crate::config::Config;
use crate::engine::{self, Reference, ReferenceError};
use crate::login::{Login, Submitter};
use crate::scheduler::{self, Kind, Local, OpenPbs, Scheduler, Slurm, Torque};
use crate::session::Mount;

/// What commands of every half start from.
pub(super) struct Setting {
    pub(super) config: Config,
}

/// `[submit]` of the configuration, as typed values.
pub(super) struct SubmitDefaults {
    pub(super) gpu: Option<String>,
    pub(super) walltime: Option<Duration>,
    pub(super) image: Option<Reference>,
    pub(super) mounts: Vec<Mount>,
    pub(super) queue: Option<String>,
    pub(super) project: Option<String>,
    pub(super) account: Option<String>,
    pub(super) idle_timeout: Option<values::IdleTimeout>,
}

impl Setting {
    /// Reads the configuration and tells what is odd in it.
    pub(super) fn load() -> Result<Self, Failure> {
        let config = Config::load()?;
        for warning in &config.warnings {
            output::talk(&format!("warning: {warning}"));
        }
        Ok(Self { config })
    }

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

    /// The engine the configuration names for sessions that do not ask for one.
    pub(super) fn engine(&self) -> engine::Choice {
        match self.config.engine() {
            "docker" => engine::Choice::Docker,
            "podman" => engine::Choice::Podman,
            _ => engine::Choice::Auto,
        }
    }

    /// The scheduler the configuration names.
    pub(super) fn named_scheduler(&self) -> Result<Option<Kind>, Failure> {
        let kind = self.config.scheduler().map(str::parse).transpose();
        kind.map_err(|error: scheduler::Error| {
            Failure::of(Exit::Config, &error).about(&self.place(&["scheduler"]))
        })
    }

    /// Where a value of the configuration is, for an error about it: `FILE:LINE: KEY`.
    pub(super) fn place(&self, key: &[&str]) -> String {
        format!("{}: {}", self.config.origin(key), key.join("."))
    }

    pub(super) fn scheduler(&self, kind: Kind) -> Result<Scheduler, Failure> {
        Ok(match kind {
            Kind::OpenPbs => Scheduler::OpenPbs(OpenPbs::default()),
            Kind::Slurm => Scheduler::Slurm(Slurm::default()),
            Kind::Torque => Scheduler::Torque(Torque::default()),
            Kind::Local => Scheduler::Local(Local::new(&self.home()?, own_path()?)),
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

    /// What submit takes where no flag says otherwise.
    pub(super) fn submit_defaults(&self) -> Result<SubmitDefaults, Failure> {
        let texts = self.config.submit();
        let wrong = |key: &str, reason: String| {
            Failure::new(Exit::Config, reason).about(&self.place(&["submit", key]))
        };
        let gpu = texts.gpu.as_deref().map(values::gpu_type).transpose();
        let image = texts.image.as_deref().map(str::parse).transpose();
        let walltime = texts.walltime.as_deref().map(values::walltime).transpose();
        let idle = texts.idle_timeout.as_deref().map(values::idle_timeout);
        let mounts = texts.mounts.iter().map(|text| Mount::parse_list(text));
        let mounts: Result<Vec<_>, _> = mounts.collect();
        Ok(SubmitDefaults {
            gpu: gpu.map_err(|reason| wrong("gpu", reason))?,
            walltime: walltime.map_err(|reason| wrong("walltime", reason))?,
            image: image.map_err(|error: ReferenceError| wrong("image", error.to_string()))?,
            mounts: mounts
                .map_err(|error| wrong("mounts", error.to_string()))?
                .concat(),
            queue: texts.queue,
            project: texts.project,
            account: texts.account,
            idle_timeout: idle
                .transpose()
                .map_err(|reason| wrong("idle_timeout", reason))?,
        })
    }
}

/// The user's home.
pub(super) fn user_home() -> Result<PathBuf, Failure> {
    etcetera::home_dir()
        .map_err(|_| Failure::new(Exit::Config, "HOME is not set").hint("set HOME to your home"))
}

/// This qdebug's own path, links resolved, as the job script and the ssh config name it.
pub(super) fn own_path() -> Result<PathBuf, Failure> {
    Ok(std::env::current_exe()?.canonicalize()?)
}

/// Who asks, for a session's record: user and host.
pub(super) fn who() -> String {
    let user = ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    format!("{user}@{host}")
}
