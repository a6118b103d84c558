//! The scheduler's hooks on this machine: what is there, what installing does, what goes again.
//!
//! It knows the files of `pbs/`, where each scheduler wants them, and the schedulers' own tools
//! that take them; not what the hooks do, which is `qdebug cleanup`. Looking changes nothing;
//! what would be done is a list of [`Step`]s, shown before it is done. Both are idempotent: a plan
//! holds only what is not so yet.
//!
//! | file | what |
//! |---|---|
//! | `kind` | the schedulers |
//! | `file` | the texts and the paths in them |
//! | `trust` | whether root alone can have written a program |
//! | `step` | what is done |
//! | `openpbs`, `torque`, `slurm` | how each is looked at and changed |

mod file;
mod kind;
mod openpbs;
mod slurm;
mod step;
mod torque;
mod trust;

use std::path::{Path, PathBuf};

pub use file::{BadPath, PlainPath};
pub use kind::{BadKind, Kind};
pub use step::Step;

use crate::process;

/// Which hooks, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The scheduler.
    pub kind: Kind,
    /// The program that the hooks run: the same path on every node.
    pub binary: PlainPath,
    /// Torque's `mom_priv`, Slurm's folder of epilogs; found when absent. OpenPBS has none.
    pub folder: Option<PlainPath>,
}

/// What is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The version of the hooks that are installed.
    pub version: Option<String>,
    /// Where they are.
    pub places: Vec<String>,
    /// What keeps them from working, each with what to do about it.
    pub problems: Vec<String>,
}

/// What will be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// One after the other.
    pub steps: Vec<Step>,
    /// What is left to the admin.
    pub then: Vec<String>,
}

/// Why hooks cannot be looked at or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else than root could change what root would run.
    #[error("a hook must not run {path}: {reason}")]
    Untrusted {
        /// The program.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A path that a script cannot hold.
    #[error(transparent)]
    BadPath(#[from] BadPath),
    /// There is no folder of the scheduler's where it should be.
    #[error("cannot find {what} on this machine (looked for {looked})")]
    NoFolder {
        /// What was looked for.
        what: &'static str,
        /// Where.
        looked: String,
    },
    /// The place for the site's own script is taken.
    #[error("both {} and {} are the site's: cannot tell which of them to keep", one.display(), other.display())]
    TwoScripts {
        /// The first.
        one: PathBuf,
        /// The second.
        other: PathBuf,
    },
    /// Slurm drains every node whose Epilog matches no file.
    #[error(
        "Slurm still runs Epilog={pattern}, and without this file nothing matches it: every \
             node would be drained"
    )]
    LastEpilog {
        /// The value in force.
        pattern: String,
    },
    /// Slurm drains a node whose Epilog goes while a job ends.
    #[error(
        "jobs are on this node ({jobs}): if one of them ended in the moment the file goes, the \
             node would be drained"
    )]
    JobsHere {
        /// Their ids.
        jobs: String,
    },
    /// Which of Slurm's nodes this machine is cannot be told, and so not which jobs are on it.
    #[error(
        "slurmd runs here and no node of Slurm's has the hostname {host}: cannot tell whether jobs \
             are on this node, and if one of them ended in the moment the file goes, the node would \
             be drained"
    )]
    WhichNode {
        /// This machine's hostname.
        host: String,
    },
    /// A tool of the scheduler refused.
    #[error("`{command}` failed with status {status}: {said}")]
    Tool {
        /// The command.
        command: String,
        /// Its exit status.
        status: i32,
        /// What it said.
        said: String,
    },
    /// A tool of the scheduler could not be run.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// A file.
    #[error("cannot {verb} {}", path.display())]
    Io {
        /// `write`, `remove`, ...
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    fn io(verb: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { verb, path, source }
    }
}

impl Target {
    /// The schedulers that this machine shows signs of.
    pub fn kinds_here() -> Vec<Kind> {
        let signs: [(Kind, &[&str]); 3] = [
            (Kind::OpenPbs, &["/etc/pbs.conf"]),
            (Kind::Torque, &torque::FOLDERS),
            (
                Kind::Slurm,
                &["/etc/slurm/slurm.conf", "/etc/slurm-llnl/slurm.conf"],
            ),
        ];
        let here = |paths: &[&str]| paths.iter().any(|path| Path::new(path).exists());
        let found = signs.iter().filter(|(_, paths)| here(paths));
        found.map(|(kind, _)| *kind).collect()
    }

    /// Looks at what is installed and whether it works.
    ///
    /// # Errors
    /// When the scheduler cannot be asked or a file cannot be read.
    pub async fn look(&self) -> Result<Found, Error> {
        let mut found = match self.kind {
            Kind::OpenPbs => openpbs::look(self).await,
            Kind::Torque => torque::look(self),
            Kind::Slurm => slurm::look(self).await,
        }?;
        // OpenPBS's hook is installed on the server; its nodes are not at hand.
        if found.version.is_some()
            && self.kind != Kind::OpenPbs
            && let Some(reason) = trust::untrusted(self.binary.path())
        {
            let binary = &self.binary;
            found
                .problems
                .push(format!("the hooks will not run {binary}: {reason}"));
        }
        Ok(found)
    }

    /// What installing would do; nothing when all is as it should be.
    ///
    /// # Errors
    /// [`Error::Untrusted`], [`Error::TwoScripts`], and as [`Target::look`].
    pub async fn install(&self) -> Result<Plan, Error> {
        if let Some(reason) = trust::untrusted(self.binary.path()) {
            let path = self.binary.to_string();
            return Err(Error::Untrusted { path, reason });
        }
        match self.kind {
            Kind::OpenPbs => openpbs::install(self).await,
            Kind::Torque => torque::install(self),
            Kind::Slurm => slurm::install(self).await,
        }
    }

    /// What uninstalling would do; nothing when nothing is there.
    ///
    /// # Errors
    /// [`Error::LastEpilog`], [`Error::JobsHere`], [`Error::WhichNode`], and as [`Target::look`].
    pub async fn uninstall(&self) -> Result<Plan, Error> {
        match self.kind {
            Kind::OpenPbs => openpbs::uninstall().await,
            Kind::Torque => torque::uninstall(self),
            Kind::Slurm => slurm::uninstall(self).await,
        }
    }
}

/// The text of a file; `None` when it is not there.
fn read(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}
