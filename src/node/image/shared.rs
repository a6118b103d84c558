//! One node does the work for all that ask at once, and the shared cache gets what came of it.
//!
//! Who holds the lock of a wish prepares the image and puts it into the cache, the latter while the
//! session goes on; who does not waits, shows what the owner says it does, and takes over when the
//! owner dies. Nothing about the cache ends a session: it goes on without, and says so.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::record::Origin;
use super::{Obtained, Sources, Teller};
use crate::cache::{self, About, Attempt, Bounds, Cache, Entry, Key, Lock, Owner, Sweep};
use crate::engine::{self, Engine, Image, Reference};
use crate::node::Error;
use crate::text::chain;

/// How often one who waits looks.
const POLL: Duration = Duration::from_secs(1);

/// A wish that nodes share.
pub(super) struct Shared<'a> {
    pub(super) sources: &'a Sources<'a>,
    pub(super) key: &'a Key,
    /// What people call it.
    pub(super) name: &'a str,
    /// The name that the image gets in the engine when it comes from the cache.
    pub(super) repository: &'a str,
    pub(super) tag: &'a str,
    /// The name by which the engine may have it already.
    pub(super) local: Option<&'a Reference>,
}

/// Runs what blocks on a thread of its own.
pub(super) async fn blocking<T: Send + 'static, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    E: Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// What the user is told when the cache cannot be used.
pub(super) fn without_cache(error: &cache::Error) -> String {
    format!("going on without the shared cache: {}", chain(error))
}

impl Shared<'_> {
    /// The image: from the cache, or by `make` under the lock. `make` says too whether the image is
    /// fit to be kept for others.
    pub(super) async fn obtain(
        &self,
        teller: &mut Teller<'_>,
        make: impl AsyncFnOnce(&mut Teller<'_>) -> Result<(Image, bool), Error>,
    ) -> Result<Obtained, Error> {
        let mut notices = Vec::new();
        let lock = match self.of_cache(teller, &mut notices).await {
            Ok(Turn::Loaded(image)) => {
                let mut obtained = Obtained::here(*image, self.name);
                obtained.notices = notices;
                return Ok(obtained);
            }
            Ok(Turn::Ours(lock)) => lock,
            Err(Trouble::Cache(error)) => {
                tracing::warn!(%error, "no cache");
                notices.push(without_cache(&error));
                None
            }
            Err(Trouble::Node(error)) => return Err(error),
        };
        let lock = lock.map(Arc::new);
        teller.lock.clone_from(&lock);
        let made = make(teller).await;
        teller.lock = None;
        let (image, fit) = made?;
        let mut obtained = Obtained::here(image, self.name);
        obtained.notices = notices;
        if let (Some(lock), Some(cache), true) = (lock, &self.sources.cache, fit) {
            obtained.saving = Some(self.save(cache.clone(), lock, &obtained.image));
        }
        Ok(obtained)
    }

    /// Waits for the cache to have it, or for our turn to make it.
    async fn of_cache(
        &self,
        teller: &mut Teller<'_>,
        notices: &mut Vec<String>,
    ) -> Result<Turn, Trouble> {
        let Some(cache) = &self.sources.cache else {
            return Ok(Turn::Ours(None));
        };
        let (at, key, node) = (cache.clone(), self.key.clone(), self.sources.node.clone());
        let mut claim = blocking(move || at.claim(&key, &node)).await?;
        let mut held: Option<Lock> = None;
        loop {
            let (at, key) = (cache.clone(), self.key.clone());
            if let Some(entry) = blocking(move || at.find(&key)).await? {
                match self.load(cache, &entry, teller).await {
                    Ok(image) => return Ok(Turn::Loaded(Box::new(image))),
                    Err(Trouble::Cache(error @ cache::Error::Damaged { .. })) => {
                        tracing::warn!(%error, "removing it from the cache");
                        notices.push(format!("{}; it was removed", chain(&error)));
                        let (at, key) = (cache.clone(), self.key.clone());
                        blocking(move || at.remove(&key)).await?;
                    }
                    Err(other) => return Err(other),
                }
            }
            if let Some(lock) = held {
                return Ok(Turn::Ours(Some(lock)));
            }
            let attempt;
            (claim, attempt) = blocking(move || {
                let attempt = claim.attempt(Instant::now())?;
                Ok::<_, cache::Error>((claim, attempt))
            })
            .await?;
            match attempt {
                // Once more: whoever had it before may have just put it in.
                Attempt::Held(lock) => held = Some(lock),
                Attempt::Other(owner) => {
                    teller
                        .step(&waiting_for(self.name, owner.as_ref()), None)
                        .await;
                    tokio::time::sleep(POLL).await;
                    // On this very node the engine has it before the cache does.
                    if owner.is_some_and(|owner| owner.node == self.sources.node)
                        && let Some(image) = self.of_engine().await?
                    {
                        return Ok(Turn::Loaded(Box::new(image)));
                    }
                }
            }
        }
    }

    async fn of_engine(&self) -> Result<Option<Image>, Error> {
        if let Some(local) = self.local
            && let Some(image) = self.sources.engine.image(local).await?
        {
            return Ok(Some(image));
        }
        if self
            .local
            .is_some_and(|local| local.name_with_tag().is_some())
        {
            return Ok(None);
        }
        self.sources.recorded(self.key).await
    }

    /// Loads an entry into the engine and makes sure that it is what it should be.
    async fn load(
        &self,
        cache: &Cache,
        entry: &Entry,
        teller: &mut Teller<'_>,
    ) -> Result<Image, Trouble> {
        let engine = self.sources.engine;
        let damaged = |reason: String| {
            Trouble::Cache(cache::Error::Damaged {
                key: entry.key.short().to_owned(),
                reason,
            })
        };
        let size = entry.unpacked_bytes >> 20;
        let step = format!("loading {} from the shared cache, {size} MiB", self.name);
        teller.step(&step, Some(0.0)).await;
        let (at, wanted) = (cache.clone(), entry.clone());
        let reader = blocking(move || at.read(&wanted)).await?;
        let read = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let counting = Counting {
            inner: reader,
            read: Arc::clone(&read),
        };
        let loading = engine.load(counting);
        tokio::pin!(loading);
        let loaded = loop {
            tokio::select! {
                loaded = &mut loading => break loaded,
                () = tokio::time::sleep(POLL) => {
                    let read = read.load(std::sync::atomic::Ordering::Relaxed);
                    let part = read as f64 / entry.unpacked_bytes.max(1) as f64;
                    teller.step(&step, Some(part.min(1.0))).await;
                }
            }
        };
        let mut names = match loaded {
            Ok(names) => names,
            Err(engine::Error::Archive { source }) => return Err(damaged(source.to_string())),
            Err(error @ (engine::Error::NoSpace { .. } | engine::Error::Gone { .. })) => {
                return Err(Trouble::Node(error.into()));
            }
            Err(error) => return Err(damaged(error.to_string())),
        };
        names.push(entry.about.image.clone());
        for name in names {
            let Ok(name) = name.parse::<Reference>() else {
                continue;
            };
            let Some(image) = engine.image(&name).await.map_err(Error::from)? else {
                continue;
            };
            let same = image.id == entry.about.image
                || image.fingerprint().as_ref() == Some(&entry.about.fingerprint);
            if same {
                let tagged = engine.tag(&image.id, self.repository, self.tag).await;
                tagged.map_err(Error::from)?;
                let tag = format!("{}:{}", self.repository, self.tag);
                let sources = self.sources;
                sources.keep(self.key, self.name, &image, &tag, Origin::Cached);
                return Ok(image);
            }
        }
        Err(damaged("another image came out of it".to_owned()))
    }

    /// Begins to put an image into the cache, under the lock.
    fn save(&self, cache: Cache, lock: Arc<Lock>, image: &Image) -> Saving {
        let (engine, image, key) = (self.sources.engine.clone(), image.clone(), self.key.clone());
        let about = About {
            name: self.name.to_owned(),
            image: image.id.clone(),
            fingerprint: image.fingerprint().unwrap_or_default(),
            node: self.sources.node.clone(),
        };
        lock.tell(&format!("putting {} into the cache", self.name));
        let name = self.name.to_owned();
        let task = tokio::spawn(async move {
            match save(&engine, cache, &key, &image, about, lock).await {
                Ok(entry) => {
                    tracing::info!(name, bytes = entry.bytes, "the cache has the image");
                    None
                }
                Err(error) => {
                    tracing::warn!(name, %error, "the cache has not got the image");
                    Some(format!("{name} was not put into the shared cache: {error}"))
                }
            }
        });
        Saving { task: Some(task) }
    }
}

/// Begins to put an image that this node has into the cache, unless it is there or somebody is at
/// it.
pub(super) async fn save_what_is_here(
    sources: &Sources<'_>,
    key: &Key,
    obtained: &Obtained,
    teller: &mut Teller<'_>,
) -> Option<Saving> {
    let cache = sources.cache.clone()?;
    let (at, wanted, node) = (cache.clone(), key.clone(), sources.node.clone());
    let claimed = blocking(move || {
        if at.find(&wanted)?.is_some() {
            return Ok(None);
        }
        match at.claim(&wanted, &node)?.attempt(Instant::now())? {
            Attempt::Held(lock) => Ok(Some(lock)),
            Attempt::Other(_) => Ok::<_, cache::Error>(None),
        }
    });
    let lock = match claimed.await {
        Ok(lock) => lock?,
        Err(error) => {
            teller.step(&without_cache(&error), None).await;
            return None;
        }
    };
    let shared = Shared {
        sources,
        key,
        name: &obtained.name,
        repository: "",
        tag: "",
        local: None,
    };
    Some(shared.save(cache, Arc::new(lock), &obtained.image))
}

async fn save(
    engine: &Engine,
    cache: Cache,
    key: &Key,
    image: &Image,
    about: About,
    lock: Arc<Lock>,
) -> Result<Entry, String> {
    let told = |error: cache::Error| chain(&error);
    let (at, wanted) = (cache.clone(), key.clone());
    let writer = blocking(move || at.write(&wanted)).await.map_err(told)?;
    let writer = Arc::new(Mutex::new(Some(writer)));
    let taking = Arc::clone(&writer);
    let saved = engine.save(&image.id, move |piece| {
        let mut writer = taking.lock().unwrap_or_else(PoisonError::into_inner);
        writer.as_mut().map_or(Ok(()), |writer| writer.take(piece))
    });
    saved.await.map_err(|error| chain(&error))?.map_err(told)?;
    let key = key.clone();
    let finished = blocking(move || {
        let writer = writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(writer) = writer else {
            return Err(cache::Error::Overtaken {
                key: key.short().to_owned(),
            });
        };
        let entry = writer.finish(about, &lock)?;
        let bounds = Bounds {
            bytes: Some(cache.limit()),
            unused_for: None,
        };
        if let Err(error) = cache.prune(&bounds, Some(&key), Sweep::Remove) {
            tracing::warn!(%error, "cannot prune the cache");
        }
        Ok(entry)
    });
    finished.await.map_err(told)
}

/// An image on its way into the cache. Dropped before its end it leaves nothing there.
#[derive(Debug)]
pub(in crate::node) struct Saving {
    task: Option<JoinHandle<Option<String>>>,
}

impl Saving {
    /// The same where there may be none: then it never ends.
    pub(in crate::node) async fn end_of(saving: &mut Option<Self>) -> Option<String> {
        match saving {
            Some(saving) => saving.ended().await,
            None => std::future::pending().await,
        }
    }

    /// Waits for its end; a sentence when it did not get there. Pends for ever afterwards.
    pub(in crate::node) async fn ended(&mut self) -> Option<String> {
        match &mut self.task {
            Some(task) => {
                let ended = task.await;
                self.task = None;
                ended.unwrap_or(None)
            }
            None => std::future::pending().await,
        }
    }
}

impl Drop for Saving {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

enum Turn {
    /// It is in the engine.
    Loaded(Box<Image>),
    /// It is ours to make, under the lock where there is a cache.
    Ours(Option<Lock>),
}

/// What ends a session, and what only ends the use of the cache.
enum Trouble {
    Cache(cache::Error),
    Node(Error),
}

impl From<cache::Error> for Trouble {
    fn from(error: cache::Error) -> Self {
        Self::Cache(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Node(error)
    }
}

fn waiting_for(name: &str, owner: Option<&Owner>) -> String {
    match owner {
        Some(owner) if owner.doing.is_empty() => {
            format!("waiting for {}, which prepares {name}", owner.node)
        }
        Some(owner) => format!("waiting for {}: {}", owner.node, owner.doing),
        None => format!("waiting for another node, which prepares {name}"),
    }
}

struct Counting<R> {
    inner: R,
    read: Arc<std::sync::atomic::AtomicU64>,
}

impl<R: std::io::Read> std::io::Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let counted = &self.read;
        counted.fetch_add(read as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_saving_tells_its_end_once() {
        let mut saving = Saving {
            task: Some(tokio::spawn(async { Some("full".to_owned()) })),
        };
        assert_eq!(saving.ended().await.as_deref(), Some("full"));
        let again = tokio::time::timeout(Duration::from_millis(50), saving.ended());
        assert!(again.await.is_err());
    }
}
