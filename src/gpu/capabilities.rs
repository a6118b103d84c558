//! The devices that open MIG parts, by their numbers.
//!
//! Problem: which parts a container may use, its `/dev/nvidiaN` does not show: all parts of a GPU share
//! it. Evidence (NVIDIA's MIG user guide): each part is opened by `/dev/nvidia-caps/nvidia-capN` of its
//! compute instance and of the GPU instance around that, and the driver lists these numbers in
//! `/proc/driver/nvidia-caps/mig-minors`, under the GPU's own device number. Solution: the list, parsed.
//! Which UUID has which instance NVML tells, its wrapper does not: so parts are counted, GPU by GPU.

use std::collections::BTreeMap;
use std::path::Path;

/// Where the driver lists them, below `/`.
const LIST: &str = "proc/driver/nvidia-caps/mig-minors";
/// A longer list is none of the driver's, in bytes.
const LIST_LIMIT: usize = 1 << 20;

/// The capabilities of compute instances: the device's number, and the GPU's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    gpu_of: BTreeMap<u32, u32>,
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
            let (path, minor) = line.trim().split_once(' ')?;
            let parts: Vec<&str> = path.split('/').collect();
            let [gpu, gi, ci, "access"] = parts[..] else {
                return None;
            };
            number(gi, "gi")?;
            number(ci, "ci")?;
            Some((minor.trim().parse().ok()?, number(gpu, "gpu")?))
        };
        Self {
            gpu_of: text.lines().filter_map(line).collect(),
        }
    }

    /// Whether nothing is known of parts.
    pub fn is_empty(&self) -> bool {
        self.gpu_of.is_empty()
    }

    /// How many parts of which GPU, by its device's number, these devices below `/dev` open.
    pub fn parts<'a>(&self, names: impl Iterator<Item = &'a str>) -> BTreeMap<u32, usize> {
        let mut counts = BTreeMap::new();
        for name in names {
            let number = name.strip_prefix("nvidia-caps/nvidia-cap");
            let number = number.and_then(|number| number.parse().ok());
            if let Some(gpu) = number.and_then(|number: u32| self.gpu_of.get(&number)) {
                *counts.entry(*gpu).or_insert(0) += 1;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As NVIDIA's guide shows it, shortened, with a second GPU.
    const LISTED: &str = "config 1\nmonitor 2\ngpu0/gi0/access 3\ngpu0/gi0/ci0/access 4\n\
        gpu0/gi0/ci1/access 5\ngpu0/gi1/access 12\ngpu0/gi1/ci0/access 13\ngpu1/gi0/access 138\n\
        gpu1/gi0/ci0/access 139\n";

    #[test]
    fn parts_are_counted_by_their_own_capability() {
        let capabilities = Capabilities::parse(LISTED);
        let counts = |names: &str| capabilities.parts(names.split(' '));
        assert_eq!(counts("nvidia0 nvidiactl"), BTreeMap::new());
        // A GPU instance alone is no part.
        assert_eq!(counts("nvidia-caps/nvidia-cap3"), BTreeMap::new());
        let one = "nvidia0 nvidia-caps/nvidia-cap12 nvidia-caps/nvidia-cap13";
        assert_eq!(counts(one), BTreeMap::from([(0, 1)]));
        let shared = "nvidia-caps/nvidia-cap3 nvidia-caps/nvidia-cap4 nvidia-caps/nvidia-cap5 \
                      nvidia-caps/nvidia-cap139";
        assert_eq!(counts(shared), BTreeMap::from([(0, 2), (1, 1)]));
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
}
