//! What must be known of an image before it runs.
//!
//! What is known of an image is kept by its id in the node's own folder: the second start of an
//! image looks into nothing. Looking takes a container of its own that is never started, since the
//! session's has the generated passwd bound over the image's, and the engine's archive answers with
//! what is mounted.
//!
//! Problem: making that container takes Docker 20.10 50 ms, and reading out of it 60 ms of a CPU, so a
//! look before the start makes the first start of an image half as long again.
//! Solution: all of the look is done while the session's container is made and starts; what it finds
//! is filled in before anybody may log in. What the container's first process can see by itself, it
//! says. Only an sshd of the image's own has to be looked at first.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::engine::{self, ContainerId, ContainerSpec, Engine, Image};
use crate::kit;
use crate::node::Error;
use crate::node::asked::Asked;
use crate::session::Sshd;

/// The version of the kept knowledge; what another version wrote is looked up anew.
///
/// 1: the first. 2: one shell, of the last session; no notices.
const KNOWN_FORMAT: u32 = 2;
/// Larger passwd and group files than this are no image's, in bytes.
const PASSWD_LIMIT: usize = 4 << 20;
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
    /// The best shell that its last session had, if any.
    pub(in crate::node) shell: Option<String>,
    /// The version of its sshd, major and minor; looked up only where it is wanted.
    sshd: Option<(u32, u32)>,
}

/// Where and for what an image is looked into.
pub(in crate::node) struct Lookup<'a> {
    pub(in crate::node) engine: &'a Engine,
    pub(in crate::node) image: &'a Image,
    /// The node's own folder.
    pub(in crate::node) folder: &'a Path,
    /// Labels of the container that is made for looking.
    pub(in crate::node) labels: &'a [(String, String)],
    /// Whose sshd is wanted.
    pub(in crate::node) sshd: Sshd,
}

impl Lookup<'_> {
    /// What was kept of an earlier look.
    pub(in crate::node) fn kept(&self) -> Option<Known> {
        let known = kept(&kept_at(self.folder, &self.image.id)?)?;
        (self.sshd == Sshd::Kit || known.sshd.is_some()).then_some(known)
    }

    /// Looks into the image, in a container that is made for it, told to `asked`, and removed again.
    pub(in crate::node) async fn look(&self, asked: &Asked) -> Result<Known, Error> {
        let spec = ContainerSpec {
            image: self.image.id.clone(),
            // Never started; an image without a command could not be created without one.
            argv: vec!["/never-started".to_owned()],
            labels: self.labels.to_vec(),
            network: Some("none".to_owned()),
            ..ContainerSpec::default()
        };
        asked.ask();
        let id = self.engine.create(&spec).await?;
        asked.is_there(&id);
        let known = self.look_into(&id).await?;
        if let Err(error) = self.engine.remove(&id).await {
            tracing::warn!(%error, "cannot remove the container made for looking");
        }
        Ok(known)
    }

    async fn look_into(&self, id: &ContainerId) -> Result<Known, Error> {
        let names = ["passwd", "group"];
        let files = self.engine.read_files(id, "/etc", names, PASSWD_LIMIT);
        let [passwd, group] = files
            .await?
            .map(|file| String::from_utf8_lossy(&file.unwrap_or_default()).into_owned());
        let sshd = match self.sshd {
            Sshd::Kit => None,
            Sshd::Image | Sshd::Layer => {
                let path = kit::paths::IMAGE_SSHD;
                let program = self.engine.read_file(id, path, SSHD_LIMIT).await?;
                program.as_deref().map(version_of_sshd)
            }
        };
        Ok(Known {
            format: KNOWN_FORMAT,
            passwd,
            group,
            shell: None,
            sshd,
        })
    }

    /// Keeps what is known for the next session. No session fails for this.
    pub(in crate::node) fn keep(&self, known: &Known) {
        if let Some(file) = kept_at(self.folder, &self.image.id)
            && let Err(error) = keep(&file, known)
        {
            tracing::debug!(%error, file = %file.display(), "cannot keep what is known of the image");
        }
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
