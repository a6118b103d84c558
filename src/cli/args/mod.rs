//! The command line: what clap parses, and nothing else.

#[cfg(target_os = "linux")]
mod cluster;
mod debug;
mod doctor;
#[cfg(target_os = "linux")]
mod hooks;
mod ide;
#[cfg(target_os = "linux")]
mod image;
mod setup;
mod submit;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::laptop;

#[cfg(target_os = "linux")]
pub(super) use cluster::{ClusterCommand, Gc, Kit, public_key};
pub(super) use debug::Debug;
pub(super) use doctor::Doctor;
#[cfg(target_os = "linux")]
pub(super) use hooks::{ChangeHooks, Cleanup, Hooks, HooksPlace};
pub(super) use ide::Ide;
#[cfg(target_os = "linux")]
pub(super) use image::{Image, ImageBuild, ImagePrune};
pub(super) use setup::Setup;
#[cfg(target_os = "linux")]
pub(super) use submit::{EngineFlag, Recipe, SshdChoice};
pub(super) use submit::{MountList, SchedulerFlag, Submit};

/// Where the help puts the flags of every command: behind the command's own.
const EVERYWHERE: &str = "Options of every command";

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
    /// Make a cluster ready: key, qdebug there, profile (on the laptop, once)
    Setup(Setup),
    /// Submit a debugging session to the scheduler (on the login node)
    Submit(Box<Submit>),
    /// Submit a session from here, wait for it and connect to it (on the laptop)
    Up(Box<super::up::Up>),
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
    Debug(Debug),
    /// What qdebug has written for IDEs on this machine: list it, take it away
    #[command(subcommand)]
    Ide(Ide),
    /// Look whether everything is as it should be, and tell what mends the rest
    Doctor(Doctor),
    #[cfg(target_os = "linux")]
    #[command(flatten)]
    Cluster(ClusterCommand),
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
    /// Explain a command or a topic: `qdebug help image build`, `qdebug help exit-codes`
    Help {
        /// A command, with one of its own commands, or a topic
        topic: Vec<String>,
    },
    /// Carry one connection to a session on stdin and stdout; the ssh config runs it
    #[command(hide = true)]
    Proxy {
        /// The session's host alias without `qdebug-`
        name: String,
    },
    /// Carry one connection to a node on stdin and stdout; an ssh that connect runs begins it
    #[command(hide = true)]
    Gate {
        /// What the connect has written for it
        file: PathBuf,
    },
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
  qdebug connect 1234 --ide code

While it runs, and for ten minutes after, `ssh qdebug-NAME` works from any terminal or IDE.")]
pub(super) struct Connect {
    #[command(flatten)]
    pub(super) wanted: Wanted,
    #[command(flatten)]
    pub(super) way: Way,
}

/// How a session is connected to.
#[derive(Debug, Args)]
pub(super) struct Way {
    /// Bring a port of the session here, as ssh -L does; repeatable
    #[arg(short = 'L', value_name = "[BIND:]PORT:HOST:PORT", value_parser = laptop::Forward::local)]
    pub(super) local: Vec<laptop::Forward>,
    /// Bring a port of the laptop there, as ssh -R does; repeatable
    #[arg(short = 'R', value_name = "[BIND:]PORT:HOST:PORT", value_parser = laptop::Forward::remote)]
    pub(super) remote: Vec<laptop::Forward>,
    /// The port on 127.0.0.1 of this machine; the same as last time when not given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port: Option<u16>,
    /// Open it in this IDE; what is written for that, `qdebug ide clean` takes away
    #[arg(long, value_name = "IDE", value_parser = ide::ide())]
    pub(super) ide: Option<crate::ide::Ide>,
    /// For pycharm: the copy of the session's folder on this machine; here, if a project is here
    #[arg(long, value_name = "DIR", requires = "ide", value_parser = super::values::directory)]
    pub(super) workspace: Option<PathBuf>,
    /// Answer every question with yes
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Set everything up and return instead of keeping the tunnel open
    #[arg(long, conflicts_with_all = ["local", "remote"])]
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

/// What to do about the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigAction {
    /// Test the files: the first error with file, line and key, and every unknown key
    Check,
}

pub(super) fn frame_mark(text: &str) -> Result<String, String> {
    let well = (8..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    well.then(|| text.to_owned())
        .ok_or_else(|| "a mark is 8 to 64 hexadecimal digits".to_owned())
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
