//! Small files that are whole or not there, and folders of this user's own.
//!
//! What is written is written beside its place, 0600 from creation, brought to the disk, and moved
//! there by one rename, so that a reader, a crash or a full disk meets the old file or the new one.
//! The session has its own of this, since its contract depends on nothing of ours.

mod lock;
#[cfg(unix)]
mod network;
#[cfg(unix)]
mod reread;

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

pub use lock::Lock;
#[cfg(unix)]
pub use network::network_file_system;
#[cfg(unix)]
pub use reread::reread;

use crate::platform;

/// Replaces a file, or makes it. An existing one keeps its mode, and one that is reached through
/// symbolic links is replaced where it really is (people keep their configuration in a repository
/// of its own); a new one is 0600.
///
/// # Errors
/// What the system said, and a link that leads to nothing, which the file would take the place of;
/// all is then as it was.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let real = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(path) {
            Ok(target) => {
                let told = format!(
                    "it is a link to {}, which is not there: make that, or remove the link",
                    target.display()
                );
                return Err(io::Error::new(error.kind(), told));
            }
            Err(_) => path.to_owned(),
        },
        real => real?,
    };
    let folder = real.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    if let Ok(old) = fs::metadata(&real) {
        file.as_file().set_permissions(old.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&real)?;
    Ok(())
}

/// Whether a path leads to a plain file that somebody may run.
pub fn is_program(path: &Path) -> bool {
    let Ok(metadata) = path.metadata() else {
        return false;
    };
    metadata.is_file() && platform::may_run(&metadata)
}

/// Makes a folder and its parents, those that are made for this user alone.
///
/// # Errors
/// What the system said.
pub fn private_folder(path: &Path) -> io::Result<()> {
    platform::make_private_folder(path)
}

/// Whether a folder is this user's alone: no link, owned by this user, closed to others. Opened
/// without following a link, so that what is looked at is what is there.
///
/// # Errors
/// What is wrong with it, in words that fit behind its path.
#[cfg(unix)]
pub fn own_folder(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;

    use rustix::fs::{Mode, OFlags};
    let uid = rustix::process::getuid().as_raw();
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|error| format!("it is no folder that can be opened: {error}"))?;
    let metadata = fs::File::from(folder)
        .metadata()
        .map_err(|error| error.to_string())?;
    if metadata.uid() != uid {
        let owner = metadata.uid();
        return Err(format!(
            "it belongs to user {owner}, and should belong to {uid}"
        ));
    }
    if metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o777;
        return Err(format!(
            "it is open to others (mode {mode:o}, should be 700)"
        ));
    }
    Ok(())
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_the_link_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("real ü"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        symlink(&file, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(mode(&file), 0o644);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_link_that_leads_to_nothing_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink("not/there", &link).unwrap();
        let error = replace(&link, b"new").unwrap_err().to_string();
        assert!(error.contains("not/there"), "{error}");
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("not/there"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_new_is_private_and_nothing_else_is_left() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a/b");
        private_folder(&folder).unwrap();
        private_folder(&folder).unwrap();
        replace(&folder.join("file"), b"x").unwrap();
        assert_eq!((mode(&folder), mode(&folder.join("file"))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        assert!(replace(&home.path().join("missing/file"), b"x").is_err());
    }
}

#[cfg(windows)]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_and_replaced_whole_with_its_line_ends() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a/Ü b");
        private_folder(&folder).unwrap();
        private_folder(&folder).unwrap();
        let file = folder.join("config");
        for content in [&b"Host a\r\n"[..], b"", b"b\n"] {
            replace(&file, content).unwrap();
            assert_eq!(fs::read(&file).unwrap(), content);
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        assert!(replace(&home.path().join("missing/file"), b"x").is_err());
    }
}
