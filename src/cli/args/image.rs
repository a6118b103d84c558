//! What `image` and its commands are asked.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::submit::{Recipe, SshdChoice};
use crate::cli::values;
use crate::text::Reference;

/// Images of yours: on this machine's engine and in the shared cache.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
The shared cache is on when `cache` of the configuration names its folder.

Examples:
  qdebug image build --dockerfile env/Dockerfile --context .
  qdebug image build -i pytorch/pytorch
  qdebug image list
  qdebug image prune --unused-for 30d --dry-run
  qdebug image prune --keep-size 50G")]
pub(in crate::cli) enum Image {
    /// Make an image here, where an engine is, and put it into the shared cache
    #[command(after_help = "\
Examples:
  qdebug image build --dockerfile env/Dockerfile --context . --build-arg CUDA=12.4
  qdebug image build -i pytorch/pytorch --sshd layer

A session with the same words then finds it.")]
    Build(ImageBuild),
    /// List your images with their size and last use
    #[command(visible_alias = "ls", after_help = "Example: qdebug image list --json")]
    List,
    /// Remove images of yours that were not used for long; never one that a container uses
    #[command(after_help = "\
Examples:
  qdebug image prune --unused-for 30d
  qdebug image prune --keep-size 50G --dry-run

Both count on this machine and in the shared cache each. The least recently used go first.")]
    Prune(ImagePrune),
}

/// Make an image.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("from").required(true).args(["image", "dockerfile"]))]
pub(in crate::cli) struct ImageBuild {
    /// An image as docker names it, pulled when it is not here
    #[arg(short, long)]
    pub(in crate::cli) image: Option<Reference>,
    #[command(flatten)]
    pub(in crate::cli) recipe: Recipe,
    /// `layer` puts an sshd on top, as `submit --sshd layer` does
    #[arg(long, value_enum, default_value_t = SshdChoice::Kit)]
    pub(in crate::cli) sshd: SshdChoice,
}

/// Remove images.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("bounds").required(true).multiple(true).args(["unused_for", "keep_size"]))]
pub(in crate::cli) struct ImagePrune {
    /// Those not used for so long, such as 30d or 12h
    #[arg(long, value_name = "TIME", value_parser = values::age)]
    pub(in crate::cli) unused_for: Option<Duration>,
    /// So many that the rest is not larger than this, such as 50G
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub(in crate::cli) keep_size: Option<u64>,
    /// Only tell what would be removed
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}
