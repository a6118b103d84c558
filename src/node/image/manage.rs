//! `qdebug image build`, `list` and `prune`: what the user has on this node and in the cache.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::obtain::{self, Obtained, Sources, Wish};
use super::record::{Record, Records};
use super::{CacheOptions, Teller, layer, saving, shared};
use crate::cache::{Bounds, Cache, Sweep as CacheSweep};
use crate::engine::{Choice, Engine, Reference};
use crate::node::place::NodeDir;
use crate::node::{Error, Sweep};

/// Where images of the user may lie.
#[derive(Debug, Clone, Copy)]
pub struct ImageStores<'a> {
    /// Where the node's own folder is made.
    pub node_dir: &'a Path,
    /// Whose images.
    pub engine: Choice,
    /// The shared cache, where it is switched on.
    pub cache: Option<&'a CacheOptions>,
}

/// What `image build` makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildWish {
    /// An image by name, or what a recipe makes.
    pub from: BuildFrom,
    /// With an sshd on top.
    pub sshd: bool,
}

/// What an image is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildFrom {
    /// An image by name.
    Reference(Reference),
    /// A recipe.
    Recipe {
        /// The recipe's file.
        recipe: PathBuf,
        /// The folder it may copy from.
        context: PathBuf,
        /// Values of its `ARG`s.
        args: BTreeMap<String, String>,
    },
}

/// What came of `image build`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageBuilt {
    /// What people call it.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Whether the shared cache has it now.
    pub is_cached: bool,
    /// What the user should know.
    pub notices: Vec<String>,
}

/// Makes an image where this runs, and puts it into the cache; what is done goes to `on_line`.
///
/// # Errors
/// [`Error::Engine`] and what else keeps the image from being made.
pub async fn image_build(
    wish: BuildWish,
    stores: &ImageStores<'_>,
    on_line: &mut dyn FnMut(&str),
) -> Result<ImageBuilt, Error> {
    let cache = stores.cache;
    let node_dir = NodeDir::open(stores.node_dir)?;
    let engine = Engine::connect(stores.engine, Some(node_dir.path())).await?;
    let (sources, notice) = Sources::of_node(&engine, node_dir.path(), cache).await;
    let mut teller = Teller::terminal(on_line);
    let wish_for = match &wish.from {
        BuildFrom::Reference(reference) => Wish::Reference(reference.clone()),
        BuildFrom::Recipe {
            recipe,
            context,
            args,
        } => Wish::Recipe {
            recipe: recipe.clone(),
            context: context.clone(),
            args: args.clone(),
        },
    };
    let mut obtained = obtain::obtain(&sources, &wish_for, &mut teller).await?;
    if wish.sshd {
        obtained = layer::with_sshd(&sources, obtained, &mut teller).await?;
    }
    let mut notices: Vec<String> = notice.into_iter().chain(obtained.notices.clone()).collect();
    let is_cached = put(&sources, &wish, &mut obtained, &mut teller, &mut notices).await?;
    Ok(ImageBuilt {
        name: obtained.name.clone(),
        id: obtained.image.id.clone(),
        is_cached,
        notices,
    })
}

/// Sees to it that the cache has an image, also one that this node has had before.
async fn put(
    sources: &Sources<'_>,
    wish: &BuildWish,
    obtained: &mut Obtained,
    teller: &mut Teller<'_>,
    notices: &mut Vec<String>,
) -> Result<bool, Error> {
    let Some(cache) = &sources.cache else {
        return Ok(false);
    };
    let key = match (&wish.from, wish.sshd) {
        (BuildFrom::Reference(reference), false) => {
            Some(obtain::key_of(sources.engine, reference)).filter(|_| !reference.is_id())
        }
        _ => sources.records().key_of_image(&obtained.image.id),
    };
    let mut saving = obtained.saving.take();
    if saving.is_none()
        && let Some(key) = &key
    {
        saving = saving::save_what_is_here(sources, key, obtained, teller).await;
    }
    if let Some(mut saving) = saving {
        let step = format!("putting {} into the cache", obtained.name);
        teller.step(&step, None).await;
        notices.extend(saving.ended().await);
    }
    let (at, Some(key)) = (cache.clone(), key) else {
        return Ok(false);
    };
    let found = shared::blocking(move || at.find(&key)).await;
    Ok(matches!(found, Ok(Some(_))))
}

/// Where an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImagePlace {
    /// In the engine of the machine that was asked.
    Node,
    /// In the shared cache.
    Cache,
}

/// An image of the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageListed {
    /// Where it is.
    pub place: ImagePlace,
    /// What people call it.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its size in bytes: unpacked on the node, compressed in the cache.
    pub bytes: u64,
    /// When it was last used.
    pub used: Timestamp,
    /// Whether a container of the node was made from it.
    pub in_use: bool,
}

/// All images of the user's that can be seen from here.
#[derive(Debug, Default)]
pub struct Images {
    /// Those of the node, then those of the cache, each the latest used first.
    pub listed: Vec<ImageListed>,
    /// Why the engine, or the cache, was left out.
    pub left_out: Vec<String>,
}

/// Lists what qdebug got for this user: on this machine and in the cache.
///
/// # Errors
/// [`Error::NodeDir`]; an engine or a cache that cannot be asked is left out and told.
pub async fn image_list(stores: &ImageStores<'_>) -> Result<Images, Error> {
    let cache = stores.cache;
    let node_dir = NodeDir::open(stores.node_dir)?;
    let records = Records::below(node_dir.path());
    let mut images = Images::default();
    match Engine::connect(stores.engine, Some(node_dir.path())).await {
        Ok(engine) => {
            let here = on_node(&engine, &records).await?;
            images
                .listed
                .extend(here.into_iter().map(|(_, listed)| listed));
        }
        Err(error) => images.left_out.push(format!("no engine here: {error}")),
    }
    if let Some(options) = cache.cloned() {
        let listing = shared::blocking(move || Cache::open(&options.folder, options.limit)?.list());
        match listing.await {
            Ok(all) => images.listed.extend(all.iter().map(of_cache)),
            Err(error) => images.left_out.push(crate::text::chain(&error)),
        }
    }
    Ok(images)
}

fn of_cache(listed: &crate::cache::Listed) -> ImageListed {
    ImageListed {
        place: ImagePlace::Cache,
        name: listed.entry.about.name.clone(),
        id: listed.entry.about.image.clone(),
        bytes: listed.entry.bytes,
        used: listed.used,
        in_use: false,
    }
}

/// The recorded images that the engine still has; the records of others are forgotten.
async fn on_node(engine: &Engine, records: &Records) -> Result<Vec<(Record, ImageListed)>, Error> {
    let in_use: BTreeSet<String> = engine.images_in_use().await?.into_iter().collect();
    let mut all = Vec::new();
    for (record, used) in records.all() {
        let image = match record.image.parse::<Reference>() {
            Ok(id) if id.is_id() => engine.image(&id).await?,
            _ => None,
        };
        let Some(image) = image else {
            records.forget(&record.key);
            continue;
        };
        let listed = ImageListed {
            place: ImagePlace::Node,
            name: record.name.clone(),
            id: image.id.clone(),
            bytes: image.bytes,
            used,
            in_use: in_use.contains(&image.id),
        };
        all.push((record, listed));
    }
    all.sort_by_key(|(_, listed)| std::cmp::Reverse(listed.used));
    Ok(all)
}

/// What `image prune` lets stay, on the node and in the cache each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PruneBounds {
    /// So many bytes together.
    pub bytes: Option<u64>,
    /// What was used so recently.
    pub unused_for: Option<Duration>,
}

/// What `image prune` did.
#[derive(Debug, Default)]
pub struct ImagePruned {
    /// What went, or would go.
    pub removed: Vec<ImageListed>,
    /// What would have to go and stays: its name, and why.
    pub kept: Vec<(String, String)>,
    /// Why the engine, or the cache, was left out.
    pub left_out: Vec<String>,
}

/// Removes, or only tells, the least recently used images: of this machine what qdebug got here for
/// this user and no container uses, and of the cache.
///
/// # Errors
/// [`Error::NodeDir`]; what the engine says.
pub async fn image_prune(
    stores: &ImageStores<'_>,
    bounds: PruneBounds,
    sweep: Sweep,
) -> Result<ImagePruned, Error> {
    let cache = stores.cache;
    let node_dir = NodeDir::open(stores.node_dir)?;
    let records = Records::below(node_dir.path());
    let mut pruned = ImagePruned::default();
    match Engine::connect(stores.engine, Some(node_dir.path())).await {
        Ok(engine) => {
            let here = on_node(&engine, &records).await?;
            for (record, listed) in out_of_bounds(here, bounds, Timestamp::now()) {
                remove(&engine, &records, record, listed, sweep, &mut pruned).await;
            }
        }
        Err(error) => pruned.left_out.push(format!("no engine here: {error}")),
    }
    if let Some(options) = cache.cloned() {
        let bounds = Bounds {
            bytes: bounds.bytes,
            unused_for: bounds.unused_for,
        };
        let how = match sweep {
            Sweep::Remove => CacheSweep::Remove,
            Sweep::Tell => CacheSweep::Tell,
        };
        let pruning = shared::blocking(move || {
            Cache::open(&options.folder, options.limit)?.prune(&bounds, None, how)
        });
        match pruning.await {
            Ok(going) => pruned.removed.extend(going.iter().map(of_cache)),
            Err(error) => pruned.left_out.push(crate::text::chain(&error)),
        }
    }
    Ok(pruned)
}

async fn remove(
    engine: &Engine,
    records: &Records,
    record: Record,
    listed: ImageListed,
    sweep: Sweep,
    pruned: &mut ImagePruned,
) {
    if listed.in_use {
        let why = "a container uses it".to_owned();
        pruned.kept.push((listed.name, why));
        return;
    }
    if sweep == Sweep::Remove {
        // By the name it got, where that still is its name: others may have given it more.
        let by_name = match record.tag.parse::<Reference>() {
            Ok(tag) => matches!(engine.image(&tag).await, Ok(Some(image)) if image.id == listed.id),
            Err(_) => false,
        };
        let name = if by_name { &record.tag } else { &listed.id };
        if let Err(error) = engine.remove_image(name).await {
            pruned.kept.push((listed.name, error.to_string()));
            return;
        }
        records.forget(&record.key);
    }
    pruned.removed.push(listed);
}

/// Those that go of all, which are sorted by use, the latest first. What is in use is among them,
/// so that it can be told; it counts as staying.
fn out_of_bounds(
    all: Vec<(Record, ImageListed)>,
    bounds: PruneBounds,
    now: Timestamp,
) -> Vec<(Record, ImageListed)> {
    let age = bounds
        .unused_for
        .and_then(|age| SignedDuration::try_from(age).ok());
    let mut together: u64 = all
        .iter()
        .filter(|(_, listed)| listed.in_use)
        .map(|(_, listed)| listed.bytes)
        .sum();
    let mut goes = |listed: &ImageListed| {
        let old = age.is_some_and(|age| now.duration_since(listed.used) >= age);
        let more = match listed.in_use {
            true => together,
            false => together.saturating_add(listed.bytes),
        };
        let fits = bounds.bytes.is_none_or(|bytes| more <= bytes);
        if !old && fits {
            together = more;
        }
        old || !fits
    };
    all.into_iter().filter(|(_, listed)| goes(listed)).collect()
}

#[cfg(test)]
#[path = "manage_tests.rs"]
mod tests;
