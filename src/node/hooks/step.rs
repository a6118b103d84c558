//! What is done to install or remove hooks: steps that are shown before they are done.

use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::version;
use super::{Error, Kind, read};
use crate::process::Program;

/// The word of an argv in whose place a step's input file is put.
pub(super) const INPUT: &str = "{}";

/// How long a scheduler's tool may take.
pub(super) const TOOL_LIMIT: Duration = Duration::from_secs(30);

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Writes a file, whole or not at all.
    Write {
        /// The file.
        path: PathBuf,
        /// What is in it.
        text: String,
        /// Its mode.
        mode: u32,
    },
    /// Makes a folder.
    MakeFolder {
        /// The folder.
        path: PathBuf,
    },
    /// Gives the site's own file a second name, which stays when the first one is written over.
    Keep {
        /// Its name now.
        from: PathBuf,
        /// Its second name.
        to: PathBuf,
    },
    /// Gives the site's own file its name back.
    Restore {
        /// Its name now.
        from: PathBuf,
        /// Its name of before.
        to: PathBuf,
    },
    /// Removes a file.
    Remove {
        /// The file.
        path: PathBuf,
    },
    /// Removes a folder, where nothing is in it.
    RemoveEmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// Runs a tool of the scheduler.
    Run {
        /// The tool and its words.
        argv: Vec<String>,
        /// What a file holds whose path takes the place of `{}` in the words.
        input: Option<String>,
        /// What it says where another admin was faster: then it is done.
        done: Option<&'static str>,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { path, text, mode } => {
                let (path, size) = (path.display(), text.len());
                write!(f, "write {path} (mode {mode:o}, {size} bytes)")
            }
            Self::MakeFolder { path } => write!(f, "make the folder {}", path.display()),
            Self::Keep { from, to } => write!(
                f,
                "keep the site's {} as {}, where it goes on being run",
                from.display(),
                to.display()
            ),
            Self::Restore { from, to } => {
                write!(f, "put {} back as {}", from.display(), to.display())
            }
            Self::Remove { path } => write!(f, "remove {}", path.display()),
            Self::RemoveEmptyFolder { path } => {
                write!(f, "remove the empty folder {}", path.display())
            }
            Self::Run { argv, .. } => write!(f, "run {}", shell_words::join(argv)),
        }
    }
}

impl Step {
    /// Does it.
    ///
    /// # Errors
    /// What the system or the tool said.
    pub async fn perform(&self) -> Result<(), Error> {
        match self {
            Self::Write { path, text, mode } => write(path, text, *mode),
            Self::MakeFolder { path } => {
                std::fs::create_dir_all(path).map_err(Error::io("make", path))
            }
            Self::Keep { from, to } => keep(from, to),
            Self::Restore { from, to } => match std::fs::rename(from, to) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && to.exists() => Ok(()),
                restored => restored.map_err(Error::io("put back", from)),
            },
            Self::Remove { path } => match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::io("remove", path)(error))
                }
                _ => Ok(()),
            },
            Self::RemoveEmptyFolder { path } => match std::fs::remove_dir(path) {
                Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                removed => removed.map_err(Error::io("remove", path)),
            },
            Self::Run { argv, input, done } => match tool(argv, input.as_deref()).await {
                Err(Error::Tool { said, .. }) if done.is_some_and(|done| said.contains(done)) => {
                    Ok(())
                }
                ran => ran.map(drop),
            },
        }
    }
}

/// A second name for the site's file. Where another admin was faster, that name is there already,
/// and the first one may be ours by now.
fn keep(from: &Path, to: &Path) -> Result<(), Error> {
    match std::fs::hard_link(from, to) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let there = read(from)?.unwrap_or_default();
            let ours = Kind::ALL
                .into_iter()
                .any(|kind| version(&there, kind).is_some());
            if ours || read(to)?.as_ref() == Some(&there) {
                return Ok(());
            }
            let (one, other) = (from.to_owned(), to.to_owned());
            Err(Error::TwoScripts { one, other })
        }
        kept => kept.map_err(Error::io("keep", from)),
    }
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let fresh = || -> std::io::Result<()> {
        // A name that no glob of `*` finds: half a script must not be run.
        let mut file = tempfile::Builder::new()
            .prefix(".qdebug")
            .tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        let permissions = std::fs::Permissions::from_mode(mode);
        file.as_file().set_permissions(permissions)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    fresh().map_err(Error::io("write", path))
}

/// Runs a tool to its end and returns what it printed.
pub(super) async fn tool(argv: &[String], input: Option<&str>) -> Result<String, Error> {
    let mut words = argv.to_vec();
    let mut kept = None;
    if let Some(text) = input {
        let file = tempfile::Builder::new().prefix("qdebug-hook").tempfile();
        let mut file = file.map_err(Error::io("make", Path::new("a temporary file")))?;
        file.write_all(text.as_bytes())
            .map_err(Error::io("write", file.path()))?;
        let path = file.path().to_string_lossy().into_owned();
        for word in &mut words {
            *word = word.replace(INPUT, &path);
        }
        kept = Some(file);
    }
    let mut words = words.iter();
    let program = words.next().map(String::as_str).unwrap_or_default();
    let output = Program::new(program)
        .args(words)
        .time_limit(TOOL_LIMIT)
        .output()
        .await?;
    drop(kept);
    if output.status == 0 {
        Ok(output.stdout)
    } else {
        Err(Error::Tool {
            command: output.command,
            status: output.status,
            said: [output.stdout.trim(), output.stderr.trim()].join(" "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_written_whole_with_its_mode_and_over_an_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b");
        for (text, mode) in [("one", 0o500), ("two", 0o755)] {
            let text = text.to_owned();
            let step = Step::Write {
                path: path.clone(),
                text: text.clone(),
                mode,
            };
            step.perform().await.unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, mode);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_sites_file_is_kept_once_and_none_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("epilogue"), folder.path().join("kept"));
        let step = Step::Keep {
            from: from.clone(),
            to: to.clone(),
        };
        std::fs::write(&from, "theirs").unwrap();
        step.perform().await.unwrap();
        step.perform().await.unwrap();
        write(&from, "# qdebug-hook 1.0 (torque)\n", 0o500).unwrap();
        step.perform().await.unwrap();
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "theirs");
        write(&from, "another of theirs", 0o500).unwrap();
        let refused = step.perform().await.unwrap_err();
        assert!(matches!(refused, Error::TwoScripts { .. }));
    }

    #[tokio::test]
    async fn a_tool_gets_its_file_and_its_refusal_is_told() {
        let argv = ["cat", INPUT].map(str::to_owned);
        assert_eq!(tool(&argv, Some("it's\n$x")).await.unwrap(), "it's\n$x");
        let argv = ["sh", "-c", "echo no; echo hook >&2; exit 3"].map(str::to_owned);
        let error = tool(&argv, None).await.unwrap_err();
        assert!(matches!(&error, Error::Tool { status: 3, said, .. } if said == "no hook"));
        let step = |done| Step::Run {
            argv: argv.to_vec(),
            input: None,
            done,
        };
        assert!(step(None).perform().await.is_err());
        assert!(step(Some("yes")).perform().await.is_err());
        step(Some("no hook")).perform().await.unwrap();
    }
}
