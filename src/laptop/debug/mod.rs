//! `qdebug debug`: a Python program under a debugger in a session, debugged from here.
//!
//! Two connections. The first has the session's own Python look for the debugger (and install it, into
//! the folder that PYTHONUSERBASE names for the image), pick a port and lay down what will run. The
//! second runs that on this terminal and carries the port; when it ends, for whatever reason, the
//! program is ended. What the user wrote travels as data on stdin, never as a line of shell.
//!
//! debugpy listens in the session, so its port is carried from here to there (`-L`). pydevd dials an
//! IDE that listens here: the port is carried the other way (`-R`).

mod command;
mod debugger;

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::known::{self, Known};
use super::paths::Paths;
use super::whose::Whose;
use crate::ide::Attach;
use crate::process::{Interrupts, Program};
use crate::ssh::command_line;

pub use command::{CommandError, PythonCommand};
pub use debugger::Debugger;

/// What looks and prepares in the session.
const PREPARE: &str = include_str!("prepare.py");

/// What runs the program there.
const RUN: &str = include_str!("run.py");

/// How long the first look may take: a Python on a cold network file system is slow.
const LOOK: Duration = Duration::from_secs(60);

/// How long pip may take.
const INSTALL: Duration = Duration::from_secs(300);

/// How long ssh may take to go, which restores the terminal.
const GOING: Duration = Duration::from_secs(3);

/// What stands before the answer on stdout, where start files of the shell may print, too.
const MARK: &str = "qdebug-debug-answer ";

/// ssh's own failure.
const SSH_FAILED: i32 = 255;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Debug {
    /// A job id, a session's name or an alias.
    pub job: String,
    /// Whose session that is.
    pub whose: Whose,
    /// The program.
    pub command: PythonCommand,
    /// What it runs under.
    pub under: Debugger,
    /// Its folder in the session; the session's project when not given.
    pub folder: Option<String>,
    /// Whether the program has a terminal.
    pub terminal: bool,
    /// What is said on stderr when debugpy listens, of the port here.
    pub says: fn(port: u16, wait: bool) -> String,
}

/// What is known when everything is prepared and the program about to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The session, as ssh is told it.
    pub alias: String,
    /// Where a debugger of this machine attaches; of pydevd, where it listens.
    pub attach: Attach,
    /// The debugger's port in the session.
    pub remote_port: u16,
    /// The debugger's package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Python's version.
    pub python: String,
}

/// What `prepare.py` and `run.py` are told.
#[derive(Serialize)]
struct Ask<'a> {
    module: &'a str,
    packages: &'a [&'a str],
    install: bool,
    port: u16,
    mark: &'a str,
    run: String,
}

#[derive(Serialize)]
struct Run<'a> {
    options: &'a [String],
    under: &'a [&'a str],
    target: &'a [String],
    /// What is said once the debugger listens, where it does.
    said: Option<String>,
}

/// What `prepare.py` answers.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Answer {
    python: String,
    debugger: Option<(String, String)>,
    problem: Option<String>,
    port: Option<u16>,
    run: Option<String>,
}

/// Runs a program under a debugger in a session until it ends; its exit status, or `None` when a
/// signal to this process ended it. `on_missing` is told which package is going to be installed;
/// `on_ready` what an IDE needs, before the program starts: its error keeps the program from starting.
///
/// # Errors
/// [`Error`].
pub async fn debug<E: From<Error>>(
    paths: &Paths,
    ask: &Debug,
    on_missing: impl FnOnce(&str),
    on_ready: impl AsyncFnOnce(&Ready) -> Result<(), E>,
) -> Result<Option<i32>, E> {
    let known = ask.whose.find(&paths.sessions, &ask.job)?;
    super::publish::publish(paths).await?;
    let port = port(&known, &ask.under, || Known::all(&paths.sessions))?;
    let project = known.details.project.to_string_lossy();
    let folder = ask.folder.as_deref().unwrap_or(&project);
    let session = Session {
        paths,
        known: &known,
        folder,
        python: &ask.command.python,
    };
    let (under, target) = ask.under.under(&ask.command.target);
    let run = Run {
        options: &ask.command.options,
        under: &under,
        target,
        said: match ask.under {
            Debugger::Debugpy { wait, .. } => Some((ask.says)(port, wait)),
            Debugger::Pydevd { .. } => None,
        },
    };
    let run = script(RUN, &run).map_err(|detail| session.unfit(detail))?;
    let mut answer = session.prepare(&ask.under, &run, port, false).await?;
    let package = ask.under.packages().first().copied().unwrap_or_default();
    if answer.debugger.is_none() {
        on_missing(package);
        answer = session.prepare(&ask.under, &run, port, true).await?;
    }
    let (Some((package, version)), Some(remote_port), Some(run)) =
        (answer.debugger, answer.port, answer.run)
    else {
        return Err(E::from(Error::NoDebugger {
            name: known.name.to_string(),
            python: format!("{} ({})", ask.command.python, answer.python),
            package,
            detail: answer.problem.unwrap_or_default(),
        }));
    };
    let ready = Ready {
        attach: Attach {
            name: format!("qdebug: {}", known.alias.trim_start_matches("qdebug-")),
            port,
            remote_root: folder.to_owned(),
        },
        alias: known.alias.clone(),
        remote_port,
        package,
        version,
        python: answer.python,
    };
    on_ready(&ready).await?;
    let forwarding = ask.under.forwarding(port, remote_port);
    Ok(session
        .run(&run, remote_port, &forwarding, ask.terminal)
        .await?)
}

/// The port on 127.0.0.1 here. What is amiss with it is told before anything happens in the session;
/// ssh itself would only say that it failed, or say nothing.
fn port(
    known: &Known,
    under: &Debugger,
    others: impl FnOnce() -> Vec<Known>,
) -> Result<u16, Error> {
    let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    match *under {
        Debugger::Debugpy { port, .. } => {
            let port = port.unwrap_or_else(|| fixed_port(&known.alias, &others()));
            match listen(port) {
                Ok(_) => Ok(port),
                Err(source) => Err(Error::PortTaken {
                    name: known.name.to_string(),
                    port,
                    source,
                }),
            }
        }
        // Dialled to try, a debug server would take that for its program and be over. Only Linux lets
        // nobody listen beside one who listens on every address.
        Debugger::Pydevd { port } => match cfg!(target_os = "linux") && listen(port).is_ok() {
            false => Ok(port),
            true => Err(Error::NobodyListens { port }),
        },
    }
}

/// The Python of a session, and where it works.
struct Session<'a> {
    paths: &'a Paths,
    known: &'a Known,
    folder: &'a str,
    python: &'a str,
}

impl Session<'_> {
    /// The remote line that runs Python with these words in the folder: a relative interpreter is
    /// one of there.
    fn line(&self, words: &[&str]) -> Result<String, Error> {
        let folder = command_line(&["cd", self.folder])?;
        let words = [&["exec", self.python], words].concat();
        Ok(format!("{folder} && {}", command_line(&words)?))
    }

    fn ssh(&self) -> Program {
        Program::new("ssh")
            .arg("-F")
            .arg(self.paths.ssh_config.as_path())
    }

    async fn prepare(
        &self,
        under: &Debugger,
        run: &str,
        port: u16,
        install: bool,
    ) -> Result<Answer, Error> {
        let ask = Ask {
            module: under.module(),
            packages: under.packages(),
            install,
            port,
            mark: MARK,
            run: run.to_owned(),
        };
        let script = script(PREPARE, &ask).map_err(|detail| self.unfit(detail))?;
        let line = self.line(&["-"])?;
        let program = self.ssh().args(["-T", "--", &self.known.alias, &line]);
        let limit = if install { INSTALL } else { LOOK };
        let output = program.stdin(script).time_limit(limit).output().await?;
        match answer(&output.stdout) {
            Some(answer) => Ok(answer),
            None if output.status == SSH_FAILED => Err(Error::NotLetIn {
                name: self.known.name.to_string(),
                detail: plain(&output.stderr),
            }),
            None => Err(Error::NoPython {
                name: self.known.name.to_string(),
                python: self.python.to_owned(),
                folder: self.folder.to_owned(),
                detail: plain(&output.stderr),
            }),
        }
    }

    async fn run(
        &self,
        run: &str,
        port: u16,
        forwarding: &[String],
        terminal: bool,
    ) -> Result<Option<i32>, Error> {
        let line = self.line(&[run, &port.to_string()])?;
        let program = self
            .ssh()
            .args(["-o", "ExitOnForwardFailure=yes"])
            .args(forwarding)
            // Else ssh adds to the program's last words that the connection is closed.
            .args(["-o", "LogLevel=ERROR", if terminal { "-t" } else { "-T" }])
            .args(["--", &self.known.alias, &line]);
        let command = program.shown();
        let failed = |source| {
            let command = command.clone();
            Error::Program(crate::process::Error::Io { command, source })
        };
        let mut interrupts = Interrupts::listen().map_err(failed)?;
        let mut ssh = program.spawn_with(Stdio::inherit(), Stdio::inherit(), Stdio::inherit())?;
        let ended = tokio::select! {
            biased;
            _ = interrupts.next() => None,
            status = ssh.wait() => Some(crate::process::code(status.map_err(failed)?)),
        };
        match ended {
            // A Ctrl-C reaches ssh as well, and may be heard of there first.
            Some(SSH_FAILED) => {
                let heard = tokio::time::timeout(Duration::from_millis(200), interrupts.next());
                Ok(heard.await.err().map(|_| SSH_FAILED))
            }
            Some(status) => Ok(Some(status)),
            None => {
                // Gently, for the sake of the terminal's mode; dropped, it is killed.
                crate::process::ask_to_end(&ssh);
                let _ = tokio::time::timeout(GOING, ssh.wait()).await;
                Ok(None)
            }
        }
    }

    fn unfit(&self, detail: String) -> Error {
        Error::Details {
            name: self.known.name.to_string(),
            detail,
        }
    }
}

/// The same port for the same session every time, since IDEs keep it; none of a session's own.
fn fixed_port(alias: &str, others: &[Known]) -> u16 {
    let mut ports = known::ports(&format!("{alias} debug"));
    let is_free = |port: &u16| others.iter().all(|known| known.port != *port);
    ports.find(is_free).unwrap_or(known::FIRST_PORT)
}

/// A script with what it is told before it, in letters that every encoding has.
fn script(text: &str, ask: &impl Serialize) -> Result<String, String> {
    let json = serde_json::to_vec(ask).map_err(|error| error.to_string())?;
    Ok(format!(
        "import base64, json\nASK = json.loads(base64.b64decode(\"{}\").decode(\"utf-8\"))\n{text}",
        BASE64.encode(json)
    ))
}

/// The answer, which is the last line with the mark.
fn answer(stdout: &str) -> Option<Answer> {
    let line = stdout
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix(MARK))?;
    serde_json::from_str(line).ok()
}

/// The last words of what a program said, fit to be shown.
fn plain(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim_end).collect();
    let lines = lines[lines.len().saturating_sub(5)..].join("; ");
    lines.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests;
