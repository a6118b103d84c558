//! Finding the kit and unpacking it.
//!
//! Problem: many sessions, of one user on one node, at once, share one unpacked kit, which any of
//! them may find half made or damaged, and which running containers have bound. Solution: the
//! folder is named by the hash of its content, made beside its place and moved there by one
//! rename; a damaged one is swapped for a whole one in one step, so the place is never empty.
//!
//! The archive is read as hostile: it may hold files, folders and relative links that stay
//! inside, and nothing else.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};

use super::{Error, FORMAT};

/// Our init, static; empty where this qdebug cannot be the node half.
static INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/qdebug-init"));
/// The archive this binary was built with; empty when there was none.
static ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kit.tar.gz"));
/// The hash of both.
const HASH: &str = env!("QDEBUG_KIT_HASH");

/// The largest archive read, in bytes; ours has about 3 MB.
const MAX_ARCHIVE: u64 = 128 << 20;
/// The most it may unpack to, in bytes; ours has about 17 MB.
const MAX_UNPACKED: u64 = 512 << 20;
/// The most entries it may have.
const MAX_ENTRIES: usize = 4096;

/// Lists what was unpacked; written last.
const MARKER: &str = ".unpacked";
const MANIFEST: &str = "manifest.json";

/// How the name of a folder begins that is still being filled.
const HALF_MADE: &str = ".kit-";
/// Far longer than filling takes; what is older was left by a process that was killed.
const HALF_MADE_FOR: Duration = Duration::from_secs(600);

/// Removes what processes left that were killed while they unpacked; how many there were. Nobody
/// waits for it, so failing is no error.
pub fn sweep_half_made(node_dir: &Path) -> usize {
    let entries = fs::read_dir(node_dir).into_iter().flatten();
    let is_old = |entry: &fs::DirEntry| {
        let named = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(HALF_MADE.as_bytes());
        let modified = entry.metadata().and_then(|about| about.modified());
        let age = modified.ok().and_then(|at| at.elapsed().ok());
        named && age.is_some_and(|age| age > HALF_MADE_FOR)
    };
    let left = entries.filter_map(Result::ok).filter(is_old);
    left.filter(|entry| fs::remove_dir_all(entry.path()).is_ok())
        .count()
}

/// A kit that was found, packed.
#[derive(Clone)]
pub struct Kit {
    archive: Cow<'static, [u8]>,
    init: &'static [u8],
    hash: String,
}

/// What the archive says of itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Manifest {
    /// The version of this text's format.
    pub format: u32,
    /// The machine it runs on, as rustc names it (`x86_64`).
    pub arch: String,
    /// Identifies the recipe that made it.
    pub recipe: String,
    /// The version of each program in it.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// SHA-256 of each file, in hexadecimal digits.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
}

impl std::fmt::Debug for Kit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kit")
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

impl Kit {
    /// Whether a copy of this binary alone has a kit.
    pub fn is_embedded() -> bool {
        !ARCHIVE.is_empty() && !INIT.is_empty()
    }

    /// The kit inside this binary, else the one at `../share/qdebug/kit.tar.gz` beside it.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is neither, and [`Error::Io`].
    pub fn find() -> Result<Self, Error> {
        if Self::is_embedded() {
            return Ok(Self {
                archive: Cow::Borrowed(ARCHIVE),
                init: INIT,
                hash: HASH.to_owned(),
            });
        }
        let own = std::env::current_exe().map_err(Error::io("find", Path::new("qdebug")))?;
        let folder = own.parent().and_then(Path::parent).unwrap_or(&own);
        Self::read(&folder.join("share/qdebug/kit.tar.gz"), INIT)
    }

    fn read(path: &Path, init: &'static [u8]) -> Result<Self, Error> {
        let missing = || Error::Missing {
            looked_at: path.to_owned(),
        };
        if init.is_empty() {
            return Err(missing());
        }
        let file = match fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
            opened => opened.map_err(Error::io("read", path))?,
        };
        let mut archive = Vec::new();
        file.take(MAX_ARCHIVE + 1)
            .read_to_end(&mut archive)
            .map_err(Error::io("read", path))?;
        if archive.len() as u64 > MAX_ARCHIVE {
            return Err(Error::archive("it is too large"));
        }
        Ok(Self::new(archive, init))
    }

    fn new(archive: Vec<u8>, init: &'static [u8]) -> Self {
        // The same sum as the build script makes.
        let mut sum = Sha256::new();
        sum.update(Sha256::digest(&archive));
        sum.update(Sha256::digest(init));
        Self {
            archive: archive.into(),
            init,
            hash: sum.finalize().iter().map(|b| format!("{b:02x}")).collect(),
        }
    }

    /// The hash of its content, init included: 64 hexadecimal digits.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// [`Error::Archive`], [`Error::Format`] and [`Error::Architecture`].
    pub fn manifest(&self) -> Result<Manifest, Error> {
        let mut archive = tar::Archive::new(self.decoder());
        for entry in archive.entries().map_err(Error::archive)? {
            let entry = entry.map_err(Error::archive)?;
            if inside(&entry.path().map_err(Error::archive)?)? == Path::new(MANIFEST) {
                return manifest(entry);
            }
        }
        Err(Error::archive("it has no manifest.json"))
    }

    /// Whether [`Kit::unpack`] has been there.
    pub fn is_unpacked(&self, node_dir: &Path) -> bool {
        is_whole(&self.place(node_dir))
    }

    fn place(&self, node_dir: &Path) -> PathBuf {
        node_dir.join(format!("kit-{}", &self.hash[..16]))
    }

    /// Unpacks it once below `node_dir`, which must be private to the user, and returns its
    /// folder: `init` and the archive's content. One that is there and whole is taken as it is.
    ///
    /// # Errors
    /// Those of [`Kit::manifest`], and [`Error::Io`].
    pub fn unpack(&self, node_dir: &Path) -> Result<PathBuf, Error> {
        let place = self.place(node_dir);
        if is_whole(&place) {
            return Ok(place);
        }
        tracing::debug!(place = %place.display(), "unpacking the kit");
        let fresh = tempfile::Builder::new()
            .prefix(HALF_MADE)
            .tempdir_in(node_dir)
            .map_err(Error::io("create a folder in", node_dir))?;
        self.fill(fresh.path())?;
        // Somebody else may have been faster meanwhile; theirs is as good.
        match fs::rename(fresh.path(), &place) {
            Err(_) if is_whole(&place) => {}
            Err(error) if is_taken(&error) => swap(fresh.path(), &place)?,
            // The guard then finds nothing to remove, which it does not mind.
            done => done.map_err(Error::io("create", &place))?,
        }
        Ok(place)
    }

    fn decoder(&self) -> io::Take<GzDecoder<&[u8]>> {
        GzDecoder::new(&*self.archive).take(MAX_UNPACKED)
    }

    /// Puts everything into an empty folder, the marker last.
    fn fill(&self, folder: &Path) -> Result<(), Error> {
        let mut marker = String::new();
        let mut archive = tar::Archive::new(self.decoder());
        for (count, entry) in archive.entries().map_err(Error::archive)?.enumerate() {
            let mut entry = entry.map_err(Error::archive)?;
            if count >= MAX_ENTRIES {
                return Err(Error::archive("it has too many entries"));
            }
            let path = inside(&entry.path().map_err(Error::archive)?)?;
            let at = folder.join(&path);
            let shown = path.display();
            let kind = entry.header().entry_type();
            if kind.is_dir() {
                make_folders(folder, &path)?;
                continue;
            }
            make_folders(folder, path.parent().unwrap_or(Path::new("")))?;
            if kind.is_file() {
                let runs = entry.header().mode().map_err(Error::archive)? & 0o111 != 0;
                let size = write(&at, &mut entry, runs)?;
                marker.push_str(&format!("{size} {shown}\n"));
            } else if kind.is_symlink() {
                let target = entry
                    .link_name()
                    .map_err(Error::archive)?
                    .unwrap_or_default();
                check_link(&path, &target)?;
                std::os::unix::fs::symlink(&target, &at).map_err(Error::io("create", &at))?;
                marker.push_str(&format!("-> {shown}\n"));
            } else {
                return Err(Error::archive(format!("{shown} is a {kind:?}")));
            }
        }
        let size = write(&folder.join("init"), &mut &*self.init, true)?;
        marker.push_str(&format!("{size} init\n"));

        let about = folder.join(MANIFEST);
        manifest(fs::File::open(&about).map_err(Error::io("read", &about))?)?;
        write(&folder.join(MARKER), &mut marker.as_bytes(), false)?;
        let open = Permissions::from_mode(0o755);
        fs::set_permissions(folder, open).map_err(Error::io("change", folder))
    }
}

fn manifest(text: impl Read) -> Result<Manifest, Error> {
    let text = text.take(1 << 20);
    let manifest: Manifest = serde_json::from_reader(text)
        .map_err(|error| Error::archive(format!("{MANIFEST}: {error}")))?;
    if manifest.format != FORMAT {
        let found = manifest.format;
        return Err(Error::Format { found });
    }
    if manifest.arch != std::env::consts::ARCH {
        let found = manifest.arch;
        return Err(Error::Architecture { found });
    }
    Ok(manifest)
}

/// The entry's path without `.`; anything that could leave the folder, or spoil the marker's
/// lines, is refused.
fn inside(path: &Path) -> Result<PathBuf, Error> {
    let refused = || Error::archive(format!("its entry {} is out of place", path.display()));
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => clean.push(part),
            _ => return Err(refused()),
        }
    }
    let plain = clean.to_str().is_some_and(|text| !text.contains('\n'));
    if plain && clean != Path::new(MARKER) {
        Ok(clean)
    } else {
        Err(refused())
    }
}

/// A link's target climbs first and no higher than the kit's top, then only goes down. So it
/// stays inside even through other links, since folders are never links here ([`make_folders`]).
fn check_link(link: &Path, target: &Path) -> Result<(), Error> {
    let mut depth = link.components().count() - 1;
    let mut goes_down = false;
    for part in target.components() {
        match part {
            Component::Normal(_) => goes_down = true,
            Component::ParentDir if depth > 0 && !goes_down => depth -= 1,
            _ => {
                let (link, target) = (link.display(), target.display());
                return Err(Error::archive(format!("its link {link} leads to {target}")));
            }
        }
    }
    Ok(())
}

/// Makes the folders of a path below `top`, each a true folder and open to read.
fn make_folders(top: &Path, path: &Path) -> Result<(), Error> {
    let mut at = top.to_owned();
    for part in path.components() {
        at.push(part);
        match fs::create_dir(&at) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let about = fs::symlink_metadata(&at).map_err(Error::io("look at", &at))?;
                if !about.is_dir() {
                    let shown = path.display();
                    return Err(Error::archive(format!("{shown} lies in what is no folder")));
                }
            }
            Err(error) => return Err(Error::io("create", &at)(error)),
            Ok(()) => fs::set_permissions(&at, Permissions::from_mode(0o755))
                .map_err(Error::io("change", &at))?,
        }
    }
    Ok(())
}

/// Writes a new file, whatever the umask, and returns its size.
fn write(path: &Path, content: &mut impl Read, runs: bool) -> Result<u64, Error> {
    let mode = if runs { 0o755 } else { 0o644 };
    let mut write = || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let mut file = options.open(path)?;
        let size = io::copy(content, &mut file)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.flush()?;
        Ok(size)
    };
    write().map_err(Error::io("write", path))
}

/// Whether everything the marker lists is there and of the right size. Cheap on purpose: the
/// content was written by us into a private folder.
fn is_whole(place: &Path) -> bool {
    let Ok(marker) = fs::read_to_string(place.join(MARKER)) else {
        return false;
    };
    marker.lines().all(|line| {
        let Some((size, path)) = line.split_once(' ') else {
            return false;
        };
        let Ok(about) = fs::symlink_metadata(place.join(path)) else {
            return false;
        };
        match size.parse::<u64>() {
            Ok(size) => about.is_file() && about.len() == size,
            Err(_) => about.is_symlink(),
        }
    })
}

fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AlreadyExists
            | io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::NotADirectory
    )
}

/// Puts the fresh kit in the place of a damaged one, which takes the fresh one's name and goes
/// with its guard.
#[cfg(target_os = "linux")]
fn swap(fresh: &Path, place: &Path) -> Result<(), Error> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, fresh, CWD, place, RenameFlags::EXCHANGE)
        .map_err(io::Error::from)
        .map_err(Error::io("replace", place))
}

/// The same where the system cannot swap; no container runs there.
#[cfg(not(target_os = "linux"))]
fn swap(fresh: &Path, place: &Path) -> Result<(), Error> {
    fs::remove_dir_all(place)
        .and_then(|()| fs::rename(fresh, place))
        .map_err(Error::io("replace", place))
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
