//! A question that a server's short absence lost is asked once more.
//!
//! Only what may run twice comes here: questions, and deletions; never a submission. A server that
//! is restarted is away for a moment and refuses at once; one that is down or mute was tried by the
//! tool itself for long, and trying it again would only double the wait.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Error;
use crate::process::Output;

/// A question that failed within this time is asked once more.
const WITHIN: Duration = Duration::from_secs(5);

/// How long to wait before that.
const AFTER: Duration = Duration::from_secs(1);

/// Runs `ask`, and a second time where its answer was quickly `is_lost`: the last answer.
///
/// # Errors
/// Those of `ask`, at once.
pub(super) async fn once_more<F>(
    ask: impl Fn() -> F,
    is_lost: impl Fn(&Output) -> bool,
) -> Result<Output, Error>
where
    F: Future<Output = Result<Output, Error>>,
{
    let started = Instant::now();
    let output = ask().await?;
    if !is_lost(&output) || started.elapsed() > WITHIN {
        return Ok(output);
    }
    tracing::debug!(command = output.command, "asking once more");
    sleep(AFTER).await;
    ask().await
}
