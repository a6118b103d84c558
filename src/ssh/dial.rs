//! How a master is opened: under a lock, asking a person at most once, and in place of one that is
//! silent.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::client::{Client, Prompt};
use super::error::Error;
use super::master::{LOCAL, Master};
use super::word::PlainPath;
use crate::process::{self, Program};

/// How long ssh may take to connect and, without a person, to authenticate.
const CONNECT: Duration = Duration::from_secs(20);

/// How long another qdebug that opens the same master is waited for; with a terminal it may be
/// waiting for a person who types.
const PATIENCE: Duration = Duration::from_secs(30);
const PATIENCE_WITH_PERSON: Duration = Duration::from_secs(180);

/// How long a lock that nobody holds takes, at most.
const LOCK_IS_FREE: Duration = Duration::from_millis(40);

/// Settings of every master of ours. Forwardings of the user's configuration belong to their own
/// connections; a network that died must be noticed.
const SETTINGS: [&str; 7] = [
    "ControlPersist=600",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "ClearAllForwardings=yes",
    "RemoteCommand=none",
    "RequestTTY=no",
    "PermitLocalCommand=no",
];

impl Client {
    pub(super) async fn open(
        &self,
        master: Master,
        to: Vec<String>,
        prompt: Prompt,
    ) -> Result<Master, Error> {
        let socket = master.socket.as_path();
        let patience = match prompt {
            Prompt::Terminal => PATIENCE_WITH_PERSON,
            Prompt::Never => PATIENCE,
        };
        let _lock = master.lock(patience).await?;
        if master.is_alive().await {
            return Ok(master);
        }
        remove_dead(socket)?;
        // One that was up has its host key and mostly needs nobody: a person is shown no more of
        // it than that it is tried again.
        if prompt == Prompt::Terminal && self.seen.knows(socket) {
            match self.dial(&master, socket, &to, Prompt::Never).await {
                Err(Error::Authentication { .. }) => {}
                dialled => return dialled.map(|()| master),
            }
        }
        self.dial(&master, socket, &to, prompt).await?;
        Ok(master)
    }

    /// Puts a new master in place of one that is silent, without a person: `old` is left to what it
    /// carries, and is untouched unless the new one is up.
    ///
    /// # Errors
    /// As [`Client::login`].
    pub(super) async fn replace(
        &self,
        old: &Master,
        ours: &Master,
        to: Vec<String>,
    ) -> Result<(), Error> {
        let (client, old, ours) = (self.clone(), old.clone(), ours.clone());
        let host = ours.host.clone();
        // Whoever waits for it may go away; it is not to be left half done.
        let replacing = tokio::spawn(async move {
            let begun = Instant::now();
            let _lock = ours.lock(PATIENCE).await?;
            // Perhaps another has just done it.
            if begun.elapsed() > LOCK_IS_FREE && ours.listens() && ours.answers().await {
                return Ok(());
            }
            // Of its own: a master that stops removes the path it was made with, whose it is now.
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let turn = now.map_or(0, |now| now.subsec_micros());
            let beside = ours.socket.as_path().with_extension(format!("{turn:05x}"));
            remove_dead(&beside)?;
            client.dial(&ours, &beside, &to, Prompt::Never).await?;
            if old.ours {
                old.stop_listening().await;
            }
            std::fs::rename(&beside, ours.socket()).map_err(Error::file("move", beside))
        });
        let lost = |_| Error::Lost {
            host,
            command: "dialling again".to_owned(),
        };
        replacing.await.map_err(lost)?
    }

    /// Dials, for `master` but with the socket there.
    async fn dial(
        &self,
        master: &Master,
        socket: &Path,
        to: &[String],
        prompt: Prompt,
    ) -> Result<(), Error> {
        let batch = match prompt {
            Prompt::Terminal => "BatchMode=no",
            Prompt::Never => "BatchMode=yes",
        };
        let timeout = format!("ConnectTimeout={}", self.seen.timeout(master.socket()));
        let program = self.ssh().args(["-M", "-N", "-f", "-S"]).arg(socket);
        let program = SETTINGS
            .iter()
            .chain([&batch, &timeout.as_str()])
            .fold(program, |program, setting| program.args(["-o", setting]))
            .args(to);
        let asked = prompt == Prompt::Terminal;
        let (status, stderr) = talk(program, asked).await?;
        let there = Master {
            socket: PlainPath::new(socket)?,
            ..master.clone()
        };
        if status == 0 && there.is_alive().await {
            tracing::debug!(host = master.host, ?socket, "master opened");
            self.seen.up(master.socket());
            master.heard();
            Ok(())
        } else {
            self.seen.failed(master.socket(), &stderr);
            Err(Error::of_ssh(&master.host, &stderr, asked))
        }
    }
}

fn remove_dead(socket: &Path) -> Result<(), Error> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file("remove the dead socket", PathBuf::from(socket))(error))
        }
        _ => Ok(()),
    }
}

/// Runs ssh until it has gone to the background or given up; its status and what it said. With a
/// person it may take its time, and what it says is shown to them as it comes: it asks on the
/// terminal by itself, and these are its own words to its own user.
async fn talk(program: Program, with_person: bool) -> Result<(i32, String), Error> {
    let command = program.shown();
    let mut child = program.spawn_with(Stdio::null(), Stdio::null(), Stdio::piped())?;
    let mut said = Vec::new();
    let mut stderr = child.stderr.take();
    let status = {
        let listen = async {
            let mut buffer = [0; 4096];
            while let Some(pipe) = &mut stderr
                && let Ok(count) = pipe.read(&mut buffer).await
                && count > 0
            {
                said.extend_from_slice(&buffer[..count]);
                if with_person {
                    let mut ours = tokio::io::stderr();
                    let _ = ours.write_all(&buffer[..count]).await;
                    let _ = ours.flush().await;
                }
            }
        };
        let ended = async {
            let status = child.wait().await;
            // The background master of an old ssh keeps our pipe: its end may never come.
            tokio::time::sleep(Duration::from_millis(50)).await;
            status
        };
        let both = async {
            tokio::pin!(listen, ended);
            tokio::select! {
                status = &mut ended => status,
                () = &mut listen => ended.await,
            }
        };
        if with_person {
            both.await
        } else {
            let limit = CONNECT + LOCAL;
            match tokio::time::timeout(limit, both).await {
                Ok(status) => status,
                Err(_) => return Err(process::Error::TimedOut { command, limit }.into()),
            }
        }
    };
    let status = status.map_err(|source| process::Error::Io { command, source })?;
    let said = String::from_utf8_lossy(&said).into_owned();
    tracing::debug!(%status, stderr = said.trim_end(), "ssh opened a master or gave up");
    Ok((process::code(status), said))
}
