//! Which scheduler is here, by what its tools say of themselves.
//!
//! Three families have a qsub. OpenPBS' and Torque's tell their versions, each in its own words;
//! Slurm's is a Perl wrapper that knows no `--version`, and where it is, `sbatch` is. So sbatch is
//! asked first. Of several PBS families on one PATH the first rules, as it does for the user, and
//! all its tools are taken from the folder that holds its qsub: another one's qstat would be asked
//! about jobs it never had. A qsub without a qstat beside it (a site's or a user's own wrapper) is
//! passed by.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::Error;
use crate::disk::is_program;
use crate::process::{self, Output, Program};

/// How long a tool may take to tell its version, which asks no server.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// A dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// OpenPBS and PBS Professional.
    OpenPbs,
    /// Torque.
    Torque,
    /// Slurm.
    Slurm,
    /// This machine, without a scheduler.
    Local,
}

impl Kind {
    /// The variable by which each of its jobs knows its own id.
    pub fn id_variable(self) -> &'static str {
        match self {
            Self::OpenPbs | Self::Torque => "PBS_JOBID",
            Self::Slurm => "SLURM_JOB_ID",
            Self::Local => super::local::JOB_VARIABLE,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenPbs => "openpbs",
            Self::Torque => "torque",
            Self::Slurm => "slurm",
            Self::Local => "local",
        })
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "openpbs" => Ok(Self::OpenPbs),
            "torque" => Ok(Self::Torque),
            "slurm" => Ok(Self::Slurm),
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
    match version(Path::new("sbatch")).await? {
        Some(output) if output.status == 0 && is_slurm(&output.stdout) => {
            return Ok(Some(Kind::Slurm));
        }
        _ => {}
    }
    match pbs_folders(&path()).first() {
        Some(folder) => family_in(folder).await,
        None => Ok(None),
    }
}

/// The first folder on PATH that holds this PBS family's tools.
///
/// # Errors
/// When a tool is there and cannot be run.
pub(super) async fn pbs_folder(kind: Kind) -> Result<Option<PathBuf>, Error> {
    for folder in pbs_folders(&path()) {
        if family_in(&folder).await? == Some(kind) {
            return Ok(Some(folder));
        }
    }
    Ok(None)
}

fn path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// The folders of a PATH that hold a qsub and a qstat, each once.
fn pbs_folders(path: &OsStr) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in std::env::split_paths(path).filter(|folder| folder.is_absolute()) {
        let holds = |tool: &str| is_program(&folder.join(tool));
        if holds("qsub") && holds("qstat") && !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

async fn family_in(folder: &Path) -> Result<Option<Kind>, Error> {
    let output = version(&folder.join("qsub")).await?;
    Ok(output.as_ref().and_then(family))
}

async fn version(tool: &Path) -> Result<Option<Output>, Error> {
    let program = Program::new(tool).arg("--version").time_limit(TIME_LIMIT);
    match program.output().await {
        Ok(output) => Ok(Some(output)),
        Err(process::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `slurm 23.11.4`, and `slurm-wlm 22.05.8` on Debian.
fn is_slurm(version: &str) -> bool {
    version.trim_start().starts_with("slurm")
}

/// The PBS family of a qsub: `pbs_version = 23.06.06`; `Version: 6.1.3.h5`, which Torque before 6
/// says on stderr. Slurm's wrapper says `Unknown option: version` and how to use it.
pub(super) fn family(output: &Output) -> Option<Kind> {
    let mut lines = output.stdout.lines().chain(output.stderr.lines());
    lines.find_map(|line| {
        let digit = |rest: &str| rest.trim_start().starts_with(|c: char| c.is_ascii_digit());
        if line.trim_start().starts_with("pbs_version") {
            return Some(Kind::OpenPbs);
        }
        // A word before it would make it another program's.
        let rest = line
            .strip_prefix("Version:")
            .or(line.strip_prefix("version:"))?;
        digit(rest).then_some(Kind::Torque)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: i32, stdout: &str, stderr: &str) -> Output {
        Output {
            command: "qsub --version".to_owned(),
            status,
            stdout: stdout.to_owned(),
            stderr: stderr.to_owned(),
        }
    }

    #[test]
    fn slurm_is_known_by_what_it_says() {
        assert!(is_slurm("slurm-wlm 22.05.8\n"));
        assert!(is_slurm("slurm 23.11.4"));
        assert!(!is_slurm("pbs_version = 23.06.06"));
        assert!(!is_slurm(""));
    }

    #[test]
    fn families_of_pbs_are_told_apart() {
        let openpbs = said(0, "pbs_version = 23.06.06-main\n", "");
        assert_eq!(family(&openpbs), Some(Kind::OpenPbs));
        let torque = said(0, "Version: 6.1.3.h5\nCommit: \n", "");
        assert_eq!(family(&torque), Some(Kind::Torque));
        let old_torque = said(1, "", "Version: 4.2.10\n");
        assert_eq!(family(&old_torque), Some(Kind::Torque));
        let wrapper = said(
            2,
            "",
            "Unknown option: version\nUsage:\n    qsub [-a start_time]\n",
        );
        assert_eq!(family(&wrapper), None);
        assert_eq!(family(&said(0, "Version: of something\n", "")), None);
    }

    #[test]
    fn dialects_are_read_as_they_are_written() {
        for kind in [Kind::OpenPbs, Kind::Torque, Kind::Slurm, Kind::Local] {
            assert_eq!(kind.to_string().parse::<Kind>().unwrap(), kind);
        }
        assert!("lsf".parse::<Kind>().is_err());
    }

    #[cfg(unix)]
    #[test]
    fn the_first_qsub_with_a_qstat_beside_it_rules() {
        use std::os::unix::fs::PermissionsExt as _;

        let place = tempfile::tempdir().unwrap();
        let folder = |name: &str, tools: &[(&str, u32)]| {
            let folder = place.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            for (tool, mode) in tools {
                let path = folder.join(tool);
                std::fs::write(&path, "").unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode)).unwrap();
            }
            folder
        };
        let alone = folder("wrapper", &[("qsub", 0o755)]);
        let dead = folder("dead", &[("qsub", 0o644), ("qstat", 0o755)]);
        let first = folder("first of all", &[("qsub", 0o755), ("qstat", 0o755)]);
        let second = folder("second", &[("qsub", 0o755), ("qstat", 0o755)]);
        let relative = PathBuf::from("bin");
        let path =
            std::env::join_paths([&relative, &alone, &dead, &first, &second, &first]).unwrap();
        assert_eq!(pbs_folders(&path), [first, second]);
    }
}
