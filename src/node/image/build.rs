//! An image of the user's recipe: found again by what it was made of, else built.

use std::collections::BTreeMap;
use std::path::Path;

use super::record::Origin;
use super::shared::{self, Shared};
use super::unfinished::Unfinished;
use super::{BUILT_LABEL, Obtained, Sources, Teller, obtain};
use crate::cache::Key;
use crate::engine::{self, Build, BuildProgress, Built, Context, Engine, Image, Kind, Reference};
use crate::node::Error;

/// How much of an instruction is shown, in characters.
const INSTRUCTION_LIMIT: usize = 60;
/// The name in the engine of what was built.
pub(super) const REPOSITORY: &str = "qdebug-built";

/// What was made of a recipe, context, arguments and bases.
pub(super) async fn recipe(
    sources: &Sources<'_>,
    recipe: &Path,
    context: &Path,
    args: &BTreeMap<String, String>,
    teller: &mut Teller<'_>,
) -> Result<Obtained, Error> {
    let name = recipe.to_string_lossy().into_owned();
    teller
        .step(&format!("reading {name} and its context"), None)
        .await;
    let (recipe, folder) = (recipe.to_owned(), context.to_owned());
    let read = shared::blocking(move || {
        let context = Context::read(&recipe, &folder)?;
        let digest = context.digest()?;
        Ok::<_, engine::BuildError>((context, digest))
    });
    let (context, digest) = read.await.map_err(engine::Error::from)?;
    let mut build = Build {
        context,
        args: args.clone(),
        tag: String::new(),
        labels: Vec::new(),
    };
    let bases = bases(sources, &build, teller).await?;
    let key = key_of(sources, &digest, args, &bases);
    build.tag = format!("{REPOSITORY}:{}", key.short());
    build.labels = vec![(BUILT_LABEL.to_owned(), key.to_string())];
    let checked = async |packed: &str| {
        // What was built from other files, or on another base, is not what the key says.
        Ok(packed == digest && self::ids(sources, &bases).await? == bases)
    };
    made(sources, &key, &name, &build, teller, checked).await
}

/// The image of a key: recorded, from the cache, or built; `checked` says of the packed context's
/// digest whether the image may be kept under the key.
pub(super) async fn made(
    sources: &Sources<'_>,
    key: &Key,
    name: &str,
    build: &Build,
    teller: &mut Teller<'_>,
    checked: impl AsyncFnOnce(&str) -> Result<bool, Error>,
) -> Result<Obtained, Error> {
    if let Some(image) = sources.recorded(key).await? {
        return Ok(Obtained::here(image, name));
    }
    let shared = Shared {
        sources,
        key,
        name,
        repository: REPOSITORY,
        tag: key.short(),
        local: None,
    };
    shared
        .obtain(teller, async |teller| {
            let (image, digest) = run(sources, name, build, teller).await?;
            let fit = checked(&digest).await?;
            if fit {
                sources.keep(key, name, &image, &build.tag, Origin::Built);
            } else {
                tracing::warn!(name, "its files or its base changed meanwhile: not kept");
            }
            Ok((image, fit))
        })
        .await
}

async fn run(
    sources: &Sources<'_>,
    name: &str,
    build: &Build,
    teller: &mut Teller<'_>,
) -> Result<(Image, String), Error> {
    let docker = sources.engine.kind() == Kind::Docker;
    let unfinished = docker
        .then(|| Unfinished::begin(sources.node_dir))
        .flatten();
    let mark = unfinished.as_ref().map(Unfinished::mark);
    let built = watched(sources.engine, name, build, mark, teller).await;
    // An engine that went meanwhile has cleared nothing away.
    let is_cut_off = matches!(
        built,
        Err(engine::Error::Gone { .. } | engine::Error::TimedOut { .. })
    );
    if let Some(unfinished) = unfinished
        && !is_cut_off
    {
        unfinished.done();
    }
    let built = built?;
    let id: Reference = built.id.parse()?;
    let image = sources.engine.image(&id).await?;
    let image = image.ok_or_else(|| engine::Error::NoSuchImage {
        reference: built.id.clone(),
        detail: "it went just after it was built".to_owned(),
    })?;
    Ok((image, built.digest))
}

/// The build itself, each step told.
async fn watched(
    engine: &Engine,
    name: &str,
    build: &Build,
    mark: Option<&str>,
    teller: &mut Teller<'_>,
) -> Result<Built, engine::Error> {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<BuildProgress>();
    let building = engine.build(build, mark, move |progress| {
        let _ = sender.send(progress.clone());
    });
    tokio::pin!(building);
    teller.step(&format!("building {name}"), None).await;
    let built = loop {
        tokio::select! {
            built = &mut building => break built,
            Some(progress) = receiver.recv() => tell(name, &progress, teller).await,
        }
    };
    while let Ok(progress) = receiver.try_recv() {
        tell(name, &progress, teller).await;
    }
    built
}

async fn tell(name: &str, progress: &BuildProgress, teller: &mut Teller<'_>) {
    let BuildProgress { step, steps, .. } = *progress;
    if steps > 0 {
        let part = f64::from(step.saturating_sub(1)) / f64::from(steps);
        let instruction = shortened(&progress.instruction);
        let told = format!("building {name}, step {step} of {steps}: {instruction}");
        teller.step(&told, Some(part)).await;
    }
    if !progress.line.is_empty() {
        teller.output(&progress.line);
    }
}

/// An instruction as it fits into a line.
fn shortened(instruction: &str) -> String {
    match instruction.char_indices().nth(INSTRUCTION_LIMIT) {
        Some((at, _)) => format!("{}...", &instruction[..at]),
        None => instruction.to_owned(),
    }
}

/// The images that the recipe builds upon, as it names them, with their ids: got here first, so
/// that the engine builds upon what the key says.
async fn bases(
    sources: &Sources<'_>,
    build: &Build,
    teller: &mut Teller<'_>,
) -> Result<Vec<(String, String)>, Error> {
    let mut found = Vec::new();
    for name in build.bases() {
        let reference: Reference = name.parse()?;
        let mut obtained = obtain::reference(sources, &reference, teller).await?;
        // The cache need not have what the built image holds anyway; dropped, it stops.
        obtained.saving = None;
        found.push((name, obtained.image.id));
    }
    Ok(found)
}

/// The ids that the bases have now.
async fn ids(
    sources: &Sources<'_>,
    bases: &[(String, String)],
) -> Result<Vec<(String, String)>, Error> {
    let mut found = Vec::new();
    for (name, _) in bases {
        let image = sources.engine.image(&name.parse()?).await?;
        found.extend(image.map(|image| (name.clone(), image.id)));
    }
    Ok(found)
}

fn key_of(
    sources: &Sources<'_>,
    digest: &str,
    args: &BTreeMap<String, String>,
    bases: &[(String, String)],
) -> Key {
    let mut words = vec!["recipe", sources.engine.architecture(), digest];
    for (name, value) in args {
        words.extend(["argument", name, value]);
    }
    for (name, id) in bases {
        words.extend(["base", name, id]);
    }
    Key::of(&words)
}
