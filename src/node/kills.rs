//! Processes of the job that the kernel killed for want of memory, as the job's own control group
//! counts them.
//!
//! Problem: rootless Podman's containers have no limit of their own and stay in the job's group, so
//! that no engine tells when that overflows. Evidence: the kernel counts its kills, and everybody may
//! read them: version 2 in `memory.events` of every group from the killed process's up (`oom_kill`),
//! version 1 in `memory.oom_control` of the process's own group alone (since Linux 4.13).
//! `memory.failcnt` also counts what was freed in time, so it is no witness. Solution: the counter of
//! the nearest group that has a limit (version 1: of the own group, below such a one), read now and
//! then. Where no limit holds this process, its group may be everybody's, and nothing is counted.

use std::path::{Path, PathBuf};

use super::cgroup;

/// No limit, as version 1 writes it, is a number near 2^63.
const NO_LIMIT: u64 = 1 << 60;

/// The counter of the job's group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kills {
    counter: PathBuf,
    seen: u64,
}

impl Kills {
    /// Those of this process's group from now on, below `root` (`/`); `None` where it has no limit, or
    /// the kernel does not count.
    pub(super) fn of_this_process(root: &Path) -> Option<Self> {
        let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let groups = text("proc/self/cgroup");
        let chains = cgroup::chains(&groups, &text("proc/self/mountinfo"), "memory");
        let counters = chains.iter().filter_map(|chain| {
            let file = match chain.is_v2 {
                true => "memory.max",
                false => "memory.limit_in_bytes",
            };
            let is_limited = |folder: &&String| {
                let limit = text(&format!("{folder}/{file}")).trim().parse::<u64>();
                limit.is_ok_and(|bytes| bytes < NO_LIMIT)
            };
            let limited = chain.folders.iter().find(is_limited)?;
            Some(match chain.is_v2 {
                true => format!("{limited}/memory.events"),
                // The first that is there: a container's process may read another's path.
                false => {
                    let path = |folder: &String| format!("{folder}/memory.oom_control");
                    let mut paths = chain.folders.iter().map(path);
                    paths.find(|path| root.join(path).exists())?
                }
            })
        });
        let mut counters = counters.map(|path| root.join(path));
        counters.find_map(|counter| {
            let seen = count(&counter)?;
            Some(Self { counter, seen })
        })
    }

    /// Whether there were more since the last look. A group that is gone has no more.
    pub(super) fn grew(&mut self) -> bool {
        let now = count(&self.counter).unwrap_or(self.seen);
        now > std::mem::replace(&mut self.seen, now)
    }
}

fn count(counter: &Path) -> Option<u64> {
    parse(&std::fs::read_to_string(counter).ok()?)
}

/// The kills in `memory.events` or `memory.oom_control`.
fn parse(text: &str) -> Option<u64> {
    let number = |line: &str| line.strip_prefix("oom_kill ")?.trim().parse().ok();
    text.lines().find_map(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linux 6.1, version 2.
    const EVENTS: &str = "low 0\nhigh 0\nmax 118\noom 2\noom_kill 2\noom_group_kill 0\n";
    /// Linux 5.10, version 1.
    const CONTROL: &str = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
    /// Linux 3.10, version 1.
    const OLD: &str = "oom_kill_disable 0\nunder_oom 0\n";
    const NONE: &str = "9223372036854771712\n";

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            write(root.path(), path, text);
        }
        root
    }

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn the_kernels_counters_are_read() {
        assert_eq!(parse(EVENTS), Some(2));
        assert_eq!(parse(CONTROL), Some(3));
        for nothing in [OLD, "", "oom_kill x\n", "oom_kill\n"] {
            assert_eq!(parse(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn version_2_counts_in_the_nearest_group_with_a_limit() {
        let root = root(&[
            (
                "proc/self/cgroup",
                "0::/slurmstepd.scope/job_3/step_0/user\n",
            ),
            (
                "sys/fs/cgroup/slurmstepd.scope/job_3/memory.max",
                "1000000\n",
            ),
            ("sys/fs/cgroup/slurmstepd.scope/job_3/memory.events", EVENTS),
            (
                "sys/fs/cgroup/slurmstepd.scope/job_3/step_0/memory.max",
                "max\n",
            ),
            (
                "sys/fs/cgroup/slurmstepd.scope/job_3/step_0/user/memory.max",
                "max\n",
            ),
            (
                "sys/fs/cgroup/slurmstepd.scope/job_3/step_0/user/memory.events",
                "oom_kill 9\n",
            ),
        ]);
        let mut kills = Kills::of_this_process(root.path()).unwrap();
        assert_eq!(kills.seen, 2);
        assert!(!kills.grew());
        let events = "sys/fs/cgroup/slurmstepd.scope/job_3/memory.events";
        write(
            root.path(),
            events,
            &EVENTS.replace("oom_kill 2", "oom_kill 4"),
        );
        assert!(kills.grew());
        assert!(!kills.grew(), "told once");
        std::fs::remove_file(root.path().join(events)).unwrap();
        assert!(!kills.grew(), "a group that is gone");
    }

    #[test]
    fn version_1_counts_in_the_own_group_below_one_with_a_limit() {
        let files = [
            ("proc/self/cgroup", "4:memory:/slurm/job_3/step_0\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", NONE),
            ("sys/fs/cgroup/memory/memory.oom_control", "oom_kill 70\n"),
            (
                "sys/fs/cgroup/memory/slurm/job_3/memory.limit_in_bytes",
                "1000000\n",
            ),
            (
                "sys/fs/cgroup/memory/slurm/job_3/memory.oom_control",
                "oom_kill 0\n",
            ),
            (
                "sys/fs/cgroup/memory/slurm/job_3/step_0/memory.limit_in_bytes",
                NONE,
            ),
            (
                "sys/fs/cgroup/memory/slurm/job_3/step_0/memory.oom_control",
                CONTROL,
            ),
        ];
        let kills = Kills::of_this_process(root(&files).path()).unwrap();
        assert_eq!(kills.seen, 3);
        // A kernel that does not count.
        let mut old = files;
        old[6].1 = OLD;
        assert_eq!(Kills::of_this_process(root(&old).path()), None);
    }

    #[test]
    fn a_hybrid_node_has_its_memory_in_version_1() {
        let mounts = "26 25 0:23 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                      41 25 0:38 /docker/f00 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let root = root(&[
            ("proc/self/cgroup", "4:memory:/docker/f00/job\n0::/job\n"),
            ("proc/self/mountinfo", mounts),
            ("sys/fs/cgroup/unified/job/cgroup.events", "populated 1\n"),
            (
                "sys/fs/cgroup/memory/job/memory.limit_in_bytes",
                "1000000\n",
            ),
            ("sys/fs/cgroup/memory/job/memory.oom_control", CONTROL),
        ]);
        assert_eq!(Kills::of_this_process(root.path()).unwrap().seen, 3);
    }

    #[test]
    fn where_nothing_is_limited_the_group_may_be_everybodys() {
        let root = root(&[
            (
                "proc/self/cgroup",
                "4:memory:/system.slice/pbs.service\n0::/system.slice\n",
            ),
            (
                "sys/fs/cgroup/memory/system.slice/pbs.service/memory.limit_in_bytes",
                NONE,
            ),
            (
                "sys/fs/cgroup/memory/system.slice/pbs.service/memory.oom_control",
                CONTROL,
            ),
            ("sys/fs/cgroup/system.slice/memory.max", "max\n"),
            ("sys/fs/cgroup/system.slice/memory.events", EVENTS),
        ]);
        assert_eq!(Kills::of_this_process(root.path()), None);
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(Kills::of_this_process(empty.path()), None);
    }
}
