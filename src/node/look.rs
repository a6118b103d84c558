//! What an IDE will miss in a session, found without running any program of its image.
//!
//! VS Code's server needs glibc 2.28 or newer whatever the sshd; IDEs unpack themselves with tar
//! and start with bash; debugging Python needs Python. The C library is told by its loader, whose
//! place is part of the ABI: up to glibc 2.33 it is a link to `ld-2.NN.so`, since 2.34 a file.
//!
//! Problem: a dozen questions to the engine make a first start longer, and what the image has may be
//! hidden by a folder that is mounted. Solution: the container's first process, ours, says it.

use std::time::Duration;

use tokio::sync::watch;

use crate::kit::report;

/// The oldest glibc that current IDE servers run on.
const OLDEST_GLIBC: (u32, u32) = (2, 28);
/// How long the word of the container's first process may take once sshd has answered: it may look
/// into a file system that hangs.
const WORD_LIMIT: Duration = Duration::from_secs(5);

/// What was found in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// The best shell, if there is any.
    pub(super) shell: Option<String>,
    /// The file that glibc's loader is, if there is one.
    pub(super) glibc_loader: Option<String>,
    /// Whether musl's loader is there, and no glibc's.
    pub(super) musl: bool,
    /// Whether bash is there.
    pub(super) bash: bool,
    /// Whether tar is there.
    pub(super) tar: bool,
    /// Whether Python 3 is there.
    pub(super) python: bool,
}

/// The sending end, for whoever reads the container's output.
#[derive(Debug)]
pub(super) struct Listener(watch::Sender<Option<Look>>);

/// The wait for what was found.
#[derive(Debug)]
pub(super) struct Awaited(watch::Receiver<Option<Look>>);

/// Begins to listen.
pub(super) fn listen() -> (Listener, Awaited) {
    let (sender, receiver) = watch::channel(None);
    (Listener(sender), Awaited(receiver))
}

impl Listener {
    /// Hears a line of the container's output. Only what is said first counts.
    pub(super) fn hear(&self, line: &str) {
        self.0.send_if_modified(|look| {
            let is_first = look.is_none();
            if is_first {
                *look = Look::parse(line);
            }
            is_first && look.is_some()
        });
    }
}

impl Awaited {
    /// What was found; `None` where nothing is said of it in time.
    pub(super) async fn look(self) -> Option<Look> {
        self.within(WORD_LIMIT).await
    }

    async fn within(mut self, limit: Duration) -> Option<Look> {
        let waited = tokio::time::timeout(limit, self.0.wait_for(Option::is_some)).await;
        let look = waited.ok()?.ok()?.clone();
        tracing::debug!(?look, "programs in the container");
        look
    }
}

impl Look {
    /// Reads a line of the container's output; `None` for any other.
    fn parse(line: &str) -> Option<Self> {
        let words = line
            .strip_prefix("qdebug-init: ")?
            .strip_prefix(report::PROGRAMS)?;
        let mut look = Self::default();
        for word in words.split_whitespace() {
            if let Some(shell) = word.strip_prefix(report::SHELL) {
                let known = report::SHELLS.contains(&shell);
                look.shell = known.then(|| shell.to_owned());
            } else if let Some(loader) = word.strip_prefix(report::GLIBC) {
                look.glibc_loader = Some(loader.to_owned());
            } else {
                match word {
                    report::MUSL => look.musl = true,
                    "bash" => look.bash = true,
                    "tar" => look.tar = true,
                    "python3" => look.python = true,
                    _ => {}
                }
            }
        }
        Some(look)
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

/// The version in the name of a loader's file, which it has up to 2.33.
fn glibc_version(loader: &str) -> Option<(u32, u32)> {
    let version = loader.strip_prefix("ld-")?.strip_suffix(".so")?;
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete() -> Look {
        Look {
            shell: Some("/bin/bash".into()),
            glibc_loader: Some("ld-linux-x86-64.so.2".into()),
            musl: false,
            bash: true,
            tar: true,
            python: true,
        }
    }

    #[test]
    fn a_complete_image_needs_no_words() {
        assert_eq!(complete().notices(), Vec::<String>::new());
        for loader in ["ld-2.28.so", "ld-2.31.so", ""] {
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
            glibc_loader: Some("ld-2.27.so".into()),
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
    fn what_the_first_process_says_is_understood() {
        let line = "qdebug-init: programs: shell=/bin/bash glibc=ld-2.31.so bash tar python3";
        let expected = Look {
            glibc_loader: Some("ld-2.31.so".into()),
            ..complete()
        };
        assert_eq!(Look::parse(line), Some(expected));
        let nothing = Look::parse("qdebug-init: programs:");
        assert_eq!(nothing, Some(Look::default()));
        let odd = "qdebug-init: programs: shell=/tmp/x:y musl tarred";
        let musl = Look {
            musl: true,
            ..Look::default()
        };
        assert_eq!(Look::parse(odd), Some(musl));
        for other in ["programs: tar", "qdebug-init: devices: tar", ""] {
            assert_eq!(Look::parse(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn what_is_said_first_counts_and_silence_ends() {
        let (listener, awaited) = listen();
        listener.hear("something else");
        listener.hear("qdebug-init: programs: tar");
        listener.hear("qdebug-init: programs: bash");
        let look = awaited.look().await.unwrap();
        assert!(look.tar && !look.bash);
        let (silent, awaited) = listen();
        assert_eq!(awaited.within(Duration::from_millis(1)).await, None);
        silent.hear("nobody listens any more");
        let (gone, awaited) = listen();
        drop(gone);
        assert_eq!(awaited.look().await, None);
    }
}
