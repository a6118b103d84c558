//! An image on its way into the shared cache, while the session goes on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::task::JoinHandle;

use super::shared::{blocking, without_cache};
use super::{Obtained, Sources, Teller};
use crate::cache::{self, About, Attempt, Bounds, Cache, Entry, Key, Lock, Sweep};
use crate::engine::{Engine, Image};
use crate::text::chain;

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
    Some(Saving::begin(
        sources,
        key,
        Arc::new(lock),
        &cache,
        obtained,
    ))
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
    /// Begins to put an image into the cache, under the lock.
    pub(super) fn begin(
        sources: &Sources<'_>,
        key: &Key,
        lock: Arc<Lock>,
        cache: &Cache,
        obtained: &Obtained,
    ) -> Self {
        let Obtained { image, name, .. } = obtained;
        let about = About {
            name: name.clone(),
            image: image.id.clone(),
            fingerprint: image.fingerprint().unwrap_or_default(),
            node: sources.node.clone(),
        };
        lock.tell(&format!("putting {name} into the cache"));
        let (engine, image, key) = (sources.engine.clone(), image.clone(), key.clone());
        let (cache, name) = (cache.clone(), name.clone());
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
        Self { task: Some(task) }
    }

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
