//! The one place that spawns programs.
//!
//! Every program qdebug runs is an argv, never a shell line: stdin null unless bytes are given,
//! `LC_ALL=C` so that texts can be parsed, a time limit, killed when dropped, and the whole
//! command logged at debug. What a program's output means is the caller's business.

use std::ffi::{OsStr, OsString};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

pub use crate::platform::{Interrupt, Interrupts};

use crate::platform;

/// How long a program may take unless told otherwise.
const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(60);

/// How much a program may write on either stream unless told otherwise, in bytes: the answer of a
/// scheduler with a hundred thousand jobs, and no more.
const MOST: u64 = 256 << 20;

/// A program to run: its argv and the few things that vary.
#[derive(Debug, Clone)]
pub struct Program {
    program: OsString,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    stdin: Option<Vec<u8>>,
    time_limit: Duration,
    own_group: bool,
    own_locale: bool,
    most: Option<u64>,
    outlives: bool,
    deaf: bool,
}

/// What a program that ran to its end left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The command as a person would type it, quoted.
    pub command: String,
    /// Exit status; a death by signal N is reported as 128 + N, as shells do.
    pub status: i32,
    /// Standard output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

/// Why a program did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is not on PATH (or not where its path says).
    #[error("`{program}` is not installed here (looked for it on PATH)")]
    NotFound {
        /// The program's name or path.
        program: String,
    },
    /// It could not be started for another reason.
    #[error("cannot start `{command}`")]
    Spawn {
        /// The whole command, quoted.
        command: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It was still running at its time limit and has been killed.
    #[error("`{command}` did not answer within {} s", limit.as_secs())]
    TimedOut {
        /// The whole command, quoted.
        command: String,
        /// The limit.
        limit: Duration,
    },
    /// It wrote more than is taken.
    #[error("`{command}` wrote more than {most} bytes")]
    TooMuch {
        /// The whole command, quoted.
        command: String,
        /// The bound.
        most: u64,
    },
    /// Reading its output or writing its input failed.
    #[error("lost contact with `{command}`")]
    Io {
        /// The whole command, quoted.
        command: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl Program {
    /// A program by name (looked up on PATH) or path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            envs: Vec::new(),
            stdin: None,
            time_limit: DEFAULT_TIME_LIMIT,
            own_group: false,
            own_locale: false,
            most: Some(MOST),
            outlives: false,
            deaf: false,
        }
    }

    /// Appends one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Appends arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets one environment variable on top of the inherited ones.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.envs
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Gives the program these bytes on stdin instead of nothing.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Changes the time limit of [`Program::output`].
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Makes it the leader of a process group of its own, so that a signal can reach all of it.
    #[must_use]
    pub fn own_group(mut self) -> Self {
        self.own_group = true;
        self
    }

    /// Leaves it the user's locale: for programs whose texts nobody parses.
    #[must_use]
    pub fn own_locale(mut self) -> Self {
        self.own_locale = true;
        self
    }

    /// Bounds what [`Program::output`] takes of each of its two streams, in bytes: one that writes
    /// more is an error.
    #[must_use]
    pub fn at_most(mut self, bytes: u64) -> Self {
        self.most = Some(bytes);
        self
    }

    /// Lets it go on when its child is dropped, with its pipes closed.
    #[must_use]
    pub fn outlives(mut self) -> Self {
        self.outlives = true;
        self
    }

    /// Keeps Ctrl-C on the terminal from it. Not for one that asks a person there, who could not say no.
    #[must_use]
    pub fn deaf_to_keyboard(mut self) -> Self {
        self.deaf = true;
        self
    }

    /// The command as a person would type it, quoted for `sh`.
    pub fn shown(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.args);
        shell_words::join(words.map(|word| word.to_string_lossy()))
    }

    /// Runs it to its end and returns status and output, whatever the status.
    ///
    /// # Errors
    /// [`Error`] when it could not be started, hung, or its pipes broke.
    pub async fn output(self) -> Result<Output, Error> {
        let command = self.shown();
        let (limit, stdin, most) = (self.time_limit, self.stdin.clone(), self.most);
        let mut child = self.spawn(if stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })?;
        let feed = child.stdin.take().zip(stdin);
        let run = async {
            let feeding = async {
                if let Some((mut pipe, bytes)) = feed {
                    // A program that does not read its input closes it: its status tells.
                    let _ = pipe.write_all(&bytes).await;
                }
            };
            let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
            // A stream that is read no more is closed, so that nobody waits for it.
            let reading = async { tokio::try_join!(read(stdout, most), read(stderr, most)) };
            let (status, streams, ()) = tokio::join!(child.wait(), reading, feeding);
            Ok((status?, streams?))
        };
        let (status, (stdout, stderr)) = match tokio::time::timeout(limit, run).await {
            Err(_) => return Err(Error::TimedOut { command, limit }),
            Ok(Err(source)) => return Err(Error::Io { command, source }),
            Ok(Ok(ended)) => ended,
        };
        let is_over = |stream: &Vec<u8>| most.is_some_and(|most| stream.len() as u64 > most);
        if let Some(most) = most.filter(|_| is_over(&stdout) || is_over(&stderr)) {
            return Err(Error::TooMuch { command, most });
        }
        let output = Output {
            status: code(status),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            command,
        };
        tracing::debug!(
            command = output.command,
            status = output.status,
            stderr = output.stderr.trim_end(),
            "ran"
        );
        Ok(output)
    }

    /// Starts it with stdout and stderr piped and leaves the rest to the caller; it is killed
    /// when the child is dropped, unless it [outlives](Program::outlives) that.
    ///
    /// # Errors
    /// [`Error::NotFound`] and [`Error::Spawn`].
    pub fn spawn(self, stdin: Stdio) -> Result<tokio::process::Child, Error> {
        self.spawn_with(stdin, Stdio::piped(), Stdio::piped())
    }

    /// The same with every stream chosen by the caller.
    ///
    /// # Errors
    /// [`Error::NotFound`] and [`Error::Spawn`].
    pub fn spawn_with(
        self,
        stdin: Stdio,
        stdout: Stdio,
        stderr: Stdio,
    ) -> Result<tokio::process::Child, Error> {
        let (command, program) = (self.shown(), self.program.clone());
        let outlives = self.outlives;
        tracing::debug!(command, "spawning");
        tokio::process::Command::from(self.into_command())
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .kill_on_drop(!outlives)
            .spawn()
            .map_err(|source| spawn_error(&program, command, source))
    }

    /// Runs it in the foreground on the user's own terminal, streams inherited, and waits without
    /// a limit: for programs that talk to a person (a password prompt, a shell).
    ///
    /// # Errors
    /// [`Error::NotFound`] and [`Error::Spawn`].
    pub async fn on_terminal(self) -> Result<i32, Error> {
        let command = self.shown();
        let mut child = self.spawn_with(Stdio::inherit(), Stdio::inherit(), Stdio::inherit())?;
        match child.wait().await {
            Ok(status) => Ok(code(status)),
            Err(source) => Err(Error::Io { command, source }),
        }
    }

    /// Starts it so that it lives on when we end, no stream of ours on it; it is for the program
    /// itself to leave our session (setsid(2)). Returns its process id.
    ///
    /// # Errors
    /// [`Error::NotFound`] and [`Error::Spawn`].
    pub fn detach(self, log: std::fs::File) -> Result<u32, Error> {
        let (command, program) = (self.shown(), self.program.clone());
        tracing::debug!(command, "detaching");
        let spawned = log.try_clone().and_then(|err| {
            self.into_command()
                .stdin(Stdio::null())
                .stdout(log)
                .stderr(err)
                .spawn()
        });
        spawned
            .map(|child| child.id())
            .map_err(|source| spawn_error(&program, command, source))
    }

    /// Starts what is to go on by itself, such as a window, its output into `log`, and looks whether
    /// it ends within `patience`: then its status.
    ///
    /// # Errors
    /// [`Error::NotFound`] and [`Error::Spawn`].
    pub async fn launch(
        self,
        log: std::fs::File,
        patience: Duration,
    ) -> Result<Option<i32>, Error> {
        let (command, program) = (self.shown(), self.program.clone());
        tracing::debug!(command, "launching");
        let spawn = || {
            let err = log.try_clone()?;
            tokio::process::Command::from(self.own_group().into_command())
                .stdin(Stdio::null())
                .stdout(log)
                .stderr(err)
                .spawn()
        };
        let mut child = spawn().map_err(|source| spawn_error(&program, command, source))?;
        let ended = tokio::time::timeout(patience, child.wait()).await;
        Ok(ended.ok().and_then(Result::ok).map(code))
    }

    #[allow(clippy::disallowed_methods)] // The one place.
    fn into_command(self) -> std::process::Command {
        let mut command = match self.deaf && cfg!(unix) {
            // What is ignored stays so behind exec(2), and OpenSSH leaves it so.
            true => {
                let mut shell = std::process::Command::new("sh");
                shell.args(["-c", "trap '' INT; exec \"$@\"", "qdebug"]);
                shell.arg(self.program);
                shell
            }
            false => std::process::Command::new(self.program),
        };
        command.args(self.args);
        if !self.own_locale {
            command.env("LC_ALL", "C");
        }
        command.envs(self.envs);
        // On Windows that keeps Ctrl-C from it, and not the console.
        if self.own_group || (self.deaf && cfg!(windows)) {
            platform::group_of_its_own(&mut command);
        }
        command
    }
}

/// All of a stream; where it is bounded, not more than one byte above that.
async fn read(pipe: Option<impl AsyncRead + Unpin>, most: Option<u64>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        let most = most.map_or(u64::MAX, |most| most.saturating_add(1));
        pipe.take(most).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

fn spawn_error(program: &OsStr, command: String, source: std::io::Error) -> Error {
    if source.kind() == std::io::ErrorKind::NotFound {
        let program = program.to_string_lossy().into_owned();
        Error::NotFound { program }
    } else {
        Error::Spawn { command, source }
    }
}

/// Asks a child to end, where that can be asked; one that has ended already is left.
pub fn ask_to_end(child: &tokio::process::Child) {
    if let Some(id) = child.id() {
        platform::ask_to_end(id);
    }
}

/// The exit status as shells count it: 128 + N for a death by signal N.
pub fn code(status: std::process::ExitStatus) -> i32 {
    match (status.code(), platform::signal_of(status)) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 255,
    }
}

#[cfg(test)]
#[cfg_attr(windows, path = "tests_windows.rs")]
mod tests;
