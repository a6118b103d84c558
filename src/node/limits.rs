//! What the job may use: the limits of its own cgroup and CPU set, for the container to have too.
//!
//! Problem: a container is the engine's child, not the job's, so no limit of the job reaches it.
//! Solution: read what this very process may use, cgroup v1, v2 or both, and hand the same to the
//! engine. Where the scheduler sets no limit, the request counts. Pure over a folder that stands
//! for `/`.
//!
//! The container is not put below the job's own cgroup (`cgroup-parent`), although the engine's
//! driver `cgroupfs` would take its path. The driver `systemd` takes slices alone, and a job's group
//! is a service or a scope. With version 1 the job has a path for each controller, and an engine takes
//! one for all. With version 2 a group that holds processes, as the job's does, can have no limited
//! groups below it. And the kernel removes no group that has others below it: a scheduler that clears
//! away a job's while the engine still clears away the container's would fail. What nesting would give
//! is there otherwise, but for the scheduler's accounting: the limits are copied, and the container
//! ends with the job by its lease.

use std::path::Path;

use super::cgroup;
use crate::session;

/// Processes and threads where the job's cgroup has no limit: far above what data loaders and
/// compilers on a large node come to, far below what a runaway fork takes a node down with.
const DEFAULT_PIDS: u64 = 16_384;

/// What was asked for, for where the scheduler sets no limit.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    /// Memory in bytes.
    pub(super) memory: Option<u64>,
    /// Cores.
    pub(super) cpus: Option<u32>,
}

/// What the kernel tells of this process's control groups.
struct Groups {
    own: String,
    mounts: String,
}

/// The limits for the container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// CPUs as the kernel lists them; `None` when all of the machine's.
    pub(super) cpuset: Option<String>,
    /// How many CPUs' time, in thousandths; `None` when all of the CPUs above.
    pub(super) millicpus: Option<u64>,
    /// Memory in bytes.
    pub(super) memory: Option<u64>,
    /// Swap in bytes on top of the memory; none unless the job has some.
    pub(super) swap: Option<u64>,
    /// The memory is what was asked for: nothing holds this process to it.
    pub(super) memory_is_only_asked_for: bool,
    /// Processes and threads.
    pub(super) pids: u64,
    /// The machine's memory in bytes, 0 where it cannot be read.
    pub(super) machine_memory: u64,
}

impl Limits {
    /// Those of this process, below `root` (`/`).
    pub(super) fn of_this_process(root: &Path, asked: Asked) -> Self {
        let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let machine_memory = field(&text("proc/meminfo"), "MemTotal:")
            .and_then(|value| value.trim_end_matches("kB").trim().parse::<u64>().ok())
            .map_or(0, |kilobytes| kilobytes * 1024);
        let groups = Groups {
            own: text("proc/self/cgroup"),
            mounts: text("proc/self/mountinfo"),
        };
        let smallest = |v2: &str, v1: &str, controller: &str| {
            let files = limit_files(&groups, controller, v2, v1);
            let values = files
                .iter()
                .filter_map(|file| text(file).trim().parse::<u64>().ok());
            values.min()
        };
        let memory = smallest("memory.max", "memory.limit_in_bytes", "memory")
            // Version 1 writes "no limit" as a number near 2^63.
            .filter(|bytes| *bytes < machine_memory || machine_memory == 0)
            .filter(|bytes| *bytes < 1 << 60);
        let cpuset = cpuset(
            field(&text("proc/self/status"), "Cpus_allowed_list:").unwrap_or_default(),
            text("sys/devices/system/cpu/online").trim(),
        );
        // Version 1 tells memory and swap together.
        let with_swap = smallest("", "memory.memsw.limit_in_bytes", "memory");
        let with_swap = with_swap.filter(|bytes| *bytes < 1 << 60);
        let swap = smallest("memory.swap.max", "", "memory")
            .or_else(|| Some(with_swap?.saturating_sub(memory?)));
        let quota = quota(&groups, &text);
        Self {
            millicpus: quota.or_else(|| match &cpuset {
                Some(_) => None,
                None => Some(u64::from(asked.cpus?) * 1000),
            }),
            cpuset,
            swap: swap.filter(|_| memory.is_some()),
            memory: memory.or(asked.memory),
            memory_is_only_asked_for: memory.is_none() && asked.memory.is_some(),
            pids: smallest("pids.max", "pids.max", "pids").unwrap_or(DEFAULT_PIDS),
            machine_memory,
        }
    }

    /// As the status tells them.
    pub(super) fn told(&self, shm: Option<u64>) -> session::Limits {
        session::Limits {
            cpuset: self.cpuset.clone(),
            millicpus: self.millicpus,
            memory_bytes: self.memory,
            pids: Some(self.pids),
            shm_bytes: shm,
        }
    }

    /// The size of /dev/shm where nobody asked for one: half the memory, as the kernel gives a
    /// tmpfs. Docker's 64 MB break data loaders that share memory.
    pub(super) fn default_shm(&self) -> Option<u64> {
        let memory = self.memory.unwrap_or(self.machine_memory);
        (memory > 0).then_some(memory / 2)
    }
}

/// The tightest share of CPU time on the way up, in thousandths of a CPU.
fn quota(groups: &Groups, text: &impl Fn(&str) -> String) -> Option<u64> {
    let share = |quota: &str, period: &str| {
        let (quota, period): (u64, u64) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
        let share = quota.checked_mul(1000)?.checked_div(period)?;
        (share > 0).then_some(share)
    };
    let files = limit_files(groups, "cpu", "cpu.max", "cpu.cfs_quota_us");
    let shares = files.iter().filter_map(|file| {
        let found = text(file);
        match file.strip_suffix("cpu.cfs_quota_us") {
            Some(folder) => share(&found, &text(&format!("{folder}cpu.cfs_period_us"))),
            None => found
                .split_once(' ')
                .and_then(|(quota, period)| share(quota, period)),
        }
    });
    shares.min()
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

/// The files that may hold a limit, from the process's own group up to the root.
fn limit_files(groups: &Groups, controller: &str, v2: &str, v1: &str) -> Vec<String> {
    let chains = cgroup::chains(&groups.own, &groups.mounts, controller);
    let files = chains.into_iter().flat_map(|chain| {
        let file = if chain.is_v2 { v2 } else { v1 };
        let folders = chain.folders.into_iter();
        folders.map(move |folder| format!("{folder}/{file}"))
    });
    files.collect()
}

/// The CPUs this process may use, where that is less than the machine has. The kernel's list may
/// name CPUs that are not there, which the engine would refuse.
fn cpuset(allowed: &str, online: &str) -> Option<String> {
    let (allowed, online) = (ranges(allowed)?, ranges(online)?);
    let both: Vec<u32> = allowed
        .into_iter()
        .filter(|cpu| online.contains(cpu))
        .collect();
    if both.is_empty() || both.len() == online.len() {
        return None;
    }
    let words: Vec<String> = both.iter().map(u32::to_string).collect();
    Some(words.join(","))
}

fn ranges(list: &str) -> Option<std::collections::BTreeSet<u32>> {
    let mut all = std::collections::BTreeSet::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if last > 65_535 {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    const MACHINE: [(&str, &str); 3] = [
        (
            "proc/meminfo",
            "MemTotal:       65536000 kB\nMemFree: 1 kB\n",
        ),
        ("proc/self/status", "Name:\tx\nCpus_allowed_list:\t2-3,8\n"),
        ("sys/devices/system/cpu/online", "0-15\n"),
    ];

    fn limits(files: &[(&str, &str)], memory: Option<u64>) -> Limits {
        let all: Vec<_> = MACHINE.iter().chain(files).copied().collect();
        let asked = Asked {
            memory,
            cpus: Some(4),
        };
        Limits::of_this_process(root(&all).path(), asked)
    }

    #[test]
    fn version_2_counts_the_tightest_on_the_way_up() {
        let found = limits(
            &[
                ("proc/self/cgroup", "0::/system.slice/job_3/step_0\n"),
                ("sys/fs/cgroup/system.slice/job_3/memory.max", "1000000\n"),
                (
                    "sys/fs/cgroup/system.slice/job_3/step_0/memory.max",
                    "max\n",
                ),
                ("sys/fs/cgroup/system.slice/job_3/pids.max", "512\n"),
            ],
            Some(7),
        );
        assert_eq!(found.memory, Some(1_000_000));
        assert_eq!((found.pids, found.swap), (512, None));
        assert!(!found.memory_is_only_asked_for);
        assert_eq!(found.cpuset.as_deref(), Some("2,3,8"));
        assert_eq!(found.default_shm(), Some(500_000));
    }

    #[test]
    fn version_1_without_a_limit_leaves_the_request() {
        let groups = "11:memory:/slurm/uid_1/job_3\n4:pids:/slurm\n0::/\n";
        let files = [
            ("proc/self/cgroup", groups),
            (
                "sys/fs/cgroup/memory/slurm/uid_1/job_3/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            ("sys/fs/cgroup/pids/slurm/pids.max", "max\n"),
        ];
        let found = limits(&files, Some(7));
        assert_eq!((found.memory, found.pids), (Some(7), DEFAULT_PIDS));
        assert!(found.memory_is_only_asked_for);
        let unasked = limits(&files, None);
        assert_eq!(unasked.memory, None);
        assert_eq!(unasked.default_shm(), Some(65_536_000 * 512));
    }

    #[test]
    fn a_container_that_shows_the_hosts_path_still_finds_its_own() {
        let found = limits(
            &[
                ("proc/self/cgroup", "4:memory:/docker/f00\n"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n"),
            ],
            None,
        );
        assert_eq!(found.memory, Some(2_000_000));
    }

    #[test]
    fn nothing_readable_is_no_limit() {
        let empty = root(&[]);
        let nothing = Limits {
            pids: DEFAULT_PIDS,
            ..Limits::default()
        };
        let found = Limits::of_this_process(empty.path(), Asked::default());
        assert_eq!(found, nothing);
        let found = limits(
            &[("proc/self/cgroup", "garbage\n0::/../../etc\n::\n")],
            None,
        );
        assert_eq!(found.memory, None);
    }

    #[test]
    fn cpu_time_is_the_jobs_quota_else_the_count_where_there_is_no_set() {
        let group = ("proc/self/cgroup", "0::/job\n3:cpu,cpuacct:/a\n");
        let quota = ("sys/fs/cgroup/job/cpu.max", "250000 100000\n");
        assert_eq!(limits(&[group, quota], None).millicpus, Some(2500));
        let version_1 = [
            group,
            ("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "150000\n"),
            ("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
        ];
        assert_eq!(limits(&version_1, None).millicpus, Some(1500));
        let unlimited = ("sys/fs/cgroup/job/cpu.max", "max 100000\n");
        assert_eq!(
            limits(&[group, unlimited], None).millicpus,
            None,
            "the set does"
        );
        let no_set = ("proc/self/status", "Cpus_allowed_list:\t0-15\n");
        assert_eq!(limits(&[no_set], None).millicpus, Some(4000));
    }

    #[test]
    fn swap_is_what_the_job_has_on_top() {
        let version_2 = [
            ("proc/self/cgroup", "0::/job\n"),
            ("sys/fs/cgroup/job/memory.max", "1000\n"),
            ("sys/fs/cgroup/job/memory.swap.max", "500\n"),
        ];
        assert_eq!(limits(&version_2, None).swap, Some(500));
        let version_1 = [
            ("proc/self/cgroup", "4:memory:/job\n"),
            ("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "1000\n"),
            (
                "sys/fs/cgroup/memory/job/memory.memsw.limit_in_bytes",
                "1200\n",
            ),
        ];
        assert_eq!(limits(&version_1, None).swap, Some(200));
    }

    #[test]
    fn a_cpu_list_is_only_told_when_it_is_less_than_all() {
        assert_eq!(cpuset("0-127", "0-15"), None);
        assert_eq!(cpuset("0", "0-1").as_deref(), Some("0"));
        for odd in ["", "x", "3-1", "0-99999999"] {
            assert_eq!(cpuset(odd, "0-15"), None, "{odd}");
        }
    }
}
