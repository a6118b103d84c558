//! qdebug's own commands on a login node, over a live master.

use std::time::Duration;

use openssh::Stdio;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::error::Error;
use super::frame::Frame;
use super::link::Route;
use super::master::{Client, Master, NO_MASTER, Prompt};
use super::quote::command_line;
use super::word::Destination;

/// Where qdebug is looked for on a cluster that no profile describes: for `sh`, on one line.
const PROBE: &str = r#"for q in "$(command -v qdebug)" "$HOME/.local/bin/qdebug" /usr/local/bin/qdebug; do case $q in /*) if [ -f "$q" ] && [ -x "$q" ]; then echo "qdebug-frame-$0 begin"; echo "$q"; echo "qdebug-frame-$0 end 0"; exit 0; fi;; esac; done; echo "qdebug-frame-$0 begin"; echo "qdebug-frame-$0 end 1""#;

/// Where that is, for people.
const LOOKED: &str = "PATH, ~/.local/bin/qdebug and /usr/local/bin/qdebug";

/// How long finding it may take.
const PROBE_LIMIT: Duration = Duration::from_secs(30);

/// How long a command may say nothing until login is asked whether it is still there.
const SLOW: Duration = Duration::from_secs(5);

/// How much of what a command wrote on stderr is kept, in bytes.
const KEPT: usize = 64 * 1024;

/// How much may be written, noise and all, by a command whose answer is taken whole, in bytes.
const WHOLE: u64 = 4 << 20;

/// What a command answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// qdebug's own exit code.
    pub status: i32,
    /// Its stdout, without the noise of shell start files; empty where it was streamed.
    pub stdout: String,
    /// stderr of all that ran, noise included, its last part when it is long.
    pub stderr: String,
}

/// The qdebug of a cluster.
#[derive(Debug, Clone)]
pub struct Remote {
    client: Client,
    login: Destination,
    qdebug: String,
    prompt: Prompt,
}

impl Remote {
    /// A cluster's qdebug by its path there, as a profile names it.
    ///
    /// # Errors
    /// [`Error::Word`] for a path that cannot be written into a command.
    pub fn at(
        client: Client,
        login: Destination,
        qdebug: &str,
        prompt: Prompt,
    ) -> Result<Self, Error> {
        command_line(&[qdebug])?;
        Ok(Self {
            client,
            login,
            qdebug: qdebug.to_owned(),
            prompt,
        })
    }

    /// Looks for qdebug on a cluster.
    ///
    /// # Errors
    /// [`Error::QdebugMissing`], and those of the way there.
    pub async fn find(client: Client, login: Destination, prompt: Prompt) -> Result<Self, Error> {
        let mut remote = Self::at(client, login, "sh", prompt)?;
        let frame = Frame::new();
        let words = ["sh", "-c", PROBE, frame.hex()].map(str::to_owned);
        let answer = remote.exchange(frame, &words, None, PROBE_LIMIT).await?;
        let path = answer.stdout.trim();
        if answer.status != 0 || path.contains(char::is_control) || !path.starts_with('/') {
            return Err(Error::QdebugMissing {
                host: remote.login.to_string(),
                looked: LOOKED.to_owned(),
            });
        }
        path.clone_into(&mut remote.qdebug);
        Ok(remote)
    }

    /// The path there.
    pub fn qdebug(&self) -> &str {
        &self.qdebug
    }

    /// The login node.
    pub fn login(&self) -> &Destination {
        &self.login
    }

    /// Makes sure that login can be reached.
    ///
    /// # Errors
    /// As [`Client::login`].
    pub async fn dial(&self) -> Result<Master, Error> {
        self.client.login(&self.login, self.prompt).await
    }

    /// Runs `qdebug ARGS` there and gives its answer, whatever its status.
    ///
    /// # Errors
    /// [`Error::QdebugMissing`], [`Error::NoAnswer`], [`Error::TimedOut`], [`Error::Lost`], those
    /// of the way there, and [`Error::Word`] for arguments that no shell can be told.
    pub async fn run<S: AsRef<str>>(
        &self,
        args: &[S],
        stdin: Option<&[u8]>,
        limit: Duration,
    ) -> Result<Answer, Error> {
        let (frame, words) = self.framed(args);
        self.exchange(frame, &words, stdin, limit).await
    }

    /// The same as [`Remote::run`], which a Ctrl-C on this terminal does not cut short: for what
    /// changes something there and whose answer must be known.
    ///
    /// # Errors
    /// As [`Remote::run`].
    pub async fn run_whole<S: AsRef<str>>(
        &self,
        args: &[S],
        stdin: &[u8],
        limit: Duration,
    ) -> Result<Answer, Error> {
        let (mut frame, words) = self.framed(args);
        let master = self.dial().await?;
        let line = command_line(&words)?;
        tracing::debug!(host = %self.login, command = line, "running on the cluster");
        let program = master.client(&["-T"]).arg(&line).stdin(stdin);
        let program = program.time_limit(limit).at_most(WHOLE);
        let output = program.own_group().output().await?;
        let mut stdout = frame.feed(output.stdout.as_bytes());
        stdout.extend(frame.finish());
        if let Some(status) = frame.status() {
            return Ok(Answer {
                status,
                stdout: String::from_utf8_lossy(&stdout).into_owned(),
                stderr: output.stderr,
            });
        }
        if output.stderr.contains(NO_MASTER) || !master.is_alive().await {
            return Err(Error::Lost {
                host: self.login.to_string(),
                command: words.join(" "),
            });
        }
        let status = Some(output.status).filter(|status| *status != 255);
        Err(self.no_answer(&words, status, &output.stderr, &output.stdout))
    }

    /// The same without a limit, each piece of stdout given on as it comes and not kept: for
    /// `logs -f`.
    ///
    /// # Errors
    /// As [`Remote::run`].
    pub async fn stream<S: AsRef<str>>(
        &self,
        args: &[S],
        mut on_stdout: impl FnMut(&[u8]),
    ) -> Result<Answer, Error> {
        let (frame, words) = self.framed(args);
        let master = self.dial().await?;
        self.over(&master, frame, &words, None, &mut on_stdout)
            .await
    }

    fn framed<S: AsRef<str>>(&self, args: &[S]) -> (Frame, Vec<String>) {
        let frame = Frame::new();
        let begin = [self.qdebug.as_str(), "--frame", frame.hex()];
        let args = args.iter().map(AsRef::as_ref);
        let words = begin.into_iter().chain(args).map(str::to_owned).collect();
        (frame, words)
    }

    async fn exchange(
        &self,
        frame: Frame,
        words: &[String],
        stdin: Option<&[u8]>,
        limit: Duration,
    ) -> Result<Answer, Error> {
        let deadline = Instant::now() + limit;
        let timed_out = |_| self.timed_out(words, limit);
        loop {
            // A slow answer is no reason to take the connections of others down with it.
            let run = self.attempt(frame.clone(), words, stdin);
            tokio::select! {
                answer = tokio::time::timeout_at(deadline, run) => {
                    return answer.map_err(timed_out)?;
                }
                () = self.silence() => {}
            }
        }
    }

    /// The same for what may not run twice, or keeps the line so full that it seems silent.
    pub(super) async fn exchange_once(
        &self,
        frame: Frame,
        words: &[String],
        stdin: Option<&[u8]>,
        limit: Duration,
    ) -> Result<Answer, Error> {
        let run = self.attempt(frame, words, stdin);
        let answer = tokio::time::timeout(limit, run).await;
        answer.map_err(|_| self.timed_out(words, limit))?
    }

    async fn attempt(
        &self,
        frame: Frame,
        words: &[String],
        stdin: Option<&[u8]>,
    ) -> Result<Answer, Error> {
        let master = self.dial().await?;
        let mut stdout = Vec::new();
        let mut keep = |piece: &[u8]| stdout.extend_from_slice(piece);
        let mut answer = self.over(&master, frame, words, stdin, &mut keep).await?;
        master.heard();
        answer.stdout = String::from_utf8_lossy(&stdout).into_owned();
        Ok(answer)
    }

    fn timed_out(&self, words: &[String], limit: Duration) -> Error {
        Error::TimedOut {
            host: self.login.to_string(),
            command: words.join(" "),
            limit,
        }
    }

    /// Resolves when login did not answer at all and was dialled anew; waits while it answers, and
    /// where it cannot be dialled without a person: it may only be slow.
    async fn silence(&self) {
        let route = Route::Login(self.login.clone());
        loop {
            tokio::time::sleep(SLOW).await;
            match self.client.renew(&route).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "login says nothing and is not dialled anew"),
            }
        }
    }

    async fn over(
        &self,
        master: &Master,
        mut frame: Frame,
        words: &[String],
        stdin: Option<&[u8]>,
        on_stdout: &mut dyn FnMut(&[u8]),
    ) -> Result<Answer, Error> {
        let line = command_line(words)?;
        tracing::debug!(host = %self.login, command = line, "running on the cluster");
        let lost = |_| Error::Lost {
            host: self.login.to_string(),
            command: words.join(" "),
        };
        let session = master.session();
        let mut child = session
            .raw_command(&line)
            .stdin(if stdin.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .await
            .map_err(lost)?;
        let (input, output, errors) = (
            child.stdin().take(),
            child.stdout().take(),
            child.stderr().take(),
        );
        let feed = async {
            if let (Some(mut pipe), Some(bytes)) = (input, stdin) {
                // A command that does not read its input closes it: its status tells.
                let _ = pipe.write_all(bytes).await;
            }
        };
        let read = async {
            let (mut noise, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
            let Some(mut pipe) = output else { return noise };
            while let Ok(count) = pipe.read(&mut buffer).await
                && count > 0
            {
                keep_end(&mut noise, &buffer[..count], 1024);
                on_stdout(&frame.feed(&buffer[..count]));
                if frame.status().is_some() {
                    break;
                }
            }
            on_stdout(&frame.finish());
            noise
        };
        let listen = async {
            let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
            let Some(mut pipe) = errors else { return said };
            while let Ok(count) = pipe.read(&mut buffer).await
                && count > 0
            {
                keep_end(&mut said, &buffer[..count], KEPT);
            }
            said
        };
        let ((), noise, said) = tokio::join!(feed, read, listen);
        let ended = child.wait().await;
        let stderr = String::from_utf8_lossy(&said).into_owned();
        if let Some(status) = frame.status() {
            return Ok(Answer {
                status,
                stdout: String::new(),
                stderr,
            });
        }
        let status = match ended {
            Ok(status) => status.code(),
            // The crate's words for 127 and for 255.
            Err(openssh::Error::Remote(_)) => Some(127),
            Err(openssh::Error::RemoteProcessTerminated) if !master.is_alive().await => {
                return Err(lost(openssh::Error::Disconnected));
            }
            Err(_) => None,
        };
        let noise = String::from_utf8_lossy(&noise);
        Err(self.no_answer(words, status, &stderr, &noise))
    }

    /// What a command without an answer means, by its status where one came, its stderr and what
    /// else it printed.
    fn no_answer(&self, words: &[String], status: Option<i32>, stderr: &str, noise: &str) -> Error {
        let host = self.login.to_string();
        if let Some(126 | 127) = status {
            return Error::QdebugMissing {
                host,
                looked: words.first().cloned().unwrap_or_default(),
            };
        }
        let detail = [stderr.trim(), noise.trim()]
            .into_iter()
            .find(|text| !text.is_empty())
            .and_then(|text| text.lines().last())
            .unwrap_or("it wrote nothing")
            .to_owned();
        Error::NoAnswer {
            host,
            command: words.join(" "),
            status,
            detail,
        }
    }
}

fn keep_end(kept: &mut Vec<u8>, new: &[u8], limit: usize) {
    kept.extend_from_slice(new);
    if kept.len() > limit {
        kept.drain(..kept.len() - limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept() {
        let mut kept = b"abc".to_vec();
        keep_end(&mut kept, b"def", 4);
        assert_eq!(kept, b"cdef");
    }

    #[test]
    fn the_probe_is_one_line_that_every_shell_passes_on() {
        let line = command_line(&["sh", "-c", PROBE, "ab"]).unwrap();
        assert!(!line.contains('\n') && !PROBE.contains('!'));
    }
}
