//! What sessions need of a login node, looked at by hand: a folder that is private and can be written.

use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// How much is written to see whether it can be, in bytes.
const PROBE: usize = 64 << 10;

/// The folder of sessions, qdebug's home.
#[derive(Debug)]
pub enum SessionsFound {
    /// Others may look into it.
    Open,
    /// Nothing can be written in this folder.
    Unwritable {
        /// The folder, or the one that it would be made in.
        place: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It will do.
    Writable {
        /// How many bytes are free for this user, where the system tells.
        free_bytes: Option<u64>,
    },
}

/// Looks whether sessions can be written: what a quota or a full disk forbids shows only in a write.
pub fn sessions_found(home: &Path) -> SessionsFound {
    let place = match home.exists() {
        true => home,
        false => home.parent().unwrap_or(home),
    };
    let private = std::fs::metadata(home).map(|meta| meta.permissions().mode() & 0o077);
    if let Ok(1..) = private {
        return SessionsFound::Open;
    }
    let written = tempfile::NamedTempFile::new_in(place).and_then(|mut file| {
        file.write_all(&[0; PROBE])?;
        file.as_file().sync_all()
    });
    if let Err(source) = written {
        let place = place.to_owned();
        return SessionsFound::Unwritable { place, source };
    }
    let free = rustix::fs::statvfs(place).ok();
    SessionsFound::Writable {
        free_bytes: free.map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_sessions_is_private_and_can_be_written() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a 'b");
        let of = |path: &Path| sessions_found(path);
        assert!(matches!(of(&folder), SessionsFound::Writable { .. }));
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(of(&folder), SessionsFound::Open));
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(matches!(
            of(&folder),
            SessionsFound::Writable {
                free_bytes: Some(_)
            }
        ));
        let nowhere = of(Path::new("/proc/no/such"));
        assert!(matches!(nowhere, SessionsFound::Unwritable { .. }));
    }
}
