//! The scheduler's hooks on this machine: what is installed, what is there, what goes again.
//!
//! It knows the files of `pbs/`, where each scheduler wants them, and the schedulers' own tools
//! that take them; not what the hooks do, which is `qdebug cleanup`.

mod kind;

pub use kind::{BadKind, Kind};
