//! The pair of pipes: who gets which frame, and what its end means.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::{Notify, mpsc};

use super::frame::{self, Frame, Kind};
use super::stream::{Arrival, Credit, Outbox, WINDOW};

/// How many frames may wait for the pipe: who sends more waits.
const WAITING: usize = 16;

/// How much is read from the pipe at once, in bytes: what a pipe of Linux holds.
const BUFFER: usize = 64 * 1024;

/// The connections of a link. When it is dropped on either side, they all end.
#[derive(Debug)]
pub(super) struct Streams {
    open: Mutex<Option<HashMap<u32, Mine>>>,
    over: Notify,
}

#[derive(Debug)]
struct Mine {
    inbox: mpsc::UnboundedSender<Arrival>,
    credit: Arc<Credit>,
    /// Bytes that arrived and were not read yet are bounded by what we gave.
    expected: usize,
    /// What comes once at most: whoever repeats it could fill our memory with it.
    opened: bool,
    ended: bool,
}

/// The connection's own end of it.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) inbox: mpsc::UnboundedReceiver<Arrival>,
    pub(super) credit: Arc<Credit>,
}

impl Streams {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::new(Some(HashMap::new())),
            over: Notify::new(),
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Option<HashMap<u32, Mine>>) -> T) -> T {
        act(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A new connection; `None` where the number is taken or the link has ended.
    pub(super) fn add(&self, number: u32) -> Option<Ends> {
        let (sender, inbox) = mpsc::unbounded_channel();
        let credit = Arc::new(Credit::new());
        let mine = Mine {
            inbox: sender,
            credit: Arc::clone(&credit),
            expected: WINDOW,
            opened: false,
            ended: false,
        };
        self.with(|open| {
            let open = open.as_mut()?;
            if open.contains_key(&number) {
                return None;
            }
            open.insert(number, mine);
            Some(Ends { inbox, credit })
        })
    }

    pub(super) fn remove(&self, number: u32) {
        self.with(|open| open.as_mut().map(|open| open.remove(&number)));
    }

    pub(super) fn is_open(&self) -> bool {
        self.with(|open| open.is_some())
    }

    /// Ends all: nothing arrives any more.
    pub(super) fn end(&self) {
        self.with(Option::take);
        self.over.notify_waiters();
    }

    /// Resolves when that has happened.
    pub(super) async fn ended(&self) {
        let over = self.over.notified();
        tokio::pin!(over);
        // From now on no end is missed.
        over.as_mut().enable();
        if self.is_open() {
            over.await;
        }
    }

    /// We have said that the other side may send more.
    pub(super) fn expect(&self, number: u32, count: usize) {
        self.with(|open| {
            if let Some(mine) = open.as_mut().and_then(|open| open.get_mut(&number)) {
                mine.expected += count;
            }
        });
    }

    /// Gives a frame to its connection. One that is gone already gets no more; that is no error,
    /// the other side does not know yet.
    pub(super) fn give(&self, frame: Frame) -> io::Result<()> {
        let wrong = |what| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        self.with(|open| {
            let Some(open) = open.as_mut() else {
                return Ok(());
            };
            let Some(mine) = open.get_mut(&frame.stream) else {
                return Ok(());
            };
            let arrival = match frame.kind {
                Kind::Credit => {
                    let Ok(count) = frame.payload.try_into().map(u32::from_be_bytes) else {
                        return wrong("a credit that is no number");
                    };
                    if !mine.credit.give(count as usize) {
                        return wrong("more credit than there is");
                    }
                    return Ok(());
                }
                Kind::Data | Kind::Errors if frame.payload.is_empty() || mine.ended => {
                    return wrong("data that is none, or after its end");
                }
                kind @ (Kind::Data | Kind::Errors) => {
                    let Some(left) = mine.expected.checked_sub(frame.payload.len()) else {
                        return wrong("more bytes than were allowed");
                    };
                    mine.expected = left;
                    match kind {
                        Kind::Errors => Arrival::Errors(frame.payload),
                        _ => Arrival::Data(frame.payload),
                    }
                }
                Kind::Status => {
                    let Ok(status) = frame.payload.try_into().map(i32::from_be_bytes) else {
                        return wrong("a status that is no number");
                    };
                    let _ = mine.inbox.send(Arrival::Status(status));
                    // The other side has done with it.
                    open.remove(&frame.stream);
                    return Ok(());
                }
                Kind::Opened if std::mem::replace(&mut mine.opened, true) => {
                    return wrong("opened twice");
                }
                Kind::Opened => Arrival::Opened,
                Kind::End if std::mem::replace(&mut mine.ended, true) => {
                    return wrong("ended twice");
                }
                Kind::End => Arrival::End,
                Kind::Refused => {
                    let why = String::from_utf8_lossy(&frame.payload).into_owned();
                    let _ = mine.inbox.send(Arrival::Refused(why));
                    // The other side has done with it.
                    open.remove(&frame.stream);
                    return Ok(());
                }
                Kind::Open => return wrong("an opening of what is open"),
            };
            let _ = mine.inbox.send(arrival);
            Ok(())
        })
    }
}

/// Where frames are put, and what carries them to the pipe until it breaks or nobody has one.
pub(super) fn outbox(
    mut pipe: impl AsyncWrite + Unpin,
    streams: Arc<Streams>,
) -> (Outbox, impl Future<Output = ()>) {
    let (sender, mut waiting) = mpsc::channel::<Vec<u8>>(WAITING);
    let carry = async move {
        let (mut frames, mut together) = (Vec::with_capacity(WAITING), Vec::new());
        // What waits goes at once: a write to stdout or stdin may be another thread's, and costs more
        // than what it writes.
        while waiting.recv_many(&mut frames, WAITING).await > 0 {
            together.clear();
            for frame in frames.drain(..) {
                if let Some((number, count)) = credit_of(&frame) {
                    streams.expect(number, count);
                }
                together.extend_from_slice(&frame);
            }
            if pipe.write_all(&together).await.is_err() || pipe.flush().await.is_err() {
                break;
            }
        }
        let _ = pipe.shutdown().await;
        streams.end();
    };
    (sender, carry)
}

fn credit_of(frame: &[u8]) -> Option<(u32, usize)> {
    let number = |at: usize| Some(u32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?));
    let is_credit = frame.first() == frame::encode(Kind::Credit, 0, &[]).first();
    is_credit.then_some(())?;
    Some((number(1)?, number(frame::HEADER)? as usize))
}

/// Gives what comes out of the pipe to its connections until its end; openings go to `on_open`.
pub(super) async fn distribute(
    pipe: impl AsyncRead + Unpin,
    streams: &Streams,
    mut on_open: impl FnMut(Frame) -> io::Result<()>,
) {
    // A frame's header, its payload and what comes behind it are one read, not three.
    let mut pipe = BufReader::with_capacity(BUFFER, pipe);
    let ended = async {
        while let Some(frame) = frame::read(&mut pipe).await? {
            match frame.kind {
                Kind::Open => on_open(frame)?,
                _ => streams.give(frame)?,
            }
        }
        Ok::<(), io::Error>(())
    };
    if let Err(error) = ended.await {
        tracing::debug!(%error, "the relay's pipe broke");
    }
    streams.end();
}
