//! The shared cache of images: files on the cluster's shared file system that one user's nodes
//! hand on to each other.
//!
//! It keeps streams of bytes under keys, compressed, and knows neither what an image is nor who
//! asks. Everything in it blocks, as a shared file system does: the caller has the threads.
//!
//! - [`Cache`]: the folder, 0700, the caller's own and no link; finding, listing, removing;
//! - `entry`: an entry is its description, `<key>.json`, written last, and the data it names;
//! - `stream`: writing and reading that data, in constant memory;
//! - `lock`: who prepares a key just now, across nodes; an owner that died is found out;
//! - `prune`: what goes when there is too much.
//!
//! Problem: NFS. Evidence: flock may be local to a node, attributes are cached for up to a minute,
//! clocks differ, a call can be answered twice. Solution: what decides is `link` and `rename`,
//! which a server does once and whole; what is read is opened anew; ages are told by the file
//! system's own clock, and a dead owner by what changes while one watches, by one's own.

mod entry;
mod error;
mod folder;
mod lock;
mod prune;
mod stream;

pub use entry::{About, Entry, Key, Listed};
pub use error::Error;
pub use folder::Cache;
pub use lock::{Attempt, Claim, Lock, Owner};
pub use prune::{Bounds, Sweep};
pub use stream::{Reader, Writer};

#[cfg(test)]
mod tests;
