//! Commands on a login node over a live master.

use std::time::Duration;

use openssh::Stdio;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use super::error::Error;
use super::frame::Frame;
use super::master::{Master, NO_MASTER};
use super::quote::command_line;
use super::remote::{Answer, NOISE, Remote};
use super::said::keep_end;

/// How long stderr is listened to once the answer is there: what the shell's start files have left
/// running there may hold it for ever.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// How much of what a command wrote on stderr is kept, in bytes.
const KEPT: usize = 64 * 1024;

/// How much may be written, noise and all, by a command whose answer is taken whole, in bytes.
const WHOLE: u64 = 4 << 20;

impl Remote {
    pub(super) async fn master(&self) -> Result<Master, Error> {
        self.client.login(&self.login, self.prompt).await
    }

    /// [`Remote::run_whole`] over a master.
    pub(super) async fn whole_over_master(
        &self,
        mut frame: Frame,
        words: Vec<String>,
        stdin: &[u8],
        limit: Duration,
    ) -> Result<Answer, Error> {
        let master = self.master().await?;
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

    /// Runs a command, and gives its stdout on as it comes.
    pub(super) async fn by_master(
        &self,
        frame: Frame,
        words: &[String],
        stdin: Option<&[u8]>,
        on_stdout: &mut impl FnMut(&[u8]),
    ) -> Result<Answer, Error> {
        let master = self.master().await?;
        let answer = self.over(&master, frame, words, stdin, on_stdout).await?;
        master.heard();
        Ok(answer)
    }

    async fn over(
        &self,
        master: &Master,
        mut frame: Frame,
        words: &[String],
        stdin: Option<&[u8]>,
        on_stdout: &mut impl FnMut(&[u8]),
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
        let answered = Notify::new();
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
                keep_end(&mut noise, &buffer[..count], NOISE);
                on_stdout(&frame.feed(&buffer[..count]));
                if frame.status().is_some() {
                    answered.notify_one();
                    break;
                }
            }
            on_stdout(&frame.finish());
            noise
        };
        let listen = async {
            let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
            let Some(mut pipe) = errors else { return said };
            let hear = async {
                while let Ok(count) = pipe.read(&mut buffer).await
                    && count > 0
                {
                    keep_end(&mut said, &buffer[..count], KEPT);
                }
            };
            let enough = async {
                answered.notified().await;
                tokio::time::sleep(LAST_WORDS).await;
            };
            tokio::select! {
                () = hear => {}
                () = enough => {}
            }
            said
        };
        let ((), noise, said) = tokio::join!(feed, read, listen);
        let stderr = String::from_utf8_lossy(&said).into_owned();
        if let Some(status) = frame.status() {
            // ssh itself may stay for as long as somebody there holds its streams; dropped, it ends.
            return Ok(Answer {
                status,
                stdout: String::new(),
                stderr,
            });
        }
        let status = match child.wait().await {
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
}
