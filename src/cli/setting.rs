//! Where a command stands: the configuration and this user. What else is on this machine is in `here`.

use std::path::PathBuf;
use std::time::Duration;

use super::{Exit, Failure, output, values};
use crate::config::Config;
use crate::session::Mount;
use crate::text::{Reference, ReferenceError};

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

    /// Where a value of the configuration is, for an error about it: `FILE:LINE: KEY`.
    fn place(&self, key: &[&str]) -> String {
        format!("{}: {}", self.config.origin(key), key.join("."))
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

/// Who asks, for a session's record: user and host.
pub(super) fn who() -> String {
    crate::platform::user_and_host()
}
