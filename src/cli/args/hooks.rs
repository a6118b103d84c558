//! What the scheduler's hooks ask, and who installs them.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Remove the containers of a job that is over, or of every job that does not live.
///
/// Ids are read by the command and not here: what a hook hands on never fails the node.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("scope").required(true).args(["job", "sweep"]))]
pub(in crate::cli) struct Cleanup {
    /// The job, which is over whatever the scheduler still shows
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub(in crate::cli) job: Option<String>,
    /// Only containers of this user
    #[arg(long, value_name = "UID", requires = "job", allow_hyphen_values = true)]
    pub(in crate::cli) uid: Option<String>,
    /// Those of every job that is not in --live
    #[arg(long, requires = "live")]
    pub(in crate::cli) sweep: bool,
    /// The jobs that the daemon of this node has, between commas or blanks
    #[arg(
        long,
        value_name = "IDS",
        requires = "sweep",
        allow_hyphen_values = true
    )]
    pub(in crate::cli) live: Option<String>,
    /// Spare what is younger, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "sweep")]
    pub(in crate::cli) min_age: u64,
    /// Only containers of this scheduler's jobs
    #[arg(long, value_name = "KIND")]
    pub(in crate::cli) scheduler: Option<crate::node::hooks::Kind>,
    /// How long all of it may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    pub(in crate::cli) time_limit: u64,
    /// The user's own folder on the node; root hands it on to what it runs as a user
    #[arg(long, value_name = "DIR", hide = true)]
    pub(in crate::cli) node_folder: Option<PathBuf>,
    /// Fail when something could not be cleaned up; a hook must not
    #[arg(long)]
    pub(in crate::cli) strict: bool,
}

/// The scheduler's hooks.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
OpenPBS: run it on the server. Torque and Slurm: run it on every node.

Examples:
  server# qdebug hooks install --scheduler openpbs
  node#   qdebug hooks install --scheduler slurm --dry-run
  node#   qdebug hooks status")]
pub(in crate::cli) enum Hooks {
    /// Install them, after telling what that does and asking
    Install(ChangeHooks),
    /// Tell what is installed and what keeps it from working
    Status(HooksPlace),
    /// Remove them and leave nothing behind
    Uninstall(ChangeHooks),
}

/// Which hooks, and where.
#[derive(Debug, Args)]
pub(in crate::cli) struct HooksPlace {
    /// openpbs, torque or slurm; the one of this machine when not given
    #[arg(long, value_name = "KIND")]
    pub(in crate::cli) scheduler: Option<crate::node::hooks::Kind>,
    /// The qdebug that the hooks run, the same path on every node; this one when not given
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) binary: Option<PathBuf>,
    /// Torque's mom_priv, or Slurm's folder of epilogs, when it is not found
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) dir: Option<PathBuf>,
}

/// A change of the hooks.
#[derive(Debug, Args)]
pub(in crate::cli) struct ChangeHooks {
    #[command(flatten)]
    pub(in crate::cli) place: HooksPlace,
    /// Only tell what would be done
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Do it without asking
    #[arg(short, long)]
    pub(in crate::cli) yes: bool,
}
