//! What `doctor` asks.

use clap::Args;

/// Look whether everything is as it should be, and tell what mends the rest.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  laptop$ qdebug doctor                # this machine, the way to the cluster, and its login node
  login$  qdebug doctor
  node$   qdebug doctor --node         # in a job, or by hand

Each line is ok, warn, fail or skipped. The exit status is 0 when nothing fails, else 1.")]
pub(in crate::cli) struct Doctor {
    /// What a session needs of a node: engine, GPUs, folder, hooks
    #[arg(long)]
    pub(in crate::cli) node: bool,
    /// What a login node needs; so it is where a scheduler answers
    #[arg(long, conflicts_with = "node")]
    pub(in crate::cli) login: bool,
}
