//! The end that opens connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::error::TrySendError;

use super::command;
use super::frame::{Kind, encode};
use super::link::{Ends, Streams, distribute, outbox};
use super::stream::{Arrival, Outbox, carry};
use super::{Error, Wanted};

/// A relay to the far machine. Dropping it ends what runs over it.
#[derive(Debug)]
pub struct Relay {
    streams: Arc<Streams>,
    outbox: Outbox,
    next: AtomicU32,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl Relay {
    /// Begins to relay over what the far side writes and reads; it is inside a runtime.
    pub fn over(
        from: impl AsyncRead + Unpin + Send + 'static,
        to: impl AsyncWrite + Unpin + Send + 'static,
    ) -> Self {
        let streams = Streams::new();
        let (outbox, writing) = outbox(to, Arc::clone(&streams));
        let mine = Arc::clone(&streams);
        let reading = async move {
            let nobody_opens = |_| {
                let wrong = std::io::ErrorKind::InvalidData;
                Err(std::io::Error::new(wrong, "an opening from the far side"))
            };
            distribute(from, &mine, nobody_opens).await;
        };
        Self {
            streams,
            outbox,
            next: AtomicU32::new(1),
            tasks: [tokio::spawn(writing), tokio::spawn(reading)],
        }
    }

    /// Whether it still relays.
    pub fn is_open(&self) -> bool {
        self.streams.is_open()
    }

    #[cfg(test)]
    pub(super) fn try_send(&self, frame: Vec<u8>) -> Result<(), ()> {
        self.outbox.try_send(frame).map_err(drop)
    }

    /// Resolves when it relays no more.
    pub async fn ended(&self) {
        self.streams.ended().await;
    }

    /// Opens something at the far side.
    ///
    /// # Errors
    /// [`Error`] when it was not opened.
    pub async fn open(&self, wanted: &Wanted) -> Result<Stream<'_>, Error> {
        let wanted = wanted.payload()?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let ends = self.streams.add(number).ok_or(Error::Ended)?;
        let mut stream = Stream {
            relay: self,
            number,
            ends,
            is_done: false,
        };
        let open = encode(Kind::Open, number, &wanted);
        self.outbox.send(open).await.map_err(|_| Error::Ended)?;
        match stream.ends.inbox.recv().await {
            Some(Arrival::Opened) => Ok(stream),
            Some(Arrival::Refused(why)) => {
                stream.is_done = true;
                Err(Error::Refused(why))
            }
            _ => Err(Error::Ended),
        }
    }
}

/// A connection or a command that the far side has opened. Dropping it tells the far side that it is over.
#[derive(Debug)]
pub struct Stream<'a> {
    relay: &'a Relay,
    number: u32,
    ends: Ends,
    is_done: bool,
}

impl Stream<'_> {
    /// Carries it until both sides are done; that it breaks on the way is no error of the relay.
    pub async fn carry(mut self, from: impl AsyncRead + Unpin, to: impl AsyncWrite + Unpin) {
        let Ends { inbox, credit } = &mut self.ends;
        carry(self.number, from, to, inbox, credit, &self.relay.outbox).await;
        self.is_done = true;
    }

    /// Feeds a command and takes what it writes until it has ended; its status.
    ///
    /// # Errors
    /// [`Error`] when its end is not known; it may go on.
    pub async fn attend(
        mut self,
        stdin: impl AsyncRead + Unpin,
        stdout: impl AsyncWrite + Unpin,
        stderr: impl AsyncWrite + Unpin,
    ) -> Result<i32, Error> {
        let streams = (stdin, stdout, stderr);
        let ended = command::attend(self.number, streams, &mut self.ends, &self.relay.outbox).await;
        self.is_done = matches!(ended, Ok(_) | Err(Error::Refused(_)));
        ended
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        self.relay.streams.remove(self.number);
        if !self.is_done {
            let gone = encode(Kind::Refused, self.number, b"given up");
            tell(&self.relay.outbox, gone);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.streams.end();
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Sends without waiting for the pipe: where it is full, a task waits instead, for as long as there
/// is a pipe.
fn tell(outbox: &Outbox, frame: Vec<u8>) {
    let Err(TrySendError::Full(frame)) = outbox.try_send(frame) else {
        return;
    };
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let outbox = outbox.clone();
        runtime.spawn(async move {
            let _ = outbox.send(frame).await;
        });
    }
}
