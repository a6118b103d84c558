//! Reading and writing the session's files: JSON, format first, 0600, replaced by one rename.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The format this qdebug writes and the highest it reads.
///
/// 1: the first.
pub const FORMAT: u32 = 1;

/// The largest file read, in bytes; ours are a few kilobytes.
const MAX_SIZE: u64 = 1 << 20;

/// How often a file that proves stale is opened and read in all.
const READS: u32 = 3;

/// What goes wrong with a session's files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading or writing failed.
    #[error("cannot {verb} {}", path.display())]
    Io {
        /// `read`, `write`, `create`, ...
        verb: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The content is not what the contract says.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A newer qdebug wrote it.
    #[error(
        "{} has format {found}, written by qdebug {writer}; this qdebug {} reads up to {FORMAT}",
        path.display(),
        env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The version that wrote it, or `(unknown)`.
        writer: String,
    },
    /// The file is larger than any of ours.
    #[error("{} is larger than any session file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// There is no session of that name or job.
    #[error("there is no session {wanted:?}")]
    NoSuchSession {
        /// What was asked for.
        wanted: String,
    },
    /// A session of that name is there already.
    #[error("there is a session {name} already")]
    Exists {
        /// The name.
        name: super::SessionName,
    },
}

impl Error {
    /// Wraps what the system said about `path`.
    pub(super) fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { verb, path, source }
    }
}

/// Writes bytes by one atomic replacement: temporary file beside it, fsync, rename.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let write = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".new-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
        #[cfg(not(unix))]
        let _ = mode;
        let mut temporary = builder.tempfile_in(folder)?;
        temporary.write_all(bytes)?;
        temporary.as_file().sync_all()?;
        temporary.persist(path)?;
        Ok(())
    };
    write().map_err(Error::io("write", path))
}

/// Writes a value as JSON with the format and the writing qdebug first.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Envelope<'a, T> {
        format: u32,
        written_by: &'static str,
        #[serde(flatten)]
        value: &'a T,
    }
    let envelope = Envelope {
        format: FORMAT,
        written_by: env!("CARGO_PKG_VERSION"),
        value,
    };
    let mut bytes = serde_json::to_vec_pretty(&envelope).map_err(|source| Error::Damaged {
        path: path.to_owned(),
        source,
    })?;
    bytes.push(b'\n');
    replace(path, &bytes, 0o600)
}

/// Reads a value; `None` when the file is not there.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    #[derive(serde::Deserialize)]
    struct Head {
        format: u32,
        #[serde(default)]
        written_by: Option<String>,
    }
    let Some(bytes) = read_bytes(path)? else {
        return Ok(None);
    };
    let damaged = |source| Error::Damaged {
        path: path.to_owned(),
        source,
    };
    let head: Head = serde_json::from_slice(&bytes).map_err(damaged)?;
    if head.format > FORMAT {
        let writer = head.written_by.unwrap_or_else(|| "(unknown)".to_owned());
        return Err(Error::Newer {
            path: path.to_owned(),
            found: head.format,
            writer: writer
                .chars()
                .filter(|c| !c.is_control())
                .take(40)
                .collect(),
        });
    }
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

/// Opens a file of a session for reading. Only regular files: a FIFO in its place must not hang us.
///
/// # Errors
/// What the system said, or that it is none.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NONBLOCK.bits() as i32,
    );
    let file = options.open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}

/// Opens and reads, anew a few times where the file was replaced in between by another machine: on
/// NFS that is an error (ESTALE), although a good file is there.
fn reread<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..READS {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::StaleNetworkFileHandle => {}
            done => return done,
        }
    }
    read()
}

/// Reads a whole file of bounded size; `None` when it is not there.
pub(super) fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let read = reread(|| {
        let mut bytes = Vec::new();
        open_regular(path)?
            .take(MAX_SIZE + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    let bytes = match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(Error::io("read", path))?,
    };
    if bytes.len() as u64 > MAX_SIZE {
        return Err(Error::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Value {
        text: String,
    }

    fn value() -> Value {
        Value {
            text: "a \"b\"\n🦀".to_owned(),
        }
    }

    #[test]
    fn comes_back_as_it_was_private_and_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("odd name 'x'.json");
        write(&path, &value()).unwrap();
        write(&path, &value()).unwrap();
        assert_eq!(read::<Value>(&path).unwrap(), Some(value()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_missing_file_is_no_error() {
        assert_eq!(read::<Value>(Path::new("/nonexistent/x")).unwrap(), None);
    }

    #[test]
    fn what_is_stale_is_read_again_and_nothing_else_is() {
        let kinds = |failing: io::ErrorKind, times: u32| {
            let mut tries = 0;
            let read = reread(|| {
                tries += 1;
                if tries <= times {
                    Err(failing.into())
                } else {
                    Ok(())
                }
            });
            (read.is_ok(), tries)
        };
        let stale = io::ErrorKind::StaleNetworkFileHandle;
        assert_eq!(kinds(stale, READS - 1), (true, READS));
        assert_eq!(kinds(stale, READS), (false, READS));
        assert_eq!(kinds(io::ErrorKind::PermissionDenied, 1), (false, 1));
    }

    #[test]
    fn a_newer_format_names_its_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        std::fs::write(&path, r#"{"format": 2, "written_by": "9.1.0", "new": []}"#).unwrap();
        let error = read::<Value>(&path).unwrap_err();
        assert!(matches!(&error, Error::Newer { found: 2, writer, .. } if writer == "9.1.0"));
        assert!(error.to_string().contains("9.1.0"), "{error}");
    }

    #[test]
    fn damage_is_told_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        for text in [
            "",
            "{",
            "[]",
            "null",
            r#"{"format":1}"#,
            r#"{"format":"1","text":""}"#,
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(
                matches!(read::<Value>(&path), Err(Error::Damaged { .. })),
                "{text}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn neither_a_fifo_nor_a_flood_holds_us_up() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        assert!(matches!(read::<Value>(&fifo), Err(Error::Io { .. })));
        let flood = folder.path().join("flood");
        std::fs::write(&flood, vec![b' '; MAX_SIZE as usize + 1]).unwrap();
        assert!(matches!(read::<Value>(&flood), Err(Error::TooLarge { .. })));
    }
}
