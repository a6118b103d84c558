//! What must be known of an image before it runs.
//!
//! What is known of an image is kept by its id in the node's own folder: the second start of an
//! image looks into nothing. Looking takes a container of its own that is never started, since the
//! session's has the generated passwd bound over the image's.
//!
//! Problem: what Docker reads out of a container costs it a process of its own, so a look before the
//! start makes the first start of an image half as long again.
//! Solution: the look is only begun before the session's container is made, and goes on while that
//! starts; what it finds is filled in before anybody may log in. Only an sshd of the image's own
//! has to be looked at first.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::engine::{self, ContainerId, ContainerSpec, Engine, Image};
use crate::kit;
use crate::node::Error;
use crate::node::look::Look;
use crate::session::Sshd;

/// The version of the kept knowledge; what another version wrote is looked up anew.
const KNOWN_FORMAT: u32 = 1;
/// Larger passwd and group files than this are no image's, in bytes.
const PASSWD_LIMIT: usize = 4 << 20;
/// Shells, the best first.
const SHELLS: [&str; 5] = [
    "/bin/bash",
    "/usr/bin/bash",
    "/usr/local/bin/bash",
    "/bin/sh",
    "/usr/bin/sh",
];
/// Larger programs than this are not searched for their version, in bytes.
const SSHD_LIMIT: usize = 16 << 20;

/// What must be known of an image before it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::node) struct Known {
    format: u32,
    /// Its passwd file, empty where it has none.
    pub(in crate::node) passwd: String,
    /// Its group file, likewise.
    pub(in crate::node) group: String,
    /// The best shell it has, if any.
    pub(in crate::node) shells: Vec<String>,
    /// The version of its sshd, major and minor; looked up only where it is wanted.
    sshd: Option<(u32, u32)>,
    /// What an IDE will miss.
    pub(in crate::node) notices: Vec<String>,
}

/// A container that is never started, made to look into its image.
pub(in crate::node) struct Looking<'a> {
    engine: &'a Engine,
    id: ContainerId,
    architecture: &'a str,
    path: &'a str,
    sshd: Sshd,
    /// Where to keep what was found.
    file: Option<PathBuf>,
}

/// How an image is known.
pub(in crate::node) enum Found<'a> {
    /// From an earlier look.
    Kept(Known),
    /// Not yet.
    Looking(Looking<'a>),
}

/// Where and for what an image is looked into.
pub(in crate::node) struct Lookup<'a> {
    pub(in crate::node) engine: &'a Engine,
    pub(in crate::node) image: &'a Image,
    /// The node's own folder.
    pub(in crate::node) folder: &'a Path,
    /// Labels of the container that is made for looking.
    pub(in crate::node) labels: &'a [(String, String)],
    /// The image's PATH.
    pub(in crate::node) path: &'a str,
    /// Whose sshd is wanted.
    pub(in crate::node) sshd: Sshd,
}

impl<'a> Lookup<'a> {
    /// What was kept of an earlier look; else makes what a new one takes.
    pub(in crate::node) async fn begin(&self) -> Result<Found<'a>, Error> {
        let file = kept_at(self.folder, &self.image.id);
        if let Some(known) = file.as_deref().and_then(kept)
            && (self.sshd == Sshd::Kit || known.sshd.is_some())
        {
            return Ok(Found::Kept(known));
        }
        let spec = ContainerSpec {
            image: self.image.id.clone(),
            // Never started; an image without a command could not be created without one.
            argv: vec!["/never-started".to_owned()],
            labels: self.labels.to_vec(),
            network: Some("none".to_owned()),
            ..ContainerSpec::default()
        };
        Ok(Found::Looking(Looking {
            engine: self.engine,
            id: self.engine.create(&spec).await?,
            architecture: &self.image.architecture,
            path: self.path,
            sshd: self.sshd,
            file,
        }))
    }
}

impl Looking<'_> {
    /// The container made for it.
    pub(in crate::node) fn id(&self) -> &ContainerId {
        &self.id
    }

    /// What must be known before anybody logs in.
    pub(in crate::node) async fn essentials(&self) -> Result<Known, Error> {
        let Self { engine, id, .. } = self;
        let names = ["passwd", "group"];
        let files = engine.read_files(id, "/etc", names, PASSWD_LIMIT).await?;
        let [passwd, group] =
            files.map(|file| String::from_utf8_lossy(&file.unwrap_or_default()).into_owned());
        let mut shells = Vec::new();
        for shell in SHELLS {
            let found = engine.stat_resolved(id, shell).await?;
            if found.is_some_and(|found| found.is_program()) {
                shells.push(shell.to_owned());
                // Only the best is used.
                break;
            }
        }
        let sshd = match self.sshd {
            Sshd::Kit => None,
            Sshd::Image | Sshd::Layer => {
                let path = kit::paths::IMAGE_SSHD;
                let program = engine.read_file(id, path, SSHD_LIMIT).await?;
                program.as_deref().map(version_of_sshd)
            }
        };
        Ok(Known {
            format: KNOWN_FORMAT,
            passwd,
            group,
            shells,
            sshd,
            notices: Vec::new(),
        })
    }

    /// Looks for what an IDE will miss, removes the container and keeps what is known. A session
    /// does not fail for this.
    pub(in crate::node) async fn finish(self, mut known: Known) -> Known {
        let looked = Look::into(self.engine, &self.id, self.architecture, self.path).await;
        if let Err(error) = self.engine.remove(&self.id).await {
            tracing::warn!(%error, "cannot remove the container made for looking");
        }
        match looked {
            Ok(look) => known.notices = look.notices(),
            Err(error) => {
                tracing::warn!(%error, "cannot tell what an IDE will miss");
                return known;
            }
        }
        if let Some(file) = &self.file
            && let Err(error) = keep(file, &known)
        {
            tracing::debug!(%error, file = %file.display(), "cannot keep what is known of the image");
        }
        known
    }
}

impl Known {
    /// Whether the image has an sshd of its own, as far as that was looked up.
    pub(in crate::node) fn has_sshd(&self) -> bool {
        self.sshd.is_some()
    }

    /// The version of the image's sshd; an unknown one counts as the oldest.
    pub(in crate::node) fn sshd_version(&self) -> kit::sshd::Version {
        let (major, minor) = self.sshd.unwrap_or((0, 0));
        kit::sshd::Version(major, minor)
    }
}

/// The version of an sshd, as the program itself has it in its text; it is not run for that.
fn version_of_sshd(program: &[u8]) -> (u32, u32) {
    const MARK: &[u8] = b"OpenSSH_";
    let mut places = program.windows(MARK.len()).enumerate();
    let version = places.find_map(|(at, word)| {
        let text = program.get(at..at + 20).filter(|_| word == MARK)?;
        kit::sshd::Version::parse(&String::from_utf8_lossy(text))
    });
    version.map_or((0, 0), |version| (version.0, version.1))
}

/// Forgets what is known of images that none of these engines has any more.
///
/// # Errors
/// When an engine does not answer.
pub(in crate::node) async fn forget_gone(
    engines: &[Engine],
    folder: &Path,
) -> Result<(), engine::Error> {
    for (id, file) in all_kept(folder) {
        let Ok(reference) = id.parse() else { continue };
        let mut is_there = false;
        for engine in engines {
            is_there = is_there || engine.image(&reference).await?.is_some();
        }
        if !is_there {
            tracing::debug!(id, "forgetting an image that is gone");
            let _ = std::fs::remove_file(file);
        }
    }
    Ok(())
}

/// The ids of all images of which something is known, with the files.
fn all_kept(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder.join("images"));
    let files = entries.into_iter().flatten().filter_map(|entry| {
        let file = entry.ok()?.path();
        let id = format!("sha256:{}", file.file_stem()?.to_str()?);
        (kept_at(folder, &id)? == file).then_some((id, file))
    });
    files.collect()
}

/// Where the knowledge of an image is kept; `None` for an id that is no plain digest.
fn kept_at(folder: &Path, id: &str) -> Option<PathBuf> {
    let digits = id.strip_prefix("sha256:")?;
    let plain = digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| folder.join("images").join(format!("{digits}.json")))
}

fn kept(file: &Path) -> Option<Known> {
    let bytes = std::fs::read(file).ok()?;
    let known: Known = serde_json::from_slice(&bytes).ok()?;
    (known.format == KNOWN_FORMAT).then_some(known)
}

fn keep(file: &Path, known: &Known) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut temporary, &serde_json::to_vec(known)?)?;
    temporary.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knowledge_is_kept_by_digest_and_by_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let id = format!("sha256:{}", "a".repeat(64));
        let file = kept_at(folder.path(), &id).unwrap();
        assert_eq!(kept(&file), None);
        let known = Known {
            format: KNOWN_FORMAT,
            passwd: "root:x:0:0::/:\n".into(),
            ..Known::default()
        };
        assert_eq!(all_kept(folder.path()), []);
        keep(&file, &known).unwrap();
        assert_eq!(kept(&file), Some(known.clone()));
        std::fs::write(folder.path().join("images/other.json"), "").unwrap();
        assert_eq!(all_kept(folder.path()), [(id, file.clone())]);
        let other = Known {
            format: KNOWN_FORMAT + 1,
            ..known
        };
        keep(&file, &other).unwrap();
        assert_eq!(kept(&file), None);
        std::fs::write(&file, "{").unwrap();
        assert_eq!(kept(&file), None);
        for odd in ["", "sha256:", "sha256:../../x", "latest"] {
            assert_eq!(kept_at(folder.path(), odd), None, "{odd}");
        }
    }

    #[test]
    fn the_version_of_an_sshd_is_found_in_its_text() {
        let program = b"\x7fELF..OpenSSH_\0..%s OpenSSH_9.2p1 Debian-2\0";
        assert_eq!(version_of_sshd(program), (9, 2));
        assert_eq!(version_of_sshd(b"dropbear OpenSSH_"), (0, 0));
        assert_eq!(version_of_sshd(b""), (0, 0));
    }
}
