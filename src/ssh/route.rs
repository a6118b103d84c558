//! The hops to one session, and the bytes of one connection through them.
//!
//! A connection should cost one handshake, lose no byte when a hop has died, and pass an end of one
//! direction on while the other goes on. How a master and how a relay do that is told there.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use super::client::{Client, Prompt};
use super::error::Error;
use super::gate::Gate;
use super::link::{Asking, Link, Route};
use super::listener::Event;
use super::pipe::Pipe;
use super::pump::{BUFFER, read_line};
use super::remote::Remote;
use super::silence::Renewed;
use super::trunk::Trunk;
use super::word::Destination;
use crate::relay;

/// After a dialling that failed, how long its answer stands for others: a client that tries again
/// in a loop must not make a cluster count failures, nor ask a person ten times. A host that is not
/// reached counts none, and may be back any moment.
const REST: Duration = Duration::from_secs(5);
const REST_UNREACHABLE: Duration = Duration::from_secs(1);

/// How long the session's sshd may take to say its first words.
const BANNER: Duration = Duration::from_secs(20);

/// The way to one session's port, dialled when it is needed and again when it was lost.
#[derive(Debug)]
pub struct Tunnel {
    pub(super) client: Client,
    pub(super) route: Route,
    pub(super) port: u16,
    pub(super) prompt: Prompt,
    /// The path of the login node's qdebug, where it is known.
    qdebug: Option<String>,
    is_quiet: AtomicBool,
    dialled: Mutex<Dialled>,
    dialled_anew: Notify,
    /// What carried them has ended, and no other has been seen yet.
    is_lost: AtomicBool,
    pub(super) renewed: Mutex<Option<Renewed>>,
}

#[derive(Debug)]
enum Dialled {
    Not,
    Up(Link),
    /// How long that answer stands, and what it was.
    Failed(Instant, String),
}

impl Tunnel {
    /// A tunnel along `route` to `port` at its end; nothing is dialled yet.
    pub fn new(client: Client, route: Route, port: u16, prompt: Prompt) -> Arc<Self> {
        Self::by(client, route, port, prompt, None)
    }

    /// The same where the path of the login node's qdebug is known, which a way without masters
    /// needs and would look for.
    pub fn by(
        client: Client,
        route: Route,
        port: u16,
        prompt: Prompt,
        qdebug: Option<&str>,
    ) -> Arc<Self> {
        Arc::new(Self {
            qdebug: qdebug.map(str::to_owned),
            client,
            route,
            port,
            prompt,
            is_quiet: AtomicBool::new(false),
            dialled: Mutex::new(Dialled::Not),
            dialled_anew: Notify::new(),
            is_lost: AtomicBool::new(false),
            renewed: Mutex::new(None),
        })
    }

    /// Whether the hop behind login may ask the person, too, where one is there: not while another
    /// way may need none.
    pub fn be_quiet(&self, is_quiet: bool) {
        self.is_quiet.store(is_quiet, Ordering::Relaxed);
    }

    fn asking(&self) -> Asking {
        let last = match self.is_quiet.load(Ordering::Relaxed) {
            true => Prompt::Never,
            false => self.prompt,
        };
        let login = self.prompt;
        Asking { login, last }
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
            Ok(link) => {
                self.dialled_anew.notify_one();
                Dialled::Up(link.clone())
            }
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

    /// Resolves when what carries the connections has ended by itself, or is there anew, where that
    /// is noticed.
    pub(super) async fn change(&self) -> Event {
        loop {
            match self.pipe().await {
                Some(_) if self.is_lost.swap(false, Ordering::Relaxed) => return Event::Back,
                Some(pipe) => {
                    // One that another was put in the place of is no loss.
                    if let Some(error) = self.end_of(&pipe).await
                        && !pipe.is_left()
                    {
                        self.is_lost.store(true, Ordering::Relaxed);
                        return Event::Lost(error);
                    }
                }
                None => {
                    self.dialled_anew.notified().await;
                    if self.pipe().await.is_some() {
                        self.is_lost.store(false, Ordering::Relaxed);
                        return Event::Back;
                    }
                }
            }
        }
    }

    /// Why a relay has ended; nothing as soon as another carries what comes anew: the old one must not
    /// be held then, since it ends with the last that it carries.
    async fn end_of(&self, pipe: &Arc<Pipe>) -> Option<Error> {
        let mut ended = pin!(pipe.ended());
        loop {
            tokio::select! {
                error = &mut ended => return Some(error),
                () = self.dialled_anew.notified() => {}
            }
            let now = self.pipe().await;
            let is_another = now.is_some_and(|now| !Arc::ptr_eq(&now, pipe));
            if is_another && (pipe.is_left() || pipe.is_open()) {
                return None;
            }
        }
    }

    /// The relay that carries, where one does.
    pub(super) async fn pipe(&self) -> Option<Arc<Pipe>> {
        match &*self.dialled.lock().await {
            Dialled::Up(Link::Pipe(pipe)) if pipe.is_open() => Some(Arc::clone(pipe)),
            _ => None,
        }
    }

    /// Whether what carries connections is up, as far as that is known at once.
    pub(super) fn is_up(&self) -> bool {
        let dialled = self.dialled.try_lock();
        matches!(dialled.as_deref(), Ok(Dialled::Up(link)) if link.is_up())
    }

    /// What is up and answers, else what is dialled. A connection that was given to a silent master
    /// could not be taken back, so whoever was not heard of just now is asked before.
    async fn opened(&self, dialled: &Dialled) -> Result<Link, Error> {
        let link = match dialled {
            Dialled::Up(link) if link.is_up() => link.clone(),
            _ => self.open(self.asking()).await?,
        };
        if link.answers().await {
            return Ok(link);
        }
        self.client.renew(&self.route).await?;
        self.open(self.asking()).await
    }

    /// Puts a new relay in place of one whose far end, behind a login node that answers, does not,
    /// without a person.
    ///
    /// # Errors
    /// Why there is no new one. The old one stays, since it may only be slow.
    pub(super) async fn replace(&self, old: &Arc<Pipe>) -> Result<(), Error> {
        let mut dialled = self.dialled.lock().await;
        let is_still = matches!(&*dialled, Dialled::Up(Link::Pipe(pipe)) if Arc::ptr_eq(pipe, old));
        if !is_still {
            // Somebody has just done it.
            return Ok(());
        }
        let new = self.open(Asking::NOBODY).await?;
        old.leave();
        *dialled = Dialled::Up(new);
        self.dialled_anew.notify_one();
        Ok(())
    }

    async fn open(&self, asking: Asking) -> Result<Link, Error> {
        let client = &self.client;
        if let Some(login) = self.route.login().filter(|login| client.has_trunk(login)) {
            return Ok(Link::Pipe(Arc::new(self.by_trunk(login, asking).await?)));
        }
        match &self.route {
            Route::Here | Route::Port { login: None, .. } => Ok(Link::Here),
            #[cfg(unix)]
            _ => self.by_master(asking).await,
            // All that has a login has a trunk there.
            #[cfg(not(unix))]
            _ => Err(self.refused(&self.route.end(), "no way leads there from here")),
        }
    }

    async fn by_trunk(&self, login: &Destination, asking: Asking) -> Result<Pipe, Error> {
        let client = &self.client;
        match &self.route {
            Route::Pipe { command, .. } => {
                let trunk = client.trunk(login, &command.qdebug, asking.login).await?;
                Pipe::over_trunk(trunk, login, command).await
            }
            Route::Jump { node, .. } => {
                let via = self.trunk(login, asking.login).await?;
                let (trunk, gate) = client.trunk_beyond(&via, node, asking.last).await?;
                Ok(self.pipe_of(trunk, Some((via, gate))))
            }
            Route::Here | Route::Login(_) | Route::Port { .. } => {
                Ok(self.pipe_of(self.trunk(login, asking.login).await?, None))
            }
        }
    }

    /// The trunk to the login node.
    async fn trunk(&self, login: &Destination, prompt: Prompt) -> Result<Arc<Trunk>, Error> {
        let client = &self.client;
        if let Some(qdebug) = &self.qdebug {
            return client.trunk(login, qdebug, prompt).await;
        }
        let found = Remote::find(client.clone(), login.clone(), prompt).await?;
        client.trunk(login, found.qdebug(), prompt).await
    }

    fn pipe_of(&self, trunk: Arc<Trunk>, via: Option<(Arc<Trunk>, Gate)>) -> Pipe {
        let target = self.route.target(self.port);
        let (host, port) = (target.ip().to_string(), target.port());
        Pipe::Trunk {
            trunk,
            host,
            port,
            via,
        }
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
                #[cfg(unix)]
                Link::Master(master) => self.read_banner(&master, &mut line).await?,
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
                #[cfg(unix)]
                Link::Master(master) => match self.carry_over(&master, stream, silence).await? {
                    None => return Ok(()),
                    Some(_) if is_last => return Err(self.lost(&master)),
                    Some(untouched) => stream = untouched,
                },
                Link::Pipe(pipe) => {
                    let opened = tokio::select! {
                        opened = pipe.connect() => opened,
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

    pub(super) async fn connect_here(&self) -> Result<TcpStream, Error> {
        let stream = TcpStream::connect(self.route.target(self.port))
            .await
            .map_err(|error| self.refused(&self.route.end(), &error.to_string()))?;
        let _ = stream.set_nodelay(true);
        Ok(stream)
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
