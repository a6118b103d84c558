//! Which scheduler is here, by what its tools say of themselves.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Error;
use crate::process::{self, Program};

/// A dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Slurm.
    Slurm,
    /// Torque.
    Torque,
    /// This machine, without a scheduler.
    Local,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slurm => "slurm",
            Self::Torque => "torque",
            Self::Local => "local",
        })
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "slurm" => Ok(Self::Slurm),
            "torque" => Ok(Self::Torque),
            "local" => Ok(Self::Local),
            _ => Err(Error::BadKind {
                name: text.to_owned(),
            }),
        }
    }
}

/// The scheduler whose tools are on PATH; `None` when there is none. Slurm is asked first and by
/// its own `sbatch`: its qsub wrappers look like PBS and are not. `local` is never found.
///
/// # Errors
/// When a tool is there and cannot be run.
pub async fn detect() -> Result<Option<Kind>, Error> {
    let version = Program::new("sbatch")
        .arg("--version")
        .time_limit(Duration::from_secs(10));
    match version.output().await {
        Ok(output) if output.status == 0 && is_slurm(&output.stdout) => Ok(Some(Kind::Slurm)),
        Ok(_) | Err(process::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `slurm 23.11.4`, and `slurm-wlm 22.05.8` on Debian.
fn is_slurm(version: &str) -> bool {
    version.trim_start().starts_with("slurm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slurm_is_known_by_what_it_says() {
        assert!(is_slurm("slurm-wlm 22.05.8\n"));
        assert!(is_slurm("slurm 23.11.4"));
        assert!(!is_slurm("pbs_version = 23.06.06"));
        assert!(!is_slurm(""));
    }

    #[test]
    fn dialects_are_read_as_they_are_written() {
        for kind in [Kind::Slurm, Kind::Torque, Kind::Local] {
            assert_eq!(kind.to_string().parse::<Kind>().unwrap(), kind);
        }
        assert!("lsf".parse::<Kind>().is_err());
    }
}
