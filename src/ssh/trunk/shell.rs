//! The ssh process of a trunk, while it is a `sh` on the login node.
//!
//! The shell reads its commands from its stdin, so neither their length nor the login shell's own
//! rules matter. What a command is to read stands among them as base64 in a here-document: bytes of
//! a file can never become words of the shell, not even when the command that should have read them
//! has died. Marks tell where a command's answer ends, on stdout and on stderr.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};

use super::{Ask, Trunk};
use crate::process;
use crate::relay::PROTOCOL;
use crate::ssh::client::{Client, Prompt};
use crate::ssh::error::Error;
use crate::ssh::frame::{Frame, begins};
use crate::ssh::quote::command_line;
use crate::ssh::said::{Said, listen};
use crate::ssh::watched::Watched;

/// How long ssh may take to connect and authenticate without a person, and a shell to begin.
const CONNECT: Duration = Duration::from_secs(40);

/// How long qdebug may take to begin there.
const BEGIN: Duration = Duration::from_secs(40);

/// How long an end of ssh is waited for, so that it can say why.
const END: Duration = Duration::from_secs(5);

/// How much a script may answer, in bytes.
const ANSWER: u64 = 16 * 1024 * 1024;

/// The length of a line of base64.
const LINE: usize = 76;

/// Settings of every trunk. Forwardings of the user's configuration belong to their own
/// connections; a network that died must be noticed.
const SETTINGS: [&str; 10] = [
    "ControlMaster=no",
    "ControlPath=none",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "PermitLocalCommand=no",
];

/// The statuses of a qdebug that does not know what is asked of it: of clap, and of ours.
const NOT_UNDERSTOOD: [i32; 2] = [2, 11];

/// A shell on the login node.
#[derive(Debug)]
pub(super) struct Shell {
    host: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    said: Arc<Said>,
}

/// What a command left behind.
pub(super) struct Ran {
    /// Its status, where it is known.
    pub(super) status: Option<i32>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

impl Shell {
    /// Connects to where these words lead ssh; a person at the terminal may be asked.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Authentication`], [`Error::HostKey`]; [`Error::NoAnswer`]
    /// where login has no `sh`.
    pub(super) async fn open(
        client: &Client,
        host: String,
        to: &[String],
        prompt: Prompt,
    ) -> Result<Self, Error> {
        let with_person = prompt == Prompt::Terminal;
        let batch = match with_person {
            true => "BatchMode=no",
            false => "BatchMode=yes",
        };
        let timeout = client.seen.timeout(Path::new(&host));
        let timeout = format!("ConnectTimeout={timeout}");
        let program = SETTINGS
            .iter()
            .chain([&batch, &timeout.as_str()])
            .fold(client.ssh().arg("-T"), |program, setting| {
                program.args(["-o", setting])
            })
            .args(to)
            .arg("sh");
        // Where it asks a person, Ctrl-C is an answer: an ssh that ignored it would go on without one,
        // and the cluster would count that as a wrong password.
        let program = match with_person {
            true => program,
            false => program.deaf_to_keyboard(),
        };
        let command = program.shown();
        let lost = || Error::Lost {
            host: host.clone(),
            command: command.clone(),
        };
        let piped = Stdio::piped;
        let mut child = program.spawn_with(piped(), piped(), piped())?;
        let (Some(mut input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(lost());
        };
        let said = Arc::new(Said::default());
        said.show(with_person);
        let listening = tokio::spawn(listen(errors, Arc::clone(&said)));
        let frame = Frame::new();
        let mark = format!("echo 'qdebug-frame-{} begin'\n", frame.hex());
        // Into the pipe: it is read when somebody is let in.
        let _ = input.write_all(mark.as_bytes()).await;
        let _ = input.flush().await;
        let mut output = BufReader::new(output);
        let begun = begins(&mut output, frame.hex());
        let begun = match with_person {
            true => begun.await,
            false => tokio::time::timeout(CONNECT, begun).await == Ok(true),
        };
        said.show(false);
        if begun {
            tracing::debug!(host, "a trunk is begun");
            client.seen.up(Path::new(&host));
            said.clear();
            return Ok(Self {
                host,
                child,
                input,
                output,
                said,
            });
        }
        drop(input);
        let status = ended(&mut child).await;
        let _ = tokio::time::timeout(Duration::from_millis(200), listening).await;
        let said = said.text();
        client.seen.failed(Path::new(&host), &said);
        Err(match status {
            None | Some(255) => Error::of_ssh(&host, &said, with_person),
            Some(127) if said.contains("ssh: not found") => process::Error::NotFound {
                program: "ssh".to_owned(),
            }
            .into(),
            Some(status) => Error::NoAnswer {
                host,
                command: "sh".to_owned(),
                status: Some(status),
                detail: last_line(&said),
            },
        })
    }

    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// It, unless it has ended.
    pub(super) fn living(mut self) -> Option<Self> {
        self.is_alive().then_some(self)
    }

    /// Runs a command to its end. Whoever drops this in between must drop the shell, too.
    pub(super) async fn run(&mut self, ask: &Ask<'_>) -> Result<Ran, Error> {
        let line = command_line(ask.words)?;
        tracing::debug!(host = self.host, command = line, "running on the cluster");
        let mark = format!("qdebug-over-{} ", ask.hex);
        let text = script(&line, ask.stdin, ask.hex, &mark);
        self.said.clear();
        let (input, output) = (&mut self.input, &mut self.output);
        let feeding = async {
            // A shell that has ended is known by its stdout.
            let _ = input.write_all(text.as_bytes()).await;
            let _ = input.flush().await;
        };
        let reading = async {
            let mut answer = Vec::new();
            let mut output = output.take(ANSWER);
            loop {
                let from = answer.len();
                match output.read_until(b'\n', &mut answer).await {
                    Ok(count) if count > 0 => {}
                    _ => return None,
                }
                // What stands before it may lack a line break.
                let line = &answer[from..];
                let at = line.windows(mark.len()).position(|w| w == mark.as_bytes());
                if let Some(at) = at {
                    let status = String::from_utf8_lossy(&line[at + mark.len()..]);
                    let status = status.trim().parse().ok();
                    answer.truncate(from + at);
                    return Some((status, answer));
                }
            }
        };
        let ((), answer) = tokio::join!(feeding, reading);
        let Some((status, stdout)) = answer else {
            return Err(Error::Lost {
                host: self.host.clone(),
                command: line,
            });
        };
        let stderr = tokio::time::timeout(END, self.said.until(&mark)).await;
        Ok(Ran {
            status,
            stdout,
            stderr: stderr.unwrap_or_else(|_| self.said.text()),
        })
    }

    /// Becomes the qdebug there, which relays.
    ///
    /// # Errors
    /// [`Error::QdebugMissing`], [`Error::Outdated`], [`Error::NoAnswer`], [`Error::TimedOut`].
    pub(super) async fn into_trunk(mut self, qdebug: &str) -> Result<Trunk, Error> {
        let frame = Frame::new();
        let protocol = PROTOCOL.to_string();
        let words = [
            qdebug,
            "trunk",
            "--mark",
            frame.hex(),
            "--protocol",
            &protocol,
        ];
        let line = command_line(&words)?;
        self.said.clear();
        let exec = format!("exec {line}\n");
        let _ = self.input.write_all(exec.as_bytes()).await;
        let _ = self.input.flush().await;
        let begun = begins(&mut self.output, frame.hex());
        if tokio::time::timeout(BEGIN, begun).await == Ok(true) {
            tracing::debug!(host = self.host, qdebug, "a trunk is up");
            return Ok(Trunk {
                host: self.host,
                qdebug: qdebug.to_owned(),
                relay: Watched::over(self.output, self.input),
                _child: self.child,
                said: self.said,
            });
        }
        drop(self.input);
        let status = ended(&mut self.child).await;
        let (host, said) = (self.host, self.said.text());
        Err(match status {
            Some(126 | 127) => Error::QdebugMissing {
                host,
                looked: qdebug.to_owned(),
            },
            Some(status) if NOT_UNDERSTOOD.contains(&status) => Error::Outdated {
                host,
                qdebug: qdebug.to_owned(),
            },
            Some(255) => Error::of_ssh(&host, &said, false),
            Some(status) => Error::NoAnswer {
                host,
                command: line,
                status: Some(status),
                detail: last_line(&said),
            },
            None => Error::TimedOut {
                host,
                command: line,
                limit: BEGIN,
            },
        })
    }
}

/// The lines that have a shell run `line` with `stdin`, and print the mark on both streams behind
/// it, with its status on stdout.
fn script(line: &str, stdin: Option<&[u8]>, hex: &str, mark: &str) -> String {
    let mut text = match stdin {
        None => format!("{line} </dev/null\n"),
        Some(bytes) => {
            let end = format!("qdebug-input-{hex}");
            let data = BASE64.encode(bytes);
            let mut text = format!("base64 -d <<'{end}' | {line}\n");
            text.reserve(data.len() + data.len() / LINE + 256);
            let mut rest = data.as_str();
            while !rest.is_empty() {
                // base64 is ASCII.
                let (first, others) = rest.split_at(rest.len().min(LINE));
                text.push_str(first);
                text.push('\n');
                rest = others;
            }
            text + &end + "\n"
        }
    };
    text.push_str(&format!("echo \"{mark}$?\"; echo '{mark}' >&2\n"));
    text
}

/// The status of ssh, where it ends soon.
async fn ended(child: &mut Child) -> Option<i32> {
    let ended = tokio::time::timeout(END, child.wait()).await;
    ended.ok()?.ok().map(process::code)
}

fn last_line(said: &str) -> String {
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.unwrap_or("it wrote nothing").to_owned()
}

#[cfg(unix)] // It runs sh.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Program;

    #[tokio::test]
    async fn every_byte_reaches_a_command_and_none_becomes_a_word() {
        let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let text = [
            script("cat", Some(&bytes), "ab", "over-a "),
            script("cat", Some(b""), "ab", "over-b "),
            script("exit 7", Some(b"echo no\n"), "ab", "over-c "),
            script("printf x", None, "ab", "over-d "),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("got");
        let program = Program::new("sh").stdin(text.concat());
        let sh = program.output().await.unwrap();
        let marks: Vec<&str> = sh.stderr.lines().collect();
        assert_eq!(marks, ["over-a ", "over-b ", "over-c ", "over-d "]);
        let end = "over-a 0\nover-b 0\nover-c 7\nxover-d 0\n";
        assert!(sh.stdout.ends_with(end) && !sh.stdout.contains("no\n"));
        let to_file = format!("cat >'{}'", path.display());
        let program = Program::new("sh").stdin(script(&to_file, Some(&bytes), "ab", "m "));
        program.output().await.unwrap();
        assert!(std::fs::read(&path).unwrap() == bytes);
    }
}
