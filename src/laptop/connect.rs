//! The story of `qdebug connect`: wait, open the way, keep it open, tell how it ended.

use std::cell::RefCell;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::cluster::Cluster;
use super::countdown::Countdown;
use super::error::Error;
use super::event::Event;
use super::forwards::{self, Forward};
use super::held::Held;
use super::known::{self, Known};
use super::opening::{self, Opening};
use super::order::Order;
use super::paths::Paths;
use super::ui::Ui;
use super::waiting::Watch;
use super::{publish, reach, ways};
use crate::process::{Interrupt, Interrupts, Program};
use crate::session::{Standing, Status};
use crate::ssh::files::Lock;
use crate::ssh::include;
use crate::ssh::keys::{self, PublicKey};
use crate::ssh::{self, Client, Listener, Prompt, Tunnel};

/// How long a key that was handed over may take to be let in.
const LET_IN: Duration = Duration::from_secs(20);

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Connect {
    /// A job id or a session's name.
    pub job: String,
    /// The port on 127.0.0.1, where the user insists on one.
    pub port: Option<u16>,
    /// More ports.
    pub forwards: Vec<Forward>,
    /// Whether a person can be asked for passwords.
    pub prompt: Prompt,
    /// Whether to return once everything is set up: `ssh` then goes by `qdebug proxy`.
    pub detach: bool,
    /// What it is opened in then.
    pub opening: Option<Opening>,
    /// In which order the ways are tried, where the user says so; else the cluster does.
    pub order: Option<Order>,
}

/// How it ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The session was over before it could be entered: its last word.
    Over(Box<Status>),
    /// The way was open until the session ended: its last word.
    Ended(Box<Status>),
    /// It waits for what it can never get: its last word.
    Never(Box<Status>),
    /// Everything is set up, and nobody was to stay.
    Open,
    /// The user (or a signal) ended the connect; the session goes on.
    Interrupted {
        /// Who.
        by: Interrupt,
        /// How far it had come.
        until: Until,
    },
}

/// How far a connect had come when it was interrupted.
#[derive(Debug, Clone)]
pub enum Until {
    /// The cluster had not answered yet.
    Asked,
    /// The session was not ready yet: its last word.
    Waited(Box<Status>),
    /// It was ready.
    Ready,
}

/// Waits for a session, opens the way to it, and keeps it open until it ends or a signal comes.
///
/// # Errors
/// [`Error`].
pub async fn connect(
    cluster: &Cluster,
    client: &Client,
    paths: &Paths,
    ask: &Connect,
    ui: &Ui,
) -> Result<Outcome, Error> {
    let mut interrupts = Interrupts::listen().map_err(|source| {
        let command = "signal handlers".to_owned();
        Error::Program(crate::process::Error::Io { command, source })
    })?;
    let until = RefCell::new(Until::Asked);
    tokio::select! {
        // A Ctrl-C ends the programs that are just being run as well: that is no failure of theirs.
        biased;
        by = interrupts.next() => Ok(Outcome::Interrupted { by, until: until.replace(Until::Asked) }),
        outcome = story(cluster, client, paths, ask, ui, &until) => outcome,
    }
}

async fn story(
    cluster: &Cluster,
    client: &Client,
    paths: &Paths,
    ask: &Connect,
    ui: &Ui,
    until: &RefCell<Until>,
) -> Result<Outcome, Error> {
    let mut watch = Watch::begin(cluster, &ask.job, ui).await?;
    if let Some(outcome) = in_vain(watch.last()) {
        return Ok(outcome);
    }
    let still_waits = |status: &Status| {
        let waits = status.state != Standing::Ready;
        until.replace(match waits {
            true => Until::Waited(Box::new(status.clone())),
            false => Until::Ready,
        });
        waits
    };
    still_waits(watch.last());
    // While the user is surely there.
    include(paths, ui).await?;
    hand_over_key(cluster, watch.last(), paths, ui).await?;
    match publish::sweep(cluster, paths).await {
        Ok(swept) if swept.is_empty() => {}
        Ok(swept) => ui.tell(Event::Swept(swept)),
        Err(error) => tracing::debug!(%error, "not swept"),
    }
    while still_waits(watch.last()) {
        if let Some(outcome) = in_vain(watch.next().await?) {
            return Ok(outcome);
        }
    }
    let settled = settle(cluster, watch.last(), ask, paths).await;
    if let Err(Error::AlreadyConnected { port, missing, .. }) = &settled
        && missing.is_empty()
        && (ask.detach || ask.opening.is_some())
    {
        // Whoever holds the port serves this as well.
        let place = cluster.place();
        let known = Known::new(watch.last(), place, &Known::all(&paths.sessions))?;
        if let Some(opening) = &ask.opening {
            opening::open(opening, &known, paths, ui).await;
        } else {
            ui.tell(Event::Connected {
                alias: known.alias,
                port: *port,
                status: Box::new(watch.last().clone()),
            });
        }
        return Ok(Outcome::Open);
    }
    let (mut known, listener, _lock) = settled?;
    let (reach, tunnel) = reach::reach(client, &known, paths, ask.prompt).await?;
    known.reach = Some(reach);
    known.write(&paths.sessions)?;
    // It only spares the next connect a try.
    if let Err(error) = ways::remember(&known, reach, paths).await {
        tracing::warn!(%error, "cannot keep which way works");
    }
    tracing::info!(%reach, "the session is reached");
    tokio::select! {
        () = serve(&listener, &tunnel, ui) => {
            Ok(Outcome::Interrupted { by: Interrupt::Outside, until: Until::Ready })
        }
        outcome = stay(&mut watch, &known, ask, paths, ui) => outcome,
    }
}

/// How a wait ends that cannot end well.
fn in_vain(status: &Status) -> Option<Outcome> {
    let last = || Box::new(status.clone());
    if status.state.is_final() {
        return Some(Outcome::Over(last()));
    }
    status.never.then(|| Outcome::Never(last()))
}

/// Once the session is ready: its memory, its port, its entry.
async fn settle(
    cluster: &Cluster,
    status: &Status,
    ask: &Connect,
    paths: &Paths,
) -> Result<(Known, Listener, Lock), Error> {
    let others = Known::all(&paths.sessions);
    let mut known = Known::new(status, cluster.place(), &others)?;
    publish::rendered(&known, paths).map_err(|error| Error::Details {
        name: known.name.to_string(),
        detail: error.to_string(),
    })?;
    ssh::files::private_dir(&paths.sessions)?;
    let Some(lock) = Lock::take(&known.lock(&paths.sessions), Duration::from_secs(1)).await? else {
        return Err(Error::AlreadyConnected {
            name: known.name.to_string(),
            port: known.port,
            missing: ask
                .forwards
                .iter()
                .map(|forward| format!("ssh -N {forward} {}", known.alias))
                .collect(),
        });
    };
    let listener = match ask.port {
        Some(port) => Listener::bind(port).await?,
        None => bind(&known, &others).await?,
    };
    known.port = listener.port();
    known.reach = ways::of(&known, paths);
    if let Some(order) = &ask.order {
        known.order = order.clone();
    }
    known.write(&paths.sessions)?;
    publish::publish(paths).await?;
    Ok((known, listener, lock))
}

/// The port that the session had, else the next of its own that is free.
async fn bind(known: &Known, others: &[Known]) -> Result<Listener, Error> {
    let mut refused = match Listener::bind(known.port).await {
        Ok(listener) => return Ok(listener),
        Err(error) => error,
    };
    let taken = |port: &u16| others.iter().any(|other| other.port == *port);
    for port in known::ports(&known.alias).filter(|port| !taken(port)) {
        match Listener::bind(port).await {
            Ok(listener) => return Ok(listener),
            Err(error) => refused = error,
        }
    }
    Err(refused.into())
}

async fn serve(listener: &Listener, tunnel: &Arc<Tunnel>, ui: &Ui) {
    let tell = Arc::clone(&ui.tell);
    let on_event = move |event| {
        tell(match event {
            ssh::Event::Lost(error) => Event::Lost(error.to_string()),
            ssh::Event::Back => Event::Back,
        });
    };
    listener.serve(tunnel, on_event).await;
}

/// With the way open: makes sure that one gets in, then stays until the end.
async fn stay(
    watch: &mut Watch<'_>,
    known: &Known,
    ask: &Connect,
    paths: &Paths,
    ui: &Ui,
) -> Result<Outcome, Error> {
    get_in(known, paths).await?;
    ui.tell(Event::Connected {
        alias: known.alias.clone(),
        port: known.port,
        status: Box::new(watch.last().clone()),
    });
    let opening = async {
        if let Some(opening) = &ask.opening {
            opening::open(opening, known, paths, ui).await;
        }
    };
    if ask.detach {
        opening.await;
        return Ok(Outcome::Open);
    }
    // Beside the rest: an IDE may take its time.
    let opening = async {
        opening.await;
        std::future::pending::<Infallible>().await
    };
    let until_end = async {
        // A connection that is held counts as use, so an unused session could never be found.
        let may_hold = watch.last().idle_timeout_seconds.is_none();
        let mut held = Held::new(&known.alias, paths);
        let mut countdown = Countdown::default();
        loop {
            for event in countdown.heed(watch.last(), watch.age()) {
                ui.tell(event);
            }
            tokio::select! {
                status = watch.next() => {
                    let status = status?;
                    if status.state.is_final() {
                        return Ok::<_, Error>(Outcome::Ended(Box::new(status.clone())));
                    }
                }
                () = held.broken(), if may_hold => watch.hurry(),
            }
        }
    };
    let outcome = tokio::select! {
        outcome = until_end => outcome?,
        error = forwards::keep(&ask.forwards, &known.alias, paths, ui) => return Err(error),
        never = opening => match never {},
    };
    let is_forgotten = known.forget(&paths.sessions);
    publish::publish(paths).await?;
    if is_forgotten {
        opening::sweep(paths, std::slice::from_ref(&known.alias)).await;
    }
    Ok(outcome)
}

/// Logs in once, through the listener: only then is the session said to be there. A key that has
/// just been handed over may need a moment.
async fn get_in(known: &Known, paths: &Paths) -> Result<(), Error> {
    let deadline = Instant::now() + LET_IN;
    loop {
        let attempt = Program::new("ssh")
            .arg("-F")
            .arg(paths.ssh_config.as_path())
            .args(["-o", "ProxyCommand=none", "-o", "BatchMode=yes", "-n", "-T"])
            .args([&known.alias, "--", "true"]);
        let output = attempt.output().await?;
        // 255 is ssh's own; whatever else is the container's word, so we were in.
        if output.status != 255 {
            return Ok(());
        }
        let said = output.stderr.trim();
        let detail = said.lines().next_back().unwrap_or("ssh gave no reason");
        if said.contains("Host key verification failed") {
            return Err(Error::Ssh(ssh::Error::HostKey {
                host: known.alias.clone(),
                detail: detail.to_owned(),
                known: Some(ssh::ExpectedKey::default()),
            }));
        }
        if Instant::now() >= deadline {
            return Err(Error::NotLetIn {
                name: known.name.to_string(),
                detail: detail.to_owned(),
            });
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Our line for the user's ssh configuration, which others may manage: what cannot be done there is
/// told, and no reason to lose the session.
///
/// # Errors
/// Our own file could not be written, which everything else goes by.
async fn include(paths: &Paths, ui: &Ui) -> Result<(), Error> {
    // ssh may be told of a file that is not there; the user's own must not name a missing one.
    publish::publish(paths).await?;
    let own = &paths.ssh_config;
    let done = match include::plan_include(&paths.user_config, own) {
        Ok(None) => Ok(()),
        Ok(Some(plan)) if (ui.confirm)(&plan).await => include::apply_include(&plan, own).await,
        Ok(Some(_)) => {
            ui.tell(Event::NotIncluded);
            Ok(())
        }
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        ui.tell(Event::IncludeFailed {
            reason: error.to_string(),
            lines: include::include_lines(own),
        });
    }
    Ok(())
}

/// Hands the laptop's own public key over, unless the session has it.
async fn hand_over_key(
    cluster: &Cluster,
    status: &Status,
    paths: &Paths,
    ui: &Ui,
) -> Result<(), Error> {
    let line = keys::own(&paths.identity).await?;
    let key: PublicKey = line.parse()?;
    if !status.keys.contains(&key.to_string()) {
        cluster.authorize(&status.name, &line).await?;
        ui.tell(Event::KeyHandedOver);
    }
    Ok(())
}

#[cfg(test)]
#[path = "connect_tests.rs"]
mod tests;
