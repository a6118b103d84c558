//! A relay, and whether it still answers: the question goes the whole way to its far end, over
//! whatever hops there are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::relay::{self, Relay, Stream, Wanted};

/// How long it may be since a relay was heard of that is not asked, and how long it may take to
/// answer then.
const JUST: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(2);

/// A relay that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    relay: Relay,
    heard: Mutex<Instant>,
    /// Another has taken its place: it only keeps what it carries.
    is_left: AtomicBool,
}

impl Watched {
    /// A relay over what its far end, which has just been heard of, writes and reads.
    pub(super) fn over(
        from: impl AsyncRead + Unpin + Send + 'static,
        to: impl AsyncWrite + Unpin + Send + 'static,
    ) -> Self {
        Self {
            relay: Relay::over(from, to),
            heard: Mutex::new(Instant::now()),
            is_left: AtomicBool::new(false),
        }
    }

    /// Opens something at its far end.
    ///
    /// # Errors
    /// [`relay::Error`] when it was not opened.
    pub(super) async fn open(&self, wanted: &Wanted) -> Result<Stream<'_>, relay::Error> {
        let opened = self.relay.open(wanted).await;
        if !matches!(opened, Err(relay::Error::Ended)) {
            self.note();
        }
        opened
    }

    /// Something has come from its far end.
    pub(super) fn note(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether it was just heard of, or answers when it is asked.
    pub(super) async fn answers(&self) -> bool {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.elapsed() < JUST || self.is_there().await
    }

    /// Whether it answers.
    pub(super) async fn is_there(&self) -> bool {
        // That it does not do what was asked is an answer, too: of a relay to one port the only one.
        let asked = tokio::time::timeout(ANSWER, self.open(&Wanted::Nothing)).await;
        asked.is_ok_and(|asked| !matches!(asked, Err(relay::Error::Ended)))
    }

    /// Whether it takes what is new.
    pub(super) fn is_up(&self) -> bool {
        self.relay.is_open() && !self.is_left()
    }

    /// Whether another has taken its place.
    pub(super) fn is_left(&self) -> bool {
        self.is_left.load(Ordering::Relaxed)
    }

    /// Another takes its place.
    pub(super) fn leave(&self) {
        self.is_left.store(true, Ordering::Relaxed);
    }

    /// Resolves when it relays no more.
    pub(super) async fn ended(&self) {
        self.relay.ended().await;
    }
}
