//! Memory that ran out in a container, as the engine hears it from the kernel.
//!
//! Problem: the kernel kills some process of the container, mostly a large one and seldom the first,
//! so the container's own end tells little; and with auto-remove nothing is left to ask after it.
//! Evidence: Docker 20.10 and later send an event `oom` for each kill in the container's cgroup, of
//! version 1 and 2 alike, and keep the last events for who asks late. Podman 4.3 sends none.
//! Solution: [`MemoryWatch`] counts these events.

use std::collections::HashMap;
use std::time::Duration;

use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{ContainerId, Engine, Kind};

/// Counts the times that memory ran out in a container. Dropping it gives up listening.
#[derive(Debug)]
pub struct MemoryWatch {
    last: watch::Receiver<Option<Instant>>,
    task: JoinHandle<()>,
}

impl MemoryWatch {
    /// Waits until memory has run out (again). For ever where the engine does not tell. May be
    /// dropped and asked again.
    pub async fn ran_out(&mut self) {
        if self.last.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Whether memory ran out not longer ago than this; waits up to `patience` for the engine's word.
    pub async fn ran_out_within(&mut self, age: Duration, patience: Duration) -> bool {
        let recent = |last: &Option<Instant>| last.is_some_and(|last| last.elapsed() <= age);
        let heard = tokio::time::timeout(patience, self.last.wait_for(recent)).await;
        matches!(heard, Ok(Ok(_)))
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Engine {
    /// Begins to listen for memory that runs out in a container, from the container's beginning on.
    pub fn watch_memory(&self, id: &ContainerId) -> MemoryWatch {
        let (sender, last) = watch::channel(None);
        let (engine, id) = (self.clone(), id.clone());
        let task = tokio::spawn(async move {
            if engine.kind() == Kind::Docker {
                engine.listen_for_oom(&id, &sender).await;
            }
        });
        MemoryWatch { last, task }
    }

    async fn listen_for_oom(&self, id: &ContainerId, sender: &watch::Sender<Option<Instant>>) {
        let filters = HashMap::from([
            ("type", vec!["container"]),
            ("event", vec!["oom"]),
            ("container", vec![id.as_str()]),
        ]);
        let options = EventsOptionsBuilder::default()
            // All that the engine remembers; no other container has this id.
            .since("1")
            .filters(&filters)
            .build();
        let mut events = std::pin::pin!(self.docker.events(Some(options)));
        while let Some(event) = events.next().await {
            match event {
                Ok(_) => {
                    tracing::warn!(id = id.short(), "memory ran out in the container");
                    sender.send_replace(Some(Instant::now()));
                }
                // The engine's end is seen by who waits for the container's.
                Err(error) => {
                    tracing::debug!(%error, "the engine tells no more of memory");
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch_of_test() -> (watch::Sender<Option<Instant>>, MemoryWatch) {
        let (sender, last) = watch::channel(None);
        let task = tokio::spawn(async {});
        (sender, MemoryWatch { last, task })
    }

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn what_came_late_or_lately_counts_and_what_is_old_does_not() {
        let (sender, mut watch) = watch_of_test();
        assert!(!watch.ran_out_within(LONG, SHORT).await);
        let late = tokio::spawn(async move {
            tokio::time::sleep(SHORT).await;
            sender.send_replace(Some(Instant::now()));
            sender
        });
        assert!(watch.ran_out_within(LONG, LONG).await);
        let sender = late.await.unwrap();
        assert!(watch.ran_out_within(LONG, SHORT).await, "asked again");
        tokio::time::sleep(SHORT).await;
        assert!(!watch.ran_out_within(Duration::ZERO, SHORT).await);
        drop(sender);
        assert!(!watch.ran_out_within(Duration::ZERO, LONG).await);
    }

    #[tokio::test]
    async fn each_time_is_told_and_silence_is_no_word() {
        let (sender, mut watch) = watch_of_test();
        sender.send_replace(Some(Instant::now()));
        watch.ran_out().await;
        assert!(tokio::time::timeout(SHORT, watch.ran_out()).await.is_err());
        drop(sender);
        assert!(tokio::time::timeout(SHORT, watch.ran_out()).await.is_err());
    }
}
