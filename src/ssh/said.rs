//! What programs say on stderr: its last part is kept, and shown to a person where one is asked.

use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::sync::Notify;

/// How much is kept, in bytes.
const KEPT: usize = 64 * 1024;

/// The last part of what was said.
#[derive(Debug, Default)]
pub(super) struct Said {
    text: Mutex<Vec<u8>>,
    more: Notify,
    is_shown: AtomicBool,
}

impl Said {
    fn with<T>(&self, act: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        act(&mut self.text.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the person at the terminal sees it as it comes: ssh asks there by itself, and these
    /// are its own words to its own user.
    pub(super) fn show(&self, is_shown: bool) {
        self.is_shown.store(is_shown, Ordering::Relaxed);
    }

    pub(super) fn add(&self, bytes: &[u8]) {
        self.with(|text| keep_end(text, bytes, KEPT));
        if self.is_shown.load(Ordering::Relaxed) {
            let mut ours = io::stderr();
            let _ = ours.write_all(bytes).and_then(|()| ours.flush());
        }
        self.more.notify_one();
    }

    /// Forgets what was said.
    pub(super) fn clear(&self) {
        self.with(Vec::clear);
    }

    pub(super) fn text(&self) -> String {
        self.with(|text| String::from_utf8_lossy(text).into_owned())
    }

    /// What was said before this mark, once it has come.
    pub(super) async fn until(&self, mark: &str) -> String {
        loop {
            let mut said = self.text();
            if let Some(at) = said.find(mark) {
                said.truncate(at);
                return said;
            }
            self.more.notified().await;
        }
    }
}

/// Reads to the end, or what is written there would wait for ever.
pub(super) async fn listen(mut errors: impl AsyncRead + Unpin, said: Arc<Said>) {
    let mut buffer = [0; 4096];
    while let Ok(count) = errors.read(&mut buffer).await
        && count > 0
    {
        said.add(&buffer[..count]);
    }
}

pub(super) fn keep_end(kept: &mut Vec<u8>, new: &[u8], limit: usize) {
    kept.extend_from_slice(new);
    if kept.len() > limit {
        kept.drain(..kept.len() - limit);
    }
}

/// Takes what is written as it comes.
pub(super) struct Taker<F>(pub(super) F);

impl<F: FnMut(&[u8]) + Unpin> AsyncWrite for Taker<F> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        (self.0)(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept() {
        let mut kept = b"abc".to_vec();
        keep_end(&mut kept, b"def", 4);
        assert_eq!(kept, b"cdef");
    }

    #[tokio::test]
    async fn what_stands_before_a_mark_is_known_when_it_has_come() {
        let said = Arc::new(Said::default());
        said.add(b"no\n");
        let waits = tokio::spawn({
            let said = Arc::clone(&said);
            async move { said.until("mark").await }
        });
        tokio::task::yield_now().await;
        said.add(b"yes\nma");
        said.add(b"rk\nlater");
        assert_eq!(waits.await.unwrap(), "no\nyes\n");
    }
}
