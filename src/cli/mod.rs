//! The command line: parses, dispatches to the halves, renders what they answer, and turns every
//! error into a sentence, a hint and an exit code. It alone prints and knows clap.
//!
//! | file | what |
//! |---|---|
//! | `args` | the flags, as clap sees them |
//! | `values` | texts of flags that become types |
//! | `exit` | the exit codes |
//! | `failure` | errors as the user sees them |
//! | `output` | the only place that prints |
//! | `show` | a session's status for people |
//! | `wait` | waiting on the cluster, and what ends a wait early on either machine |
//! | `here`, `elsewhere` | what of the cluster's halves this machine has; one of the two |
//! | `submit`, `sessions`, `gpus` | commands of the login half |
//! | `gpu_type` | what `-g TYPE` means |
//! | `config` | what the configuration says, and where |
//! | `connect`, `enter`, `up`, `setup` | commands of the laptop half |
//! | `opening`, `ide` | how an IDE is opened, and what was written for it |
//! | `doctor`, `ladder` | checks, one line each |
//! | `cluster` | the commands that only machines of a cluster have |
//! | `pipe`, `authorize` | the cluster's half of ways without forwarding or masters, and of the laptop's key |
//! | `node`, `image` | commands of the node half |
//! | `cleanup`, `hooks` | what the scheduler's hooks run, and their installation |
//! | `help` | manual, completions, topics |

mod args;
mod config;
mod connect;
mod debug;
mod doctor;
mod enter;
mod env_file;
mod exit;
mod failure;
mod gpus;
mod help;
#[cfg_attr(not(target_os = "linux"), path = "elsewhere.rs")]
mod here;
mod ide;
mod ladder;
mod opening;
mod output;
mod sessions;
mod setting;
mod setup;
mod show;
mod up;
mod values;
mod wait;
mod which;

// The cluster's halves, which run on Linux.
#[cfg(target_os = "linux")]
mod authorize;
#[cfg(target_os = "linux")]
mod cleanup;
#[cfg(target_os = "linux")]
mod cluster;
#[cfg(target_os = "linux")]
mod gpu_type;
#[cfg(target_os = "linux")]
mod hooks;
#[cfg(target_os = "linux")]
mod image;
#[cfg(target_os = "linux")]
mod node;
#[cfg(target_os = "linux")]
mod pipe;
#[cfg(target_os = "linux")]
mod submit;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

pub use exit::Exit;
use failure::Failure;

use args::{Cli, Command, Global};

/// How long what still runs in threads may take when a command is over.
const LAST_THREADS_LIMIT: Duration = Duration::from_millis(500);

/// Runs `qdebug` with the arguments of this process.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // clap's own words would name the hidden ones.
        Err(error) if error.kind() == clap::error::ErrorKind::MissingSubcommand => {
            let json = std::env::args_os().any(|word| word == "--json");
            let failure = Failure::new(Exit::Usage, "which command?");
            return ExitCode::from(failure.hint("`qdebug --help` lists them").tell(json));
        }
        Err(error) => {
            let _ = error.print();
            if !error.use_stderr() {
                return Exit::Done.into();
            }
            let words = std::env::args_os().skip(1);
            if words
                .take_while(|word| word != "--")
                .any(|word| word == "--json")
            {
                Failure::of_usage(&error.render().to_string()).tell_json();
            }
            return Exit::Usage.into();
        }
    };
    let log = start_log(&cli);
    let frame = cli.global.frame.clone();
    if let Some(mark) = &frame {
        output::data(&format!("qdebug-frame-{mark} begin"));
    }
    let run = || {
        let runtime = runtime()?;
        let code = runtime.block_on(dispatch(cli));
        // A thread that hangs with a file system or a driver must not hold what is done.
        runtime.shutdown_timeout(LAST_THREADS_LIMIT);
        code
    };
    let code = match log.and_then(|()| run()) {
        Ok(code) if code == Exit::Done.code() && output::is_incomplete() => Exit::Failed.code(),
        Ok(code) => code,
        Err(told) => told,
    };
    if let Some(mark) = &frame {
        output::data(&format!("qdebug-frame-{mark} end {code}"));
    }
    ExitCode::from(code)
}

/// Begins to log on stderr as far as `-v` or `QDEBUG_LOG` ask for it. The node half logs into its
/// session instead.
fn start_log(cli: &Cli) -> Result<(), u8> {
    use tracing_subscriber::EnvFilter;
    if cli.command.has_own_log() {
        return Ok(());
    }
    let level = match cli.global.verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = match std::env::var("QDEBUG_LOG") {
        Ok(filter) => EnvFilter::try_new(&filter).map_err(|error| {
            Failure::of(Exit::Usage, &error)
                .about("QDEBUG_LOG")
                .tell(cli.global.json)
        })?,
        Err(_) => EnvFilter::new(format!("error,qdebug={level}")),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never)
        .with_target(false)
        .without_time()
        .init();
    Ok(())
}

/// One thread: what qdebug does is wait.
fn runtime() -> Result<tokio::runtime::Runtime, u8> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::from(error).tell(false))
}

/// Runs the command; a failure is told here and becomes its exit code.
async fn dispatch(cli: Cli) -> Result<u8, u8> {
    let Cli { global, command } = cli;
    let json = global.json;
    match command.run(&global).await {
        Ok(code) => Ok(code),
        Err(failure) => {
            let failure = which::or_of_a_cluster(failure, &global).await;
            let failure = failure.on(global.on.as_deref());
            Err(failure.tell(json))
        }
    }
}

impl Command {
    /// Whether it is about the machine it runs on, whatever cluster is named.
    fn is_of_here(&self) -> bool {
        if let Self::Doctor(doctor) = self {
            return doctor.node || doctor.login;
        }
        match self {
            Self::Submit(_) | Self::Config { .. } => true,
            #[cfg(target_os = "linux")]
            Self::Cluster(command) => command.is_of_here(),
            _ => false,
        }
    }

    /// Whether it logs into a session instead of on stderr.
    fn has_own_log(&self) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Self::Cluster(command) => command.has_own_log(),
            _ => false,
        }
    }

    async fn run(self, global: &Global) -> Result<u8, Failure> {
        let elsewhere = global.on.as_deref().filter(|on| *on != "here");
        if let Some(on) = elsewhere.filter(|_| self.is_of_here()) {
            // To do it here all the same would be the opposite of what was asked for.
            let message = "--on: this command is about the machine it runs on";
            return Err(Failure::new(Exit::Usage, message)
                .hint(format!("log in there and run it without `--on {on}`")));
        }
        if let (Some(on), Self::Ide(_)) = (elsewhere, &self) {
            let message = "--on: `qdebug ide` is about files of this machine, whatever the cluster";
            return Err(Failure::new(Exit::Usage, message).hint(format!(
                "run it without `--on {on}`; `qdebug ide list` names the sessions they are of"
            )));
        }
        match self {
            Self::Submit(submit) => submit.run(global).await,
            Self::List(list) => list.run(global).await,
            Self::Status(wanted) => sessions::status(wanted, global).await,
            Self::Gpus => gpus::gpus(global).await,
            Self::Config { action } => config::run(action.as_ref(), global),
            Self::Logs(logs) => logs.run(global).await,
            Self::Stop(stop) => stop.run(global).await,
            Self::Connect(connect) => connect.run(global).await,
            Self::Up(up) => up.run(global).await,
            Self::Doctor(doctor) => doctor.run(global).await,
            Self::Setup(setup) => setup.run(global).await,
            Self::Ssh(ssh) => ssh.run(global).await,
            Self::Forward(forward) => forward.run(global).await,
            Self::Debug(debug) => debug.run(global).await,
            Self::Ide(ide) => ide.run(global).await,
            Self::Proxy { name } => connect::proxy(&name).await,
            Self::Gate { file } => {
                crate::ssh::go_through(&file).await?;
                Ok(Exit::Done.code())
            }
            #[cfg(target_os = "linux")]
            Self::Cluster(command) => command.run(global).await,
            Self::Completions { shell } => help::completions(shell),
            Self::Man => help::man(),
            Self::Help { topic } => help::topic(&topic),
        }
    }
}
