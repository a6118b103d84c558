//! The hops to one session, and the bytes of one connection through them.
//!
//! Problem: a connection should cost one handshake, lose no byte when a hop has died, and pass an
//! end of one direction on while the other goes on. Evidence: the master itself reads and writes
//! the descriptors of an `ssh -S MASTER -W HOST:PORT`, that ssh only waits. Solution: the accepted
//! socket becomes that ssh's stdin, so what the client sends never passes through us, and nothing
//! of it is consumed before the master has opened the channel; what comes back goes through one
//! large pipe, whose end is the end of that direction.

use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::Error;
use super::link::{Link, Route};
use super::master::{Client, Master, NO_MASTER, Prompt};
use super::pipe::Pipe;
use super::pump::{BUFFER, copy, read_line};
use super::silence::Renewed;
use super::why;
use crate::relay;

/// After a dialling that failed, how long its answer stands for others: a client that tries again
/// in a loop must not make a cluster count failures, nor ask a person ten times. A host that is not
/// reached counts none, and may be back any moment.
const REST: Duration = Duration::from_secs(5);
const REST_UNREACHABLE: Duration = Duration::from_secs(1);

/// How long an ssh that could not connect takes to end, at most.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How long the session's sshd may take to say its first words.
const BANNER: Duration = Duration::from_secs(20);

/// The way to one session's port, dialled when it is needed and again when it was lost.
#[derive(Debug)]
pub struct Tunnel {
    pub(super) client: Client,
    pub(super) route: Route,
    port: u16,
    prompt: Prompt,
    is_quiet: AtomicBool,
    dialled: Mutex<Dialled>,
    pub(super) renewed: Mutex<Option<Renewed>>,
}

#[derive(Debug)]
enum Dialled {
    Not,
    Up(Link),
    /// How long that answer stands, and what it was.
    Failed(Instant, String),
}

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
    /// A tunnel along `route` to `port` at its end; nothing is dialled yet.
    pub fn new(client: Client, route: Route, port: u16, prompt: Prompt) -> Arc<Self> {
        Arc::new(Self {
            client,
            route,
            port,
            prompt,
            is_quiet: AtomicBool::new(false),
            dialled: Mutex::new(Dialled::Not),
            renewed: Mutex::new(None),
        })
    }

    /// Whether the hop behind login may ask the person, too, where one is there: not while another
    /// way may need none.
    pub fn be_quiet(&self, is_quiet: bool) {
        self.is_quiet.store(is_quiet, Ordering::Relaxed);
    }

    fn last_prompt(&self) -> Prompt {
        match self.is_quiet.load(Ordering::Relaxed) {
            true => Prompt::Never,
            false => self.prompt,
        }
    }

    pub(super) async fn link(&self) -> Result<Link, Error> {
        let mut dialled = self.dialled.lock().await;
        if let Dialled::Failed(until, detail) = &*dialled
            && Instant::now() < *until
        {
            let detail = detail.clone();
            return Err(Error::StillDown { detail });
        }
        let opened = self.opened(&dialled).await;
        *dialled = match &opened {
            Ok(link) => Dialled::Up(link.clone()),
            Err(error) => {
                let rest = match error {
                    Error::Unreachable { .. } => REST_UNREACHABLE,
                    _ => REST,
                };
                Dialled::Failed(Instant::now() + rest, error.to_string())
            }
        };
        opened
    }

    /// What is up and answers, else what is dialled. A connection that was given to a silent master
    /// could not be taken back, so whoever was not heard of just now is asked before.
    async fn opened(&self, dialled: &Dialled) -> Result<Link, Error> {
        let link = match dialled {
            Dialled::Up(link) if link.is_up() => link.clone(),
            _ => self.open().await?,
        };
        if link.answers().await {
            return Ok(link);
        }
        self.client.renew(&self.route).await?;
        self.open().await
    }

    async fn open(&self) -> Result<Link, Error> {
        let client = &self.client;
        let master = match &self.route {
            Route::Here | Route::Port { login: None, .. } => return Ok(Link::Here),
            Route::Login(login)
            | Route::Port {
                login: Some(login), ..
            } => client.login(login, self.prompt).await?,
            Route::Jump { login: None, node } => {
                client.node(None, node, self.last_prompt()).await?
            }
            Route::Jump {
                login: Some(login),
                node,
            } => {
                let via = client.login(login, self.prompt).await?;
                match client.node(Some(&via), node, self.last_prompt()).await {
                    Ok(master) => master,
                    Err(error) => return Err(why::explained(error, &via, node).await),
                }
            }
            Route::Pipe { login, command } => {
                let via = client.login(login, self.prompt).await?;
                let pipe = Pipe::open(&via, login, command).await?;
                return Ok(Link::Pipe(Arc::new(pipe)));
            }
        };
        Ok(Link::Master(master))
    }

    /// Reads the first line of the session's sshd: proof that the whole way carries.
    ///
    /// # Errors
    /// What dialling gave, or [`Error::Forward`].
    pub async fn probe(&self) -> Result<String, Error> {
        let refused = |detail: &str| self.refused(&self.route.end(), detail);
        // It may ask a person, and has limits of its own.
        let link = self.link().await?;
        let read = async {
            let mut line = Vec::new();
            match link {
                Link::Here => {
                    let mut stream = self.connect_here().await?;
                    read_line(&mut stream, &mut line).await;
                }
                Link::Pipe(pipe) => {
                    let (mut mine, theirs) = tokio::io::duplex(BUFFER);
                    let (from, to) = tokio::io::split(theirs);
                    tokio::select! {
                        biased;
                        () = read_line(&mut mine, &mut line) => {}
                        carried = pipe.carry(from, to) => {
                            carried.map_err(|error| self.not_carried(&error))?;
                        }
                    }
                }
                Link::Master(master) => {
                    let mut child = self.spawn(&master, Stdio::piped(), Stdio::piped())?;
                    if let Some(stdout) = &mut child.stdout {
                        read_line(stdout, &mut line).await;
                    }
                    if line.is_empty() {
                        return Err(match self.outcome(&master, &mut child).await {
                            Outcome::Done => refused("it closed the connection"),
                            Outcome::NoMaster => self.lost(&master),
                            Outcome::Failed(error) => error,
                        });
                    }
                }
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if line.starts_with("SSH-") {
                Ok(line)
            } else {
                Err(refused("what answers there is no sshd"))
            }
        };
        match tokio::time::timeout(BANNER, read).await {
            Ok(read) => read,
            Err(_) => Err(refused("no answer")),
        }
    }

    /// Carries one accepted connection until both sides are done.
    ///
    /// # Errors
    /// Why it could not be carried; a connection that broke later is no error of the tunnel.
    pub async fn carry(&self, stream: TcpStream) -> Result<(), Error> {
        let _ = stream.set_nodelay(true);
        let mut stream = stream;
        // A link may have died after it was looked at: nothing of the stream has been read then.
        for is_last in [false, true] {
            let link = self.link().await?;
            let silence = self.silence(Instant::now());
            match link {
                Link::Here => {
                    let mut to = self.connect_here().await?;
                    let (from, to) = (&mut stream, &mut to);
                    let _ =
                        tokio::io::copy_bidirectional_with_sizes(from, to, BUFFER, BUFFER).await;
                    return Ok(());
                }
                Link::Master(master) => match self.carry_over(&master, stream, silence).await? {
                    None => return Ok(()),
                    Some(_) if is_last => return Err(self.lost(&master)),
                    Some(untouched) => stream = untouched,
                },
                Link::Pipe(pipe) => {
                    let opened = tokio::select! {
                        opened = pipe.relay.open() => opened,
                        renewed = silence => {
                            renewed?;
                            Err(relay::Error::Ended)
                        }
                    };
                    match opened {
                        Ok(opened) => {
                            let (from, to) = stream.split();
                            opened.carry(from, to).await;
                            return Ok(());
                        }
                        Err(relay::Error::Ended) if !is_last => {}
                        Err(error) => return Err(self.not_carried(&error)),
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives the stream back, untouched, when there was no master to carry it.
    async fn carry_over(
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

    pub(super) async fn connect_here(&self) -> Result<TcpStream, Error> {
        let stream = TcpStream::connect(self.route.target(self.port))
            .await
            .map_err(|error| self.refused(&self.route.end(), &error.to_string()))?;
        let _ = stream.set_nodelay(true);
        Ok(stream)
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

    pub(super) fn not_carried(&self, error: &relay::Error) -> Error {
        self.refused(&self.route.end(), &error.to_string())
    }

    pub(super) fn refused(&self, host: &str, detail: &str) -> Error {
        let (host, detail, port) = (host.to_owned(), detail.to_owned(), self.port);
        match &self.route {
            Route::Port { .. } => Error::NodePort {
                host,
                target: self.route.target(port).to_string(),
                detail,
            },
            _ => Error::Forward { host, port, detail },
        }
    }
}
