//! Getting the image that a session asked for: the node's own, else the shared cache's, else pulled
//! or built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::record::{Origin, Record, Records};
use super::saving::Saving;
use super::shared::{self, Shared};
use super::{Teller, build};
use crate::cache::{Cache, Key};
use crate::engine::{self, Engine, Image, PullProgress, Reference};
use crate::node::Error;

/// Where images come from on this node.
pub(in crate::node) struct Sources<'a> {
    pub(in crate::node) engine: &'a Engine,
    /// The node's own folder of this user.
    pub(in crate::node) node_dir: &'a Path,
    /// The shared cache, or why there is none to use.
    pub(super) cache: Option<Cache>,
    /// This node's name.
    pub(super) node: String,
}

/// What is wished for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::node) enum Wish {
    /// An image by name.
    Reference(Reference),
    /// An image built from a recipe.
    Recipe {
        recipe: PathBuf,
        context: PathBuf,
        args: BTreeMap<String, String>,
    },
}

/// What came of a wish.
pub(in crate::node) struct Obtained {
    pub(in crate::node) image: Image,
    /// What people call it.
    pub(in crate::node) name: String,
    /// What the user should know.
    pub(in crate::node) notices: Vec<String>,
    /// The image on its way into the cache.
    pub(in crate::node) saving: Option<Saving>,
}

impl Obtained {
    pub(super) fn here(image: Image, name: &str) -> Self {
        Self {
            image,
            name: name.to_owned(),
            notices: Vec::new(),
            saving: None,
        }
    }
}

impl<'a> Sources<'a> {
    /// Those of this node. A cache that cannot be used is told and done without.
    pub(in crate::node) async fn of_node(
        engine: &'a Engine,
        node_dir: &'a Path,
        cache: Option<&super::CacheOptions>,
    ) -> (Self, Option<String>) {
        let mut notice = None;
        let mut usable = None;
        if let Some(options) = cache.cloned() {
            let opened = shared::blocking(move || Cache::open(&options.folder, options.limit));
            match opened.await {
                Ok(cache) => usable = Some(cache),
                Err(error) => notice = Some(shared::without_cache(&error)),
            }
        }
        let sources = Self {
            engine,
            node_dir,
            cache: usable,
            node: crate::node::host::node_name(),
        };
        (sources, notice)
    }

    pub(super) fn records(&self) -> Records {
        Records::below(self.node_dir)
    }

    /// The image that this user got here for a wish before, if the engine still has it.
    pub(super) async fn recorded(&self, key: &Key) -> Result<Option<Image>, Error> {
        let Some(record) = self.records().find(key) else {
            return Ok(None);
        };
        let found = match record.image.parse::<Reference>() {
            Ok(id) if id.is_id() => self.engine.image(&id).await?,
            _ => None,
        };
        if found.is_none() {
            self.records().forget(key);
        }
        Ok(found)
    }

    pub(super) fn keep(&self, key: &Key, name: &str, image: &Image, tag: &str, origin: Origin) {
        let record = Record::new(key, name, &image.id, tag, origin);
        self.records().keep(&record);
    }
}

/// Gets what was wished for, and checks that it runs on this node.
pub(in crate::node) async fn obtain(
    sources: &Sources<'_>,
    wish: &Wish,
    teller: &mut Teller<'_>,
) -> Result<Obtained, Error> {
    let obtained = match wish {
        Wish::Reference(wanted) => reference(sources, wanted, teller).await?,
        Wish::Recipe {
            recipe,
            context,
            args,
        } => build::recipe(sources, recipe, context, args, teller).await?,
    };
    let Obtained { image, name, .. } = &obtained;
    tracing::info!(name, id = image.id, "have the image");
    let native = sources.engine.architecture();
    let fits = image.os.is_empty() || image.os == "linux";
    if !(fits && (image.architecture.is_empty() || image.architecture == native)) {
        return Err(engine::Error::Platform {
            reference: name.clone(),
            detail: format!(
                "it is for {}/{}, this node is linux/{native}",
                image.os, image.architecture
            ),
        }
        .into());
    }
    Ok(obtained)
}

/// An image by name.
pub(super) async fn reference(
    sources: &Sources<'_>,
    wanted: &Reference,
    teller: &mut Teller<'_>,
) -> Result<Obtained, Error> {
    let name = wanted.as_str();
    teller.step(&format!("looking for {name}"), None).await;
    let engine = sources.engine;
    let key = key_of(engine, wanted);
    if let Some(image) = engine.image(wanted).await? {
        // Its use counts, where it was qdebug that got it here.
        let _ = sources.records().find(&key);
        return Ok(Obtained::here(image, name));
    }
    // By its digest the engine does not know what came from the cache. A tag that is not there is
    // not there: whoever took it away wants what the registry has now.
    if wanted.name_with_tag().is_none()
        && let Some(image) = sources.recorded(&key).await?
    {
        return Ok(Obtained::here(image, name));
    }
    if wanted.is_id() {
        return pull(engine, wanted, teller)
            .await
            .map(|image| Obtained::here(image, name));
    }
    // An image that has no name of its own after loading gets one of ours.
    let (repository, tag) = match wanted.name_with_tag() {
        Some((name, tag)) => (name.to_owned(), tag.to_owned()),
        None => ("qdebug-cached".to_owned(), key.short().to_owned()),
    };
    let shared = Shared {
        sources,
        key: &key,
        name,
        repository: &repository,
        tag: &tag,
        local: Some(wanted),
    };
    shared
        .obtain(teller, async |teller| {
            let image = pull(engine, wanted, teller).await?;
            let tag = format!("{repository}:{tag}");
            sources.keep(&key, name, &image, &tag, Origin::Pulled);
            Ok((image, true))
        })
        .await
}

/// The key of an image by name: its full name, for this machine's architecture.
pub(super) fn key_of(engine: &Engine, wanted: &Reference) -> Key {
    Key::of(&["reference", &wanted.canonical(), engine.architecture()])
}

async fn pull(
    engine: &Engine,
    reference: &Reference,
    teller: &mut Teller<'_>,
) -> Result<Image, Error> {
    let (sender, mut receiver) = tokio::sync::watch::channel(PullProgress::default());
    let pulling = engine.pull(reference, move |progress| {
        // Nobody listens only when the pull is over.
        let _ = sender.send(progress);
    });
    tokio::pin!(pulling);
    teller
        .step(&step(reference, PullProgress::default()), None)
        .await;
    loop {
        tokio::select! {
            image = &mut pulling => return Ok(image?),
            Ok(()) = receiver.changed() => {
                let progress = *receiver.borrow_and_update();
                teller.step(&step(reference, progress), progress.fraction()).await;
            }
        }
    }
}

fn step(reference: &Reference, progress: PullProgress) -> String {
    let layers = match progress.layers {
        0 => String::new(),
        layers => format!(", {} of {layers} layers", progress.layers_done),
    };
    format!("pulling {reference}{layers}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_of_a_pull_tells_its_layers() {
        let reference: Reference = "debian:12".parse().unwrap();
        let progress = PullProgress {
            layers: 4,
            layers_done: 1,
            bytes: 10,
            bytes_total: 40,
        };
        let told = step(&reference, progress);
        assert_eq!(told, "pulling debian:12, 1 of 4 layers");
        let told = step(&reference, PullProgress::default());
        assert_eq!(told, "pulling debian:12");
    }
}
