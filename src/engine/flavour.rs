//! How the engine that answered differs from Docker, and what it cannot do for a container.
//!
//! Pure but for one look at the machine's cgroups. Evidence, podman 4.3 of Debian 12, rootless: limits
//! on cgroup version 1 are ignored; a supplementary group by number becomes one of the user's
//! subordinate ids; `GroupAdd: keep-groups` is refused through the API, and only crun keeps groups;
//! the log driver `local` is refused; the default network goes through a second slirp4netns that is
//! never ended.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::HostConfigLogConfig;

use super::{ContainerSpec, Engine, Kind};

/// How many groups are told by name; a directory service may have hundreds.
const GROUPS_TOLD: usize = 8;

/// The engine, as far as requests differ by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flavour {
    pub(super) kind: Kind,
    /// Run by a user in a user namespace of his own.
    pub(super) rootless: bool,
    /// A child of ours: its containers have the limits of our own cgroup.
    pub(super) own: bool,
    /// The first number of its version.
    pub(super) major: u32,
    /// Containers are run by crun.
    pub(super) crun: bool,
    /// Which limits it can set.
    pub(super) limits: CanLimit,
}

/// Which limits an engine can set on a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CanLimit {
    pub(super) memory: bool,
    pub(super) cpuset: bool,
    pub(super) cpu_time: bool,
    pub(super) pids: bool,
}

impl CanLimit {
    pub(super) const ALL: Self = Self {
        memory: true,
        cpuset: true,
        cpu_time: true,
        pids: true,
    };
    pub(super) const NONE: Self = Self {
        memory: false,
        cpuset: false,
        cpu_time: false,
        pids: false,
    };
}

impl Flavour {
    /// Docker's.
    pub(super) const DOCKER: Self = Self {
        kind: Kind::Docker,
        rootless: false,
        own: false,
        major: 0,
        crun: false,
        limits: CanLimit::ALL,
    };

    fn rootless_podman(&self) -> bool {
        self.kind == Kind::Podman && self.rootless
    }

    /// The user namespace: the user is himself in it.
    pub(super) fn user_namespace(&self) -> Option<String> {
        self.rootless_podman().then(|| "keep-id".to_owned())
    }

    /// The network where none is asked for.
    pub(super) fn network(&self) -> Option<String> {
        let name = match self.major {
            ..5 => "slirp4netns",
            _ => "pasta",
        };
        self.rootless_podman().then(|| name.to_owned())
    }

    /// Supplementary groups, and annotations that ask for them.
    pub(super) fn groups(&self, wanted: &[u32]) -> (Vec<String>, HashMap<String, String>) {
        if !self.rootless_podman() {
            let numbers = wanted.iter().map(u32::to_string).collect();
            return (numbers, HashMap::new());
        }
        let keep = ("run.oci.keep_original_groups".to_owned(), "1".to_owned());
        let annotations = (self.crun && !wanted.is_empty()).then_some(keep);
        (Vec::new(), annotations.into_iter().collect())
    }

    /// Where its output goes. Bounded: what sshd says in days of port scans would else fill the
    /// engine's disk.
    pub(super) fn log(&self) -> HostConfigLogConfig {
        let (name, files) = match self.kind {
            Kind::Docker => ("local", Some(("max-file".to_owned(), "2".to_owned()))),
            Kind::Podman => ("k8s-file", None),
        };
        let size = ("max-size".to_owned(), "2m".to_owned());
        HostConfigLogConfig {
            typ: Some(name.to_owned()),
            config: Some([size].into_iter().chain(files).collect()),
        }
    }

    /// What of this container's description it cannot do, in words for the user.
    pub(super) fn unmet(&self, spec: &ContainerSpec) -> Vec<String> {
        let mut unmet = Vec::new();
        let limits = [
            (spec.memory_bytes.is_some() && !self.limits.memory, "memory"),
            (spec.cpuset.is_some() && !self.limits.cpuset, "CPUs"),
            (
                spec.millicpus.is_some() && !self.limits.cpu_time,
                "CPU time",
            ),
            (spec.pids.is_some() && !self.limits.pids, "processes"),
        ];
        let missing: Vec<&str> = limits
            .iter()
            .filter_map(|(missing, name)| missing.then_some(*name))
            .collect();
        // In our own cgroup the job's limits hold without being set again.
        if !missing.is_empty() && !self.own {
            unmet.push(format!(
                "this Podman cannot limit {} here: the container is not held to the job's share",
                missing.join(", ")
            ));
        }
        unmet
    }

    /// Which of these supplementary groups, by number and name, its containers do not have, and what
    /// helps, in words for the user; nothing where they have all of them.
    pub(super) fn groups_left_out(
        &self,
        groups: &[(u32, String)],
        cgroups_are_old: bool,
    ) -> Option<String> {
        if !self.rootless_podman() || self.crun || groups.is_empty() {
            return None;
        }
        let mut names: Vec<String> = (groups.iter().take(GROUPS_TOLD))
            .map(|(number, name)| format!("{name} ({number})"))
            .collect();
        if groups.len() > GROUPS_TOLD {
            names.push(format!("{} more", groups.len() - GROUPS_TOLD));
        }
        let cure = if cgroups_are_old {
            "here crun, which keeps them, cannot run: the node's cgroups are version 1. Use Docker \
             (`--engine docker`), or open the files to your own user"
        } else {
            "the cure, for the node's admin: install crun, which keeps them and which Podman then \
             prefers"
        };
        Some(format!(
            "Podman with runc leaves your supplementary groups outside: {}. What only they may read \
             cannot be read in the session; {cure}",
            names.join(", ")
        ))
    }
}

impl Engine {
    /// Which of these supplementary groups its containers do not have, and the cure, in words for the
    /// user.
    pub fn groups_left_out(&self, groups: &[(u32, String)]) -> Option<String> {
        let old = cgroups_are_old(Path::new("/"));
        self.flavour.groups_left_out(groups, old)
    }
}

/// Whether this machine, below `root` (`/`), has cgroup version 1, also beside version 2.
pub(super) fn cgroups_are_old(root: &Path) -> bool {
    !root.join("sys/fs/cgroup/cgroup.controllers").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PODMAN: Flavour = Flavour {
        kind: Kind::Podman,
        rootless: true,
        own: false,
        major: 4,
        crun: false,
        limits: CanLimit::NONE,
    };

    #[test]
    fn groups_are_kept_by_crun_alone() {
        assert_eq!(Flavour::DOCKER.groups(&[5]).0, ["5"]);
        assert_eq!(PODMAN.groups(&[5]), (Vec::new(), HashMap::new()));
        let crun = Flavour {
            crun: true,
            ..PODMAN
        };
        assert!(
            crun.groups(&[5])
                .1
                .contains_key("run.oci.keep_original_groups")
        );
        assert!(crun.groups(&[]).1.is_empty());
        let root = Flavour {
            rootless: false,
            ..PODMAN
        };
        assert_eq!(root.groups(&[5]).0, ["5"]);
    }

    #[test]
    fn what_cannot_be_done_is_told_once_and_only_when_it_matters() {
        let spec = ContainerSpec {
            memory_bytes: Some(1),
            pids: Some(1),
            ..ContainerSpec::default()
        };
        assert_eq!(Flavour::DOCKER.unmet(&spec), Vec::<String>::new());
        let told = PODMAN.unmet(&spec);
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("memory, processes"), "{told:?}");
        let own = Flavour {
            own: true,
            ..PODMAN
        };
        assert!(own.unmet(&spec).is_empty());
        assert!(PODMAN.unmet(&ContainerSpec::default()).is_empty());
    }

    #[test]
    fn groups_that_stay_outside_are_named_with_the_cure() {
        let groups = [(103, "docker".to_owned()), (5555, "group5555".to_owned())];
        let told = |old| PODMAN.groups_left_out(&groups, old).unwrap();
        for word in ["docker (103), group5555 (5555)", "install crun"] {
            assert!(told(false).contains(word), "{}", told(false));
        }
        assert!(told(true).contains("--engine docker"), "{}", told(true));
        assert!(!told(true).contains("install crun"), "{}", told(true));
        let many: Vec<_> = (0..11).map(|n| (n, format!("g{n}"))).collect();
        let told = PODMAN.groups_left_out(&many, false).unwrap();
        assert!(told.contains("g7 (7), 3 more."), "{told}");

        let crun = Flavour {
            crun: true,
            ..PODMAN
        };
        for keeps in [crun, Flavour::DOCKER] {
            assert_eq!(keeps.groups_left_out(&groups, false), None);
        }
        assert_eq!(PODMAN.groups_left_out(&[], false), None);
    }

    #[test]
    fn cgroups_are_told_apart_by_their_file() {
        let root = tempfile::tempdir().unwrap();
        assert!(cgroups_are_old(root.path()));
        let folder = root.path().join("sys/fs/cgroup");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("cgroup.controllers"), "memory\n").unwrap();
        assert!(!cgroups_are_old(root.path()));
    }
}
