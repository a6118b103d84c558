//! What `submit` is asked, and of it what `image build` is asked, too.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::values;
use crate::session::{EnvName, Mount, SessionName};
use crate::text::Reference;

/// Where `submit --help` puts what goes to the scheduler as it is.
const SCHEDULER: &str = "Options for the scheduler";

/// Submit a debugging session.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  qdebug submit -g V100 -w 4h -i pytorch/pytorch
  qdebug submit -g A100 -n 2 -w 1h30m -i lab:v3 -m /scratch/data:/data:ro -e WANDB_MODE=offline
  qdebug submit -g none -w 30m -i busybox --scheduler local
  qdebug submit -g V100 -w 4h --dockerfile env/Dockerfile --context . --build-arg CUDA=12.4
  qdebug submit -g V100 -w 1h -i debian --dry-run
  qdebug submit -g V100 -w 1h -i debian -- --constraint=ib")]
pub(in crate::cli) struct Submit {
    /// GPU type, such as V100 or its short name V; `none` for a session without
    #[arg(short, long, value_name = "TYPE", value_parser = values::gpu_type)]
    pub(in crate::cli) gpu: Option<String>,
    /// How long: 4h, 90m, 1h30m or HH:MM:SS
    #[arg(short, long, value_name = "TIME", value_parser = values::walltime)]
    pub(in crate::cli) walltime: Option<Duration>,
    /// How many GPUs
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(in crate::cli) count: u32,
    /// Take GPUs on which somebody else's processes are, too
    #[arg(long)]
    pub(in crate::cli) allow_busy: bool,
    /// The image, as docker names it
    #[arg(short, long, conflicts_with = "dockerfile")]
    pub(in crate::cli) image: Option<Reference>,
    #[command(flatten)]
    pub(in crate::cli) recipe: Recipe,
    /// Mount SOURCE:TARGET[:ro] besides home; repeatable
    #[arg(short, long, value_name = "SRC:DST[:ro]", value_parser = mounts)]
    pub(in crate::cli) mount: Vec<MountList>,
    /// Set NAME=VALUE in the session; NAME alone takes the value of here; repeatable
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = values::variable)]
    pub(in crate::cli) env: Vec<(EnvName, String)>,
    /// Set what FILE says, a NAME=VALUE a line as for docker, `-` for stdin; repeatable, --env
    /// beats it
    #[arg(long, value_name = "FILE", value_parser = crate::cli::env_file::read)]
    pub(in crate::cli) env_file: Vec<crate::cli::env_file::EnvFile>,
    /// How many of these, the last ones, are build arguments: `up` names no value in a command line
    #[arg(long, hide = true, value_name = "N", default_value_t = 0)]
    pub(in crate::cli) build_args_behind: usize,
    /// Cores
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(in crate::cli) cpus: Option<u32>,
    /// Memory, such as 28G
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub(in crate::cli) memory: Option<u64>,
    /// Size of /dev/shm, such as 8G
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub(in crate::cli) shm_size: Option<u64>,
    /// End the session when nobody is connected and no GPU works for this long, such as 30m; never
    /// when not given
    #[arg(long, value_name = "TIME|never", value_parser = values::idle_timeout)]
    pub(in crate::cli) idle_timeout: Option<values::IdleTimeout>,
    /// Queue or partition
    #[arg(short, long, value_name = "NAME", help_heading = SCHEDULER)]
    pub(in crate::cli) queue: Option<String>,
    /// The scheduler's project
    #[arg(short = 'P', long, value_name = "NAME", help_heading = SCHEDULER)]
    pub(in crate::cli) project: Option<String>,
    /// Account to charge
    #[arg(short = 'A', long, value_name = "NAME", help_heading = SCHEDULER)]
    pub(in crate::cli) account: Option<String>,
    /// Quality of service
    #[arg(long, value_name = "NAME", help_heading = SCHEDULER)]
    pub(in crate::cli) qos: Option<String>,
    /// Reservation
    #[arg(long, value_name = "NAME", help_heading = SCHEDULER)]
    pub(in crate::cli) reservation: Option<String>,
    /// The session's name; invented when not given
    #[arg(long)]
    pub(in crate::cli) name: Option<SessionName>,
    /// Where terminals and IDEs open; here when not given
    #[arg(long, value_name = "DIR", value_parser = values::directory)]
    pub(in crate::cli) workdir: Option<PathBuf>,
    /// Whose sshd serves the session: the kit's works in any image
    #[arg(long, value_enum, default_value_t = SshdChoice::Kit)]
    pub(in crate::cli) sshd: SshdChoice,
    /// The container engine; the node's own choice when not given
    #[arg(long, value_enum)]
    pub(in crate::cli) engine: Option<EngineFlag>,
    /// The scheduler: openpbs, torque, slurm, or local for this machine without one; found out when
    /// not given
    #[arg(long, value_name = "KIND", value_enum, hide_possible_values = true, help_heading = SCHEDULER)]
    pub(in crate::cli) scheduler: Option<SchedulerFlag>,
    /// Wait until the session is ready
    #[arg(long)]
    pub(in crate::cli) wait: bool,
    /// Print the job script and the scheduler's command line, and do nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// More options for the scheduler, after `--`
    #[arg(last = true, value_name = "SCHEDULER OPTIONS", help_heading = SCHEDULER)]
    pub(in crate::cli) extra: Vec<String>,
}

impl Submit {
    /// What `--env-file` and `--env` set, the later of a name beating the earlier.
    pub(in crate::cli) fn variables(&self) -> impl Iterator<Item = &(EnvName, String)> {
        let files = self.env_file.iter().flat_map(|file| &file.0);
        files.chain(&self.env)
    }
}

/// An image that is built from a recipe, on the node, unless it is there.
#[derive(Debug, Args)]
pub(in crate::cli) struct Recipe {
    /// Build the image from this Dockerfile instead
    #[arg(long, value_name = "FILE", value_parser = values::file)]
    pub(in crate::cli) dockerfile: Option<PathBuf>,
    /// The folder the Dockerfile may copy from; its own when not given
    #[arg(long, value_name = "DIR", requires = "dockerfile", value_parser = values::directory)]
    pub(in crate::cli) context: Option<PathBuf>,
    /// Give an ARG of the Dockerfile a value; NAME alone takes the value of here; repeatable
    #[arg(long, value_name = "NAME[=VALUE]", requires = "dockerfile", value_parser = values::variable)]
    pub(in crate::cli) build_arg: Vec<(EnvName, String)>,
}

/// Which sshd serves the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum SshdChoice {
    Kit,
    Image,
    /// One that is put on top of the image by its own package manager
    Layer,
}

/// A scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum SchedulerFlag {
    Openpbs,
    Torque,
    Slurm,
    Local,
}

/// A container engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum EngineFlag {
    Auto,
    Docker,
    Podman,
}

/// One value of `-m`: one mount, or several joined by `;`.
#[derive(Debug, Clone)]
pub(in crate::cli) struct MountList(pub(in crate::cli) Vec<Mount>);

fn mounts(text: &str) -> Result<MountList, String> {
    Mount::parse_list(text)
        .map(MountList)
        .map_err(|error| error.to_string())
}
