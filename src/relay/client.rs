//! The end that opens connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncRead, AsyncWrite};

use super::Error;
use super::frame::{Kind, encode};
use super::link::{Ends, Streams, distribute, outbox};
use super::stream::{Arrival, Outbox, carry};

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

    /// Carries one connection until both sides are done.
    ///
    /// # Errors
    /// [`Error`] when it was not opened; then nothing of `from` was read. A connection that broke
    /// later is no error of the relay.
    pub async fn carry(
        &self,
        from: impl AsyncRead + Unpin,
        to: impl AsyncWrite + Unpin,
    ) -> Result<(), Error> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let Ends { mut inbox, credit } = self.streams.add(number).ok_or(Error::Ended)?;
        let mut mine = Mine {
            relay: self,
            number,
            is_done: false,
        };
        let open = encode(Kind::Open, number, &[]);
        self.outbox.send(open).await.map_err(|_| Error::Ended)?;
        let opened = inbox.recv().await;
        if matches!(opened, Some(Arrival::Opened)) {
            carry(number, from, to, &mut inbox, &credit, &self.outbox).await;
        }
        mine.is_done = true;
        match opened {
            Some(Arrival::Opened) => Ok(()),
            Some(Arrival::Refused(why)) => Err(Error::Refused(why)),
            _ => Err(Error::Ended),
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

/// Forgets a connection when it is over; tells the far side when it was given up on the way.
struct Mine<'a> {
    relay: &'a Relay,
    number: u32,
    is_done: bool,
}

impl Drop for Mine<'_> {
    fn drop(&mut self) {
        self.relay.streams.remove(self.number);
        if !self.is_done {
            let gone = encode(Kind::Refused, self.number, b"given up");
            let _ = self.relay.outbox.try_send(gone);
        }
    }
}
