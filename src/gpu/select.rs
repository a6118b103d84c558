//! Which GPUs a session gets: the granted ones, of the right type and number, fit and idle. Pure.
//!
//! Where the scheduler shows no grant, idle ones of the type are picked; [`pick`] leaves it to its
//! caller to hold each, so that no two sessions pick the same.

use super::{Error, Gpu, Granted, Mode, TypePattern};

/// The GPUs of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// The GPUs, in the order they were granted.
    pub gpus: Vec<Gpu>,
    /// `true` when the scheduler showed no grant and these were picked.
    pub picked: bool,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The type.
    pub pattern: &'a TypePattern,
    /// How many.
    pub count: usize,
    /// Somebody's processes on them are no hindrance.
    pub allow_busy: bool,
}

/// Holds the granted GPUs against what was asked for; `None` where nothing says what was granted.
///
/// More than was asked for may be granted: the session gets what the job got. A granted GPU that is
/// cut into MIG parts stands for its parts, since nothing computes on the whole of it.
///
/// # Errors
/// [`Error`] by what does not fit, with what there is.
pub fn select(
    inventory: &[Gpu],
    granted: &Granted,
    wanted: &Wanted<'_>,
) -> Result<Option<Selected>, Error> {
    let Some(candidates) = candidates(inventory, granted)? else {
        return Ok(None);
    };
    if candidates.len() < wanted.count {
        return Err(Error::TooFew {
            wanted: wanted.count,
            present: candidates.iter().map(shown).collect(),
        });
    }
    let sick = candidates.iter().filter(|gpu| !gpu.faults.is_empty());
    let sick: Vec<String> = sick.map(|gpu| with(gpu, &gpu.faults)).collect();
    if !sick.is_empty() {
        return Err(Error::Unhealthy { gpus: sick });
    }
    if !candidates.iter().all(|gpu| is_of(inventory, gpu, wanted)) {
        return Err(Error::WrongType {
            wanted: wanted.pattern.shown().to_owned(),
            present: candidates.iter().map(shown).collect(),
        });
    }
    let closed = |gpu: &&Gpu| gpu.mode == Mode::Prohibited;
    if let Some(gpu) = candidates.iter().find(closed) {
        return Err(Error::Prohibited { gpu: shown(gpu) });
    }
    let busy = candidates.iter().filter(|gpu| is_busy(gpu));
    let busy: Vec<String> = busy
        .map(|gpu| with(gpu, gpu.processes.as_deref().unwrap_or_default()))
        .collect();
    if !busy.is_empty() && !wanted.allow_busy {
        return Err(Error::Busy { gpus: busy });
    }
    Ok(Some(Selected {
        gpus: candidates,
        picked: false,
    }))
}

/// Picks idle GPUs of the type, each held by `hold`, which says whether it could.
///
/// # Errors
/// [`Error::WrongType`] where there is none of the type, [`Error::NoneIdle`] where too few can be
/// had, with the reason of each.
pub fn pick(
    inventory: &[Gpu],
    wanted: &Wanted<'_>,
    mut hold: impl FnMut(&Gpu) -> Result<bool, Error>,
) -> Result<Selected, Error> {
    let whole = inventory.iter().filter(|gpu| !gpu.mig);
    let parts = inventory.iter().flat_map(|gpu| &gpu.parts);
    let mut of_type: Vec<&Gpu> = whole
        .chain(parts)
        .filter(|gpu| is_of(inventory, gpu, wanted))
        .collect();
    if of_type.is_empty() {
        return Err(Error::WrongType {
            wanted: wanted.pattern.shown().to_owned(),
            present: inventory.iter().map(shown).collect(),
        });
    }
    // Stable: idle ones first, each kind in PCI order.
    of_type.sort_by_key(|gpu| is_busy(gpu));
    let (mut gpus, mut passed) = (Vec::new(), Vec::new());
    for gpu in of_type {
        if gpus.len() == wanted.count {
            break;
        }
        if !gpu.faults.is_empty() {
            passed.push(with(gpu, &gpu.faults));
        } else if gpu.mode == Mode::Prohibited {
            passed.push(format!("{}: nobody may compute on it", shown(gpu)));
        } else if is_busy(gpu) && !wanted.allow_busy {
            passed.push(with(gpu, gpu.processes.as_deref().unwrap_or_default()));
        } else if hold(gpu)? {
            gpus.push(gpu.clone());
        } else {
            passed.push(format!("{}: another session has picked it", shown(gpu)));
        }
    }
    if gpus.len() < wanted.count {
        return Err(Error::NoneIdle {
            wanted: wanted.count,
            passed,
        });
    }
    Ok(Selected { gpus, picked: true })
}

fn candidates(inventory: &[Gpu], granted: &Granted) -> Result<Option<Vec<Gpu>>, Error> {
    let missing = |wanted: &str| Error::Missing {
        wanted: wanted.to_owned(),
        present: inventory.iter().map(shown).collect(),
    };
    let found = match granted {
        Granted::Unsaid => return Ok(None),
        Granted::None => Vec::new(),
        // Device cgroups hide the other GPUs from NVML too, which then counts the job's own from 0.
        Granted::Indices(indices) if only_the_granted_are_seen(inventory, indices) => {
            inventory.to_vec()
        }
        Granted::Indices(indices) => indices
            .iter()
            .map(|index| {
                let found = inventory.iter().find(|gpu| gpu.index == *index);
                found.cloned().ok_or_else(|| missing(&index.to_string()))
            })
            .collect::<Result<_, _>>()?,
        Granted::Uuids(uuids) => uuids
            .iter()
            .map(|uuid| by_uuid(inventory.iter(), uuid).ok_or_else(|| missing(uuid)))
            .collect::<Result<_, _>>()?,
        Granted::Mig(uuids) => uuids
            .iter()
            .map(|uuid| {
                let parts = inventory.iter().flat_map(|gpu| &gpu.parts);
                by_uuid(parts, uuid).ok_or_else(|| Error::NoSuchPart {
                    wanted: uuid.clone(),
                    present: inventory
                        .iter()
                        .flat_map(|gpu| &gpu.parts)
                        .map(|part| part.uuid.clone())
                        .collect(),
                })
            })
            .collect::<Result<_, _>>()?,
    };
    let whole = |gpu: &Gpu| gpu.mig && gpu.uuid.starts_with("GPU-");
    if let Some(empty) = found.iter().find(|gpu| whole(gpu) && gpu.parts.is_empty()) {
        return Err(Error::NoParts { gpu: shown(empty) });
    }
    let parts = |gpu: Gpu| if whole(&gpu) { gpu.parts } else { vec![gpu] };
    Ok(Some(found.into_iter().flat_map(parts).collect()))
}

fn only_the_granted_are_seen(inventory: &[Gpu], indices: &[u32]) -> bool {
    let seen = |index: &u32| inventory.iter().any(|gpu| gpu.index == *index);
    inventory.len() == indices.len() && !indices.iter().all(seen)
}

/// The one GPU whose UUID begins so.
fn by_uuid<'a>(gpus: impl Iterator<Item = &'a Gpu>, uuid: &str) -> Option<Gpu> {
    let wanted = uuid.to_lowercase();
    let mut found = gpus.filter(|gpu| gpu.uuid.to_lowercase().starts_with(&wanted));
    let first = found.next()?;
    // A whole UUID may begin another, as `MIG-GPU-1/1/0` does `MIG-GPU-1/1/01`.
    let exact = first.uuid.len() == uuid.len();
    (exact || found.next().is_none()).then(|| first.clone())
}

/// A part is of the type that its GPU is of.
fn is_of(inventory: &[Gpu], gpu: &Gpu, wanted: &Wanted<'_>) -> bool {
    let whole = inventory.iter().find(|whole| whole.index == gpu.index);
    let names = [Some(&gpu.name), whole.map(|whole| &whole.name)];
    names
        .into_iter()
        .flatten()
        .any(|name| wanted.pattern.matches(name))
}

fn is_busy(gpu: &Gpu) -> bool {
    gpu.processes.as_ref().is_some_and(|list| !list.is_empty())
}

fn shown(gpu: &Gpu) -> String {
    format!("{} ({})", gpu.name, gpu.index)
}

/// A GPU and what there is to say of it.
fn with<T: ToString>(gpu: &Gpu, what: &[T]) -> String {
    let what: Vec<String> = what.iter().map(ToString::to_string).collect();
    format!("{}: {}", shown(gpu), what.join(", "))
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
