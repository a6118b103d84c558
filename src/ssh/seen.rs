//! What this process has seen of hops, and how long they are given to connect.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// How long ssh may take to connect, in seconds; less for a hop that was up, since a first packet
/// that is lost while the network is away is sent again after 1, 3, 7 and 15 s.
const CONNECT: u32 = 20;
const CONNECT_AGAIN: u32 = 5;

/// What this process has seen of hops, by their sockets; of trunks, by their login nodes.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<Mutex<HashMap<PathBuf, Pace>>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Usual,
    /// It connects and takes its time to say so.
    Slow,
}

impl Seen {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<PathBuf, Pace>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it was up before.
    pub(super) fn knows(&self, socket: &Path) -> bool {
        self.with(|seen| seen.contains_key(socket))
    }

    /// It is up.
    pub(super) fn up(&self, socket: &Path) {
        self.with(|seen| {
            seen.entry(socket.to_owned()).or_insert(Pace::Usual);
        });
    }

    /// It could not be dialled, for this reason.
    pub(super) fn failed(&self, socket: &Path, said: &str) {
        // ssh's words when the network connects and the other side says nothing yet.
        if said.contains("timed out during banner exchange") {
            self.with(|seen| {
                if let Some(pace) = seen.get_mut(socket) {
                    *pace = Pace::Slow;
                }
            });
        }
    }

    /// For ssh's `ConnectTimeout`, in seconds.
    pub(super) fn timeout(&self, socket: &Path) -> u32 {
        match self.with(|seen| seen.get(socket).copied()) {
            Some(Pace::Usual) => CONNECT_AGAIN,
            Some(Pace::Slow) | None => CONNECT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_that_was_up_is_dialled_with_less_patience_unless_it_is_slow() {
        let seen = Seen::default();
        let (one, other) = (Path::new("/one"), Path::new("/other"));
        assert_eq!(seen.timeout(one), CONNECT);
        seen.failed(one, "Connection timed out during banner exchange");
        assert!(!seen.knows(one));
        seen.up(one);
        seen.failed(one, "ssh: connect to host a port 22: Connection timed out");
        assert_eq!(
            (seen.timeout(one), seen.timeout(other)),
            (CONNECT_AGAIN, CONNECT)
        );
        // Recorded from OpenSSH 9.2.
        seen.failed(one, "Connection timed out during banner exchange\r\n");
        seen.up(one);
        assert_eq!(seen.timeout(one), CONNECT);
    }
}
