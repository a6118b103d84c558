//! The devices of NVIDIA's driver in this container: which there are, and whether they may be used.
//!
//! systemd, when it reloads, sets the device rules of containers anew that it knows nothing of; an
//! open of what was allowed then fails. The driver's control device tells it for all of them, and
//! opening it wakes no GPU.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often is looked whether they may still be opened.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The watch over them.
pub(crate) struct Devices {
    control: PathBuf,
    /// On the clock of [`crate::sys::since_boot`]; `None` where there is nothing to watch.
    next_look: Option<Duration>,
    lost: bool,
}

/// What has changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Lost(String),
    Back,
}

impl Devices {
    /// Watches what is below this folder (`/dev`), if it can be used now.
    pub(crate) fn watch(dev: &Path, now: Duration) -> Self {
        let control = dev.join("nvidiactl");
        let next_look = may_open(&control).is_ok().then(|| now + LOOK_EVERY);
        Self {
            control,
            next_look,
            lost: false,
        }
    }

    /// Looks, when it is time to.
    pub(crate) fn look(&mut self, now: Duration) -> Option<Change> {
        if self.next_look.is_none_or(|at| now < at) {
            return None;
        }
        self.next_look = Some(now + LOOK_EVERY);
        let looked = may_open(&self.control);
        if looked.is_err() == self.lost {
            return None;
        }
        self.lost = looked.is_err();
        Some(looked.map_or_else(Change::Lost, |()| Change::Back))
    }
}

/// The devices of GPUs below a folder, by name: each GPU's, the driver's own, MIG's capabilities.
pub(crate) fn names(dev: &Path) -> Vec<String> {
    let list = |folder: PathBuf, prefix: &str| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let ours = names.filter(|name| name.starts_with("nvidia"));
        ours.map(|name| format!("{prefix}{name}"))
            .filter(|name| !name.contains(char::is_whitespace))
            .collect::<Vec<_>>()
    };
    let mut names = list(dev.to_owned(), "");
    names.retain(|name| name != "nvidia-caps");
    names.extend(list(dev.join("nvidia-caps"), "nvidia-caps/"));
    names.sort();
    names
}

fn may_open(path: &Path) -> Result<(), String> {
    match OpenOptions::new().read(true).write(true).open(path) {
        // Of files, of memory, of patience: not the device's.
        Err(error)
            if !matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::NotFound
            ) =>
        {
            match error.raw_os_error() {
                // No such device: the driver is gone.
                Some(6 | 19) => Err(error.to_string()),
                _ => Ok(()),
            }
        }
        Err(error) => Err(error.to_string()),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dev() -> PathBuf {
        let name = format!(
            "qdebug-init-dev-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        );
        let dev = std::env::temp_dir().join(name);
        std::fs::create_dir_all(dev.join("nvidia-caps")).unwrap();
        dev
    }

    #[test]
    fn devices_are_named_and_others_are_not() {
        let dev = dev();
        for name in ["nvidia0", "nvidiactl", "null", "nvidia-caps/nvidia-cap1"] {
            std::fs::write(dev.join(name), "").unwrap();
        }
        assert_eq!(
            names(&dev),
            ["nvidia-caps/nvidia-cap1", "nvidia0", "nvidiactl"]
        );
        std::fs::remove_dir_all(&dev).unwrap();
        assert_eq!(names(&dev), Vec::<String>::new());
    }

    #[test]
    fn what_goes_and_comes_back_is_told_once_each() {
        let dev = dev();
        let control = dev.join("nvidiactl");
        let at = |turn: u32| LOOK_EVERY * turn;
        let mut unwatched = Devices::watch(&dev, at(0));
        assert_eq!(unwatched.look(at(5)), None);
        std::fs::write(&control, "").unwrap();
        let mut devices = Devices::watch(&dev, at(0));
        assert_eq!(devices.look(at(1)), None);
        std::fs::remove_file(&control).unwrap();
        assert_eq!(devices.look(at(1)), None, "not yet");
        assert!(matches!(devices.look(at(2)), Some(Change::Lost(_))));
        assert_eq!(devices.look(at(3)), None);
        std::fs::write(&control, "").unwrap();
        assert_eq!(devices.look(at(4)), Some(Change::Back));
        std::fs::remove_dir_all(&dev).unwrap();
    }
}
