//! One node does the work for all that ask at once, and the shared cache gets what came of it.
//!
//! Who holds the lock of a wish prepares the image and puts it into the cache, the latter while the
//! session goes on; who does not waits, shows what the owner says it does, and takes over when the
//! owner dies. Nothing about the cache ends a session: it goes on without, and says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::record::Origin;
use super::saving::Saving;
use super::{Obtained, Sources, Teller};
use crate::cache::{self, Attempt, Cache, Entry, Key, Lock, Owner};
use crate::engine::{self, Image, Reference};
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
            Err(Trouble::Load(error)) => {
                tracing::warn!(%error, "cannot load the entry");
                let told = chain(&error);
                notices.push(format!("going on without the shared cache: {told}"));
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
            obtained.saving = Some(Saving::begin(
                self.sources,
                self.key,
                lock,
                cache,
                &obtained,
            ));
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
            Err(error) => return Err(not_loaded(error, entry.key.short())),
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
        let reason = "another image came out of it".to_owned();
        Err(damaged(entry.key.short(), reason))
    }
}

enum Turn {
    /// It is in the engine.
    Loaded(Box<Image>),
    /// It is ours to make, under the lock where there is a cache.
    Ours(Option<Lock>),
}

/// What ends a session, and what only ends the use of the cache.
#[derive(Debug)]
enum Trouble {
    Cache(cache::Error),
    /// The engine did not take an entry that may well be good: it stays for the others.
    Load(engine::Error),
    Node(Error),
}

fn damaged(key: &str, reason: String) -> Trouble {
    Trouble::Cache(cache::Error::Damaged {
        key: key.to_owned(),
        reason,
    })
}

/// What it means that an entry could not be loaded. An entry that is called damaged goes for all
/// nodes, so only what speaks against the archive itself is taken for that: what reading it found
/// (and not the file server), and the engine's words about an archive.
fn not_loaded(error: engine::Error, key: &str) -> Trouble {
    use engine::Error as E;
    match error {
        E::Archive { source } if source.raw_os_error().is_none() => damaged(key, chain(&source)),
        E::Other { message, .. } if speaks_of_a_bad_archive(&message) => damaged(key, message),
        error @ (E::NoSpace { .. } | E::Gone { .. }) => Trouble::Node(error.into()),
        error => Trouble::Load(error),
    }
}

/// Words of Go's `archive/tar`, and of the engines about what an archive lacks.
fn speaks_of_a_bad_archive(message: &str) -> bool {
    let message = message.to_lowercase();
    [
        "archive/tar",
        "invalid tar header",
        "unexpected eof",
        "manifest.json",
    ]
    .iter()
    .any(|words| message.contains(words))
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
    use std::io;

    use super::*;

    fn other(message: &str) -> engine::Error {
        engine::Error::Other {
            doing: "loading the image",
            status: 500,
            message: message.to_owned(),
        }
    }

    fn archive(source: io::Error) -> engine::Error {
        engine::Error::Archive { source }
    }

    #[test]
    fn an_entry_is_damaged_only_by_what_speaks_against_its_archive() {
        let is_damaged = |error| {
            let trouble = not_loaded(error, "0a1b");
            matches!(trouble, Trouble::Cache(cache::Error::Damaged { .. }))
        };
        assert!(is_damaged(archive(io::Error::other(
            "Data corruption detected"
        ))));
        assert!(is_damaged(archive(io::ErrorKind::UnexpectedEof.into())));
        assert!(is_damaged(other("archive/tar: invalid tar header")));
        assert!(is_damaged(other("unexpected EOF")));
        for os in [rustix::io::Errno::STALE, rustix::io::Errno::IO] {
            let trouble = not_loaded(archive(os.into()), "0a1b");
            assert!(matches!(trouble, Trouble::Load(_)), "{trouble:?}");
        }
        let late = engine::Error::TimedOut {
            doing: "loading the image",
            limit: Duration::from_secs(1),
        };
        let refused = [
            other("authorization denied by plugin opa: not allowed"),
            other("failed to register layer: operation not permitted"),
            late,
        ];
        for error in refused {
            let trouble = not_loaded(error, "0a1b");
            assert!(matches!(trouble, Trouble::Load(_)), "{trouble:?}");
        }
        let full = engine::Error::NoSpace {
            doing: "loading the image",
            detail: String::new(),
        };
        assert!(matches!(not_loaded(full, "0a1b"), Trouble::Node(_)));
    }
}
