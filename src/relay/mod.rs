//! The relay: many connections to one port of a far machine over one pair of pipes.
//!
//! | file | owns |
//! |---|---|
//! | `frame` | what goes over the pipes, byte for byte |
//! | `stream` | one connection: its two directions, its credit, its end |
//! | `link` | the pair of pipes: who gets which frame, and what its end means |
//! | `client`, `serve` | the end that opens connections, and the one that dials the port |
//!
//! Problem: where no sshd forwards ports, what is left is a command's stdin and stdout, and a
//! login node opens few sessions at once (sshd's MaxSessions is 10) and each costs a handshake.
//! Solution: one command carries all connections. Each has a credit of bytes that may be on their
//! way, as the channels of ssh have (RFC 4254, 5.2), so that one that nobody reads holds up no
//! other, and memory is bounded. Nothing is read of a connection before the far side has dialled:
//! what could not be carried can be carried by another relay.
//!
//! It knows neither ssh nor sessions: what makes the pipes is the caller's business. Frames of the
//! other side are checked; the first that is wrong ends the link.

mod client;
mod frame;
mod link;
mod serve;
mod stream;
#[cfg(test)]
mod tests;

pub use client::{Relay, Stream};
pub use serve::serve;

/// Why a connection was not carried. Nothing of it had been read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The link is gone.
    #[error("the relay has ended")]
    Ended,
    /// The far side could not dial.
    #[error("{0}")]
    Refused(String),
}
