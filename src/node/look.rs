//! What an IDE will miss in an image, found without running it.
//!
//! VS Code's server needs glibc 2.28 or newer whatever the sshd; IDEs unpack themselves with tar
//! and start with bash; debugging Python needs Python. The C library is told by its loader, whose
//! place is part of the ABI: up to glibc 2.33 it is a link to `ld-2.NN.so`, since 2.34 a file.

use crate::engine::{ContainerId, Engine, Error};

/// The oldest glibc that current IDE servers run on.
const OLDEST_GLIBC: (u32, u32) = (2, 28);

/// What was found in an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Where glibc's loader leads in the end, if there is one.
    pub(super) glibc_loader: Option<String>,
    /// Whether musl's loader is there.
    pub(super) musl: bool,
    /// Whether bash is there.
    pub(super) bash: bool,
    /// Whether tar is there.
    pub(super) tar: bool,
    /// Whether Python 3 is there.
    pub(super) python: bool,
}

impl Look {
    /// Looks into a container; `path` is its PATH.
    pub(super) async fn into(
        engine: &Engine,
        id: &ContainerId,
        architecture: &str,
        path: &str,
    ) -> Result<Self, Error> {
        let (glibc, musl) = loaders(architecture);
        let program = async |name: &str| -> Result<bool, Error> {
            for folder in folders(path) {
                let path = format!("{folder}/{name}");
                let found = engine.stat_resolved(id, &path).await?;
                if found.is_some_and(|found| found.is_program()) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let glibc = engine.stat_resolved(id, glibc).await?;
        Ok(Self {
            musl: glibc.is_none() && engine.stat_resolved(id, musl).await?.is_some(),
            glibc_loader: glibc.map(|loader| loader.resolved),
            bash: program("bash").await?,
            tar: program("tar").await?,
            python: program("python3").await?,
        })
    }

    /// What the user should know.
    pub(super) fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        let mut note = |text: &str| notices.push(text.to_owned());
        match &self.glibc_loader {
            Some(loader) => {
                if let Some((major, minor)) =
                    glibc_version(loader).filter(|version| *version < OLDEST_GLIBC)
                {
                    note(&format!(
                        "the image has glibc {major}.{minor}; IDE servers need 2.28 or newer, \
                         a terminal works"
                    ));
                }
            }
            None if self.musl => note(
                "the image has musl instead of glibc; most IDE servers will not run in it, \
                 a terminal works",
            ),
            None => {
                note("the image has no C library; IDE servers will not run in it, a terminal works")
            }
        }
        for (there, what) in [
            (
                self.bash,
                "the image has no bash, which IDE servers start with",
            ),
            (
                self.tar,
                "the image has no tar, which IDE servers are unpacked with",
            ),
            (
                self.python,
                "the image has no python3 on its PATH, so nothing to debug Python with",
            ),
        ] {
            if !there {
                note(what);
            }
        }
        notices
    }
}

/// The places of the two loaders, which are part of each architecture's ABI.
fn loaders(architecture: &str) -> (&'static str, &'static str) {
    match architecture {
        "arm64" => ("/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-aarch64.so.1"),
        "ppc64le" => ("/lib64/ld64.so.2", "/lib/ld-musl-powerpc64le.so.1"),
        _ => ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"),
    }
}

/// The version in the name of a loader's file, which it has up to 2.33.
fn glibc_version(loader: &str) -> Option<(u32, u32)> {
    let name = loader.rsplit('/').next()?;
    let version = name.strip_prefix("ld-")?.strip_suffix(".so")?;
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The absolute folders of a PATH, each once, not more than a person would set.
fn folders(path: &str) -> Vec<&str> {
    let mut folders = Vec::new();
    for folder in path.split(':').filter(|folder| folder.starts_with('/')) {
        let folder = folder.trim_end_matches('/');
        if !folders.contains(&folder) && folders.len() < 20 {
            folders.push(folder);
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete() -> Look {
        Look {
            glibc_loader: Some("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2".into()),
            musl: false,
            bash: true,
            tar: true,
            python: true,
        }
    }

    #[test]
    fn a_complete_image_needs_no_words() {
        assert_eq!(complete().notices(), Vec::<String>::new());
        for loader in ["/lib/x86_64-linux-gnu/ld-2.28.so", "/lib64/ld-2.31.so"] {
            let look = Look {
                glibc_loader: Some(loader.into()),
                ..complete()
            };
            assert_eq!(look.notices(), Vec::<String>::new(), "{loader}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let old = Look {
            glibc_loader: Some("/lib/x86_64-linux-gnu/ld-2.27.so".into()),
            ..complete()
        };
        assert!(old.notices()[0].contains("glibc 2.27"));
        let busybox = Look {
            musl: true,
            glibc_loader: None,
            ..Look::default()
        };
        let notices = busybox.notices();
        assert_eq!(notices.len(), 4);
        for word in ["musl", "bash", "tar", "python3"] {
            assert!(notices.iter().any(|notice| notice.contains(word)), "{word}");
        }
        assert!(Look::default().notices()[0].contains("no C library"));
    }

    #[test]
    fn a_path_is_taken_apart() {
        assert_eq!(
            folders("/usr/bin:/bin/::relative:/usr/bin:.:/a b"),
            ["/usr/bin", "/bin", "/a b"]
        );
        assert_eq!(folders(""), Vec::<&str>::new());
    }
}
