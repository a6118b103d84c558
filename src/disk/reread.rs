//! Reading again what a file server has replaced meanwhile.
//!
//! Problem: a file that another machine replaces or removes between our opening and our reading of it
//! is an error on NFS (ESTALE), although there is a good file of that name, or none. Solution: it is
//! opened and read anew, which asks the server. The session has its own of this, as of `replace`.

use std::io;

/// How often it is done in all.
const TRIES: u32 = 3;

/// Does what opens a file and reads it; anew, a few times, while the file proves to be stale.
///
/// # Errors
/// What `read` returned last.
pub fn reread<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..TRIES {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::StaleNetworkFileHandle => {}
            done => return done,
        }
    }
    read()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stale_is_read_again_and_nothing_else_is() {
        let stale = || -> io::Result<u32> { Err(io::ErrorKind::StaleNetworkFileHandle.into()) };
        let mut tries = 0;
        let read = reread(|| {
            tries += 1;
            if tries < TRIES { stale() } else { Ok(7) }
        });
        assert_eq!((read.unwrap(), tries), (7, TRIES));
        tries = 0;
        let read = reread(|| {
            tries += 1;
            stale()
        });
        let kind = read.unwrap_err().kind();
        assert_eq!(
            (kind, tries),
            (io::ErrorKind::StaleNetworkFileHandle, TRIES)
        );
        tries = 0;
        let read = reread(|| -> io::Result<()> {
            tries += 1;
            Err(io::ErrorKind::PermissionDenied.into())
        });
        assert_eq!((read.is_err(), tries), (true, 1));
        // What the system says is known by its kind.
        let of_system = io::Error::from(rustix::io::Errno::STALE);
        assert_eq!(of_system.kind(), io::ErrorKind::StaleNetworkFileHandle);
    }
}
