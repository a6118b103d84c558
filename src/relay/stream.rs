//! One connection: its two directions, its credit, its end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, mpsc};

use super::frame::{HEADER, Kind, PAYLOAD, encode, finish};

/// How many bytes of one connection may be on their way: at 100 ms of delay, 20 MB/s.
pub(super) const WINDOW: usize = 2 * 1024 * 1024;

/// How much the reader has taken before it says so.
const SAY_AFTER: usize = WINDOW / 4;

/// Frames on their way to the pipe.
pub(super) type Outbox = mpsc::Sender<Vec<u8>>;

/// What arrives for one connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    Opened,
    Data(Vec<u8>),
    /// What a command wrote on stderr.
    Errors(Vec<u8>),
    End,
    Refused(String),
    /// A command has ended.
    Status(i32),
}

/// How many bytes may be sent.
#[derive(Debug)]
pub(super) struct Credit {
    left: AtomicUsize,
    more: Notify,
}

impl Credit {
    pub(super) fn new() -> Self {
        Self {
            left: AtomicUsize::new(WINDOW),
            more: Notify::new(),
        }
    }

    /// Gives more; `false` when that is more than was ever taken.
    pub(super) fn give(&self, count: usize) -> bool {
        let sum = self.left.fetch_add(count, Ordering::Relaxed) + count;
        self.more.notify_one();
        sum <= WINDOW
    }

    /// Waits until there is some; how much, at most a payload. Only one waits at a time.
    pub(super) async fn some(&self) -> usize {
        loop {
            match self.left.load(Ordering::Relaxed) {
                0 => self.more.notified().await,
                left => return left.min(PAYLOAD),
            }
        }
    }

    pub(super) fn take(&self, count: usize) {
        self.left.fetch_sub(count, Ordering::Relaxed);
    }
}

/// What the reader has taken and not said yet.
pub(super) struct Taken<'a> {
    number: u32,
    outbox: &'a Outbox,
    bytes: usize,
}

impl<'a> Taken<'a> {
    pub(super) fn new(number: u32, outbox: &'a Outbox) -> Self {
        Self {
            number,
            outbox,
            bytes: 0,
        }
    }

    /// It has taken so many more; says so once they are worth a frame. `false` at the link's end.
    pub(super) async fn add(&mut self, count: usize) -> bool {
        self.bytes += count;
        if self.bytes < SAY_AFTER {
            return true;
        }
        let said = u32::try_from(self.bytes).unwrap_or(u32::MAX).to_be_bytes();
        self.bytes = 0;
        let frame = encode(Kind::Credit, self.number, &said);
        self.outbox.send(frame).await.is_ok()
    }
}

/// Carries an open connection until both directions are done, or either side has enough.
pub(super) async fn carry(
    number: u32,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    inbox: &mut mpsc::UnboundedReceiver<Arrival>,
    credit: &Credit,
    outbox: &Outbox,
) {
    let (sent, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    let sending = async {
        loop {
            let room = credit.some().await;
            let mut frame = vec![0; HEADER + room];
            match from.read(&mut frame[HEADER..]).await {
                Ok(0) => break,
                Ok(count) => {
                    credit.take(count);
                    frame.truncate(HEADER + count);
                    let frame = finish(Kind::Data, number, frame);
                    if outbox.send(frame).await.is_err() {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
        outbox.send(encode(Kind::End, number, &[])).await.is_ok()
    };
    let receiving = async {
        let mut taken = Taken::new(number, outbox);
        while let Some(arrival) = inbox.recv().await {
            match arrival {
                Arrival::Data(_) if ended.load(Ordering::Relaxed) => return false,
                Arrival::Data(bytes) => {
                    if to.write_all(&bytes).await.is_err() || to.flush().await.is_err() {
                        return false;
                    }
                    if !taken.add(bytes.len()).await {
                        return false;
                    }
                }
                Arrival::End => {
                    let _ = to.shutdown().await;
                    if sent.load(Ordering::Relaxed) {
                        return true;
                    }
                    // It may refuse what we still send.
                    ended.store(true, Ordering::Relaxed);
                }
                // The rest is not of a connection.
                _ => return false,
            }
        }
        false
    };
    // Whichever direction breaks takes the other with it; one that ends well does not.
    tokio::pin!(sending, receiving);
    let well = tokio::select! {
        well = &mut sending => {
            sent.store(true, Ordering::Relaxed);
            well && (ended.load(Ordering::Relaxed) || receiving.await)
        }
        // It broke, was refused, or the link is gone.
        _ = &mut receiving => false,
    };
    if !well {
        let gone = encode(Kind::Refused, number, b"the other side went away");
        let _ = outbox.send(gone).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_is_refused_after_its_end_is_heard() {
        let (_mine, theirs) = tokio::io::duplex(64);
        let (from, to) = tokio::io::split(theirs);
        let (arrivals, mut inbox) = mpsc::unbounded_channel();
        let (outbox, _frames) = mpsc::channel(8);
        arrivals.send(Arrival::End).unwrap();
        arrivals.send(Arrival::Refused("gone".into())).unwrap();
        let credit = Credit::new();
        let carried = carry(1, from, to, &mut inbox, &credit, &outbox);
        let limit = Duration::from_secs(10);
        tokio::time::timeout(limit, carried).await.expect("an end");
    }
}
