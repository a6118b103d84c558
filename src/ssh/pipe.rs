//! A relay over one command of the login node, whose stdin and stdout carry all connections.
//!
//! The command is the cluster's qdebug, which begins the way on from there (login's own ssh client,
//! or the scheduler) and a relay at its end. That relay prints a mark before its first frame: what
//! stands before it is the noise of shell start files on the way.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout};

use super::error::Error;
use super::frame::Frame;
use super::master::{Master, NO_MASTER, Node};
use super::quote::command_line;
use super::word::{Destination, HostName};
use crate::process::Program;
use crate::relay::{self, Relay};

/// How long the way on from login may take: an ssh that connects, or a scheduler's step.
const BEGIN: Duration = Duration::from_secs(40);

/// How long an end of the command is waited for, so that it can say why.
const END: Duration = Duration::from_secs(5);

/// How much noise there may be before the mark, and how much of stderr is kept, in bytes.
const NOISE: u64 = 256 * 1024;
const KEPT: usize = 8 * 1024;

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
    fn line(&self, mark: &str) -> Result<String, Error> {
        let (first, rest) = self.words.split_at(self.words.len().min(1));
        let begin = std::slice::from_ref(&self.qdebug);
        let mark = ["--mark".to_owned(), mark.to_owned()];
        Ok(command_line(&[begin, first, &mark, rest].concat())?)
    }
}

/// What runs `words` on a node by this machine's own ssh client, asking nobody: the way on from a
/// login node. Its keys must be the pinned ones, where any are; else those that the user or the
/// site knows.
///
/// # Errors
/// [`Error::Word`] for words that no shell can be told.
pub fn on_node(node: &Node, is_pinned: bool, words: &[String]) -> Result<Program, Error> {
    let settings = [
        "BatchMode=yes",
        "ClearAllForwardings=yes",
        "ConnectTimeout=20",
        // What would stay in the background would hold our pipes open.
        "ControlPath=none",
        "PermitLocalCommand=no",
        "RemoteCommand=none",
        "ServerAliveInterval=15",
        "ServerAliveCountMax=3",
    ];
    let ssh = settings
        .iter()
        .fold(Program::new("ssh").arg("-T"), |ssh, setting| {
            ssh.args(["-o", setting])
        });
    let to = match is_pinned {
        true => node.arguments(None),
        false => {
            let user = ["-l".to_owned(), node.user.to_string()];
            let host = ["--".to_owned(), node.name.to_string()];
            [user, host].concat()
        }
    };
    Ok(ssh.args(to).arg(command_line(words)?))
}

/// A relay that is up.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) relay: Relay,
    /// Dropping it ends the command.
    _child: Child,
    /// The master it goes over, and which socket that had.
    pub(super) master: Master,
    socket: Option<u64>,
}

impl Pipe {
    /// Carries one connection.
    ///
    /// # Errors
    /// [`relay::Error`] when it was not opened; then nothing of `from` was read.
    pub(super) async fn carry(
        &self,
        from: impl AsyncRead + Unpin,
        to: impl AsyncWrite + Unpin,
    ) -> Result<(), relay::Error> {
        self.relay.open().await?.carry(from, to).await;
        Ok(())
    }

    /// Runs the command over a live master, and waits for the mark.
    ///
    /// # Errors
    /// [`Error::Lost`] without a master, [`Error::QdebugMissing`], and what the way on from login
    /// gave, as of the node.
    pub(super) async fn open(
        master: &Master,
        login: &Destination,
        command: &PipeCommand,
    ) -> Result<Self, Error> {
        let frame = Frame::new();
        let line = command.line(frame.hex())?;
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
        let said = Arc::new(Mutex::new(Vec::new()));
        let listening = tokio::spawn(listen(errors, Arc::clone(&said)));
        let mut output = BufReader::new(output);
        let begun = begins(&mut output, frame.hex());
        if tokio::time::timeout(BEGIN, begun).await == Ok(true) {
            return Ok(Self {
                relay: Relay::over(output, input),
                _child: child,
                master: master.clone(),
                socket: inode(master),
            });
        }
        drop(input);
        let ended = tokio::time::timeout(END, child.wait()).await;
        let _ = tokio::time::timeout(Duration::from_millis(200), listening).await;
        let said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let said = String::from_utf8_lossy(&said);
        if said.contains(NO_MASTER) {
            return Err(lost());
        }
        match ended {
            Ok(Ok(status)) if matches!(status.code(), Some(126 | 127)) => {
                Err(Error::QdebugMissing {
                    host: login.to_string(),
                    looked: command.qdebug.clone(),
                })
            }
            Ok(_) => Err(Error::of_ssh(command.node.as_ref(), &reason(&said), false)),
            Err(_) => Err(Error::TimedOut {
                host: login.to_string(),
                command: line,
                limit: BEGIN,
            }),
        }
    }

    /// Whether it takes connections. One over a master that was replaced only keeps those it has.
    pub(super) fn is_open(&self) -> bool {
        self.relay.is_open() && self.socket == inode(&self.master)
    }
}

/// Which file the master's socket is.
fn inode(master: &Master) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = std::fs::symlink_metadata(master.socket());
    meta.ok().map(|meta| meta.ino())
}

/// Whether the mark comes: a line that ends with it, since noise may lack its line break.
async fn begins(output: &mut BufReader<ChildStdout>, hex: &str) -> bool {
    let mark = format!("qdebug-frame-{hex} begin\n");
    let (mut left, mut line) = (NOISE, Vec::new());
    while left > 0 {
        line.clear();
        match output.take(left).read_until(b'\n', &mut line).await {
            Ok(count) if count > 0 => left = left.saturating_sub(count as u64),
            _ => return false,
        }
        if line.ends_with(mark.as_bytes()) {
            return true;
        }
    }
    false
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

/// Reads to the end, or what is written there would wait for ever; keeps the last part.
async fn listen(mut errors: ChildStderr, said: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 4096];
    while let Ok(count) = errors.read(&mut buffer).await
        && count > 0
    {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend_from_slice(&buffer[..count]);
        if said.len() > KEPT {
            let over = said.len() - KEPT;
            said.drain(..over);
        }
    }
}

#[cfg(test)]
mod tests {
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
        let line = command.line("ab12").unwrap();
        assert_eq!(line, "'/opt/q d' pipe --mark ab12 '--by=nested' -- otter");
    }

    #[test]
    fn login_goes_on_with_pinned_keys_and_asks_nobody() {
        let node = Node {
            name: "node1".parse().unwrap(),
            address: "10.0.0.7".parse().unwrap(),
            port: 22,
            user: "alice".parse().unwrap(),
            host_key_alias: "qdebug-node-node1".parse().unwrap(),
            known_hosts: super::super::PlainPath::new("/tmp/a b").unwrap(),
        };
        let words = ["/opt/q d".to_owned(), "relay".to_owned()];
        let shown = |is_pinned| on_node(&node, is_pinned, &words).unwrap().shown();
        let pinned = shown(true);
        for part in [
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "HostKeyAlias=qdebug-node-node1",
            "HostName=10.0.0.7",
            " -- node1 ",
        ] {
            assert!(pinned.contains(part), "no {part:?} in {pinned}");
        }
        assert!(pinned.ends_with("relay'"), "{pinned}");
        assert!(!shown(false).contains("HostKey"), "{}", shown(false));
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
