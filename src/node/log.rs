//! `node.log`: what the node half did, in full from the first line.
//!
//! The file lies on a shared file system that may hang. So a thread writes, lines reach it through
//! a bounded queue, and a line that finds the queue full is counted and dropped: stopping the
//! container never waits for a log.
//!
//! It lies in the user's home, where it must not grow for ever. Of a log that has become too long the
//! beginning stays, and the last lines are written at the end; those between are counted.

use std::collections::VecDeque;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How many lines may wait.
const QUEUE: usize = 2000;
/// How long the beginning of the log may be, in bytes: weeks of a session.
const HEAD_LIMIT: u64 = 16 << 20;
/// How many lines of the end are kept beside it, and how long one may be, in bytes.
const LAST_LINES: usize = 200;
const LINE_LIMIT: usize = 4096;
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
    let length = file.metadata().map_or(0, |about| about.len());
    let (queue, lines) = sync_channel(QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let bounded = Bounded::new(file, HEAD_LIMIT.saturating_sub(length));
    let unqueued = Arc::clone(&dropped);
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_all(bounded, &lines, &unqueued))
        .ok()?;
    let filter = tracing_subscriber::EnvFilter::try_from_env("QDEBUG_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,qdebug=debug"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(Queue {
            queue: queue.clone(),
            dropped,
        })
        .finish();
    tracing::subscriber::set_global_default(subscriber).ok()?;
    Some(Log { queue })
}

fn write_all(mut file: Bounded<std::fs::File>, lines: &Receiver<Line>, dropped: &AtomicU64) {
    while let Ok(line) = lines.recv() {
        match dropped.swap(0, Ordering::Relaxed) {
            0 => {}
            count => file.line(left_out(count).into_bytes()),
        }
        match line {
            Line::Text(text) => file.line(text),
            Line::Flush(done) => {
                file.end();
                let _ = done.try_send(());
            }
        }
    }
}

fn left_out(count: u64) -> String {
    format!("({count} lines were left out here)\n")
}

/// A log of bounded length: its beginning and its end.
struct Bounded<W> {
    file: W,
    /// How much the beginning may still grow, in bytes.
    room: u64,
    last: VecDeque<Vec<u8>>,
    /// How many lines between the two are gone.
    gone: u64,
}

impl<W: std::io::Write> Bounded<W> {
    fn new(file: W, room: u64) -> Self {
        Self {
            file,
            room,
            last: VecDeque::new(),
            gone: 0,
        }
    }

    fn line(&mut self, mut text: Vec<u8>) {
        let length = text.len() as u64;
        if self.last.is_empty() && length <= self.room {
            self.room -= length;
            // A full disk takes the line, not the node half.
            let _ = self.file.write_all(&text);
            return;
        }
        if text.len() > LINE_LIMIT {
            text.truncate(LINE_LIMIT);
            text.push(b'\n');
        }
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
            self.gone += 1;
        }
        self.last.push_back(text);
    }

    /// Writes the last lines, where they are not written yet.
    fn end(&mut self) {
        if self.gone > 0 {
            let _ = self.file.write_all(left_out(self.gone).as_bytes());
            self.gone = 0;
        }
        for text in self.last.drain(..) {
            let _ = self.file.write_all(&text);
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

#[derive(Clone)]
struct Queue {
    queue: SyncSender<Line>,
    /// How many lines have found it full.
    dropped: Arc<AtomicU64>,
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl std::io::Write for Queue {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.queue.try_send(Line::Text(bytes.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: usize) -> Vec<u8> {
        format!("line {number}\n").into_bytes()
    }

    #[test]
    fn of_a_long_log_the_beginning_and_the_end_stay() {
        let mut log = Bounded::new(Vec::new(), 1000);
        let count = 100_000;
        (0..count).for_each(|number| log.line(line(number)));
        assert!(log.file.len() <= 1000);
        log.end();
        let text = String::from_utf8(log.file).unwrap();
        assert!(text.len() < 1000 + LAST_LINES * 20, "{}", text.len());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["line 0", "line 1"]);
        assert_eq!(lines.last(), Some(&"line 99999"));
        let between = lines.iter().position(|line| line.starts_with('(')).unwrap();
        let gone = count - (lines.len() - 1);
        assert_eq!(lines[between], format!("({gone} lines were left out here)"));
        assert_eq!(lines.len() - 1 - between, LAST_LINES);
    }

    #[test]
    fn a_short_log_is_whole_and_a_long_line_is_cut() {
        let mut log = Bounded::new(Vec::new(), 1000);
        (0..10).for_each(|number| log.line(line(number)));
        log.end();
        let whole: Vec<u8> = (0..10).flat_map(line).collect();
        assert_eq!(log.file, whole);
        let mut full = Bounded::new(Vec::new(), 0);
        full.line(vec![b'x'; 1 << 20]);
        full.end();
        assert_eq!(full.file.len(), LINE_LIMIT + 1);
    }

    #[test]
    fn lines_that_found_the_queue_full_are_counted() {
        use std::io::Write as _;
        let (sender, lines) = sync_channel(1);
        let dropped = Arc::new(AtomicU64::new(0));
        let mut queue = Queue {
            queue: sender,
            dropped: Arc::clone(&dropped),
        };
        for _ in 0..5 {
            queue.write_all(b"x\n").unwrap();
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 4);
        drop(queue);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let file = std::fs::File::create(&path).unwrap();
        write_all(Bounded::new(file, 1000), &lines, &dropped);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "(4 lines were left out here)\nx\n");
    }
}
