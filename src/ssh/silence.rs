//! Hops that say nothing any more.
//!
//! Problem: after sleep or a change of network a master lives on over a dead connection. The kernel
//! waits ever longer until it sends again, a minute and more; ssh gives up after 45 s; and whatever
//! is new waits for either. Evidence: `ssh -O stop` makes a master take no more while it goes on
//! with what it carries, and any sshd refuses a connection to a port at once. Solution: where
//! nothing comes, and before a connection is given to one that was not heard of for a while, the
//! hops are asked for that. In place of one that does not answer a new one is
//! dialled, beside it and without a person; the old one is left only when the new one is up, so
//! that a slow network costs no password.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::error::Error;
use super::link::Route;
use super::master::{Client, Master, NO_MASTER, addressed};
use super::route::Tunnel;

/// How long nothing may come from a session's sshd, which speaks first, until the hops are asked.
const QUIET: Duration = Duration::from_secs(1);

/// How long it may be since a hop was heard of that is not asked.
const JUST: Duration = Duration::from_secs(10);

/// How long a hop may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// How long ssh may take to connect, in seconds; less for a hop that was up, since a first packet
/// that is lost while the network is away is sent again after 1, 3, 7 and 15 s.
const CONNECT: u32 = 20;
const CONNECT_AGAIN: u32 = 5;

/// What this process has seen of hops, by their sockets.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<Mutex<HashMap<PathBuf, Pace>>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Usual,
    /// It connects and takes its time to say so.
    Slow,
}

impl Seen {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<PathBuf, Pace>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it was up before.
    pub(super) fn knows(&self, socket: &Path) -> bool {
        self.with(|seen| seen.contains_key(socket))
    }

    /// It is up.
    pub(super) fn up(&self, socket: &Path) {
        self.with(|seen| {
            seen.entry(socket.to_owned()).or_insert(Pace::Usual);
        });
    }

    /// It could not be dialled, for this reason.
    pub(super) fn failed(&self, socket: &Path, said: &str) {
        // ssh's words when the network connects and the other side says nothing yet.
        if said.contains("timed out during banner exchange") {
            self.with(|seen| {
                if let Some(pace) = seen.get_mut(socket) {
                    *pace = Pace::Slow;
                }
            });
        }
    }

    /// For ssh's `ConnectTimeout`, in seconds.
    pub(super) fn timeout(&self, socket: &Path) -> u32 {
        match self.with(|seen| seen.get(socket).copied()) {
            Some(Pace::Usual) => CONNECT_AGAIN,
            Some(Pace::Slow) | None => CONNECT,
        }
    }
}

impl Master {
    /// Notes that something came through it, for every qdebug of this user.
    pub(super) fn heard(&self) {
        if self.ours
            && let Ok(lock) = File::options().append(true).open(self.lock_path())
        {
            let _ = lock.set_modified(SystemTime::now());
        }
    }

    /// Whether that is so short a while ago that it need not be asked. The user's own master has no
    /// file of ours beside it.
    pub(super) fn was_just_heard(&self) -> bool {
        let noted = || self.lock_path().metadata().ok()?.modified().ok();
        let since = noted().and_then(|at| at.elapsed().ok());
        self.ours && since.is_some_and(|since| since < JUST)
    }

    /// Whether the other side still answers.
    pub(super) async fn answers(&self) -> bool {
        // Any answer will do, and on port 1 nobody listens.
        let ask = self.client(&["-W", "127.0.0.1:1"]).time_limit(ANSWER);
        let output = ask.output().await;
        matches!(output, Ok(output) if !output.stderr.contains(NO_MASTER))
    }
}

impl Client {
    /// Puts new masters in place of those along the route that do not answer; whether there were
    /// any.
    ///
    /// # Errors
    /// What dialling gave.
    pub(super) async fn renew(&self, route: &Route) -> Result<bool, Error> {
        let (login, node) = match route {
            Route::Here => return Ok(false),
            Route::Login(login) | Route::Pipe { login, .. } => (Some(login), None),
            Route::Port { login, .. } => (login.as_ref(), None),
            Route::Jump { login, node } => (login.as_ref(), Some(node)),
        };
        let via = match login {
            Some(login) => self.standing(login).await?,
            None => None,
        };
        let last = match node {
            Some(node) => Some(self.of_node(via.as_ref(), node)?),
            None => None,
        };
        let answers = async |master: &Option<Master>| match master {
            Some(master) => master.answers().await,
            None => true,
        };
        let (login_answers, node_answers) = tokio::join!(answers(&via), answers(&last));
        let mut through = via.clone();
        if let (Some(login), Some(old), false) = (login, &via, login_answers) {
            let ours = self.ours(login)?;
            tracing::debug!(host = old.host(), "does not answer");
            self.seen.up(ours.socket());
            self.replace(old, &ours, addressed(login)).await?;
            through = Some(ours);
        }
        if let (Some(node), Some(old), false) = (node, &last, node_answers) {
            let ours = self.of_node(through.as_ref(), node)?;
            self.seen.up(ours.socket());
            self.replace(old, &ours, node.arguments(through.as_ref()))
                .await?;
        }
        Ok(!(login_answers && node_answers))
    }
}

/// What asking silent hops has led to, and when: it stands for all that were waiting.
#[derive(Debug)]
pub(super) struct Renewed {
    at: Instant,
    outcome: Result<bool, String>,
}

impl Tunnel {
    /// For a connection that began at `since` and to which nothing comes: resolves when the hops
    /// that did not answer were replaced. While all of them answer it waits.
    ///
    /// # Errors
    /// Why they could not be replaced.
    pub(super) async fn silence(&self, since: Instant) -> Result<(), Error> {
        tokio::time::sleep_until(since + QUIET).await;
        let mut renewed = self.renewed.lock().await;
        let outcome = match &*renewed {
            Some(Renewed { at, outcome }) if *at > since => outcome.clone(),
            _ => {
                let outcome = self.client.renew(&self.route).await;
                let outcome = outcome.map_err(|error| error.to_string());
                let at = Instant::now();
                *renewed = Some(Renewed {
                    at,
                    outcome: outcome.clone(),
                });
                outcome
            }
        };
        drop(renewed);
        match outcome {
            Ok(true) => Ok(()),
            Ok(false) => std::future::pending().await,
            Err(detail) => Err(Error::StillDown { detail }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_that_was_up_is_dialled_with_less_patience_unless_it_is_slow() {
        let seen = Seen::default();
        let (one, other) = (Path::new("/one"), Path::new("/other"));
        assert_eq!(seen.timeout(one), CONNECT);
        seen.failed(one, "Connection timed out during banner exchange");
        assert!(!seen.knows(one));
        seen.up(one);
        seen.failed(one, "ssh: connect to host a port 22: Connection timed out");
        assert_eq!(
            (seen.timeout(one), seen.timeout(other)),
            (CONNECT_AGAIN, CONNECT)
        );
        // Recorded from OpenSSH 9.2.
        seen.failed(one, "Connection timed out during banner exchange\r\n");
        seen.up(one);
        assert_eq!(seen.timeout(one), CONNECT);
    }
}
