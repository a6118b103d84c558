//! Looking into a container that does not run, through the archive API.
//!
//! The image stays unexecuted: what is read here decides how it will be run. An image is a
//! stranger's: sizes are limited, only plain files are read, and links are resolved by the engine
//! inside the container's own root, never by us.

use std::io::Read as _;

use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder,
};
use futures_util::StreamExt as _;

use super::error::from_api;
use super::{ContainerId, Engine, Error};

/// The phase, for errors.
const LOOKING: &str = "looking into the image";

/// What a tar header and its extensions may take on top of the file.
const TAR_ROOM: usize = 64 * 1024;

/// Go's file mode bits, which the API uses.
const MODE_DIRECTORY: u32 = 1 << 31;
const MODE_SYMLINK: u32 = 1 << 27;
/// Devices, named pipes, sockets, irregular ones.
const MODE_SPECIAL: u32 = (1 << 26) | (1 << 25) | (1 << 24) | (1 << 21) | (1 << 19);

/// A path of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStat {
    /// What is there.
    pub kind: FileKind,
    /// Where a link leads in the end, inside the container; the path itself otherwise.
    pub resolved: String,
    /// Its permission bits.
    pub mode: u32,
    /// Its size in bytes.
    pub size: u64,
}

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A plain file.
    File,
    /// A directory.
    Directory,
    /// A link.
    Link,
    /// A device, pipe or socket.
    Special,
}

impl Engine {
    /// What lies at an absolute path of the container, links not followed; `None` when nothing
    /// does.
    ///
    /// # Errors
    /// What the engine says, other than that nothing is there.
    pub async fn stat(&self, id: &ContainerId, path: &str) -> Result<Option<FileStat>, Error> {
        use bollard::errors::Error as Api;
        let options = ContainerArchiveInfoOptionsBuilder::default()
            .path(path)
            .build();
        let stat = match self
            .docker
            .get_container_archive_info(id.as_str(), Some(options))
            .await
        {
            Ok(stat) => stat,
            // A HEAD has no body, so nothing but the status tells. 400 and 500 come for a path
            // below a file ("not a directory") and for links that turn in circles.
            Err(Api::DockerResponseServerError {
                status_code: 400 | 404 | 500,
                ..
            }) => return Ok(None),
            Err(error) => return Err(from_api(LOOKING, error)),
        };
        let kind = kind_of(stat.file_mode);
        Ok(Some(FileStat {
            kind,
            resolved: match kind {
                FileKind::Link => stat.link_target,
                _ => path.to_owned(),
            },
            mode: stat.file_mode & 0o777,
            size: u64::try_from(stat.size).unwrap_or(0),
        }))
    }

    /// A plain file of the container, links followed; `None` when nothing is there or it is no
    /// plain file.
    ///
    /// # Errors
    /// [`Error::Peek`] for a file larger than `limit` bytes or a hostile archive.
    pub async fn read_file(
        &self,
        id: &ContainerId,
        path: &str,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, Error> {
        match self.read_once(id, path, limit).await? {
            Found::File(bytes) => Ok(Some(bytes)),
            Found::Nothing => Ok(None),
            Found::Link => {
                let Some(stat) = self.stat(id, path).await? else {
                    return Ok(None);
                };
                match self.read_once(id, &stat.resolved, limit).await? {
                    Found::File(bytes) => Ok(Some(bytes)),
                    Found::Nothing | Found::Link => Ok(None),
                }
            }
        }
    }

    async fn read_once(&self, id: &ContainerId, path: &str, limit: usize) -> Result<Found, Error> {
        use bollard::errors::Error as Api;
        let options = DownloadFromContainerOptionsBuilder::default()
            .path(path)
            .build();
        let mut chunks = self
            .docker
            .download_from_container(id.as_str(), Some(options));
        let mut archive = Vec::new();
        loop {
            // The client's own limit ends with the head of the answer.
            let next = tokio::time::timeout(super::REQUEST_LIMIT, chunks.next());
            let Some(chunk) = next.await.map_err(|_| Error::TimedOut {
                doing: LOOKING,
                limit: super::REQUEST_LIMIT,
            })?
            else {
                break;
            };
            match chunk {
                Ok(chunk) => archive.extend_from_slice(&chunk),
                Err(Api::DockerResponseServerError {
                    status_code,
                    message,
                }) if status_code == 404
                    && !message.to_lowercase().contains("no such container") =>
                {
                    return Ok(Found::Nothing);
                }
                Err(error) => return Err(from_api(LOOKING, error)),
            }
            // More than that is not the file that was asked for; the tar's own size field decides.
            if archive.len() > limit + TAR_ROOM {
                break;
            }
        }
        first_file(&archive, limit).map_err(|reason| Error::Peek {
            path: path.to_owned(),
            reason,
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    File(Vec<u8>),
    Link,
    Nothing,
}

fn kind_of(mode: u32) -> FileKind {
    if mode & MODE_SYMLINK != 0 {
        FileKind::Link
    } else if mode & MODE_DIRECTORY != 0 {
        FileKind::Directory
    } else if mode & MODE_SPECIAL != 0 {
        FileKind::Special
    } else {
        FileKind::File
    }
}

/// The first entry of an archive, which is the file that was asked for.
fn first_file(archive: &[u8], limit: usize) -> Result<Found, String> {
    let mut tar = tar::Archive::new(archive);
    let mut entries = tar.entries().map_err(|error| error.to_string())?;
    let Some(entry) = entries.next() else {
        return Ok(Found::Nothing);
    };
    let entry = entry.map_err(|error| error.to_string())?;
    match entry.header().entry_type() {
        tar::EntryType::Regular | tar::EntryType::Continuous => {}
        tar::EntryType::Symlink | tar::EntryType::Link => return Ok(Found::Link),
        _ => return Ok(Found::Nothing),
    }
    let size = usize::try_from(entry.size()).unwrap_or(usize::MAX);
    if size > limit {
        return Err(format!("it is larger than {limit} bytes"));
    }
    let mut bytes = Vec::with_capacity(size);
    entry
        .take(limit as u64)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() == size {
        Ok(Found::File(bytes))
    } else {
        Err("its archive is cut short".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(kind: tar::EntryType, size: u64, bytes: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.set_path("passwd").unwrap();
        header.set_entry_type(kind);
        header.set_size(size);
        if kind == tar::EntryType::Symlink {
            header.set_link_name("../../../../etc/shadow").unwrap();
        }
        header.set_cksum();
        let mut archive = header.as_bytes().to_vec();
        archive.extend_from_slice(bytes);
        archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
        archive
    }

    #[test]
    fn a_plain_file_is_read() {
        let tar = archive(tar::EntryType::Regular, 5, b"hello");
        assert_eq!(first_file(&tar, 100), Ok(Found::File(b"hello".to_vec())));
        assert_eq!(first_file(&[], 100), Ok(Found::Nothing));
    }

    #[test]
    fn links_and_directories_are_no_files() {
        let tar = archive(tar::EntryType::Symlink, 0, b"");
        assert_eq!(first_file(&tar, 100), Ok(Found::Link));
        for kind in [
            tar::EntryType::Directory,
            tar::EntryType::Char,
            tar::EntryType::Fifo,
        ] {
            assert_eq!(first_file(&archive(kind, 0, b""), 100), Ok(Found::Nothing));
        }
    }

    #[test]
    fn hostile_archives_are_errors_and_cost_nothing() {
        let huge = archive(tar::EntryType::Regular, u64::MAX / 2, b"x");
        assert!(first_file(&huge, 100).is_err());
        let short = archive(tar::EntryType::Regular, 90_000, b"x");
        assert!(first_file(&short, 100_000).is_err());
        let mut broken = archive(tar::EntryType::Regular, 5, b"hello");
        broken[150] ^= 0xff;
        assert!(first_file(&broken, 100).is_err());
        assert!(first_file(&[7; 700], 100).is_err());
    }

    #[test]
    fn modes_are_gos() {
        assert_eq!(kind_of(MODE_SYMLINK | 0o777), FileKind::Link);
        assert_eq!(kind_of(MODE_DIRECTORY | 0o755), FileKind::Directory);
        assert_eq!(kind_of(0o755), FileKind::File);
        assert_eq!(kind_of((1 << 26) | 0o600), FileKind::Special);
    }
}
