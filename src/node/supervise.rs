//! Watching over a session that is ready, until something ends it.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use super::Error;
use super::clock::Clock;
use super::deadline;
use super::end::Made;
use super::idle::{Idle, IdleWatch};
use super::image::Saving;
use super::interrupt::{Interruption, Interruptions};
use super::kills::Kills;
use super::memory::{JobMemory, Memory};
use super::report::Reporter;
use crate::session::EndReason;
use crate::{engine, kit};

/// How long the engine may take for what is done beside the watching.
const ASIDE_LIMIT: Duration = Duration::from_secs(2);
/// How many notices a session keeps; a GPU that comes and goes must not fill the file system.
const NOTICES_KEPT: usize = 20;
/// How much later than the container's end the signal may be seen that ended both.
pub(super) const SIGNAL_LIMIT: Duration = Duration::from_secs(1);
/// The exit status of a container whose first process was asked to end.
const EXIT_BY_TERM: i64 = 128 + 15;

/// What was heard while the session was launched, for when it is ready.
#[derive(Debug, Default)]
pub(super) struct Heard {
    keys: Option<Vec<u8>>,
    deadline: Option<Timestamp>,
    killed: bool,
}

/// The first reason to end; what else comes meanwhile is kept for later.
pub(super) async fn first_end(interruptions: &mut Interruptions, heard: &mut Heard) -> EndReason {
    loop {
        match interruptions.next().await {
            Interruption::End(reason) => return reason,
            Interruption::Keys(fresh) => heard.keys = Some(fresh),
            Interruption::Deadline(at) => heard.deadline = Some(at),
            Interruption::Killed => heard.killed = true,
        }
    }
}

/// What is done with a session that is ready.
pub(super) struct Supervision<'a> {
    pub(super) made: &'a mut Made,
    pub(super) reporter: &'a mut Reporter,
    pub(super) clock: Clock,
    pub(super) deadline: Timestamp,
    pub(super) idle_timeout: Option<Duration>,
}

impl Supervision<'_> {
    /// Watches the session until something ends it.
    pub(super) async fn until_end(
        &mut self,
        interruptions: &mut Interruptions,
        heard: Heard,
    ) -> Result<EndReason, Error> {
        let mut idle = self.watch_use().await;
        let mut memory = self.watch_memory();
        if let Some(keys) = &heard.keys {
            self.replace_keys(keys).await;
        }
        if let Some(at) = heard.deadline {
            self.move_deadline(at).await;
        }
        if heard.killed {
            self.tell_of_kill(&mut memory).await;
        }
        let mut notices = deadline::notices(self.deadline, self.clock.now());
        loop {
            let next_notice = notices.last().map_or(Timestamp::MAX, |(at, _)| *at);
            let (Some(exit), Some(devices)) = (&mut self.made.exit, &mut self.made.devices) else {
                return Ok(EndReason::Other);
            };
            tokio::select! {
                seen = exit.exited() => return Ok(match seen {
                    Ok(exit) if exit != EXIT_BY_TERM => {
                        let ran_out = memory.reason_of(exit).await;
                        ran_out.unwrap_or_else(|| reason_of_exit(Ok(exit)))
                    }
                    // A scheduler's signal reaches everything of the job: Podman's processes may
                    // be faster than we are.
                    seen => {
                        let mut late = Heard::default();
                        let outside = timeout(SIGNAL_LIMIT, first_end(interruptions, &mut late));
                        match (outside.await, seen) {
                            (Ok(reason), _) => reason,
                            (Err(_), Err(error)) => {
                                let ran_out = memory.reason_of_lost_engine();
                                ran_out.unwrap_or_else(|| reason_of_exit(Err(error)))
                            }
                            (Err(_), exit) => reason_of_exit(exit),
                        }
                    }
                }),
                () = self.clock.until(next_notice) => if let Some((_, text)) = notices.pop() {
                    self.notice(&text);
                },
                text = devices.next() => {
                    tracing::warn!(text, "the session's GPUs");
                    self.tell(text).await;
                }
                text = memory.next() => self.tell(text).await,
                note = Saving::end_of(&mut self.made.saving) => if let Some(note) = note {
                    self.tell(note).await;
                },
                told = idle.next() => if let Some(reason) = self.mind_idle(told).await {
                    return Ok(reason);
                },
                next = interruptions.next() => match next {
                    Interruption::End(reason) => return Ok(reason),
                    Interruption::Keys(fresh) => self.replace_keys(&fresh).await,
                    Interruption::Killed => self.tell_of_kill(&mut memory).await,
                    Interruption::Deadline(at) => {
                        self.move_deadline(at).await;
                        notices = deadline::notices(at, self.clock.now());
                    }
                },
            }
        }
    }

    async fn replace_keys(&self, keys: &[u8]) {
        let Made {
            engine: Some(engine),
            server: Some(server),
            container: Some(id),
            ..
        } = &*self.made
        else {
            return;
        };
        let replaced = match server.replace_keys(keys) {
            Ok(Some(archive)) => bounded("handing fresh keys on", engine.upload(id, archive)).await,
            replaced => replaced.map(|_| ()),
        };
        if let Err(error) = replaced {
            tracing::warn!(error = error.sentence(), "cannot hand fresh keys on");
        }
    }

    fn notice(&self, text: &str) {
        if let Some(server) = &self.made.server {
            server.notice(text);
        }
    }

    /// Tells the terminals, and whoever asks for the status, what the user should know.
    async fn tell(&mut self, text: String) {
        self.notice(&format!("qdebug: {text}"));
        self.reporter
            .change(|details| {
                details.notices.push(text);
                let many = details.notices.len().saturating_sub(NOTICES_KEPT);
                details.notices.drain(..many);
            })
            .await;
    }

    /// Follows the scheduler: the lease first, without which the container would not live so long.
    async fn move_deadline(&mut self, at: Timestamp) {
        let now = self.clock.now();
        let before = std::mem::replace(&mut self.deadline, at);
        if let Some(server) = &self.made.server {
            server.renew(deadline::lease(at, now));
        }
        if deadline::is_worth_telling(before, at) {
            self.notice(&deadline::moved(at, now));
        }
        let told = self.clock.told(at);
        self.reporter
            .change(|details| details.deadline = Some(told))
            .await;
    }

    /// Begins to watch whether the session is used, where that matters.
    async fn watch_use(&self) -> IdleWatch {
        let (Some(timeout), Some(engine), Some(id)) =
            (self.idle_timeout, &self.made.engine, &self.made.container)
        else {
            return IdleWatch::never();
        };
        let asking = bounded("finding the container's processes", engine.main_process(id));
        let pid = match asking.await {
            Ok(pid) => pid,
            Err(error) => {
                tracing::warn!(
                    error = error.sentence(),
                    "cannot find the container's processes"
                );
                None
            }
        };
        IdleWatch::start(timeout, pid, self.reporter.gpus())
    }

    fn watch_memory(&self) -> Memory {
        let made = self.made.engine.as_ref().zip(self.made.container.as_ref());
        let job = JobMemory {
            kills: Kills::of_this_process(Path::new("/")),
            has_container: made.is_some_and(|(engine, _)| engine.shares_our_limits()),
        };
        Memory::of(
            made.map(|(engine, id)| engine.watch_memory(id)),
            self.reporter.memory_limit(),
            job,
        )
    }

    async fn tell_of_kill(&mut self, memory: &mut Memory) {
        if let Some(text) = memory.killed_in_job() {
            self.tell(text).await;
        }
    }

    /// What follows from the session's not being used; the reason to end, if it is one.
    async fn mind_idle(&mut self, told: Idle) -> Option<EndReason> {
        tracing::info!(?told, "the use of the session");
        let until = match told {
            Idle::Over => {
                let seconds = self.idle_timeout.unwrap_or_default().as_secs();
                return Some(EndReason::Idle { seconds });
            }
            Idle::NoMore => None,
            Idle::Soon(left) => {
                self.notice(&format!(
                    "qdebug: nobody is connected and no GPU works; this session ends in {} s",
                    left.as_secs()
                ));
                Timestamp::now().checked_add(left).ok()
            }
        };
        self.reporter
            .change(|details| details.idle_until = until)
            .await;
        None
    }
}

/// What the engine is asked while nobody listens to signals: one that hangs must not eat up the
/// grace of one that comes now.
async fn bounded<T>(
    doing: &'static str,
    asking: impl Future<Output = Result<T, engine::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(ASIDE_LIMIT, asking).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Error::Hanging {
            doing,
            detail: format!(
                "the engine does not answer within {} s",
                ASIDE_LIMIT.as_secs()
            ),
        }),
    }
}

/// What the container's end means. The numbers are the init's own.
fn reason_of_exit(seen: Result<i64, engine::Error>) -> EndReason {
    match seen {
        Ok(exit) if exit == i64::from(kit::exit::DEADLINE) => EndReason::Walltime,
        Ok(exit) => EndReason::ContainerExited { exit: Some(exit) },
        Err(error) => {
            tracing::error!(%error, "the engine is gone");
            EndReason::EngineGone
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_have_their_reasons() {
        assert_eq!(reason_of_exit(Ok(70)), EndReason::Walltime);
        assert_eq!(
            reason_of_exit(Ok(72)),
            EndReason::ContainerExited { exit: Some(72) }
        );
        let gone = engine::Error::Gone {
            doing: "waiting",
            detail: String::new(),
        };
        assert_eq!(reason_of_exit(Err(gone)), EndReason::EngineGone);
    }
}
