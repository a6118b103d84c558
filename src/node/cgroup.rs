//! Where the files of this process's control groups are: version 1, 2, or both.
//!
//! Problem: `/proc/self/cgroup` names a group for each controller, and not where its hierarchy is
//! mounted; a process in a container reads the host's path there, of which its mount shows the lower
//! end alone. Evidence: `/proc/self/mountinfo` tells of each mount which folder of the hierarchy it
//! shows (its fourth field) and where (its fifth). Solution: the folder of a group is its path without
//! what the mount leaves out, below the mount. Where nothing is told of mounts, the usual places count.
//! Pure over texts; paths are relative to `/`.

/// A process's group of one hierarchy, and those around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    /// The hierarchy is version 2's.
    pub(super) is_v2: bool,
    /// The folders, from the process's own group up to what the mount shows.
    pub(super) folders: Vec<String>,
}

/// The groups in which this controller may hold the process: in each hierarchy that may have it, at
/// each place where it may be mounted. What is not there is passed over by whoever reads.
pub(super) fn chains(groups: &str, mounts: &str, controller: &str) -> Vec<Chain> {
    let mut chains = Vec::new();
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
        let is_v2 = controllers.is_empty();
        if !is_v2 && !controllers.split(',').any(|one| one == controller) {
            continue;
        }
        let of = (!is_v2).then_some(controller);
        let mut places = mounted(mounts, of);
        if places.is_empty() {
            let usual = usual(of).iter();
            places = usual.map(|place| ("/", *place)).collect();
        }
        let folders = places.into_iter().map(|(shown, place)| Chain {
            is_v2,
            folders: upwards(place, below(path, shown)),
        });
        chains.extend(folders);
    }
    chains
}

/// The mounts of version 2, or of a controller's hierarchy: what each shows, and where.
fn mounted<'a>(mounts: &'a str, controller: Option<&str>) -> Vec<(&'a str, &'a str)> {
    let mount = |line: &'a str| {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let fits = match (after.next()?, controller) {
            ("cgroup2", None) => true,
            ("cgroup", Some(controller)) => after.nth(1)?.split(',').any(|word| word == controller),
            _ => false,
        };
        let mut before = before.split(' ').skip(3);
        let (shown, place) = (before.next()?, before.next()?.trim_matches('/'));
        // What is mounted from outside of the process's own namespace tells nothing of paths in it.
        (fits && !place.is_empty() && !shown.contains("..")).then_some((shown, place))
    };
    mounts.lines().filter_map(mount).collect()
}

fn usual(controller: Option<&str>) -> &'static [&'static str] {
    match controller {
        None => &["sys/fs/cgroup", "sys/fs/cgroup/unified"],
        Some("memory") => &["sys/fs/cgroup/memory"],
        Some("cpu") => &["sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"],
        Some(_) => &["sys/fs/cgroup/pids"],
    }
}

/// The part of a group's path that is below what a mount shows; all of it where it is elsewhere.
fn below<'a>(path: &'a str, shown: &str) -> &'a str {
    let rest = path.strip_prefix(shown.trim_end_matches('/'));
    rest.filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .unwrap_or(path)
}

fn upwards(place: &str, path: &str) -> Vec<String> {
    let mut path = path.trim_matches('/');
    let mut folders = Vec::new();
    loop {
        let slash = if path.is_empty() { "" } else { "/" };
        folders.push(format!("{place}{slash}{path}"));
        if path.is_empty() {
            return folders;
        }
        path = path.rsplit_once('/').map_or("", |(above, _)| above);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(groups: &str, mounts: &str, controller: &str) -> Vec<(bool, String)> {
        let chains = chains(groups, mounts, controller);
        let all = chains.into_iter().map(|chain| {
            let shown = chain.folders.join(" ");
            (chain.is_v2, shown)
        });
        all.collect()
    }

    /// A hybrid node: version 1 for the controllers, version 2 for systemd alone.
    const HYBRID: &str = "25 30 0:22 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n\
        26 25 0:23 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n\
        36 25 0:33 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n\
        41 25 0:38 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n";
    /// In a container: of each hierarchy its own end is shown.
    const INSIDE: &str = "955 947 0:34 /docker/f00 /sys/fs/cgroup/memory rw - cgroup memory rw,memory\n\
        956 947 0:34 /docker/f00 /sys/fs/cgroup/pids rw - cgroup pids rw,pids\n";

    #[test]
    fn a_group_is_where_its_hierarchy_is_mounted() {
        let groups = "4:memory:/slurm/job_3\n3:cpu,cpuacct:/\n0::/system.slice\n";
        let memory =
            "sys/fs/cgroup/memory/slurm/job_3 sys/fs/cgroup/memory/slurm sys/fs/cgroup/memory";
        let unified = "sys/fs/cgroup/unified/system.slice sys/fs/cgroup/unified";
        let expected = [(false, memory.to_owned()), (true, unified.to_owned())];
        assert_eq!(folders(groups, HYBRID, "memory"), expected);
        let cpu = folders(groups, HYBRID, "cpu");
        assert_eq!(cpu[0], (false, "sys/fs/cgroup/cpu,cpuacct".to_owned()));
        assert_eq!(folders("3:cpu:/a\n", HYBRID, "memory"), []);
    }

    #[test]
    fn in_a_container_the_hosts_part_of_the_path_is_left_out() {
        let own = "sys/fs/cgroup/memory/job sys/fs/cgroup/memory".to_owned();
        let groups = "4:memory:/docker/f00/job\n";
        assert_eq!(folders(groups, INSIDE, "memory"), [(false, own)]);
        let alike = folders("4:memory:/docker/f001\n", INSIDE, "memory");
        assert!(alike[0].1.starts_with("sys/fs/cgroup/memory/docker/f001 "));
    }

    #[test]
    fn without_a_word_of_mounts_the_usual_places_count() {
        let two = folders("0::/a\n", "", "memory");
        let usual = [
            "sys/fs/cgroup/a sys/fs/cgroup",
            "sys/fs/cgroup/unified/a sys/fs/cgroup/unified",
        ];
        assert_eq!(two, usual.map(|shown| (true, shown.to_owned())));
        for odd in [
            "garbage\n",
            "::\n",
            "0::/../../etc\n",
            "4:memory:/a/../..\n",
        ] {
            assert!(
                folders(odd, "", "memory")
                    .iter()
                    .all(|(_, shown)| !shown.contains("..")),
                "{odd}"
            );
        }
        let odd = "x - y\n1 2 3 /.. /sys/fs/cgroup/memory rw - cgroup memory rw,memory\n";
        let own = "sys/fs/cgroup/memory".to_owned();
        assert_eq!(folders("4:memory:/\n", odd, "memory"), [(false, own)]);
    }
}
