//! What goes over the pipes: a kind, the stream's number, the payload's length, the payload.
//!
//! Nine bytes come before each payload, numbers in network order. Between a node and its login both
//! ends are one program; between a laptop and its login they may not be, so that [`PROTOCOL`] is
//! asked for there before the first frame.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The version of frames and openings. It changes when an older end would misread a newer one.
pub const PROTOCOL: u32 = 1;

/// The largest payload, in bytes: what a channel packet of ssh takes.
pub(super) const PAYLOAD: usize = 32 * 1024;

/// The bytes before a payload.
pub(super) const HEADER: usize = 9;

/// What a frame is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Open what the payload wants, and call it this number; of the client.
    Open,
    /// It is open; of the server.
    Opened,
    /// It is not, or not any more: the payload says why, for people.
    Refused,
    /// Bytes.
    Data,
    /// No more bytes will come in this direction.
    End,
    /// So many bytes more may be sent: a number of four bytes.
    Credit,
    /// Bytes that a command wrote on stderr; of the server.
    Errors,
    /// A command has ended, with this status of four bytes, and so has the stream; of the server.
    Status,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Open,
            2 => Self::Opened,
            3 => Self::Refused,
            4 => Self::Data,
            5 => Self::End,
            6 => Self::Credit,
            7 => Self::Errors,
            8 => Self::Status,
            _ => return None,
        })
    }

    fn byte(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Opened => 2,
            Self::Refused => 3,
            Self::Data => 4,
            Self::End => 5,
            Self::Credit => 6,
            Self::Errors => 7,
            Self::Status => 8,
        }
    }
}

/// A frame, as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// A frame to be written. The payload is cut to its largest.
pub(super) fn encode(kind: Kind, stream: u32, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(PAYLOAD)];
    let mut frame = Vec::with_capacity(HEADER + payload.len());
    frame.resize(HEADER, 0);
    frame.extend_from_slice(payload);
    finish(kind, stream, frame)
}

/// Makes a frame of a payload that stands behind room for its header.
pub(super) fn finish(kind: Kind, stream: u32, mut frame: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(frame.len() - HEADER).unwrap_or(u32::MAX);
    frame[0] = kind.byte();
    frame[1..5].copy_from_slice(&stream.to_be_bytes());
    frame[5..HEADER].copy_from_slice(&length.to_be_bytes());
    frame
}

/// Reads one; `None` at the end of the pipe between two frames.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut header = [0; HEADER];
    match from.read(&mut header[..1]).await? {
        0 => return Ok(None),
        _ => from.read_exact(&mut header[1..]).await?,
    };
    let wrong = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let [kind, a, b, c, d, length @ ..] = header;
    let kind = Kind::of(kind).ok_or_else(|| wrong("a frame of an unknown kind"))?;
    let length = u32::from_be_bytes(length) as usize;
    if length > PAYLOAD {
        return Err(wrong("a frame that is too long"));
    }
    let mut payload = vec![0; length];
    from.read_exact(&mut payload).await?;
    let stream = u32::from_be_bytes([a, b, c, d]);
    Ok(Some(Frame {
        kind,
        stream,
        payload,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(mut bytes: &[u8]) -> io::Result<Vec<Frame>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(async {
            let mut frames = Vec::new();
            while let Some(frame) = read(&mut bytes).await? {
                frames.push(frame);
            }
            Ok(frames)
        })
    }

    #[test]
    fn what_is_written_is_read() {
        let kinds = [
            Kind::Open,
            Kind::Opened,
            Kind::Refused,
            Kind::Data,
            Kind::End,
            Kind::Credit,
            Kind::Errors,
            Kind::Status,
        ];
        let bytes: Vec<u8> = kinds
            .iter()
            .flat_map(|kind| encode(*kind, 0xfedc_ba98, b"a\0\xff"))
            .collect();
        let frames = read_all(&bytes).unwrap();
        assert_eq!(frames.iter().map(|f| f.kind).collect::<Vec<_>>(), kinds);
        let same = |f: &Frame| f.stream == 0xfedc_ba98 && f.payload == b"a\0\xff";
        assert!(frames.iter().all(same));
        let long = encode(Kind::Data, 1, &[7; PAYLOAD + 1]);
        assert_eq!(read_all(&long).unwrap()[0].payload.len(), PAYLOAD);
    }

    #[test]
    fn what_is_wrong_or_cut_is_an_error() {
        let whole = encode(Kind::Data, 1, b"abc");
        for cut in 1..whole.len() {
            assert!(read_all(&whole[..cut]).is_err(), "{cut}");
        }
        for wrong in [b"\x09\0\0\0\x01\0\0\0\0", b"\x04\0\0\0\x01\xff\0\0\0"] {
            assert!(read_all(wrong).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_all(&bytes);
        }
    }
}
