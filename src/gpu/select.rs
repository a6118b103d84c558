//! Which GPUs a session gets: the granted ones, of the right type and number. Pure.

use super::{Error, Gpu, Granted, TypePattern};

/// The GPUs of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// The GPUs, in the order they were granted.
    pub gpus: Vec<Gpu>,
    /// `true` when the scheduler showed no grant and these were picked.
    pub picked: bool,
}

/// Chooses the GPUs of a session out of what the node has.
///
/// Where nothing is granted, all GPUs of the node are the candidates: a scheduler that counts GPUs
/// and shows no grant gives whole nodes, until picking idle ones under a lock comes.
///
/// # Errors
/// [`Error`] by what does not fit, with what there is.
pub fn select(
    inventory: &[Gpu],
    granted: &Granted,
    wanted: &TypePattern,
    count: usize,
) -> Result<Selected, Error> {
    let shown = |gpu: &Gpu| format!("{} ({})", gpu.name, gpu.index);
    let present = || inventory.iter().map(shown).collect::<Vec<_>>();
    let missing = |wanted: String| Error::Missing {
        wanted,
        present: present(),
    };
    let candidates: Vec<Gpu> = match granted {
        Granted::None => Vec::new(),
        Granted::Unsaid => {
            let mut of_type: Vec<Gpu> = inventory.to_vec();
            of_type.retain(|gpu| wanted.matches(&gpu.name));
            // No more than asked for; and those of another type stay to be named in the error.
            match of_type.len() {
                0 => inventory.to_vec(),
                _ => of_type.into_iter().take(count).collect(),
            }
        }
        // Device cgroups hide the other GPUs from NVML too, which then counts the job's own from 0.
        Granted::Indices(indices) if only_the_granted_are_seen(inventory, indices) => {
            inventory.to_vec()
        }
        Granted::Indices(indices) => indices
            .iter()
            .map(|index| {
                let found = inventory.iter().find(|gpu| gpu.index == *index);
                found.cloned().ok_or_else(|| missing(index.to_string()))
            })
            .collect::<Result<_, _>>()?,
        Granted::Uuids(uuids) => uuids
            .iter()
            .map(|uuid| by_uuid(inventory, uuid).ok_or_else(|| missing(uuid.clone())))
            .collect::<Result<_, _>>()?,
        Granted::Mig(parts) => {
            return Err(Error::Mig {
                wanted: parts.join(","),
            });
        }
    };
    let names = || candidates.iter().map(shown).collect::<Vec<_>>();
    if candidates.len() < count {
        return Err(Error::TooFew {
            wanted: count,
            present: names(),
        });
    }
    if !candidates.iter().all(|gpu| wanted.matches(&gpu.name)) {
        return Err(Error::WrongType {
            wanted: wanted.shown().to_owned(),
            present: names(),
        });
    }
    // More than asked for was granted: the session gets what the job got.
    Ok(Selected {
        gpus: candidates,
        picked: *granted == Granted::Unsaid,
    })
}

fn only_the_granted_are_seen(inventory: &[Gpu], indices: &[u32]) -> bool {
    let seen = |index: &u32| inventory.iter().any(|gpu| gpu.index == *index);
    inventory.len() == indices.len() && !indices.iter().all(seen)
}

/// The one GPU whose UUID begins so.
fn by_uuid(inventory: &[Gpu], uuid: &str) -> Option<Gpu> {
    let begins = |gpu: &&Gpu| {
        let whole = gpu.uuid.to_lowercase();
        whole.starts_with(&uuid.to_lowercase())
    };
    let mut found = inventory.iter().filter(begins);
    let first = found.next()?;
    found.next().is_none().then(|| first.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(index: u32, name: &str) -> Gpu {
        Gpu {
            index,
            uuid: format!("GPU-{index}{index}aa-bb"),
            name: name.to_owned(),
            memory_bytes: 32 << 30,
            mig: false,
            processes: Some(Vec::new()),
        }
    }

    fn node() -> Vec<Gpu> {
        vec![
            gpu(0, "Tesla V100-SXM2-32GB"),
            gpu(1, "Tesla V100-SXM2-32GB"),
            gpu(2, "Tesla P100-PCIE-16GB"),
        ]
    }

    fn run(granted: Granted, wanted: &str, count: usize) -> Result<Vec<u32>, Error> {
        select(&node(), &granted, &TypePattern::of_type(wanted), count)
            .map(|selected| selected.gpus.iter().map(|gpu| gpu.index).collect())
    }

    #[test]
    fn the_granted_ones_are_taken_in_their_order() {
        assert_eq!(
            run(Granted::Indices(vec![1, 0]), "V100", 2).unwrap(),
            [1, 0]
        );
        let uuids = Granted::Uuids(vec!["gpu-11".into()]);
        assert_eq!(run(uuids, "V100", 1).unwrap(), [1]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let missing = run(Granted::Indices(vec![7]), "V100", 1).unwrap_err();
        assert!(missing.to_string().contains("GPU 7"), "{missing}");
        let wrong = run(Granted::Indices(vec![2]), "V100", 1).unwrap_err();
        assert!(wrong.to_string().contains("Tesla P100"), "{wrong}");
        assert!(matches!(wrong, Error::WrongType { .. }));
        let few = run(Granted::Indices(vec![0]), "V100", 2).unwrap_err();
        assert!(matches!(few, Error::TooFew { wanted: 2, .. }), "{few}");
        let none = run(Granted::None, "V100", 1).unwrap_err();
        assert!(none.to_string().contains("has none"), "{none}");
        let unclear = run(Granted::Uuids(vec!["GPU-".into()]), "V100", 1).unwrap_err();
        assert!(matches!(unclear, Error::Missing { .. }), "{unclear}");
        let mig = run(Granted::Mig(vec!["MIG-1".into()]), "V100", 1).unwrap_err();
        assert!(matches!(mig, Error::Mig { .. }), "{mig}");
    }

    #[test]
    fn behind_device_cgroups_the_nodes_own_numbers_still_mean_the_jobs_gpus() {
        let seen = [gpu(0, "Tesla V100"), gpu(1, "Tesla V100")];
        let granted = Granted::Indices(vec![0, 3]);
        let selected = select(&seen, &granted, &TypePattern::of_type("V100"), 2).unwrap();
        assert_eq!(selected.gpus, seen);
    }

    #[test]
    fn without_a_grant_no_more_than_asked_for_of_the_type_are_picked() {
        assert_eq!(run(Granted::Unsaid, "V100", 1).unwrap(), [0]);
        assert_eq!(run(Granted::Unsaid, "P100", 1).unwrap(), [2]);
        assert!(run(Granted::Unsaid, "A100", 1).is_err());
        let node = node();
        let pattern = TypePattern::of_type("P100");
        assert!(select(&node, &Granted::Unsaid, &pattern, 1).unwrap().picked);
    }
}
