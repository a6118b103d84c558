//! The session's image: where it comes from, and what must be known of it before it runs.
//!
//! - `session`: the image of a session's request;
//! - `obtain`: the node's own, else the shared cache's, else pulled or built ([`obtain()`]);
//! - `shared`: one node does the work for all that ask at once; `saving`: the cache gets what came
//!   of it;
//! - `build`: an image of the user's recipe; `layer`: one with an sshd on top; `unfinished`: what a
//!   build left whose engine was killed;
//! - `record`: which image this user got on this node for which wish;
//! - `teller`: how the steps are told, in a session and on a terminal;
//! - `manage`: `qdebug image build`, `list` and `prune`;
//! - `known`: what is known of an image by its id.
//!
//! What is run is run by id: names are for people, and for the engine not to throw images away.

mod build;
mod known;
mod layer;
mod manage;
mod obtain;
mod record;
mod saving;
mod session;
mod shared;
mod teller;
mod unfinished;

pub use manage::{
    BuildFrom, BuildWish, ImageBuilt, ImageListed, ImagePlace, ImagePruned, ImageStores, Images,
    PruneBounds, image_build, image_list, image_prune,
};

pub(super) use known::{Known, Lookup, forget_gone};
pub(super) use saving::Saving;
pub(super) use session::of_session;
pub(super) use unfinished::sweep as sweep_builds;

use layer::with_sshd;
use obtain::{Obtained, Sources, Wish, obtain};
use teller::Teller;

use std::path::PathBuf;

/// The shared cache, where site or user has switched it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheOptions {
    /// The folder that each user's own cache lies in.
    pub folder: PathBuf,
    /// How much a user's cache may hold, in bytes.
    pub limit: u64,
}

/// The label of images that qdebug has built: what they were built from.
pub(super) const BUILT_LABEL: &str = "qdebug.built";
