//! `node.log`: what the node half did, in full from the first line.
//!
//! The file lies on a shared file system that may hang. So a thread writes, lines reach it through
//! a bounded queue, and a line that finds the queue full is counted and dropped: stopping the
//! container never waits for a log.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How many lines may wait.
const QUEUE: usize = 2000;
/// How long the end waits for the last lines.
const FLUSH_LIMIT: Duration = Duration::from_millis(500);

/// Keeps the log going; dropping it waits a moment for the last lines.
#[derive(Debug)]
pub(super) struct Log {
    queue: SyncSender<Line>,
}

#[derive(Debug)]
enum Line {
    Text(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Begins to log into this file, appended to. Where a subscriber is set already (a test's), that
/// one stays. A log that cannot be opened is no reason not to run: `None`.
pub(super) fn into_file(path: &Path) -> Option<Log> {
    let opened = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path);
    let file = opened.ok()?;
    let (queue, lines) = sync_channel(QUEUE);
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_all(file, &lines))
        .ok()?;
    let filter = tracing_subscriber::EnvFilter::try_from_env("QDEBUG_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,qdebug=debug"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(Queue(queue.clone()))
        .finish();
    tracing::subscriber::set_global_default(subscriber).ok()?;
    Some(Log { queue })
}

fn write_all(mut file: std::fs::File, lines: &Receiver<Line>) {
    while let Ok(line) = lines.recv() {
        match line {
            // A full disk takes the line, not the node half.
            Line::Text(text) => drop(file.write_all(&text)),
            Line::Flush(done) => drop(done.try_send(())),
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let (done, flushed) = sync_channel(1);
        if self.queue.try_send(Line::Flush(done)).is_ok() {
            let _ = flushed.recv_timeout(FLUSH_LIMIT);
        }
    }
}

struct Queue(SyncSender<Line>);

impl<'a> MakeWriter<'a> for Queue {
    type Writer = QueueWriter;

    fn make_writer(&'a self) -> QueueWriter {
        QueueWriter(self.0.clone())
    }
}

struct QueueWriter(SyncSender<Line>);

impl std::io::Write for QueueWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.try_send(Line::Text(bytes.to_vec()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
