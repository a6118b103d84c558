//! What the job may use: the limits of its own cgroup and CPU set, for the container to have too.
//!
//! Problem: a container is the engine's child, not the job's, so no limit of the job reaches it.
//! Solution: read what this very process may use, cgroup v1, v2 or both, and hand the same to the
//! engine. Where the scheduler sets no limit, the request counts. Pure over a folder that stands
//! for `/`.

use std::path::Path;

/// The limits for the container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// CPUs as the kernel lists them; `None` when all of the machine's.
    pub(super) cpuset: Option<String>,
    /// Memory in bytes.
    pub(super) memory: Option<u64>,
    /// The memory is what was asked for: nothing holds this process to it.
    pub(super) memory_is_only_asked_for: bool,
    /// Processes and threads.
    pub(super) pids: Option<u64>,
    /// The machine's memory in bytes, 0 where it cannot be read.
    pub(super) machine_memory: u64,
}

impl Limits {
    /// Those of this process, below `root` (`/`); `requested` is the memory that was asked for.
    pub(super) fn of_this_process(root: &Path, requested: Option<u64>) -> Self {
        let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let machine_memory = field(&text("proc/meminfo"), "MemTotal:")
            .and_then(|value| value.trim_end_matches("kB").trim().parse::<u64>().ok())
            .map_or(0, |kilobytes| kilobytes * 1024);
        let groups = text("proc/self/cgroup");
        let smallest = |v2: &str, v1: &str, controller: &str| {
            let files = limit_files(&groups, controller, v2, v1);
            let values = files
                .iter()
                .filter_map(|file| text(file).trim().parse().ok());
            values.min()
        };
        let memory = smallest("memory.max", "memory.limit_in_bytes", "memory")
            // Version 1 writes "no limit" as a number near 2^63.
            .filter(|bytes| *bytes < machine_memory || machine_memory == 0)
            .filter(|bytes| *bytes < 1 << 60);
        Self {
            cpuset: cpuset(
                field(&text("proc/self/status"), "Cpus_allowed_list:").unwrap_or_default(),
                text("sys/devices/system/cpu/online").trim(),
            ),
            memory: memory.or(requested),
            memory_is_only_asked_for: memory.is_none() && requested.is_some(),
            pids: smallest("pids.max", "pids.max", "pids"),
            machine_memory,
        }
    }

    /// The size of /dev/shm where nobody asked for one: half the memory, as the kernel gives a
    /// tmpfs. Docker's 64 MB break data loaders that share memory.
    pub(super) fn default_shm(&self) -> Option<u64> {
        let memory = self.memory.unwrap_or(self.machine_memory);
        (memory > 0).then_some(memory / 2)
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

/// The files that may hold a limit, from the process's own group up to the root. In a container
/// the path of `/proc/self/cgroup` may be the host's: what is not there is passed over.
fn limit_files(groups: &str, controller: &str, v2: &str, v1: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if path.split('/').any(|part| part == "..") {
            continue;
        }
        let (bases, file): (&[&str], &str) = if controllers.is_empty() {
            (&["sys/fs/cgroup", "sys/fs/cgroup/unified"], v2)
        } else if controllers.split(',').any(|one| one == controller) {
            let base: &[&str] = match controller {
                "memory" => &["sys/fs/cgroup/memory"],
                _ => &["sys/fs/cgroup/pids"],
            };
            (base, v1)
        } else {
            continue;
        };
        for base in bases {
            let mut path = path.trim_matches('/');
            loop {
                let slash = if path.is_empty() { "" } else { "/" };
                files.push(format!("{base}{slash}{path}/{file}"));
                if path.is_empty() {
                    break;
                }
                path = path.rsplit_once('/').map_or("", |(above, _)| above);
            }
        }
    }
    files
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

    fn limits(files: &[(&str, &str)], requested: Option<u64>) -> Limits {
        let all: Vec<_> = MACHINE.iter().chain(files).copied().collect();
        Limits::of_this_process(root(&all).path(), requested)
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
        assert!(!found.memory_is_only_asked_for);
        assert_eq!(found.pids, Some(512));
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
        assert_eq!((found.memory, found.pids), (Some(7), None));
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
        assert_eq!(
            Limits::of_this_process(empty.path(), None),
            Limits::default()
        );
        let found = limits(
            &[("proc/self/cgroup", "garbage\n0::/../../etc\n::\n")],
            None,
        );
        assert_eq!(found.memory, None);
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
