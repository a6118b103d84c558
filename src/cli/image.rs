//! `qdebug image`: images of the user's, on this machine and in the shared cache.

use jiff::Timestamp;
use serde::Serialize;

use super::args::{Global, Image, ImageBuild, ImagePrune, SshdChoice};
use super::output::{harmless, table};
use super::setting::Setting;
use super::values::{bytes, shown};
use super::{Exit, Failure, output};
use crate::node::{
    self, BuildFrom, BuildWish, CacheOptions, ImageListed, ImagePlace, ImageStores, PruneBounds,
    Sweep,
};

/// What `image build --json` prints.
#[derive(Serialize)]
struct Built {
    format: u32,
    name: String,
    id: String,
    cached: bool,
    notices: Vec<String>,
}

/// What `image list --json` prints.
#[derive(Serialize)]
struct List {
    format: u32,
    images: Vec<Item>,
    left_out: Vec<String>,
}

/// What `image prune --json` prints. With `dry_run` nothing has been removed.
#[derive(Serialize)]
struct Pruned {
    format: u32,
    dry_run: bool,
    removed: Vec<Item>,
    kept: Vec<(String, String)>,
    left_out: Vec<String>,
}

#[derive(Serialize)]
struct Item {
    place: &'static str,
    name: String,
    id: String,
    bytes: u64,
    used: Timestamp,
    in_use: bool,
}

impl From<ImageListed> for Item {
    fn from(listed: ImageListed) -> Self {
        Self {
            place: match listed.place {
                ImagePlace::Node => "node",
                ImagePlace::Cache => "cache",
            },
            name: listed.name,
            id: listed.id,
            bytes: listed.bytes,
            used: listed.used,
            in_use: listed.in_use,
        }
    }
}

impl Item {
    fn row(&self, now: Timestamp) -> Vec<String> {
        let id = self.id.strip_prefix("sha256:").unwrap_or(&self.id);
        let used = match self.in_use {
            true => "now".to_owned(),
            false => format!("{} ago", shown(now.duration_since(self.used))),
        };
        vec![
            self.place.to_owned(),
            harmless(id.get(..12).unwrap_or(id)),
            bytes(self.bytes),
            used,
            harmless(&self.name),
        ]
    }
}

impl Image {
    pub(super) async fn run(self, global: &Global) -> Result<u8, Failure> {
        match self {
            Self::Build(build) => build.run(global).await,
            Self::List => list(global).await,
            Self::Prune(prune) => prune.run(global).await,
        }
    }
}

impl ImageBuild {
    async fn run(self, global: &Global) -> Result<u8, Failure> {
        let setting = Setting::load()?;
        let from = match (self.recipe.paths()?, self.image) {
            (Some((recipe, context)), _) => BuildFrom::Recipe {
                recipe,
                context,
                args: self
                    .recipe
                    .build_arg
                    .iter()
                    .map(|(name, value)| (name.as_str().to_owned(), value.clone()))
                    .collect(),
            },
            (None, Some(image)) => BuildFrom::Reference(image),
            (None, None) => return Err(Failure::new(Exit::Usage, "which image?")),
        };
        let wish = BuildWish {
            from,
            sshd: self.sshd == SshdChoice::Layer,
        };
        let cache = setting.cache();
        let mut tell = |line: &str| output::talk(line);
        let stores = stores(&setting, cache.as_ref());
        let making = node::image_build(wish, &stores, &mut tell);
        let built = tokio::select! {
            built = making => built?,
            _ = tokio::signal::ctrl_c() => {
                return Err(Failure::new(Exit::Interrupted, "interrupted while making the image"));
            }
        };
        for notice in &built.notices {
            output::talk(&format!("note: {notice}"));
        }
        if global.json {
            output::json(&Built {
                format: crate::session::FORMAT,
                name: built.name,
                id: built.id,
                cached: built.is_cached,
                notices: built.notices,
            });
            return Ok(0);
        }
        output::data(&built.id);
        output::talk(match (built.is_cached, cache.is_some()) {
            (true, _) => "it is here and in the shared cache: every node can have it",
            (false, true) => "it is here, and not in the shared cache",
            (false, false) => "it is here alone: `cache` of the configuration is not set",
        });
        Ok(0)
    }
}

/// Where this user's images may lie, by the configuration.
fn stores<'a>(setting: &'a Setting, cache: Option<&'a CacheOptions>) -> ImageStores<'a> {
    ImageStores {
        node_dir: setting.config.node_dir(),
        engine: setting.engine(),
        cache,
    }
}

async fn list(global: &Global) -> Result<u8, Failure> {
    let setting = Setting::load()?;
    let cache = setting.cache();
    let images = node::image_list(&stores(&setting, cache.as_ref())).await?;
    let items: Vec<Item> = images.listed.into_iter().map(Item::from).collect();
    if global.json {
        output::json(&List {
            format: crate::session::FORMAT,
            images: items,
            left_out: images.left_out,
        });
        return Ok(0);
    }
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = items.iter().map(|item| item.row(now)).collect();
    if rows.is_empty() {
        output::talk("qdebug has no images of yours here; `qdebug image build` makes one ahead");
    } else {
        let headings = ["WHERE", "ID", "SIZE", "USED", "NAME"];
        output::data(&table(&headings, &rows));
    }
    for reason in &images.left_out {
        output::talk(&format!("note: {reason}"));
    }
    Ok(0)
}

impl ImagePrune {
    async fn run(self, global: &Global) -> Result<u8, Failure> {
        let setting = Setting::load()?;
        let (sweep, removed) = match self.dry_run {
            true => (Sweep::Tell, "would remove"),
            false => (Sweep::Remove, "removed"),
        };
        let bounds = PruneBounds {
            bytes: self.keep_size,
            unused_for: self.unused_for,
        };
        let cache = setting.cache();
        let stores = stores(&setting, cache.as_ref());
        let pruned = node::image_prune(&stores, bounds, sweep).await?;
        let items: Vec<Item> = pruned.removed.into_iter().map(Item::from).collect();
        if global.json {
            output::json(&Pruned {
                format: crate::session::FORMAT,
                dry_run: self.dry_run,
                removed: items,
                kept: pruned.kept,
                left_out: pruned.left_out,
            });
            return Ok(0);
        }
        for item in &items {
            let size = bytes(item.bytes);
            let name = harmless(&item.name);
            output::data(&format!("{removed} {name} ({}, {size})", item.place));
        }
        for (name, reason) in &pruned.kept {
            output::talk(&format!("{name} stays: {reason}"));
        }
        for reason in &pruned.left_out {
            output::talk(&format!("note: {reason}"));
        }
        if items.is_empty() && pruned.kept.is_empty() {
            output::talk("nothing is out of these bounds");
        }
        Ok(0)
    }
}
