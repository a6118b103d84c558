//! The devices that open MIG parts, by their numbers.
//!
//! Problem: which parts a container may use, its `/dev/nvidiaN` does not show: all parts of a GPU share
//! it. Evidence (NVIDIA's MIG user guide): each part is opened by `/dev/nvidia-caps/nvidia-capN` of its
//! compute instance and of the GPU instance around that, and the driver lists these numbers in
//! `/proc/driver/nvidia-caps/mig-minors`, under the GPU's own device number and the instances' numbers.
//! Solution: the list, parsed. Which instances a UUID is, NVML tells ([`Gpu::instances`]).
//!
//! [`Gpu::instances`]: super::Gpu::instances

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

pub use qdebug_mig::Instances;

/// Where the driver lists them, below `/`.
const LIST: &str = "proc/driver/nvidia-caps/mig-minors";
/// A longer list is none of the driver's, in bytes.
const LIST_LIMIT: usize = 1 << 20;

/// A MIG part by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// The number of its GPU's device, `/dev/nvidiaN`.
    pub minor: u32,
    /// Its place in that.
    pub instances: Instances,
}

impl fmt::Display for Part {
    /// As the driver writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Instances { gpu, compute } = self.instances;
        write!(f, "gi{gpu}/ci{compute} of /dev/nvidia{}", self.minor)
    }
}

/// The capabilities of compute instances: the device's number, and the part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    part_of: BTreeMap<u32, Part>,
}

impl Capabilities {
    /// Those of this machine, below `root` (`/`); none where there is no list.
    pub fn of_this_machine(root: &Path) -> Self {
        let text = std::fs::read_to_string(root.join(LIST)).unwrap_or_default();
        Self::parse(text.get(..LIST_LIMIT).unwrap_or(&text))
    }

    /// Reads lines such as `gpu0/gi1/ci0/access 13`; others, and what is none, are passed over.
    pub fn parse(text: &str) -> Self {
        let number = |word: &str, before: &str| word.strip_prefix(before)?.parse::<u32>().ok();
        let line = |line: &str| {
            let (path, device) = line.trim().split_once(' ')?;
            let parts: Vec<&str> = path.split('/').collect();
            let [gpu, gi, ci, "access"] = parts[..] else {
                return None;
            };
            let instances = Instances {
                gpu: number(gi, "gi")?,
                compute: number(ci, "ci")?,
            };
            let minor = number(gpu, "gpu")?;
            Some((device.trim().parse().ok()?, Part { minor, instances }))
        };
        Self {
            part_of: text.lines().filter_map(line).collect(),
        }
    }

    /// Whether nothing is known of parts.
    pub fn is_empty(&self) -> bool {
        self.part_of.is_empty()
    }

    /// The parts that these devices below `/dev` open.
    pub fn parts<'a>(&self, names: impl Iterator<Item = &'a str>) -> BTreeSet<Part> {
        let part = |name: &str| {
            let number = name.strip_prefix("nvidia-caps/nvidia-cap")?;
            self.part_of.get(&number.parse().ok()?).copied()
        };
        names.filter_map(part).collect()
    }
}

/// The instances in a UUID of the old form, `MIG-GPU-<UUID of the GPU>/<GPU instance>/<compute
/// instance>`, which drivers before 470 give.
pub(super) fn in_uuid(uuid: &str) -> Option<Instances> {
    let mut words = uuid.strip_prefix("MIG-GPU-")?.split('/').skip(1);
    let (gpu, compute) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(Instances { gpu, compute })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As NVIDIA's guide shows it, shortened, with a second GPU.
    const LISTED: &str = "config 1\nmonitor 2\ngpu0/gi0/access 3\ngpu0/gi0/ci0/access 4\n\
        gpu0/gi0/ci1/access 5\ngpu0/gi1/access 12\ngpu0/gi1/ci0/access 13\ngpu1/gi0/access 138\n\
        gpu1/gi0/ci0/access 139\n";

    fn part(minor: u32, gpu: u32, compute: u32) -> Part {
        let instances = Instances { gpu, compute };
        Part { minor, instances }
    }

    #[test]
    fn parts_are_known_by_their_own_capability() {
        let capabilities = Capabilities::parse(LISTED);
        let parts = |names: &str| Vec::from_iter(capabilities.parts(names.split(' ')));
        assert_eq!(parts("nvidia0 nvidiactl"), []);
        // A GPU instance alone is no part.
        assert_eq!(parts("nvidia-caps/nvidia-cap3"), []);
        let one = "nvidia0 nvidia-caps/nvidia-cap12 nvidia-caps/nvidia-cap13";
        assert_eq!(parts(one), [part(0, 1, 0)]);
        let shared = "nvidia-caps/nvidia-cap3 nvidia-caps/nvidia-cap4 nvidia-caps/nvidia-cap5 \
                      nvidia-caps/nvidia-cap139";
        let three = [part(0, 0, 0), part(0, 0, 1), part(1, 0, 0)];
        assert_eq!(parts(shared), three);
        assert_eq!(three[1].to_string(), "gi0/ci1 of /dev/nvidia0");
    }

    #[test]
    fn a_machine_without_a_list_knows_nothing() {
        let root = tempfile::tempdir().unwrap();
        assert!(Capabilities::of_this_machine(root.path()).is_empty());
        let file = root.path().join(LIST);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, LISTED).unwrap();
        let found = Capabilities::of_this_machine(root.path());
        assert_eq!(found, Capabilities::parse(LISTED));
        for odd in [
            "",
            "gpu0",
            "gpu0/gi0/ci0/access x",
            "gpux/gi0/ci0/access 3",
            "a/b/c/access 3",
        ] {
            assert!(Capabilities::parse(odd).is_empty(), "{odd}");
        }
    }

    #[test]
    fn an_old_uuid_says_its_place_and_a_new_one_does_not() {
        let old = in_uuid("MIG-GPU-3b1cf1dc-0f1a-4b5c-8d7e-aaaaaaaaaaaa/7/0");
        assert_eq!(old, Some(part(0, 7, 0).instances));
        for other in [
            "MIG-5aa1c2d4-1111-2222-3333-444444444444",
            "MIG-GPU-3b1c",
            "MIG-GPU-3b1c/7",
            "MIG-GPU-3b1c/7/x",
            "MIG-GPU-3b1c/7/0/1",
            "GPU-3b1c/7/0",
        ] {
            assert_eq!(in_uuid(other), None, "{other}");
        }
    }
}
