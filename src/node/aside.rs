//! What may hang is done aside: on a thread of its own, and waited for a bounded time.
//!
//! Problem: a look at a shared file system or a driver may never come back, and the node half has one
//! thread, which must hear a signal. Solution: this one place; what hangs is an error of its own, and
//! its thread is left behind.

use std::time::Duration;

use super::Error;

/// Does `work` aside. `doing` says what it is, for the error.
///
/// # Errors
/// What `work` returns; [`Error::Hanging`].
pub(super) async fn aside<T: Send + 'static>(
    doing: &'static str,
    limit: Duration,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let hanging = |detail| Error::Hanging { doing, detail };
    match tokio::time::timeout(limit, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => Err(hanging(error.to_string())),
        Err(_) => Err(hanging(format!("no answer within {} s", limit.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_hangs_is_told_and_keeps_nobody() {
        let limit = Duration::from_secs(60);
        assert_eq!(aside("counting", limit, || Ok(7)).await.unwrap(), 7);
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let hanging = aside("reading", Duration::from_millis(50), move || {
            let _ = held.recv();
            Ok(())
        });
        let error = hanging.await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::Hanging {
                    doing: "reading",
                    ..
                }
            ),
            "{error}"
        );
        // While it hangs, this thread does other things.
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let waiting = aside("waiting", limit, move || {
            let _ = gone.recv();
            Ok(())
        });
        let (waited, ()) = tokio::join!(waiting, async move { drop(go) });
        waited.unwrap();
        drop(hold);
    }
}
