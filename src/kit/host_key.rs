//! The session's host key: fresh for every session, so that a client can pin it.
//!
//! Made in this process, not by the kit's ssh-keygen: that one is static and refuses a user it
//! cannot look up, which is every user of a directory service.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey};

use super::Error;

/// Makes an ed25519 key, writes its private half to `host_key` in `folder`, which must not be
/// there yet, 0600 from creation, and returns the public half as one line (`ssh-ed25519 AAAA...`).
///
/// # Errors
/// [`Error::HostKey`] and [`Error::Io`].
pub fn generate(folder: &Path) -> Result<String, Error> {
    let path = folder.join("host_key");
    let failed = |error: ssh_key::Error| Error::HostKey {
        what: error.to_string(),
    };
    let key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(failed)?;
    let private = key.to_openssh(LineEnding::LF).map_err(failed)?;
    let public = key.public_key().to_openssh().map_err(failed)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options
        .open(&path)
        .and_then(|mut file| file.write_all(private.as_bytes()))
        .map_err(Error::io("write", &path))?;
    Ok(public)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn both_halves_fit_and_only_we_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let public = generate(folder.path()).unwrap();
        let path = folder.path().join("host_key");
        let read = PrivateKey::read_openssh_file(&path).unwrap();
        assert_eq!(read.public_key().to_openssh().unwrap(), public);
        assert!(public.starts_with("ssh-ed25519 AAAA") && !public.contains('\n'));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn every_key_is_new_and_none_is_overwritten() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = generate(one.path()).unwrap();
        assert!(matches!(generate(one.path()), Err(Error::Io { .. })));
        assert_ne!(first, generate(other.path()).unwrap());
    }
}
