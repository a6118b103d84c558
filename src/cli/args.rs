//! The command line: what clap parses, and nothing else.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::values;
use crate::engine::Reference;
use crate::laptop;
use crate::session::{EnvName, Mount, PublicKey, SessionName};

/// Where the help puts the flags of every command: behind the command's own.
const EVERYWHERE: &str = "Options of every command";

/// Where `submit --help` puts what goes to the scheduler as it is.
const SCHEDULER: &str = "Options for the scheduler";

/// Debug, in the IDE on your laptop, code in a container on a GPU node that a batch scheduler
/// hands out.
#[derive(Debug, Parser)]
#[command(
    name = "qdebug",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    propagate_version = true,
    after_help = "\
Examples:
  login$  qdebug submit -g V100 -w 4h -i pytorch/pytorch
  laptop$ qdebug connect 1234 --on alice@login.example.org
  laptop$ ssh qdebug-v100-otter

`qdebug COMMAND --help` tells more of each; `qdebug help exit-codes` what an exit status means."
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Args)]
pub(super) struct Global {
    /// Answer in JSON on stdout
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(super) json: bool,
    /// Tell on stderr what is done (-vv: every detail); QDEBUG_LOG takes a tracing filter
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = EVERYWHERE)]
    pub(super) verbose: u8,
    /// Ask this cluster: a profile of the configuration file, or USER@HOST
    #[arg(long, global = true, value_name = "CLUSTER", help_heading = EVERYWHERE)]
    pub(super) on: Option<String>,
    /// Frame stdout with this mark, so that noise of shell start files can be told from it
    #[arg(long, global = true, hide = true, value_name = "HEX", value_parser = frame_mark)]
    pub(super) frame: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Submit a debugging session to the scheduler (on the login node)
    Submit(Box<Submit>),
    /// Wait for a session, open the tunnel and keep it open (on the laptop)
    Connect(Connect),
    /// List your sessions
    #[command(visible_alias = "ls")]
    List(List),
    /// Tell where a session stands
    Status(Wanted),
    /// Tell the cluster's GPU types: how many, how many free, what waits for them
    Gpus,
    /// Print a session's log
    Logs(Logs),
    /// End a session: its job and its container
    Stop(Stop),
    /// Open a shell in a session, or run a command there (on the laptop)
    Ssh(Ssh),
    /// Bring one more port of a session to the laptop
    Forward(Forward),
    /// Run a Python program of a session under a debugger that your IDE attaches to
    Debug(super::debug::Debug),
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
    /// Print every value of the configuration and where it comes from
    Config {
        /// What else to do
        #[command(subcommand)]
        action: Option<ConfigAction>,
    },
    /// Print completions for your shell
    #[command(
        after_help = "Example: qdebug completions bash > ~/.local/share/bash-completion/completions/qdebug"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, in roff
    #[command(after_help = "Example: qdebug man > ~/.local/share/man/man1/qdebug.1")]
    Man,
    /// Explain a command or a topic: `qdebug help exit-codes`
    Help {
        /// A command or topic
        topic: Option<String>,
    },
    /// The node half; the job script runs it
    #[command(hide = true)]
    Node {
        /// The session's directory
        session: PathBuf,
    },
    /// Carry one connection to a session on stdin and stdout; the ssh config runs it
    #[command(hide = true)]
    Proxy {
        /// The session's host alias without `qdebug-`
        name: String,
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
pub(super) struct Submit {
    /// GPU type, such as V100 or its short name V; `none` for a session without
    #[arg(short, long, value_name = "TYPE", value_parser = values::gpu_type)]
    pub(super) gpu: Option<String>,
    /// How long: 4h, 90m, 1h30m or HH:MM:SS
    #[arg(short, long, value_name = "TIME", value_parser = values::walltime)]
    pub(super) walltime: Option<Duration>,
    /// How many GPUs
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) count: u32,
    /// Take GPUs on which somebody else's processes are, too
    #[arg(long)]
    pub(super) allow_busy: bool,
    /// The image, as docker names it
    #[arg(short, long, conflicts_with = "dockerfile")]
    pub(super) image: Option<Reference>,
    #[command(flatten)]
    pub(super) recipe: Recipe,
    /// Mount SOURCE:TARGET[:ro] besides home; repeatable
    #[arg(short, long, value_name = "SRC:DST[:ro]", value_parser = mounts)]
    pub(super) mount: Vec<MountList>,
    /// Set NAME=VALUE in the session; NAME alone takes the value of here; repeatable
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = values::variable)]
    pub(super) env: Vec<(EnvName, String)>,
    /// Set what FILE says, a NAME=VALUE a line as for docker; repeatable, --env beats it
    #[arg(long, value_name = "FILE", value_parser = super::env_file::read)]
    pub(super) env_file: Vec<super::env_file::EnvFile>,
    /// Cores
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(super) cpus: Option<u32>,
    /// Memory, such as 28G
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub(super) memory: Option<u64>,
    /// Size of /dev/shm, such as 8G
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub(super) shm_size: Option<u64>,
    /// End the session when nobody is connected and no GPU works for this long, such as 30m; never
    /// when not given
    #[arg(long, value_name = "TIME|never", value_parser = values::idle_timeout)]
    pub(super) idle_timeout: Option<values::IdleTimeout>,
    /// Queue or partition
    #[arg(short, long, value_name = "NAME", help_heading = SCHEDULER)]
    pub(super) queue: Option<String>,
    /// The scheduler's project
    #[arg(short = 'P', long, value_name = "NAME", help_heading = SCHEDULER)]
    pub(super) project: Option<String>,
    /// Account to charge
    #[arg(short = 'A', long, value_name = "NAME", help_heading = SCHEDULER)]
    pub(super) account: Option<String>,
    /// Quality of service
    #[arg(long, value_name = "NAME", help_heading = SCHEDULER)]
    pub(super) qos: Option<String>,
    /// Reservation
    #[arg(long, value_name = "NAME", help_heading = SCHEDULER)]
    pub(super) reservation: Option<String>,
    /// The session's name; invented when not given
    #[arg(long)]
    pub(super) name: Option<SessionName>,
    /// Where terminals and IDEs open; here when not given
    #[arg(long, value_name = "DIR", value_parser = values::directory)]
    pub(super) workdir: Option<PathBuf>,
    /// Whose sshd serves the session: the kit's works in any image
    #[arg(long, value_enum, default_value_t = SshdChoice::Kit)]
    pub(super) sshd: SshdChoice,
    /// The container engine; the node's own choice when not given
    #[arg(long, value_enum)]
    pub(super) engine: Option<EngineFlag>,
    /// The scheduler: openpbs, torque, slurm, or local for this machine without one; found out when
    /// not given
    #[arg(long, value_name = "KIND", help_heading = SCHEDULER)]
    pub(super) scheduler: Option<crate::scheduler::Kind>,
    /// Wait until the session is ready
    #[arg(long)]
    pub(super) wait: bool,
    /// Print the job script and the scheduler's command line, and do nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// More options for the scheduler, after `--`
    #[arg(last = true, value_name = "SCHEDULER OPTIONS", help_heading = SCHEDULER)]
    pub(super) extra: Vec<String>,
}

/// An image that is built from a recipe, on the node, unless it is there.
#[derive(Debug, Args)]
pub(super) struct Recipe {
    /// Build the image from this Dockerfile instead
    #[arg(long, value_name = "FILE", value_parser = values::file)]
    pub(super) dockerfile: Option<PathBuf>,
    /// The folder the Dockerfile may copy from; its own when not given
    #[arg(long, value_name = "DIR", requires = "dockerfile", value_parser = values::directory)]
    pub(super) context: Option<PathBuf>,
    /// Give an ARG of the Dockerfile a value; NAME alone takes the value of here; repeatable
    #[arg(long, value_name = "NAME[=VALUE]", requires = "dockerfile", value_parser = values::variable)]
    pub(super) build_arg: Vec<(EnvName, String)>,
}

/// Which sshd serves the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SshdChoice {
    Kit,
    Image,
    /// One that is put on top of the image by its own package manager
    Layer,
}

/// A container engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum EngineFlag {
    Auto,
    Docker,
    Podman,
}

/// A session by name or job id.
#[derive(Debug, Args)]
pub(super) struct Wanted {
    /// A job id, short or full, or a session's name
    #[arg(value_name = "JOB")]
    pub(super) job: String,
}

/// Wait for a session, open the tunnel and keep it open.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  qdebug connect 1234
  qdebug connect v100-otter --on alice@login.example.org
  qdebug connect 1234 -L 8888:127.0.0.1:8888

While it runs, and for ten minutes after, `ssh qdebug-NAME` works from any terminal or IDE.")]
pub(super) struct Connect {
    #[command(flatten)]
    pub(super) wanted: Wanted,
    /// Bring a port of the session here, as ssh -L does; repeatable
    #[arg(short = 'L', value_name = "[BIND:]PORT:HOST:PORT", value_parser = laptop::Forward::local)]
    pub(super) local: Vec<laptop::Forward>,
    /// Bring a port of the laptop there, as ssh -R does; repeatable
    #[arg(short = 'R', value_name = "[BIND:]PORT:HOST:PORT", value_parser = laptop::Forward::remote)]
    pub(super) remote: Vec<laptop::Forward>,
    /// The port on 127.0.0.1 of this machine; the same as last time when not given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port: Option<u16>,
    /// Answer every question with yes
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Set everything up and return instead of keeping the tunnel open
    #[arg(long)]
    pub(super) detach: bool,
}

/// List your sessions.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Also those that are over
    #[arg(short, long)]
    pub(super) all: bool,
}

/// Print a session's log.
#[derive(Debug, Args)]
pub(super) struct Logs {
    #[command(flatten)]
    pub(super) wanted: Wanted,
    /// Go on as it grows, until the session is over
    #[arg(short, long)]
    pub(super) follow: bool,
}

/// End a session.
#[derive(Debug, Args)]
pub(super) struct Stop {
    #[command(flatten)]
    pub(super) wanted: Wanted,
    /// Return at once instead of waiting for the end
    #[arg(long)]
    pub(super) no_wait: bool,
    /// Who asked, when a laptop asks for somebody
    #[arg(long, hide = true)]
    pub(super) by: Option<String>,
}

/// Open a shell in a session, or run a command there.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  qdebug ssh v100-otter
  qdebug ssh 1234 nvidia-smi
  qdebug ssh 1234 -- python -c 'print(1)'

The exit status is the command's own.")]
pub(super) struct Ssh {
    #[command(flatten)]
    pub(super) wanted: Wanted,
    /// The command; a shell when not given
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) command: Vec<String>,
}

/// Bring one more port of a session to the laptop.
#[derive(Debug, Args)]
pub(super) struct Forward {
    #[command(flatten)]
    pub(super) wanted: Wanted,
    /// The port in the session, or LOCAL:PORT
    pub(super) port: String,
}

/// Remove containers of yours whose job is over.
#[derive(Debug, Args)]
pub(super) struct Gc {
    /// Only tell what would be removed
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// Remove the containers of a job that is over, or of every job that does not live.
///
/// Ids are read by the command and not here: what a hook hands on never fails the node.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("scope").required(true).args(["job", "sweep"]))]
pub(super) struct Cleanup {
    /// The job, which is over whatever the scheduler still shows
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub(super) job: Option<String>,
    /// Only containers of this user
    #[arg(long, value_name = "UID", requires = "job", allow_hyphen_values = true)]
    pub(super) uid: Option<String>,
    /// Those of every job that is not in --live
    #[arg(long, requires = "live")]
    pub(super) sweep: bool,
    /// The jobs that the daemon of this node has, between commas or blanks
    #[arg(
        long,
        value_name = "IDS",
        requires = "sweep",
        allow_hyphen_values = true
    )]
    pub(super) live: Option<String>,
    /// Spare what is younger, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "sweep")]
    pub(super) min_age: u64,
    /// Only containers of this scheduler's jobs
    #[arg(long, value_name = "KIND")]
    pub(super) scheduler: Option<crate::node::hooks::Kind>,
    /// How long all of it may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    pub(super) time_limit: u64,
    /// The user's own folder on the node; root hands it on to what it runs as a user
    #[arg(long, value_name = "DIR", hide = true)]
    pub(super) node_folder: Option<PathBuf>,
    /// Fail when something could not be cleaned up; a hook must not
    #[arg(long)]
    pub(super) strict: bool,
}

/// The scheduler's hooks.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
OpenPBS: run it on the server. Torque and Slurm: run it on every node.

Examples:
  server# qdebug hooks install --scheduler openpbs
  node#   qdebug hooks install --scheduler slurm --dry-run
  node#   qdebug hooks status")]
pub(super) enum Hooks {
    /// Install them, after telling what that does and asking
    Install(ChangeHooks),
    /// Tell what is installed and what keeps it from working
    Status(HooksPlace),
    /// Remove them and leave nothing behind
    Uninstall(ChangeHooks),
}

/// Which hooks, and where.
#[derive(Debug, Args)]
pub(super) struct HooksPlace {
    /// openpbs, torque or slurm; the one of this machine when not given
    #[arg(long, value_name = "KIND")]
    pub(super) scheduler: Option<crate::node::hooks::Kind>,
    /// The qdebug that the hooks run, the same path on every node; this one when not given
    #[arg(long, value_name = "PATH")]
    pub(super) binary: Option<PathBuf>,
    /// Torque's mom_priv, or Slurm's folder of epilogs, when it is not found
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
}

/// A change of the hooks.
#[derive(Debug, Args)]
pub(super) struct ChangeHooks {
    #[command(flatten)]
    pub(super) place: HooksPlace,
    /// Only tell what would be done
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do it without asking
    #[arg(short, long)]
    pub(super) yes: bool,
}

/// What to do about the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigAction {
    /// Test the files: the first error with file, line and key, and every unknown key
    Check,
}

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
pub(super) enum Image {
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
pub(super) struct ImageBuild {
    /// An image as docker names it, pulled when it is not here
    #[arg(short, long)]
    pub(super) image: Option<Reference>,
    #[command(flatten)]
    pub(super) recipe: Recipe,
    /// `layer` puts an sshd on top, as `submit --sshd layer` does
    #[arg(long, value_enum, default_value_t = SshdChoice::Kit)]
    pub(super) sshd: SshdChoice,
}

/// Remove images.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("bounds").required(true).multiple(true).args(["unused_for", "keep_size"]))]
pub(super) struct ImagePrune {
    /// Those not used for so long, such as 30d or 12h
    #[arg(long, value_name = "TIME", value_parser = values::age)]
    pub(super) unused_for: Option<Duration>,
    /// So many that the rest is not larger than this, such as 50G
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub(super) keep_size: Option<u64>,
    /// Only tell what would be removed
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// The kit.
#[derive(Debug, Subcommand)]
pub(super) enum Kit {
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

/// One value of `-m`: one mount, or several joined by `;`.
#[derive(Debug, Clone)]
pub(super) struct MountList(pub(super) Vec<Mount>);

fn mounts(text: &str) -> Result<MountList, String> {
    Mount::parse_list(text)
        .map(MountList)
        .map_err(|error| error.to_string())
}

fn frame_mark(text: &str) -> Result<String, String> {
    let well = (8..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    well.then(|| text.to_owned())
        .ok_or_else(|| "a mark is 8 to 64 hexadecimal digits".to_owned())
}

/// A public key as `authorize` reads it from stdin.
pub(super) fn public_key(text: &str) -> Result<PublicKey, String> {
    text.trim().parse().map_err(|error| format!("{error}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
