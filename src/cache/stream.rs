//! The data of entries, written and read in constant memory.
//!
//! zstd at its usual level: reading is faster than any engine takes an image in. Its checksum is
//! on, so that a bit that flipped is an error at the end of reading, as a missing end is.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use jiff::Timestamp;
use tempfile::NamedTempFile;

use super::entry::{About, Entry, FORMAT, Key, hex};
use super::{Cache, Error, Lock};
use crate::disk;

/// Level of compression: three times the speed of what an engine saves, half the size.
const LEVEL: i32 = 3;
/// How much is read from the disk at once, in bytes.
const READ_SIZE: usize = 1 << 20;

/// An entry that is being written. Dropped before its end it leaves nothing.
pub struct Writer {
    encoder: zstd::stream::write::Encoder<'static, Bounded>,
    unpacked: u64,
    cache: Cache,
    key: Key,
}

/// A file that may not become larger than the cache.
struct Bounded {
    file: NamedTempFile,
    written: u64,
    limit: u64,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written += bytes.len() as u64;
        if self.written > self.limit {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.file.write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Cache {
    /// Begins an entry. What dead writers have left goes first.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Io`].
    pub fn write(&self, key: &Key) -> Result<Writer, Error> {
        if let Err(error) = self.remove_leftovers() {
            tracing::debug!(%error, "leftovers stay");
        }
        let begin = || {
            let file = tempfile::Builder::new()
                .prefix(".new-")
                .tempfile_in(self.path())?;
            let bounded = Bounded {
                file,
                written: 0,
                limit: self.limit(),
            };
            let mut encoder = zstd::stream::write::Encoder::new(bounded, LEVEL)?;
            encoder.include_checksum(true)?;
            Ok(encoder)
        };
        Ok(Writer {
            encoder: begin().map_err(Error::io("write", self.path()))?,
            unpacked: 0,
            cache: self.clone(),
            key: key.clone(),
        })
    }
}

impl Writer {
    /// Takes more of the data.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::TooLarge`], [`Error::Io`].
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.unpacked += bytes.len() as u64;
        let written = self.encoder.write_all(bytes);
        written.map_err(|error| failed(&self.cache, error))
    }

    /// Brings the entry to the disk and makes it the key's, if the lock is still this process's.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::TooLarge`], [`Error::Overtaken`], [`Error::Io`].
    pub fn finish(self, about: About, lock: &Lock) -> Result<Entry, Error> {
        let Self {
            encoder,
            unpacked,
            cache,
            key,
        } = self;
        let finish = || {
            let bounded = encoder.finish()?;
            bounded.file.as_file().sync_all()?;
            Ok(bounded)
        };
        let Bounded { file, written, .. } = finish().map_err(|error| failed(&cache, error))?;
        if !lock.is_ours() {
            return Err(Error::Overtaken {
                key: key.short().to_owned(),
            });
        }
        let mut mark = [0; 8];
        rustix::rand::getrandom(&mut mark, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| failed(&cache, error.into()))?;
        let data = format!("{key}-{}.tar.zst", hex(&mark));
        let place = cache.path().join(&data);
        file.persist(&place)
            .map_err(|error| failed(&cache, error.error))?;
        let entry = Entry {
            format: FORMAT,
            key: key.clone(),
            data,
            bytes: written,
            unpacked_bytes: unpacked,
            created: Timestamp::now(),
            about,
        };
        let described = serde_json::to_vec_pretty(&entry)
            .map_err(io::Error::from)
            .and_then(|text| disk::replace(&cache.description(&key), &text));
        if let Err(error) = described {
            super::folder::gone(&place)?;
            return Err(failed(&cache, error));
        }
        cache.remove_other_data(&key, &entry.data)?;
        Ok(entry)
    }
}

fn failed(cache: &Cache, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::FileTooLarge => Error::TooLarge {
            limit: cache.limit(),
        },
        _ => Error::io("write", cache.path())(error),
    }
}

/// The data of an entry as it was taken in. An error of reading means that it is damaged.
pub struct Reader {
    decoder: zstd::stream::read::Decoder<'static, BufReader<File>>,
}

impl Reader {
    pub(super) fn new(file: File, path: &Path) -> Result<Self, Error> {
        let file = BufReader::with_capacity(READ_SIZE, file);
        let decoder = zstd::stream::read::Decoder::with_buffer(file);
        Ok(Self {
            decoder: decoder.map_err(Error::io("read", path))?,
        })
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer)
    }
}
