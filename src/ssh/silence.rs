//! Hops that say nothing any more.
//!
//! Problem: after sleep or a change of network a master lives on over a dead connection. The kernel
//! waits ever longer until it sends again, a minute and more; ssh gives up after 45 s; and whatever
//! is new waits for either. Evidence: `ssh -O stop` makes a master take no more while it goes on
//! with what it carries, and any sshd refuses a connection to a port at once. Solution: where
//! nothing comes, and before a connection is given to one that was not heard of for a while, the
//! hops are asked for that, and the far end of a relay. In place of one that does not answer a new one is
//! dialled, beside it and without a person; the old one is left only when the new one is up, so
//! that a slow network costs no password.

use std::time::Duration;

use tokio::time::Instant;

use super::client::Client;
use super::error::Error;
use super::link::Route;
use super::route::Tunnel;

/// How long nothing may come from a session's sshd, which speaks first, until the hops are asked.
const QUIET: Duration = Duration::from_secs(1);

impl Client {
    /// Puts new masters, or a new trunk, in place of those along the route that do not answer;
    /// whether there were any.
    ///
    /// # Errors
    /// What dialling gave.
    pub(super) async fn renew(&self, route: &Route) -> Result<bool, Error> {
        if let Some(login) = route.login().filter(|login| self.has_trunk(login)) {
            return self.renew_trunk(login).await;
        }
        #[cfg(unix)]
        return self.renew_masters(route).await;
        #[cfg(not(unix))]
        Ok(false)
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
                let outcome = self.renew().await;
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

    /// Replaces what does not answer; whether there was anything. Where a relay carries, its far end
    /// is asked beside the hops: a login that answers knows nothing of a node behind it.
    async fn renew(&self) -> Result<bool, Error> {
        let pipe = self.pipe().await.filter(|pipe| pipe.goes_on());
        let is_silent = async {
            match &pipe {
                Some(pipe) => !pipe.is_there().await,
                None => false,
            }
        };
        let (renewed, is_silent) = tokio::join!(self.client.renew(&self.route), is_silent);
        match (renewed?, pipe) {
            (false, Some(pipe)) if is_silent => {
                tracing::debug!(node = self.route.end(), "does not answer");
                self.replace(&pipe).await?;
                Ok(true)
            }
            (is_renewed, _) => Ok(is_renewed),
        }
    }
}
