//! The GPUs of a session: the granted ones, or idle ones that this session alone holds.
//!
//! Where the scheduler shows no grant, two sessions, also of two users, must not pick the same GPU
//! before either has a process on it. So each picked one is held by a lock in a folder beside the
//! users' own, open to all like `/tmp`: anybody can hold a GPU there as anybody can start a process
//! on it. The kernel lets go of the lock when the node half dies of whatever.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::{Error, host};
use crate::gpu::{self, Gpu, Granted, Selected, Sources, TypePattern};
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
        let path = lock_path(&folder, gpu);
        let lock = hold(&folder, &path);
        let lock = lock.map_err(|source| gpu::Error::Hold { path, source })?;
        let is_held = lock.is_some();
        held._locks.extend(lock);
        Ok(is_held)
    })?;
    Ok((selected, held))
}

/// A UUID is the driver's word; in a path it is letters, digits and dashes.
fn lock_path(folder: &Path, gpu: &Gpu) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    folder.join(gpu.uuid.chars().map(plain).collect::<String>())
}

/// Takes the lock; `None` when somebody has it. The file may be another user's, so it is opened for
/// reading, which is enough for a lock: systems guard such folders against opening others' files in
/// a way that could make them (`fs.protected_regular`).
fn hold(folder: &Path, path: &Path) -> io::Result<Option<File>> {
    match DirBuilder::new().mode(0o1777).create(folder) {
        // The umask has taken something off.
        Ok(()) => std::fs::set_permissions(folder, Permissions::from_mode(0o1777))?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let open = || {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(flags).open(path)
    };
    let file = match open() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut options = OpenOptions::new();
            let made = options.write(true).create_new(true).mode(0o644).open(path);
            match made {
                // Somebody was faster.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => open()?,
                made => made?,
            }
        }
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(uuid: &str) -> Gpu {
        Gpu {
            uuid: uuid.to_owned(),
            ..Gpu::default()
        }
    }

    #[test]
    fn a_gpu_is_held_by_one_and_free_after_it() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join(FOLDER);
        let path = lock_path(&folder, &gpu("GPU-1"));
        let first = hold(&folder, &path).unwrap().unwrap();
        assert!(hold(&folder, &path).unwrap().is_none());
        let other = lock_path(&folder, &gpu("GPU-2"));
        assert!(hold(&folder, &other).unwrap().is_some());
        drop(first);
        assert!(hold(&folder, &path).unwrap().is_some());
        let mode = folder.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o1777);
    }

    #[test]
    fn what_others_lay_there_is_not_followed() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join(FOLDER);
        std::fs::create_dir(&folder).unwrap();
        let target = base.path().join("target");
        std::fs::write(&target, "").unwrap();
        let path = lock_path(&folder, &gpu("GPU-1"));
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(hold(&folder, &path).is_err());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(hold(&folder, &path).is_err());
        let odd = lock_path(&folder, &gpu("../../etc/x"));
        assert_eq!(odd.parent(), Some(folder.as_path()));
    }
}
