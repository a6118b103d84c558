//! Memory that ran out in the session: who it killed, and what the user can do about it.
//!
//! The kernel kills the process of the container that holds most, which is the user's own: the
//! session lives on, and without a word the user sees but "Killed". Only where the container's first
//! process went is it the session's end.

use std::time::Duration;

use tokio::time::Instant;

use crate::engine::MemoryWatch;
use crate::kit::exit;
use crate::session::EndReason;

/// At most so often is it told: a job whose workers are started again and again dies many deaths.
const QUIET: Duration = Duration::from_secs(60);
/// How much earlier than the container's end its memory may have run out.
const JUST_NOW: Duration = Duration::from_secs(5);
/// How much later than the end the engine may tell of it.
const PATIENCE: Duration = Duration::from_millis(300);

/// What is heard of the session's memory.
#[derive(Debug)]
pub(super) struct Memory {
    watch: Option<MemoryWatch>,
    limit: Option<u64>,
    told: Option<Instant>,
}

impl Memory {
    /// Of a container with this limit in bytes; without a watch nothing is ever heard.
    pub(super) fn of(watch: Option<MemoryWatch>, limit: Option<u64>) -> Self {
        let told = None;
        Self { watch, limit, told }
    }

    /// The next thing to tell the user. May be dropped and asked again.
    pub(super) async fn next(&mut self) -> String {
        let Some(watch) = &mut self.watch else {
            return std::future::pending().await;
        };
        loop {
            watch.ran_out().await;
            if self.told.is_none_or(|told| told.elapsed() >= QUIET) {
                self.told = Some(Instant::now());
                return format!("a process was killed: {}", reason(self.limit));
            }
        }
    }

    /// Why the container ended with this exit status of its first process, where that was the
    /// memory.
    pub(super) async fn reason_of(&mut self, status: i64) -> Option<EndReason> {
        // The first process ended in its own order.
        if [exit::DEADLINE, exit::LEASE]
            .map(i64::from)
            .contains(&status)
        {
            return None;
        }
        let watch = self.watch.as_mut()?;
        let ran_out = watch.ran_out_within(JUST_NOW, PATIENCE).await;
        ran_out.then(|| reason(self.limit))
    }
}

fn reason(limit_bytes: Option<u64>) -> EndReason {
    EndReason::OutOfMemory { limit_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn where_nothing_is_heard_nothing_is_told() {
        let mut memory = Memory::of(None, Some(1 << 30));
        let limit = Duration::from_millis(20);
        assert!(tokio::time::timeout(limit, memory.next()).await.is_err());
        assert_eq!(memory.reason_of(137).await, None);
        assert_eq!(memory.reason_of(i64::from(exit::DEADLINE)).await, None);
    }
}
