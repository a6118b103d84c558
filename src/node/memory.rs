//! Memory that ran out in the session: who it killed, and what the user can do about it.
//!
//! The kernel kills the process of the container that holds most, which is the user's own: the
//! session lives on, and without a word the user sees but "Killed". Only where the container's first
//! process went is it the session's end.

use std::time::Duration;

use tokio::time::Instant;

use super::kills::Kills;
use crate::engine::MemoryWatch;
use crate::kit::exit;
use crate::session::EndReason;

/// At most so often is it told: a job whose workers are started again and again dies many deaths.
const QUIET: Duration = Duration::from_secs(60);
/// How much earlier than the container's end its memory may have run out.
const JUST_NOW: Duration = Duration::from_secs(5);
/// How much later than the end the engine may tell of it.
const PATIENCE: Duration = Duration::from_millis(300);

/// The memory of the job's own control group.
#[derive(Debug)]
pub(super) struct JobMemory {
    /// What the kernel counts there, from the session's beginning on.
    pub(super) kills: Option<Kills>,
    /// The container's processes are in this group, too: the engine is a child of ours.
    pub(super) has_container: bool,
}

/// What is heard of the session's memory.
#[derive(Debug)]
pub(super) struct Memory {
    watch: Option<MemoryWatch>,
    limit: Option<u64>,
    job: JobMemory,
    /// When a kill in the job's group was heard of last.
    killed: Option<Instant>,
    told: Option<Instant>,
}

impl Memory {
    /// Of a container with this limit in bytes; without a watch no engine is heard.
    pub(super) fn of(watch: Option<MemoryWatch>, limit: Option<u64>, job: JobMemory) -> Self {
        Self {
            watch,
            limit,
            job,
            killed: None,
            told: None,
        }
    }

    /// The next thing that the engine has to tell the user. May be dropped and asked again.
    pub(super) async fn next(&mut self) -> String {
        loop {
            let Some(watch) = &mut self.watch else {
                return std::future::pending().await;
            };
            watch.ran_out().await;
            if let Some(text) = self.telling("a process was killed") {
                return text;
            }
        }
    }

    /// A process of the job was killed; what there is to tell the user. On an engine of the system's
    /// the container has a group and a limit of its own.
    pub(super) fn killed_in_job(&mut self) -> Option<String> {
        self.look_at_job();
        self.killed = Some(Instant::now());
        self.telling(match self.job.has_container {
            true => "a process was killed",
            false => "a process of the job, outside of the container, was killed",
        })
    }

    fn telling(&mut self, what: &str) -> Option<String> {
        if self.told.is_some_and(|told| told.elapsed() < QUIET) {
            return None;
        }
        self.told = Some(Instant::now());
        Some(format!("{what}: {}", reason(self.limit)))
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
        let mut ran_out = status != 0 && self.job_ran_out();
        if let Some(watch) = self.watch.as_mut().filter(|_| !ran_out) {
            ran_out = watch.ran_out_within(JUST_NOW, PATIENCE).await;
        }
        ran_out.then(|| reason(self.limit))
    }

    /// Why an engine of the job's own is gone, where that was the memory.
    pub(super) fn reason_of_lost_engine(&mut self) -> Option<EndReason> {
        self.job_ran_out().then(|| reason(self.limit))
    }

    /// Whether the kernel killed a process of the group in which the container is, just now.
    fn job_ran_out(&mut self) -> bool {
        self.look_at_job();
        let lately = self.killed.is_some_and(|at| at.elapsed() <= JUST_NOW);
        self.job.has_container && lately
    }

    /// The end may come before the next look that is due.
    fn look_at_job(&mut self) {
        if self.job.kills.as_mut().is_some_and(Kills::grew) {
            self.killed = Some(Instant::now());
        }
    }
}

fn reason(limit_bytes: Option<u64>) -> EndReason {
    EndReason::OutOfMemory { limit_bytes }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn heard_by_nobody(job: JobMemory) -> Memory {
        Memory::of(None, Some(1 << 30), job)
    }

    fn nothing() -> JobMemory {
        JobMemory {
            kills: None,
            has_container: false,
        }
    }

    /// A group of the job's below a folder, with so many kills.
    fn group(root: &Path, kills: u64) -> JobMemory {
        let file = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        file("proc/self/cgroup", "4:memory:/job\n");
        let group = "sys/fs/cgroup/memory/job";
        file(&format!("{group}/memory.limit_in_bytes"), "1073741824\n");
        file(
            &format!("{group}/memory.oom_control"),
            &format!("oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n"),
        );
        JobMemory {
            kills: Kills::of_this_process(root),
            has_container: true,
        }
    }

    /// The exit status of a first process that was killed.
    const KILLED: i64 = 128 + 9;

    #[tokio::test]
    async fn where_nothing_is_heard_nothing_is_told() {
        let mut memory = heard_by_nobody(nothing());
        let limit = Duration::from_millis(20);
        assert!(tokio::time::timeout(limit, memory.next()).await.is_err());
        assert_eq!(memory.reason_of(KILLED).await, None);
        assert_eq!(memory.reason_of(i64::from(exit::DEADLINE)).await, None);
        assert_eq!(memory.reason_of_lost_engine(), None);
    }

    #[tokio::test]
    async fn a_kill_in_the_jobs_group_is_told_once_a_while_and_is_a_reason() {
        let root = tempfile::tempdir().unwrap();
        let mut memory = heard_by_nobody(group(root.path(), 4));
        assert_eq!(memory.reason_of(KILLED).await, None, "of earlier");
        group(root.path(), 5);
        let told = memory.killed_in_job().unwrap();
        for word in [
            "a process was killed: out of memory",
            "limit of 1G",
            "--memory",
        ] {
            assert!(told.contains(word), "{word}: {told}");
        }
        assert_eq!(memory.killed_in_job(), None, "told already");
        let reason = reason(Some(1 << 30));
        assert_eq!(memory.reason_of(KILLED).await, Some(reason));
        assert_eq!(memory.reason_of(0).await, None, "it ended by itself");
    }

    #[tokio::test]
    async fn a_kill_that_nobody_has_told_of_yet_is_a_reason_as_well() {
        let root = tempfile::tempdir().unwrap();
        let mut memory = heard_by_nobody(group(root.path(), 0));
        group(root.path(), 1);
        let reason = Some(reason(Some(1 << 30)));
        assert_eq!(memory.reason_of(KILLED).await, reason);
        assert_eq!(memory.reason_of_lost_engine(), reason);
    }

    #[tokio::test]
    async fn a_container_with_a_group_of_its_own_does_not_die_of_the_jobs() {
        let root = tempfile::tempdir().unwrap();
        let outside = JobMemory {
            has_container: false,
            ..group(root.path(), 0)
        };
        let mut memory = heard_by_nobody(outside);
        group(root.path(), 1);
        let told = memory.killed_in_job().unwrap();
        assert!(told.contains("outside of the container"), "{told}");
        assert_eq!(memory.reason_of(KILLED).await, None);
        assert_eq!(memory.reason_of_lost_engine(), None);
    }
}
