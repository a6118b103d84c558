//! What a container does while it runs: its exit, and what it prints.
//!
//! Problem: with auto-remove, nothing is left to ask after the exit. Evidence: a wait for
//! `next-exit` gives the exit status on Docker and Podman only when it was there before the start;
//! afterwards it answers 404. Solution: [`ExitWatch`] and [`Output`] are opened before the start,
//! and both requests are known to have reached the engine when they are returned.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::query_parameters::{AttachContainerOptionsBuilder, WaitContainerOptionsBuilder};
use futures_util::StreamExt as _;
use tokio::task::JoinHandle;

use super::error::from_api;
use super::{ContainerId, Engine, Error};

/// How many lines of output are kept.
const LINES_KEPT: usize = 50;
/// How long a kept line may be, in bytes.
const LINE_LIMIT: usize = 2000;
/// The phase of an [`ExitWatch`], for errors.
const WAITING: &str = "waiting for the container's exit";

/// Waits for a container's exit, from before its start. Dropping it gives up waiting.
#[derive(Debug)]
pub struct ExitWatch {
    task: JoinHandle<Result<i64, String>>,
    /// What came of it; a task answers but once.
    seen: Option<Result<i64, String>>,
}

impl ExitWatch {
    /// The exit status. May be called again and again, and dropped in between.
    ///
    /// # Errors
    /// [`Error::Gone`] when the engine went away first.
    pub async fn exited(&mut self) -> Result<i64, Error> {
        let seen = match &self.seen {
            Some(seen) => seen.clone(),
            None => match (&mut self.task).await {
                Ok(exit) => exit,
                Err(error) => Err(error.to_string()),
            },
        };
        self.seen = Some(seen.clone());
        seen.map_err(|detail| Error::Gone {
            doing: WAITING,
            detail,
        })
    }
}

impl Drop for ExitWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a container prints, collected from before its start: the last lines.
#[derive(Debug)]
pub struct Output {
    task: JoinHandle<()>,
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl Output {
    /// The last lines, oldest first. Gives the pipe a moment to run dry when the container has
    /// just exited.
    pub async fn tail(&mut self) -> Vec<String> {
        self.drain(Duration::from_millis(200)).await;
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }

    /// Goes on handing lines on until the container ends, without anybody holding this.
    pub fn detach(mut self) {
        self.task = tokio::spawn(async {});
    }

    /// Waits until everything it printed has been handed on, at most so long.
    pub(super) async fn drain(&mut self, limit: Duration) {
        if !self.task.is_finished() {
            let _ = tokio::time::timeout(limit, &mut self.task).await;
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Engine {
    /// Begins to wait for the container's next exit. To be called before its start.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn watch_exit(&self, id: &ContainerId) -> Result<ExitWatch, Error> {
        let options = WaitContainerOptionsBuilder::default()
            .condition("next-exit")
            .build();
        let mut answers = Box::pin(self.docker.wait_container(id.as_str(), Some(options)));
        let task = tokio::spawn(async move {
            use bollard::errors::Error as Api;
            match answers.next().await {
                Some(Ok(answer)) => Ok(answer.status_code),
                Some(Err(Api::DockerContainerWaitError { code, .. })) => Ok(code),
                // The client gives a request two minutes; the wait's own answer, its head, comes
                // at once.
                Some(Err(error)) => Err(error.to_string()),
                None => Err("the connection ended".to_owned()),
            }
        });
        let watch = ExitWatch { task, seen: None };
        // The wait was sent on a connection of its own before this round trip ends.
        self.ping(super::REQUEST_LIMIT).await?;
        Ok(watch)
    }

    /// Begins to collect what the container prints. To be called before its start. Each line also
    /// goes to `on_line`.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn collect_output(
        &self,
        id: &ContainerId,
        mut on_line: impl FnMut(&str) + Send + 'static,
    ) -> Result<Output, Error> {
        let options = AttachContainerOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .stream(true)
            .build();
        let attached = self
            .docker
            .attach_container(id.as_str(), Some(options))
            .await
            .map_err(|error| from_api("attaching to the container", error))?;
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&lines);
        let task = tokio::spawn(async move {
            // The writing end stays open with the reading end: closing it half would end both.
            let bollard::container::AttachContainerResults { mut output, input } = attached;
            let mut split = Streams::default();
            let mut keep = |line: String| {
                on_line(&line);
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_back(line);
                if kept.len() > LINES_KEPT {
                    kept.pop_front();
                }
            };
            while let Some(Ok(chunk)) = output.next().await {
                split.take(&chunk).into_iter().for_each(&mut keep);
            }
            split.rest().into_iter().for_each(&mut keep);
            drop(input);
        });
        Ok(Output { task, lines })
    }
}

/// Makes lines of what comes in pieces from both streams, without mixing them within a line.
#[derive(Debug, Default)]
struct Streams {
    out: Lines,
    err: Lines,
}

impl Streams {
    fn take(&mut self, chunk: &LogOutput) -> Vec<String> {
        match chunk {
            LogOutput::StdErr { message } => self.err.take(message),
            chunk => self.out.take(chunk.as_ref()),
        }
    }

    fn rest(&mut self) -> Vec<String> {
        let rests = [self.out.rest(), self.err.rest()];
        rests.into_iter().flatten().collect()
    }
}

/// Makes lines of chunks; a line that never ends is cut.
#[derive(Debug, Default)]
struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    fn take(&mut self, chunk: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in chunk.split_inclusive(|&byte| byte == b'\n') {
            let room = LINE_LIMIT.saturating_sub(self.partial.len());
            self.partial
                .extend_from_slice(piece.get(..room).unwrap_or(piece));
            if piece.ends_with(b"\n") {
                lines.extend(self.rest());
            }
        }
        lines
    }

    fn rest(&mut self) -> Option<String> {
        let bytes = std::mem::take(&mut self.partial);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches(['\n', '\r']);
        (!text.is_empty()).then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_of_any_chunks() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"one\ntw"), ["one"]);
        assert_eq!(lines.take(b"o\r\n\nthree"), ["two"]);
        assert_eq!(lines.rest().as_deref(), Some("three"));
        assert_eq!(lines.rest(), None);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            assert!(lines.take(&[b'x'; 1000]).is_empty());
        }
        assert_eq!(lines.take(b"\n")[0].len(), LINE_LIMIT);
        assert_eq!(lines.take(b"\xff\n"), ["\u{fffd}"]);
    }
}
