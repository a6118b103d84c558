//! Several files of one folder of a container, in one request.
//!
//! Problem: every archive that Docker 20.10 makes costs it 50 ms of a CPU, and that of a whole `/etc`
//! hardly more than that of one file of it [tried]. Solution: the folder is asked for, and what is wanted picked out as it comes. What does
//! not come as a plain file (a link, or nothing of that name) is asked for by itself.

use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use futures_util::StreamExt as _;

use super::{ContainerId, Engine, Error, REQUEST_LIMIT};

/// A folder that is larger than this is not read to its end, in bytes.
const FOLDER_LIMIT: u64 = 8 << 20;
/// A tar archive comes in blocks of so many bytes.
const BLOCK: usize = 512;

impl Engine {
    /// Plain files of a folder of the container, links followed; `None` for what is not there or no
    /// plain file.
    ///
    /// # Errors
    /// As [`Engine::read_file`]; `limit` bytes are meant for each.
    pub async fn read_files<const N: usize>(
        &self,
        id: &ContainerId,
        folder: &str,
        names: [&str; N],
        limit: usize,
    ) -> Result<[Option<Vec<u8>>; N], Error> {
        let mut found = self.pick(id, folder, names, limit).await;
        for (name, file) in names.iter().zip(&mut found) {
            if file.is_none() {
                let path = format!("{folder}/{name}");
                *file = self.read_file(id, &path, limit).await?;
            }
        }
        Ok(found)
    }

    /// Those that come as plain files in the folder's archive. Errors are left to the second try.
    async fn pick<const N: usize>(
        &self,
        id: &ContainerId,
        folder: &str,
        names: [&str; N],
        limit: usize,
    ) -> [Option<Vec<u8>>; N] {
        let options = DownloadFromContainerOptionsBuilder::default()
            .path(folder)
            .build();
        let mut chunks = self
            .docker
            .download_from_container(id.as_str(), Some(options));
        let mut picker = Picker::new(names, limit);
        while let Ok(Some(Ok(chunk))) = tokio::time::timeout(REQUEST_LIMIT, chunks.next()).await {
            if picker.take(&chunk).is_none() {
                break;
            }
        }
        picker.found
    }
}

/// Picks files out of the archive of a folder as its bytes come.
#[derive(Debug)]
struct Picker<'a, const N: usize> {
    names: [&'a str; N],
    found: [Option<Vec<u8>>; N],
    limit: usize,
    /// What came and was not looked at.
    rest: Vec<u8>,
    /// How much of what comes next belongs to nobody.
    passed_over: u64,
    /// How much came.
    seen: u64,
}

impl<'a, const N: usize> Picker<'a, N> {
    fn new(names: [&'a str; N], limit: usize) -> Self {
        Self {
            names,
            found: [const { None }; N],
            limit,
            rest: Vec::new(),
            passed_over: 0,
            seen: 0,
        }
    }

    /// Takes more of the archive; `None` when no more of it is of use.
    fn take(&mut self, chunk: &[u8]) -> Option<()> {
        self.seen += chunk.len() as u64;
        self.rest.extend_from_slice(chunk);
        loop {
            let over = usize::try_from(self.passed_over)
                .map_or(self.rest.len(), |over| over.min(self.rest.len()));
            self.rest.drain(..over);
            self.passed_over -= over as u64;
            let Some(header) = self.rest.get(..BLOCK) else {
                return (self.seen < FOLDER_LIMIT).then_some(());
            };
            let header = tar::Header::from_byte_slice(header);
            let size = header.entry_size().ok()?;
            let plain = header.entry_type().is_file();
            let place = self.place_of(&header.path_bytes()).filter(|_| plain);
            if let Some(place) = place {
                let size = usize::try_from(size)
                    .ok()
                    .filter(|size| *size <= self.limit)?;
                let Some(bytes) = self.rest.get(BLOCK..BLOCK + size) else {
                    return Some(());
                };
                self.found[place] = Some(bytes.to_vec());
                if self.found.iter().all(Option::is_some) {
                    return None;
                }
            }
            let blocks = size.checked_next_multiple_of(BLOCK as u64)?;
            self.passed_over = blocks.checked_add(BLOCK as u64)?;
        }
    }

    /// Which of the wanted files a path of the archive is: it begins with the folder's own name.
    fn place_of(&self, path: &[u8]) -> Option<usize> {
        let mut parts = path.split(|byte| *byte == b'/');
        let (_folder, name, None) = (parts.next()?, parts.next()?, parts.next()) else {
            return None;
        };
        self.names
            .iter()
            .position(|wanted| wanted.as_bytes() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, text) in entries {
            let mut header = tar::Header::new_gnu();
            if let Some(target) = text.strip_prefix("-> ") {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                tar.append_link(&mut header, path, target).unwrap();
            } else {
                header.set_size(text.len() as u64);
                tar.append_data(&mut header, path, text.as_bytes()).unwrap();
            }
        }
        tar.into_inner().unwrap()
    }

    fn picked(archive: &[u8], pace: usize, limit: usize) -> [Option<String>; 2] {
        let mut picker = Picker::new(["passwd", "group"], limit);
        for chunk in archive.chunks(pace) {
            if picker.take(chunk).is_none() {
                break;
            }
        }
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        picker.found.map(|found| found.map(text))
    }

    #[test]
    fn files_are_picked_however_they_come() {
        let long = format!("etc/{}", "x".repeat(150));
        let other = "y".repeat(2000);
        let archive = archive(&[
            (&long, "1"),
            ("etc/group", "g"),
            ("etc/pam.d/passwd", "not this"),
            ("etc/other", &other),
            ("etc/passwd", ""),
            ("etc/shadow", "s"),
        ]);
        for pace in [1, 7, 511, 512, 513, 100_000] {
            let expected = [Some(String::new()), Some("g".to_owned())];
            assert_eq!(picked(&archive, pace, 10), expected, "{pace}");
        }
    }

    #[test]
    fn what_is_no_plain_file_is_left() {
        let links = archive(&[("etc/group", "-> ../x"), ("etc/passwd", "p")]);
        assert_eq!(picked(&links, 99, 10), [Some("p".to_owned()), None]);
        let large = archive(&[("etc/group", "too large"), ("etc/passwd", "p")]);
        assert_eq!(picked(&large, 99, 5), [None, None]);
        let file = archive(&[("passwd", "p")]);
        assert_eq!(picked(&file, 99, 5), [None, None]);
        let cut = &links[..BLOCK * 2 + 1];
        assert_eq!(picked(cut, 99, 10), [Some("p".to_owned()), None]);
        for odd in [&[][..], &[7; 5000], &[0; 5000]] {
            assert_eq!(picked(odd, 99, 10), [None, None]);
        }
    }

    #[test]
    fn a_folder_without_end_is_not_read_to_it() {
        let mut header = tar::Header::new_gnu();
        header.set_path("etc/huge").unwrap();
        header.set_size(u64::MAX / 2);
        header.set_cksum();
        let mut picker = Picker::new(["passwd"], 10);
        assert!(picker.take(header.as_bytes()).is_some());
        let zeros = vec![0; 1 << 20];
        let taken = (0..100)
            .take_while(|_| picker.take(&zeros).is_some())
            .count();
        assert!(taken < 10 && picker.rest.is_empty(), "{taken}");
    }
}
