//! The commands that only a machine of a cluster has: login node, node, or a workstation that is its
//! own cluster.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Cleanup, Hooks, Image, Wanted};
use crate::session::PublicKey;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ClusterCommand {
    /// Remove containers of yours whose job is over (on a node)
    Gc(Gc),
    /// Images: build one ahead, list what there is, free the disk
    #[command(subcommand)]
    Image(Image),
    /// The kit: the static sshd that serves any image
    #[command(subcommand)]
    Kit(Kit),
    /// The scheduler's hooks that clean up whatever happens (for admins, as root)
    #[command(subcommand)]
    Hooks(Hooks),
    /// The node half; the job script runs it
    #[command(hide = true)]
    Node {
        /// The session's directory
        session: PathBuf,
    },
    /// Begin a relay on a session's node; connect runs it on the login node
    #[command(hide = true)]
    Pipe(crate::cli::pipe::Pipe),
    /// Run commands and open connections over stdin and stdout; the laptop runs it on the login node
    #[command(hide = true)]
    Trunk(crate::cli::pipe::Trunk),
    /// Carry connections to a port of this machine over stdin and stdout; pipe runs it on the node
    #[command(hide = true)]
    Relay {
        /// The port
        #[arg(value_parser = clap::value_parser!(u16).range(1..))]
        port: u16,
    },
    /// Let the public key on stdin into a session; connect runs it on the login node
    #[command(hide = true)]
    Authorize(Wanted),
    /// Remove the containers of a job that is over; the scheduler's hooks run it on the nodes
    #[command(hide = true)]
    Cleanup(Cleanup),
    /// Supervise a job of the scheduler `local`
    #[command(hide = true)]
    LocalRun {
        /// The job's directory
        job: PathBuf,
    },
}

/// Remove containers of yours whose job is over.
#[derive(Debug, Args)]
pub(in crate::cli) struct Gc {
    /// Only tell what would be removed
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

/// The kit.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Kit {
    /// Build the kit from Debian's source packages, in a container
    Build {
        /// The Debian image to build in
        #[arg(long, default_value = "debian:bookworm-slim")]
        base: String,
        /// Where to write it
        #[arg(
            short,
            long,
            value_name = "FILE",
            default_value = "target/kit/kit.tar.gz"
        )]
        output: PathBuf,
    },
    /// Tell which kit this qdebug has
    Show,
}

/// A public key as `authorize` reads it from stdin.
pub(in crate::cli) fn public_key(text: &str) -> Result<PublicKey, String> {
    text.trim().parse().map_err(|error| format!("{error}"))
}
