//! The locks of GPUs: one file each, in a folder that the users of a node share.
//!
//! The folder lies beside the users' own and is open to all like `/tmp`: anybody can hold a GPU there
//! as anybody can start a process on it. The kernel lets go of a lock when the node half dies of
//! whatever.
//!
//! Problem: whoever comes first makes the folder, and everybody trusts it. Evidence: a link in its
//! place leads elsewhere; a folder without the sticky bit lets anybody put another file in a lock's
//! place; one whose maker was killed between making and opening it is closed to all others, for ever.
//! Solution: it is made under another name and appears complete; it is opened without following a link,
//! looked at as what was opened, and all that is done in it goes by that. One of this user's own with
//! a wrong mode is mended. What remains: in a sticky folder its owner may replace any file, so a
//! user who made it can let two sessions pick one GPU; an admin who makes it takes that away.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags, flock, openat, renameat_with, statat,
};
use rustix::io::Errno;

use crate::session::Token;

/// What the folder should be: open to all, and nobody removes what is another's.
const MODE: u32 = 0o1777;
/// How often it is tried again when somebody else makes or removes the same in that moment.
const TRIES: u32 = 10;

/// Takes the lock of a GPU; `None` when somebody has it. The file may be another user's, so it is
/// opened for reading, which is enough for a lock: systems guard such folders against opening
/// others' files in a way that could make them (`fs.protected_regular`).
pub(super) fn hold(folder: &Path, uuid: &str) -> io::Result<Option<File>> {
    let name = name_of(uuid);
    let opened = open(folder)?;
    for _ in 0..TRIES {
        let file = open_lock(&opened, &name)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other(format!("{name} in it is no plain file")));
        }
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // What tidies up old files may have removed it just before: then it holds nothing.
        let own = file.metadata()?;
        match statat(&opened, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) if (there.st_dev, there.st_ino) == (own.dev(), own.ino()) => {
                return Ok(Some(file));
            }
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other(format!(
        "{name} in it changes all the time"
    )))
}

/// A UUID is the driver's word; in a path it is letters, digits and dashes.
fn name_of(uuid: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    uuid.chars().map(plain).collect()
}

fn open_lock(folder: &File, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    for _ in 0..TRIES {
        match openat(folder, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => {}
            opened => return Ok(opened?.into()),
        }
        let made = flags | OFlags::CREATE | OFlags::EXCL;
        match openat(folder, name, made, Mode::from_raw_mode(0o644)) {
            // Somebody was faster.
            Err(Errno::EXIST) => {}
            opened => return Ok(opened?.into()),
        }
    }
    Err(io::Error::other(format!("{name} in it comes and goes")))
}

/// The folder, made where needed, and fit to be shared.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut made = false;
    let folder = loop {
        match openat(CWD, path, flags, Mode::empty()) {
            Ok(folder) => break File::from(folder),
            Err(Errno::NOENT) if !made => make(path)?,
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return Err(io::Error::other("it is a link, or no folder"));
            }
            Err(error) => return Err(error.into()),
        }
        made = true;
    };
    let about = folder.metadata()?;
    let mode = about.mode() & 0o7777;
    let own = about.uid() == rustix::process::getuid().as_raw();
    if own && mode != MODE {
        folder.set_permissions(Permissions::from_mode(MODE))?;
    } else if !is_fit(about.uid(), mode) {
        let owner = about.uid();
        return Err(io::Error::other(format!(
            "it is user {owner}'s with mode {mode:o}, and should have mode {MODE:o}"
        )));
    }
    Ok(folder)
}

/// Whether a folder of another user's may be shared: root may have closed it to some.
fn is_fit(owner: u32, mode: u32) -> bool {
    let closed_or_sticky = mode & 0o022 == 0 || mode & 0o1000 != 0;
    mode == MODE || (owner == 0 && closed_or_sticky)
}

/// Makes it beside its place, and moves it there when it is complete.
fn make(path: &Path) -> io::Result<()> {
    let token = Token::random().map_err(io::Error::other)?;
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!("-{}", token.as_str()));
    let new = path.with_file_name(name);
    DirBuilder::new().mode(0o700).create(&new)?;
    let moving = || {
        // The umask has no say in this.
        std::fs::set_permissions(&new, Permissions::from_mode(MODE))?;
        match renameat_with(CWD, &new, CWD, path, RenameFlags::NOREPLACE) {
            // A file system that cannot do it: a folder never takes the place of one with a lock.
            Err(Errno::INVAL | Errno::NOSYS) => std::fs::rename(&new, path),
            moved => Ok(moved?),
        }
    };
    let moved = moving();
    if moved.is_err() {
        let _ = std::fs::remove_dir(&new);
    }
    match moved {
        // Somebody was faster.
        Err(error)
            if [ErrorKind::AlreadyExists, ErrorKind::DirectoryNotEmpty].contains(&error.kind()) =>
        {
            Ok(())
        }
        moved => moved,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("qdebug-gpus");
        (base, folder)
    }

    fn mode(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().mode() & 0o7777
    }

    #[test]
    fn a_gpu_is_held_by_one_and_free_after_it() {
        let (base, folder) = place();
        let first = hold(&folder, "GPU-1").unwrap().unwrap();
        assert!(hold(&folder, "GPU-1").unwrap().is_none());
        assert!(hold(&folder, "GPU-2").unwrap().is_some());
        drop(first);
        assert!(hold(&folder, "GPU-1").unwrap().is_some());
        assert_eq!(mode(&folder), MODE);
        assert_eq!(mode(&folder.join("GPU-1")) & 0o022, 0);
        assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 1);
    }

    #[test]
    fn those_who_come_first_together_make_one_folder() {
        let (base, folder) = place();
        let held: Vec<_> = std::thread::scope(|scope| {
            let take = || hold(&folder, "GPU-1").unwrap();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(take)).collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(held.len(), 1);
        assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_whose_maker_was_killed_is_mended() {
        let (_base, folder) = place();
        std::fs::create_dir(&folder).unwrap();
        for wrong in [0o1755, 0o755, 0o777, 0o700] {
            std::fs::set_permissions(&folder, Permissions::from_mode(wrong)).unwrap();
            assert!(hold(&folder, "GPU-1").unwrap().is_some());
            assert_eq!(mode(&folder), MODE, "{wrong:o}");
        }
    }

    #[test]
    fn another_users_folder_is_shared_only_where_all_can_and_none_can_replace() {
        for (owner, mode, fit) in [
            (2001, 0o1777, true),
            (0, 0o1777, true),
            (0, 0o1775, true),
            (0, 0o755, true),
            (2001, 0o777, false),
            (2001, 0o1755, false),
            (2001, 0o755, false),
            (2001, 0o3777, false),
            (0, 0o777, false),
            (0, 0o775, false),
        ] {
            assert_eq!(is_fit(owner, mode), fit, "{owner} {mode:o}");
        }
    }

    #[test]
    fn what_others_lay_there_is_not_followed() {
        let (base, folder) = place();
        let elsewhere = base.path().join("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &folder).unwrap();
        let error = hold(&folder, "GPU-1").unwrap_err().to_string();
        assert!(error.contains("link"), "{error}");
        std::fs::remove_file(&folder).unwrap();
        std::fs::write(&folder, "").unwrap();
        assert!(hold(&folder, "GPU-1").is_err());
        std::fs::remove_file(&folder).unwrap();
        assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);

        std::fs::create_dir(&folder).unwrap();
        let (target, lock) = (base.path().join("target"), folder.join("GPU-1"));
        for there in [true, false] {
            if there {
                std::fs::write(&target, "").unwrap();
            }
            std::os::unix::fs::symlink(&target, &lock).unwrap();
            assert!(hold(&folder, "GPU-1").is_err());
            std::fs::remove_file(&lock).unwrap();
            let _ = std::fs::remove_file(&target);
        }
        std::fs::create_dir(&lock).unwrap();
        assert!(hold(&folder, "GPU-1").is_err());
        assert_eq!(name_of("../../etc/x"), "------etc-x");
    }
}
