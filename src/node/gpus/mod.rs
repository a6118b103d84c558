//! The GPUs of a session: the granted ones, or idle ones that this session alone holds.
//!
//! Where the scheduler shows no grant, two sessions, also of two users, must not pick the same GPU
//! before either has a process on it. So each picked one is held by a lock, of [`locks`].

mod locks;

use std::fs::File;
use std::path::Path;

use super::{Error, host};
use crate::gpu::{self, Granted, Selected, Sources, TypePattern};
use crate::session::GpuRequest;

/// The folder of the locks, below the base of all node folders.
const FOLDER: &str = "qdebug-gpus";

/// GPUs that were picked are held as long as this lives.
#[derive(Debug, Default)]
pub(super) struct Held {
    _locks: Vec<File>,
}

/// Chooses the GPUs, held against what was asked for.
pub(super) fn choose(
    wanted: &GpuRequest,
    base: &Path,
    may_pick: bool,
) -> Result<(Selected, Held), Error> {
    let (selected, held) = selected(wanted, base, may_pick).map_err(|source| Error::Gpu {
        wanted: format!("{} x {}", wanted.count, wanted.kind),
        source,
    })?;
    tracing::info!(?selected, "GPUs chosen");
    Ok((selected, held))
}

fn selected(
    wanted: &GpuRequest,
    base: &Path,
    may_pick: bool,
) -> Result<(Selected, Held), gpu::Error> {
    let granted = Granted::from_job(&Sources {
        variable: &|name| std::env::var(name).ok(),
        file: &|path| std::fs::read_to_string(path).ok(),
        host: &host::node_name(),
    })?;
    let inventory = gpu::inventory()?;
    tracing::debug!(?granted, ?inventory, "GPUs");
    let pattern = match &wanted.pattern {
        Some(pattern) => TypePattern::of_regex(&wanted.kind, pattern)?,
        None => TypePattern::of_type(&wanted.kind),
    };
    let asked = gpu::Wanted {
        pattern: &pattern,
        count: wanted.count as usize,
        allow_busy: wanted.allow_busy,
    };
    if let Some(selected) = gpu::select(&inventory, &granted, &asked)? {
        return Ok((selected, Held::default()));
    }
    if !may_pick {
        return Err(gpu::Error::PickRefused);
    }
    let folder = base.join(FOLDER);
    let mut held = Held::default();
    let selected = gpu::pick(&inventory, &asked, |gpu| {
        let lock = locks::hold(&folder, &gpu.uuid);
        let lock = lock.map_err(|source| gpu::Error::Hold {
            path: folder.clone(),
            source,
        })?;
        let is_held = lock.is_some();
        held._locks.extend(lock);
        Ok(is_held)
    })?;
    Ok((selected, held))
}
