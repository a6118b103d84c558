//! Masters that say nothing any more, and new ones in their place: `silence` tells when and why.

use std::fs::File;
use std::time::{Duration, SystemTime};

use super::client::{Client, addressed};
use super::error::Error;
use super::link::Route;
use super::master::{Master, NO_MASTER, arguments};

/// How long it may be since a hop was heard of that is not asked.
const JUST: Duration = Duration::from_secs(10);

/// How long a hop may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

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

    /// Whether it was just heard of, or answers when it is asked.
    pub(super) async fn still_answers(&self) -> bool {
        self.was_just_heard() || {
            let answers = self.answers().await;
            if answers {
                self.heard();
            }
            answers
        }
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
    /// [`Client::renew`] where masters lead there.
    pub(super) async fn renew_masters(&self, route: &Route) -> Result<bool, Error> {
        let (login, node) = match route {
            Route::Here => return Ok(false),
            Route::Login(login) | Route::Pipe { login, .. } => (Some(login), None),
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
            self.replace(old, &ours, arguments(through.as_ref(), node))
                .await?;
        }
        Ok(!(login_answers && node_answers))
    }
}
