//! A relay over one command of the login node, whose stdin and stdout carry all connections.
//!
//! The command is the cluster's qdebug, which begins the way on from there (login's own ssh client,
//! or the scheduler) and a relay at its end. That relay prints a mark before its first frame: what
//! stands before it is the noise of shell start files on the way.

#[cfg(unix)]
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, BufReader};
#[cfg(unix)]
use tokio::process::Child;
use tokio::task::JoinSet;

use super::error::Error;
use super::frame::{Frame, begins};
use super::gate::Gate;
#[cfg(unix)]
use super::master::{Master, NO_MASTER};
use super::pump::BUFFER;
#[cfg(unix)]
use super::quote::command_line;
#[cfg(unix)]
use super::said::listen;
use super::said::{Said, Taker};
use super::trunk::Trunk;
use super::watched::Watched;
use super::word::{Destination, HostName};
use crate::relay::{self, Stream, Wanted};

/// How long the way on from login may take: an ssh that connects, or a scheduler's step.
const BEGIN: Duration = Duration::from_secs(40);

/// How long an end of the command is waited for, so that it can say why.
const END: Duration = Duration::from_secs(5);

/// The command that begins a relay at the far end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipeCommand {
    /// The path of qdebug on the login node.
    pub qdebug: String,
    /// Its words; `--mark HEX` is put behind the first.
    pub words: Vec<String>,
    /// Where it ends, for people.
    pub node: HostName,
}

impl PipeCommand {
    fn words(&self, mark: &str) -> Vec<String> {
        let (first, rest) = self.words.split_at(self.words.len().min(1));
        let begin = std::slice::from_ref(&self.qdebug);
        let mark = ["--mark".to_owned(), mark.to_owned()];
        [begin, first, &mark, rest].concat()
    }

    /// Why no relay began: by its status, if it has ended and where that is known, and what was
    /// said.
    fn failed(&self, login: &Destination, status: Option<Option<i32>>, said: &str) -> Error {
        match status {
            Some(Some(126 | 127)) => Error::QdebugMissing {
                host: login.to_string(),
                looked: self.qdebug.clone(),
            },
            Some(_) => Error::of_ssh(self.node.as_ref(), &reason(said), false),
            None => Error::TimedOut {
                host: login.to_string(),
                command: format!("{} {}", self.qdebug, self.words.join(" ")),
                limit: BEGIN,
            },
        }
    }
}

/// A relay that is up.
#[derive(Debug)]
pub(super) enum Pipe {
    /// At the end of a command over a master.
    #[cfg(unix)]
    Master {
        /// The relay.
        relay: Watched,
        /// Dropping it ends the command.
        _child: Box<Child>,
        /// The master, and which socket that had.
        master: Master,
        socket: Option<u64>,
    },
    /// At the end of a command over a trunk.
    Command {
        relay: Watched,
        /// Dropping it ends the command.
        _attending: JoinSet<Option<i32>>,
        trunk: Arc<Trunk>,
    },
    /// The trunk's own, to a port that its machine sees.
    Trunk {
        trunk: Arc<Trunk>,
        host: String,
        port: u16,
        /// For one beyond a login node: the trunk to that, and the way from there.
        via: Option<(Arc<Trunk>, Gate)>,
    },
}

impl Pipe {
    /// Opens one connection.
    ///
    /// # Errors
    /// [`relay::Error`] when it was not opened.
    pub(super) async fn connect(&self) -> Result<Stream<'_>, relay::Error> {
        match self {
            #[cfg(unix)]
            Self::Master { relay, .. } => relay.open(&Wanted::ThePort).await,
            Self::Command { relay, .. } => relay.open(&Wanted::ThePort).await,
            Self::Trunk {
                trunk, host, port, ..
            } => {
                let (host, port) = (host.clone(), *port);
                trunk.relay.open(&Wanted::Connect { host, port }).await
            }
        }
    }

    /// Carries one connection.
    ///
    /// # Errors
    /// [`relay::Error`] when it was not opened; then nothing of `from` was read.
    pub(super) async fn carry(
        &self,
        from: impl AsyncRead + Unpin,
        to: impl AsyncWrite + Unpin,
    ) -> Result<(), relay::Error> {
        self.connect().await?.carry(from, to).await;
        Ok(())
    }

    /// Runs the command over a live master, and waits for the mark.
    ///
    /// # Errors
    /// [`Error::Lost`] without a master, [`Error::QdebugMissing`], and what the way on from login
    /// gave, as of the node.
    #[cfg(unix)]
    pub(super) async fn over_master(
        master: &Master,
        login: &Destination,
        command: &PipeCommand,
    ) -> Result<Self, Error> {
        let frame = Frame::new();
        let line = command_line(&command.words(frame.hex()))?;
        tracing::debug!(host = %login, command = line, "opening a pipe");
        let program = master.client(&["-T"]).arg(&line);
        let piped = Stdio::piped;
        let mut child = program.spawn_with(piped(), piped(), piped())?;
        let lost = || Error::Lost {
            host: login.to_string(),
            command: line.clone(),
        };
        let (Some(input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(lost());
        };
        let said = Arc::new(Said::default());
        let listening = tokio::spawn(listen(errors, Arc::clone(&said)));
        let mut output = BufReader::new(output);
        let begun = begins(&mut output, frame.hex());
        if tokio::time::timeout(BEGIN, begun).await == Ok(true) {
            return Ok(Self::Master {
                relay: Watched::over(output, input),
                _child: Box::new(child),
                master: master.clone(),
                socket: inode(master),
            });
        }
        drop(input);
        let ended = tokio::time::timeout(END, child.wait()).await;
        let _ = tokio::time::timeout(Duration::from_millis(200), listening).await;
        let said = said.text();
        if said.contains(NO_MASTER) {
            return Err(lost());
        }
        let status = ended.ok().map(|ended| ended.ok().and_then(|s| s.code()));
        Err(command.failed(login, status, &said))
    }

    /// Runs the command over a trunk, likewise.
    ///
    /// # Errors
    /// As [`Pipe::over_master`].
    pub(super) async fn over_trunk(
        trunk: Arc<Trunk>,
        login: &Destination,
        command: &PipeCommand,
    ) -> Result<Self, Error> {
        let frame = Frame::new();
        let words = command.words(frame.hex());
        let (mine, theirs) = tokio::io::duplex(BUFFER);
        let said = Arc::new(Said::default());
        let mut attending = JoinSet::new();
        attending.spawn({
            let (trunk, said) = (Arc::clone(&trunk), Arc::clone(&said));
            async move {
                let stream = match trunk.relay.open(&Wanted::Run { words }).await {
                    Ok(stream) => stream,
                    Err(error) => {
                        said.add(error.to_string().as_bytes());
                        return None;
                    }
                };
                let (from, to) = tokio::io::split(theirs);
                let on_stderr = Taker(move |bytes: &[u8]| said.add(bytes));
                stream.attend(from, to, on_stderr).await.ok()
            }
        });
        let (output, input) = tokio::io::split(mine);
        let mut output = BufReader::new(output);
        let begun = begins(&mut output, frame.hex());
        if tokio::time::timeout(BEGIN, begun).await == Ok(true) {
            trunk.relay.note();
            return Ok(Self::Command {
                relay: Watched::over(output, input),
                _attending: attending,
                trunk,
            });
        }
        drop((output, input));
        let ended = tokio::time::timeout(END, attending.join_next()).await;
        if !trunk.relay.is_up() {
            return Err(trunk.ended().await);
        }
        let status = ended.ok().map(|ended| ended.and_then(Result::ok).flatten());
        Err(command.failed(login, status, &said.text()))
    }

    /// The relay at its far end.
    fn relay(&self) -> &Watched {
        match self {
            #[cfg(unix)]
            Self::Master { relay, .. } => relay,
            Self::Command { relay, .. } => relay,
            Self::Trunk { trunk, .. } => &trunk.relay,
        }
    }

    /// Whether it takes connections. One that was replaced, or whose master or trunk was, only keeps
    /// those it has.
    pub(super) fn is_open(&self) -> bool {
        self.relay().is_up()
            && match self {
                #[cfg(unix)]
                Self::Master { master, socket, .. } => *socket == inode(master),
                Self::Command { trunk, .. } => trunk.relay.is_up(),
                Self::Trunk { via, .. } => via.as_ref().is_none_or(|(via, _)| via.relay.is_up()),
            }
    }

    /// Whether another was put in its place, or in that of what carries it.
    pub(super) fn is_left(&self) -> bool {
        self.relay().is_left()
            || match self {
                #[cfg(unix)]
                Self::Master { .. } => false,
                Self::Command { trunk, .. } => trunk.relay.is_left(),
                Self::Trunk { via, .. } => via.as_ref().is_some_and(|(via, _)| via.relay.is_left()),
            }
    }

    /// Another takes its place.
    pub(super) fn leave(&self) {
        self.relay().leave();
    }

    /// Whether its far end was just heard of, or answers when it is asked.
    pub(super) async fn answers(&self) -> bool {
        self.relay().answers().await
    }

    /// Whether its far end answers.
    pub(super) async fn is_there(&self) -> bool {
        self.relay().is_there().await
    }

    /// Whether its far end is behind a login node, whose answering says nothing of it.
    pub(super) fn goes_on(&self) -> bool {
        !matches!(self, Self::Trunk { via: None, .. })
    }

    /// Resolves when it carries nothing any more, where that is noticed; why.
    pub(super) async fn ended(&self) -> Error {
        match self {
            #[cfg(unix)]
            Self::Master { .. } => std::future::pending().await,
            Self::Trunk { trunk, via, .. } => {
                let error = trunk.ended().await;
                match via {
                    // The cause, not the effect.
                    Some((via, _)) if !via.relay.is_up() => via.ended().await,
                    _ => error,
                }
            }
            Self::Command { relay, trunk, .. } => {
                relay.ended().await;
                match trunk.relay.is_up() {
                    true => Error::Lost {
                        host: trunk.host().to_owned(),
                        command: "the way on from there".to_owned(),
                    },
                    false => trunk.ended().await,
                }
            }
        }
    }
}

/// Which file the master's socket is.
#[cfg(unix)]
fn inode(master: &Master) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = std::fs::symlink_metadata(master.socket());
    meta.ok().map(|meta| meta.ino())
}

/// What was said of the failure. The other qdebug's hints are for its own user, and its sentence
/// that the tool it ran has ended says less than the tool's own.
fn reason(said: &str) -> String {
    let is_told = |line: &&str| !line.is_empty() && !line.starts_with("hint:");
    let lines = said.lines().map(str::trim).filter(is_told);
    let plain = lines.map(|line| line.strip_prefix("error: ").unwrap_or(line));
    let (ends, words): (Vec<&str>, Vec<&str>) =
        plain.partition(|line| line.contains(" ended with status "));
    if words.is_empty() { ends } else { words }.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::quote::command_line;
    use super::*;

    #[test]
    fn the_mark_stands_behind_the_command() {
        let command = PipeCommand {
            qdebug: "/opt/q d".into(),
            words: ["pipe", "--by=nested", "--", "otter"]
                .map(str::to_owned)
                .into(),
            node: "node1".parse().unwrap(),
        };
        let line = command_line(&command.words("ab12")).unwrap();
        assert_eq!(line, "'/opt/q d' pipe --mark ab12 '--by=nested' -- otter");
    }

    #[test]
    fn the_reason_is_what_ssh_said_last() {
        let said = "Welcome!\nalice@node1: Permission denied (publickey).\n\
                    error: ssh ended with status 255\n  hint: try\n";
        assert!(matches!(
            Error::of_ssh("node1", &reason(said), false),
            Error::Authentication { .. }
        ));
        let said = "srun: error: Access denied\nerror: srun ended with status 1\n";
        assert_eq!(reason(said), "srun: error: Access denied");
        let said = "error: srun ended with status 1\n";
        assert_eq!(reason(said), "srun ended with status 1");
        let said = "error: no such session\n  hint: qdebug list\n";
        assert_eq!(
            Error::of_ssh("node1", &reason(said), false).to_string(),
            "cannot reach node1: no such session"
        );
    }
}
