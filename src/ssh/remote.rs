//! qdebug's own commands on a login node, over a live master or a trunk.

use std::time::Duration;

use tokio::time::Instant;

use super::client::{Client, Prompt};
use super::error::Error;
use super::frame::Frame;
use super::link::Route;
use super::quote::command_line;
use super::said::keep_end;
use super::trunk::Ask;
use super::word::Destination;

/// How much a command may answer, in bytes.
const ANSWER: usize = 16 << 20;

/// Where qdebug is looked for on a cluster that no profile describes: for `sh`, on one line.
const PROBE: &str = r#"for q in "$(command -v qdebug)" "$HOME/.local/bin/qdebug" /usr/local/bin/qdebug; do case $q in /*) if [ -f "$q" ] && [ -x "$q" ]; then echo "qdebug-frame-$0 begin"; echo "$q"; echo "qdebug-frame-$0 end 0"; exit 0; fi;; esac; done; echo "qdebug-frame-$0 begin"; echo "qdebug-frame-$0 end 1""#;

/// Where that is, for people.
const LOOKED: &str = "PATH, ~/.local/bin/qdebug and /usr/local/bin/qdebug";

/// How long finding it may take.
const PROBE_LIMIT: Duration = Duration::from_secs(30);

/// How long a command may say nothing until login is asked whether it is still there.
const SLOW: Duration = Duration::from_secs(5);

/// How much of stdout is kept to tell what was said instead of an answer, in bytes.
pub(super) const NOISE: usize = 1024;

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
    pub(super) client: Client,
    pub(super) login: Destination,
    qdebug: String,
    pub(super) prompt: Prompt,
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
    pub async fn dial(&self) -> Result<(), Error> {
        match self.client.has_trunk(&self.login) {
            true => self.client.begin_trunk(&self.login, self.prompt).await,
            #[cfg(unix)]
            false => self.master().await.map(drop),
            #[cfg(not(unix))]
            false => Err(self.no_way()),
        }
    }

    /// The client that leads there.
    pub fn client(&self) -> &Client {
        &self.client
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
        let (frame, words) = self.framed(args);
        if self.client.has_trunk(&self.login) {
            let begun = self
                .client
                .trunk(&self.login, &self.qdebug, self.prompt)
                .await;
            begun.map_err(Error::of_no_beginning)?;
            return self.exchange_once(frame, &words, Some(stdin), limit).await;
        }
        #[cfg(unix)]
        return self.whole_over_master(frame, words, stdin, limit).await;
        #[cfg(not(unix))]
        Err(self.no_way())
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
        if self.client.has_trunk(&self.login) {
            return self.by_trunk(frame, &words, None, &mut on_stdout).await;
        }
        self.by_master(frame, &words, None, &mut on_stdout).await
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
        let mut stdout = Vec::new();
        let mut keep = |piece: &[u8]| {
            // One byte above tells that there was more.
            let room = (ANSWER + 1).saturating_sub(stdout.len());
            stdout.extend_from_slice(&piece[..piece.len().min(room)]);
        };
        let mut answer = if self.client.has_trunk(&self.login) {
            self.by_trunk(frame, words, stdin, &mut keep).await?
        } else {
            self.by_master(frame, words, stdin, &mut keep).await?
        };
        if stdout.len() > ANSWER {
            let detail = format!("it answered more than {ANSWER} bytes");
            return Err(self.no_answer(words, Some(answer.status), &detail, ""));
        }
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

    async fn by_trunk(
        &self,
        mut frame: Frame,
        words: &[String],
        stdin: Option<&[u8]>,
        on_stdout: &mut impl FnMut(&[u8]),
    ) -> Result<Answer, Error> {
        let (hex, mut noise) = (frame.hex().to_owned(), Vec::new());
        let ask = Ask {
            qdebug: Some(self.qdebug.as_str()).filter(|path| path.starts_with('/')),
            hex: &hex,
            words,
            stdin,
        };
        let take = |piece: &[u8]| {
            keep_end(&mut noise, piece, NOISE);
            on_stdout(&frame.feed(piece));
        };
        let ran = self
            .client
            .run_by_trunk(&self.login, self.prompt, &ask, take);
        let (status, stderr) = ran.await?;
        on_stdout(&frame.finish());
        match frame.status() {
            Some(status) => Ok(Answer {
                status,
                stdout: String::new(),
                stderr,
            }),
            None => {
                let noise = String::from_utf8_lossy(&noise);
                Err(self.no_answer(words, status, &stderr, &noise))
            }
        }
    }

    /// All that has a login has a trunk there.
    #[cfg(not(unix))]
    fn no_way(&self) -> Error {
        Error::Unreachable {
            host: self.login.to_string(),
            detail: "no way leads there from here".to_owned(),
        }
    }

    #[cfg(not(unix))]
    async fn by_master(
        &self,
        _: Frame,
        _: &[String],
        _: Option<&[u8]>,
        _: &mut impl FnMut(&[u8]),
    ) -> Result<Answer, Error> {
        Err(self.no_way())
    }

    /// What a command without an answer means, by its status where one came, its stderr and what
    /// else it printed.
    pub(super) fn no_answer(
        &self,
        words: &[String],
        status: Option<i32>,
        stderr: &str,
        noise: &str,
    ) -> Error {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_is_one_line_that_every_shell_passes_on() {
        let line = command_line(&["sh", "-c", PROBE, "ab"]).unwrap();
        assert!(!line.contains('\n') && !PROBE.contains('!'));
    }
}
