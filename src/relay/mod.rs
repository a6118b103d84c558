//! The relay: many connections to a far machine, and commands there, over one pair of pipes.
//!
//! | file | owns |
//! |---|---|
//! | `frame` | what goes over the pipes, byte for byte |
//! | `wanted` | what an opening asks for |
//! | `stream` | one connection: its two directions, its credit, its end |
//! | `command` | one command: its input, what it writes, its status |
//! | `link` | the pair of pipes: who gets which frame, and what its end means |
//! | `client`, `serve` | the end that opens, and the one that dials and runs |
//!
//! Problem: where no sshd forwards ports, what is left is a command's stdin and stdout, and a
//! login node opens few sessions at once (sshd's MaxSessions is 10) and each costs a handshake.
//! Solution: one command carries all connections. Each has a credit of bytes that may be on their
//! way, as the channels of ssh have (RFC 4254, 5.2), so that one that nobody reads holds up no
//! other, and memory is bounded. Nothing is read of a connection before the far side has dialled:
//! what could not be carried can be carried by another relay.
//!
//! There are two servers: one that dials a single port, at the end of a way to a node; and one that
//! also runs commands and dials wherever it is asked to, which is no more than the login whose
//! stdin and stdout it has may do anyway.
//!
//! It knows neither ssh nor sessions: what makes the pipes is the caller's business. Frames of the
//! other side are checked; the first that is wrong ends the link.

mod client;
mod command;
mod frame;
mod link;
mod serve;
mod stream;
#[cfg(test)]
mod tests;
mod wanted;

pub use client::{Relay, Stream};
pub use frame::PROTOCOL;
pub use serve::{serve, serve_all};
pub use wanted::Wanted;

/// Why a stream was not opened: then nothing of it has been read. Or how a command was lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The link is gone.
    #[error("the relay has ended")]
    Ended,
    /// The far side could not open it, or has given it up.
    #[error("{0}")]
    Refused(String),
}
