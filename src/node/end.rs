//! The undo: whatever was made goes, in reverse, within a few seconds.
//!
//! What was made is kept outside of the work that makes it, so that a signal in the middle of any
//! step still finds it. OpenPBS gives 10 s between its signal and the kill, Torque's wrapper 8: an
//! engine that works takes half of that, and one that hangs less than all of it.

use std::time::Duration;

use super::asked::Asked;
use super::devices::Devices;
use super::gpus::Held;
use super::image::Saving;
use super::label;
use super::place::SessionFolder;
use super::server::Server;
use crate::engine::{ContainerId, Engine, ExitWatch};
use crate::session::Token;

/// How long the container's first process may take to end by itself.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// How long the engine may take for that; one that takes longer hangs.
const STOP_LIMIT: Duration = Duration::from_millis(3500);
/// How long an engine that ended with the job may take to come again.
const REVIVE_LIMIT: Duration = Duration::from_secs(4);
/// How long removing by force may take.
const REMOVE_LIMIT: Duration = Duration::from_secs(3);
/// How long each step may take with an engine that has just not answered: nothing but the lease can
/// end the container then, and Torque's grace is soon over.
const HANGING_LIMIT: Duration = Duration::from_millis(500);
/// How long whatever else there is may take to appear and go.
const APPEAR_LIMIT: Duration = Duration::from_millis(1500);

/// Everything a session has made on its node so far.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// The engine, once connected.
    pub(super) engine: Option<Engine>,
    /// The session's folder on the node, with the lock.
    pub(super) folder: Option<SessionFolder>,
    /// The GPUs that were picked, held.
    pub(super) gpus: Held,
    /// What is heard of the container's GPUs.
    pub(super) devices: Option<Devices>,
    /// What serves ssh, with the lease.
    pub(super) server: Option<Server>,
    /// The container is being made at this moment.
    pub(super) making: bool,
    /// The container that the image is looked into with, which is no session's.
    pub(super) looking: Asked,
    /// The container.
    pub(super) container: Option<ContainerId>,
    /// The wait for its exit.
    pub(super) exit: Option<ExitWatch>,
    /// The image on its way into the shared cache.
    pub(super) saving: Option<Saving>,
}

impl Made {
    /// Undoes all of it and returns the exit status of the container's first process, where it was
    /// seen. Nothing here stops the rest: what fails is logged, and left to the lease and to gc.
    pub(super) async fn undo(&mut self, token: &Token) -> Option<i64> {
        let mut seen = None;
        let mut answers = true;
        let container = self.container.take();
        if let (Some(engine), Some(id)) = (self.engine.clone(), &container) {
            answers = stop(&engine, id).await;
            seen = self.exit_status().await;
        }
        // Closing the lease is the second way to the same end, and the only one with an engine that
        // is away or hangs.
        self.server = None;
        // One that hangs would not be made better by another.
        if answers {
            self.revive().await;
        }
        let limit = |usual| if answers { usual } else { HANGING_LIMIT };
        let mut gone = true;
        if let Some(engine) = self.engine.clone() {
            if let Some(id) = &container {
                gone = remove(&engine, id, limit(REMOVE_LIMIT)).await;
            }
            self.remove_the_rest(&engine, token, container, limit(APPEAR_LIMIT))
                .await;
        }
        // The container goes first: the cache is on a file system that may hang.
        self.saving = None;
        // By the folder, gc finds what the engine may forget of its container.
        if let Some(folder) = self.folder.take().filter(|_| gone)
            && let Err(error) = folder.remove()
        {
            tracing::warn!(%error, "cannot remove the session's folder of this node");
        }
        seen
    }

    /// An engine that was a child of ours may have got the job's signal as well.
    async fn revive(&mut self) {
        let Some(engine) = &self.engine else { return };
        match tokio::time::timeout(REVIVE_LIMIT, engine.revived()).await {
            Ok(Ok(None)) => {}
            Ok(Ok(revived)) => self.engine = revived,
            Ok(Err(error)) => tracing::warn!(%error, "cannot start the engine again"),
            Err(_) => tracing::warn!("the engine does not come again"),
        }
    }

    /// The exit status of the container's first process, where it is seen by now.
    async fn exit_status(&mut self) -> Option<i64> {
        let exit = self.exit.as_mut()?;
        let seen = tokio::time::timeout(Duration::from_millis(500), exit.exited()).await;
        seen.ok().and_then(Result::ok)
    }

    /// Removes whatever else carries the session's token: the container its image was looked into
    /// with, and what requests made that were cut off, which may take a moment to appear.
    async fn remove_the_rest(
        &self,
        engine: &Engine,
        token: &Token,
        container: Option<ContainerId>,
        limit: Duration,
    ) {
        let mut expected = Expected::new(
            [self.making, self.looking.is_on_its_way()],
            container.into_iter().chain(self.looking.id()),
        );
        let removing = async {
            loop {
                let found = match engine.list(&[(label::TOKEN, token.as_str())]).await {
                    Ok(found) => found,
                    Err(error) => {
                        tracing::warn!(%error, "cannot look for more containers");
                        return;
                    }
                };
                if found.is_empty() && expected.is_over() {
                    return;
                }
                let mut failed = false;
                for container in found {
                    expected.see(&container.id);
                    if let Err(error) = engine.remove(&container.id).await {
                        tracing::warn!(%error, name = container.name, "cannot remove a container");
                        failed = true;
                    }
                }
                if !expected.is_over() || failed {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        };
        let _ = tokio::time::timeout(limit, removing).await;
    }
}

/// The containers that may still appear.
#[derive(Debug)]
struct Expected {
    count: usize,
    known: Vec<ContainerId>,
}

impl Expected {
    /// One for each that was asked for and not heard of, beside those that are known of.
    fn new(on_their_way: [bool; 2], known: impl Iterator<Item = ContainerId>) -> Self {
        Self {
            count: on_their_way.iter().filter(|is| **is).count(),
            known: known.collect(),
        }
    }

    /// One is there; none counts twice.
    fn see(&mut self, id: &ContainerId) {
        if !self.known.contains(id) {
            self.known.push(id.clone());
            self.count = self.count.saturating_sub(1);
        }
    }

    fn is_over(&self) -> bool {
        self.count == 0
    }
}

/// Stops the container; whether the engine answered, be it by an error.
async fn stop(engine: &Engine, id: &ContainerId) -> bool {
    match tokio::time::timeout(STOP_LIMIT, engine.stop(id, STOP_GRACE)).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(%error, "cannot stop the container");
            true
        }
        Err(_) => {
            tracing::warn!("the engine does not stop the container");
            false
        }
    }
}

/// Auto-remove has done it in most cases; a container that never started needs it. Whether it is gone.
async fn remove(engine: &Engine, id: &ContainerId, limit: Duration) -> bool {
    match tokio::time::timeout(limit, engine.remove(id)).await {
        Ok(Ok(())) => {
            tracing::info!(id = id.short(), "the container is gone");
            return true;
        }
        Ok(Err(error)) => tracing::error!(%error, "cannot remove the container"),
        Err(_) => tracing::error!("the engine does not remove the container"),
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> ContainerId {
        ContainerId::of_test(&digit.to_string().repeat(64))
    }

    #[test]
    fn each_that_was_asked_for_is_waited_for_and_none_counts_twice() {
        assert!(Expected::new([false, false], std::iter::empty()).is_over());
        let mut expected = Expected::new([true, false], [id('a')].into_iter());
        expected.see(&id('a'));
        assert!(!expected.is_over(), "that one was known of");
        expected.see(&id('b'));
        assert!(expected.is_over());
        let mut both = Expected::new([true, true], std::iter::empty());
        both.see(&id('a'));
        both.see(&id('a'));
        assert!(!both.is_over(), "seen twice while it could not be removed");
        both.see(&id('b'));
        assert!(both.is_over());
    }
}
