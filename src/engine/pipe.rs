//! From a thread that writes to a request's body, and back, a few pieces at a time.

use std::io::{self, Write};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The size of a piece in bytes, and how many may wait.
const PIECE: usize = 256 << 10;
const WAITING: usize = 8;

/// A body that `write` fills from a thread of its own, and what that returned. An error of the
/// writer breaks the request off.
pub(super) fn from_writer<T, E>(
    write: impl FnOnce(&mut Pipe) -> Result<T, E> + Send + 'static,
) -> (
    impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    JoinHandle<Result<T, E>>,
)
where
    T: Send + 'static,
    E: Send + 'static,
{
    let (sender, receiver) = mpsc::channel(WAITING);
    let writing = tokio::task::spawn_blocking(move || {
        let mut pipe = Pipe {
            sender,
            piece: Vec::with_capacity(PIECE),
        };
        let written = write(&mut pipe);
        let last = match &written {
            Ok(_) => pipe.flush(),
            Err(_) => {
                let broken = Err(io::Error::from(io::ErrorKind::BrokenPipe));
                let _ = pipe.sender.blocking_send(broken);
                Ok(())
            }
        };
        if last.is_err() {
            tracing::debug!("the request ended before its body");
        }
        written
    });
    let body = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    (body, writing)
}

/// The writing end. It blocks while the engine is slow.
pub(super) struct Pipe {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Pipe {
    fn send(&mut self, piece: Vec<u8>) -> io::Result<()> {
        let sent = self.sender.blocking_send(Ok(Bytes::from(piece)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
            self.send(piece)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.piece);
        self.send(piece)
    }
}
