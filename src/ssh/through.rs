//! Connections over a master: an `ssh -S MASTER -W HOST:PORT` for each.
//!
//! The master itself reads and writes the descriptors of such an ssh, which only waits. So the
//! accepted socket becomes its stdin: what the client sends never passes through us, and nothing of
//! it is consumed before the master has opened the channel. What comes back goes through one large
//! pipe, whose end is the end of that direction.

use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Child;

use super::error::Error;
use super::link::{Asking, Link, Route};
use super::master::{Master, NO_MASTER};
use super::pipe::Pipe;
use super::pump::{BUFFER, copy, read_line};
use super::route::Tunnel;
use super::why;

/// How long an ssh that could not connect takes to end, at most.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How an `ssh -W` ended.
pub(super) enum Outcome {
    /// Well.
    Done,
    /// There was no master: nothing was read or sent.
    NoMaster,
    /// Otherwise.
    Failed(Error),
}

impl Tunnel {
    /// The last master of the route, opened where it is not.
    pub(super) async fn by_master(&self, asking: Asking) -> Result<Link, Error> {
        let client = &self.client;
        let master = match &self.route {
            Route::Here | Route::Port { login: None, .. } => return Ok(Link::Here),
            Route::Login(login)
            | Route::Port {
                login: Some(login), ..
            } => client.login(login, asking.login).await?,
            Route::Jump { login: None, node } => client.node(None, node, asking.last).await?,
            Route::Jump {
                login: Some(login),
                node,
            } => {
                let via = client.login(login, asking.login).await?;
                match client.node(Some(&via), node, asking.last).await {
                    Ok(master) => master,
                    Err(error) => return Err(why::explained(error, &via, node).await),
                }
            }
            Route::Pipe { login, command } => {
                let via = client.login(login, asking.login).await?;
                let pipe = Pipe::over_master(&via, login, command).await?;
                return Ok(Link::Pipe(Arc::new(pipe)));
            }
        };
        Ok(Link::Master(master))
    }

    /// The first line of what answers.
    pub(super) async fn read_banner(
        &self,
        master: &Master,
        line: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let mut child = self.spawn(master, Stdio::piped(), Stdio::piped())?;
        if let Some(stdout) = &mut child.stdout {
            read_line(stdout, line).await;
        }
        if !line.is_empty() {
            return Ok(());
        }
        Err(match self.outcome(master, &mut child).await {
            Outcome::Done => self.refused(&self.route.end(), "it closed the connection"),
            Outcome::NoMaster => self.lost(master),
            Outcome::Failed(error) => error,
        })
    }

    /// Gives the stream back, untouched, when there was no master to carry it.
    pub(super) async fn carry_over(
        &self,
        master: &Master,
        stream: TcpStream,
        silence: impl Future<Output = Result<(), Error>>,
    ) -> Result<Option<TcpStream>, Error> {
        let lost = |_| self.refused(master.host(), "its connection went away at once");
        let stream = stream.into_std().map_err(lost)?;
        let input: OwnedFd = stream.try_clone().map_err(lost)?.into();
        let mut stream = TcpStream::from_std(stream).map_err(lost)?;
        let mut child = self.spawn(master, Stdio::from(input), Stdio::piped())?;
        let Some(mut stdout) = child.stdout.take() else {
            return Ok(None);
        };
        let mut first = vec![0; BUFFER];
        let count = tokio::select! {
            biased;
            read = stdout.read(&mut first) => read.unwrap_or(0),
            renewed = silence => {
                // The master keeps the stream, and only this ends it.
                let _ = stream.shutdown().await;
                renewed?;
                return Err(self.lost(master));
            }
        };
        if count > 0 {
            master.heard();
        }
        if count == 0 {
            // Nothing came: a channel that was never opened, or a server that says nothing.
            let failed = self.outcome(master, &mut child);
            let ended = match tokio::time::timeout(AT_ONCE, failed).await {
                Ok(ended) => ended,
                Err(_) => {
                    let _ = stream.shutdown().await;
                    self.outcome(master, &mut child).await
                }
            };
            return match ended {
                Outcome::Done => {
                    let _ = stream.shutdown().await;
                    Ok(None)
                }
                Outcome::NoMaster => Ok(Some(stream)),
                Outcome::Failed(error) => Err(error),
            };
        }
        let delivered = match stream.write_all(&first[..count]).await {
            Ok(()) => copy(stdout, &mut stream).await,
            Err(_) => false,
        };
        let _ = stream.shutdown().await;
        if delivered {
            let _ = child.wait().await;
        }
        // Else the client is gone: dropping the child ends the channel.
        Ok(None)
    }

    pub(super) fn spawn(
        &self,
        master: &Master,
        stdin: Stdio,
        stdout: Stdio,
    ) -> Result<Child, Error> {
        let target = self.route.target(self.port).to_string();
        let program = master.client(&["-W", &target]);
        Ok(program.spawn_with(stdin, stdout, Stdio::piped())?)
    }

    /// How an `ssh -W` ends.
    pub(super) async fn outcome(&self, master: &Master, child: &mut Child) -> Outcome {
        let mut said = Vec::new();
        if let Some(stderr) = &mut child.stderr {
            let _ = stderr.take(16 * 1024).read_to_end(&mut said).await;
        }
        let said = String::from_utf8_lossy(&said);
        match child.wait().await {
            Ok(status) if !status.success() => {}
            _ => return Outcome::Done,
        }
        let detail = said.lines().map(str::trim).rfind(|line| !line.is_empty());
        if said.contains(NO_MASTER) {
            Outcome::NoMaster
        } else if master.listens() {
            Outcome::Failed(
                self.refused(master.host(), detail.unwrap_or("it closed the connection")),
            )
        } else {
            Outcome::Failed(self.lost(master))
        }
    }

    pub(super) fn lost(&self, master: &Master) -> Error {
        Error::Lost {
            host: master.host().to_owned(),
            command: format!("a connection to port {}", self.port),
        }
    }
}
