//! The folder that a build may copy from: walked, digested, and packed for the engine.
//!
//! Links are packed as links and never followed; sockets, pipes and devices are left out. Owners
//! and times are not packed, as docker does, so that the same files are the same context on every
//! machine. What is packed is digested once more on the way: a file that changed meanwhile shows.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use super::ignore::Ignore;
use super::{BuildError, RECIPE_LIMIT};

/// Larger ignore files than this are none, in bytes.
const IGNORE_LIMIT: u64 = 1 << 20;
/// Deeper folders than this are not walked.
const DEPTH_LIMIT: usize = 200;

/// What a build is made from, apart from its base.
#[derive(Debug, Clone)]
pub struct Context {
    folder: PathBuf,
    /// The recipe's text.
    recipe: Vec<u8>,
    /// The recipe's path within the context; none when it lies outside.
    inside: Option<PathBuf>,
    /// Whether the recipe has an ignore file of its own.
    own_ignore: bool,
    files: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    /// Within the context.
    path: PathBuf,
    kind: Kind,
    mode: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
    Link(PathBuf),
}

impl Context {
    /// Reads the recipe and walks the folder. Blocks.
    ///
    /// # Errors
    /// [`BuildError`] names the file that cannot be read and why.
    pub fn read(recipe: &Path, folder: &Path) -> Result<Self, BuildError> {
        let text = read_small(recipe, RECIPE_LIMIT)?;
        let real = |path: &Path| path.canonicalize().map_err(BuildError::io(path));
        let (real_recipe, real_folder) = (real(recipe)?, real(folder)?);
        let inside = real_recipe.strip_prefix(&real_folder).ok();
        let mut context = Self {
            inside: inside.map(Path::to_owned),
            own_ignore: false,
            folder: real_folder,
            recipe: text,
            files: Vec::new(),
        };
        let ignore = context.ignore(&real_recipe)?;
        context.walk(Path::new(""), &ignore, 0)?;
        context.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(context)
    }

    /// A context of nothing but a recipe.
    pub fn of_recipe(text: &str) -> Self {
        Self {
            folder: PathBuf::new(),
            recipe: text.as_bytes().to_owned(),
            inside: None,
            own_ignore: false,
            files: Vec::new(),
        }
    }

    /// The recipe's text; what is not UTF-8 is replaced.
    pub fn recipe(&self) -> String {
        String::from_utf8_lossy(&self.recipe).into_owned()
    }

    /// The patterns of `RECIPE.dockerignore`, else of the context's `.dockerignore`.
    fn ignore(&mut self, recipe: &Path) -> Result<Ignore, BuildError> {
        let mut own = recipe.as_os_str().to_owned();
        own.push(".dockerignore");
        let (own, common) = (PathBuf::from(own), self.folder.join(".dockerignore"));
        self.own_ignore = own.symlink_metadata().is_ok();
        let path = if self.own_ignore { own } else { common };
        if path.symlink_metadata().is_ok() {
            let text = read_small(&path, IGNORE_LIMIT)?;
            return Ignore::read(&String::from_utf8_lossy(&text)).map_err(|error| {
                BuildError::Unfit {
                    path,
                    reason: error.to_string(),
                }
            });
        }
        Ok(Ignore::default())
    }

    fn walk(&mut self, below: &Path, ignore: &Ignore, depth: usize) -> Result<(), BuildError> {
        let folder = self.folder.join(below);
        if depth > DEPTH_LIMIT {
            return Err(BuildError::Unfit {
                path: folder,
                reason: format!("it lies deeper than {DEPTH_LIMIT} folders"),
            });
        }
        for entry in std::fs::read_dir(&folder).map_err(BuildError::io(&folder))? {
            let entry = entry.map_err(BuildError::io(&folder))?;
            let path = below.join(entry.file_name());
            let full = self.folder.join(&path);
            // A name that is not UTF-8 matches as it is shown.
            let out = ignore.leaves_out(&path.to_string_lossy());
            let metadata = full.symlink_metadata().map_err(BuildError::io(&full))?;
            let Some(kind) = kind_of(&full, &metadata)? else {
                tracing::info!(path = %full.display(), "neither file, folder nor link: left out");
                continue;
            };
            let is_folder = kind == Kind::Folder;
            if !out {
                self.files.push(Entry {
                    path: path.clone(),
                    kind,
                    mode: metadata.permissions().mode() & 0o7777,
                });
            }
            if is_folder && (!out || ignore.takes_back()) {
                let before = self.files.len();
                self.walk(&path, ignore, depth + 1)?;
                // What was taken back lies in a folder.
                if out && self.files.len() > before {
                    self.files.push(Entry {
                        path,
                        kind: Kind::Folder,
                        mode: metadata.permissions().mode() & 0o7777,
                    });
                }
            }
        }
        Ok(())
    }

    /// The digest of recipe and files. Blocks, and reads every file.
    ///
    /// # Errors
    /// [`BuildError::Read`].
    pub fn digest(&self) -> Result<String, BuildError> {
        let mut digest = Digester::new(&self.recipe);
        for entry in &self.files {
            digest.entry(entry);
            if entry.kind == Kind::File {
                let path = self.folder.join(&entry.path);
                let mut file = open(&path)?;
                let length = io::copy(&mut file, &mut digest).map_err(BuildError::io(&path))?;
                digest.end_of_file(length);
            }
        }
        Ok(digest.finish())
    }

    /// The name that the recipe has in the packed context.
    pub(super) fn recipe_name(&self) -> String {
        match &self.inside {
            Some(path) => path.to_string_lossy().into_owned(),
            None => {
                let digest = Sha256::digest(&self.recipe);
                format!(".qdebug-recipe-{}", hex(&digest[..8]))
            }
        }
    }

    /// Packs it; returns the digest of what was packed. Blocks.
    pub(super) fn pack(&self, to: impl Write) -> Result<String, BuildError> {
        let mut archive = tar::Builder::new(to);
        let mut digest = Digester::new(&self.recipe);
        // The engine goes through the list once more. A recipe that travels along and is no part
        // of the context is left out of what `COPY .` copies by a list of ours.
        let name = self.recipe_name();
        for entry in &self.files {
            digest.entry(entry);
            let full = self.folder.join(&entry.path);
            let lost = BuildError::io(&full);
            let mut header = tar::Header::new_gnu();
            header.set_mode(entry.mode);
            header.set_mtime(0);
            match &entry.kind {
                Kind::Folder => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_size(0);
                    archive
                        .append_data(&mut header, &entry.path, io::empty())
                        .map_err(lost)?;
                }
                Kind::Link(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_size(0);
                    archive
                        .append_link(&mut header, &entry.path, target)
                        .map_err(lost)?;
                }
                Kind::File => {
                    let file = open(&full)?;
                    let length = file.metadata().map_err(BuildError::io(&full))?.len();
                    header.set_size(length);
                    let exactly = Exactly {
                        file,
                        left: length,
                        digest: &mut digest,
                    };
                    archive
                        .append_data(&mut header, &entry.path, exactly)
                        .map_err(lost)?;
                    digest.end_of_file(length);
                }
            }
        }
        let mut add = |name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_mtime(0);
            header.set_size(bytes.len() as u64);
            archive
                .append_data(&mut header, name, bytes)
                .map_err(BuildError::io(Path::new(name)))
        };
        if self.inside.is_none() {
            add(&name, &self.recipe)?;
            add(
                ".dockerignore",
                format!("{name}\n.dockerignore\n").as_bytes(),
            )?;
        } else if !self.has(&name) {
            // Left out by its own list, and needed all the same.
            add(&name, &self.recipe)?;
            add(
                ".dockerignore",
                format!("{name}\n.dockerignore\n").as_bytes(),
            )?;
        } else if self.own_ignore && self.has(".dockerignore") {
            // The recipe's own list counts and not this one, which the engine would go by. The
            // later of two entries of a name is the one that counts.
            add(".dockerignore", b"")?;
        }
        archive.finish().map_err(BuildError::io(&self.folder))?;
        Ok(digest.finish())
    }

    fn has(&self, name: &str) -> bool {
        self.files.iter().any(|entry| entry.path == Path::new(name))
    }
}

fn kind_of(path: &Path, metadata: &Metadata) -> Result<Option<Kind>, BuildError> {
    Ok(if metadata.is_dir() {
        Some(Kind::Folder)
    } else if metadata.is_file() {
        Some(Kind::File)
    } else if metadata.is_symlink() {
        Some(Kind::Link(
            std::fs::read_link(path).map_err(BuildError::io(path))?,
        ))
    } else {
        None
    })
}

/// Opens a file without following a link, and without waiting for whoever writes into a pipe that
/// has taken its place.
fn open(path: &Path) -> Result<File, BuildError> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    file.map_err(BuildError::io(path))
}

/// Reads a small file whole; links to it are followed, as the user named it.
fn read_small(path: &Path, limit: u64) -> Result<Vec<u8>, BuildError> {
    let unfit = |reason: String| BuildError::Unfit {
        path: path.to_owned(),
        reason,
    };
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(BuildError::io(path))?;
    let metadata = file.metadata().map_err(BuildError::io(path))?;
    if !metadata.is_file() {
        return Err(unfit("it is no file".to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(BuildError::io(path))?;
    match bytes.len() as u64 > limit {
        true => Err(unfit(format!("it is larger than {limit} bytes"))),
        false => Ok(bytes),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Digests recipe and files in their order, so that no two contexts look the same.
struct Digester(Sha256);

impl Digester {
    fn new(recipe: &[u8]) -> Self {
        let mut digest = Sha256::new();
        digest.update((recipe.len() as u64).to_be_bytes());
        digest.update(recipe);
        Self(digest)
    }

    fn entry(&mut self, entry: &Entry) {
        let mut part = |bytes: &[u8]| {
            self.0.update((bytes.len() as u64).to_be_bytes());
            self.0.update(bytes);
        };
        part(entry.path.as_os_str().as_bytes());
        part(&entry.mode.to_be_bytes());
        match &entry.kind {
            Kind::Folder => part(b"folder"),
            Kind::File => part(b"file"),
            Kind::Link(target) => {
                part(b"link");
                part(target.as_os_str().as_bytes());
            }
        }
    }

    fn end_of_file(&mut self, length: u64) {
        self.0.update(length.to_be_bytes());
    }

    fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

impl Write for Digester {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file of exactly the length that the archive was told, whatever becomes of it meanwhile.
struct Exactly<'a> {
    file: File,
    left: u64,
    digest: &'a mut Digester,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let room = buffer.len().min(most);
        if room == 0 {
            return Ok(0);
        }
        let read = self.file.read(&mut buffer[..room])?;
        if read == 0 {
            return Err(io::Error::other("it became shorter while it was read"));
        }
        self.left -= read as u64;
        self.digest.0.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
