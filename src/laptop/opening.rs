//! Opening a session in an IDE: what the image lacks for it is told, the IDE's own files are told of
//! the session, then it is started. A connect goes on whatever becomes of that.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::error::Error;
use super::event::Event;
use super::known::Known;
use super::paths::Paths;
use super::ui::Ui;
use crate::ide::{self, Book, Cleaned, Ide, Target, What, Written};
use crate::process::{self, Program};
use crate::ssh::include;

/// How long an IDE may take to fail: its starter ends early, or it is a window by then.
const EARLY: Duration = Duration::from_secs(5);

/// How long an IDE may take to list its extensions.
const LISTING: Duration = Duration::from_secs(30);

/// How much of what an IDE said is looked at, in bytes.
const LAST_WORDS: usize = 4096;

/// What is to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The IDE.
    pub ide: Ide,
    /// Where on the cluster its server is put, if not into the home.
    pub scratch: Option<PathBuf>,
    /// The copy of the session's folder on this machine, for an IDE that works on one.
    pub workspace: Option<PathBuf>,
}

/// What happens meanwhile.
#[derive(Debug, Clone)]
pub enum IdeEvent {
    /// What the image lacks for it.
    Lacks(Ide, Vec<String>),
    /// A file of the IDE tells of the session.
    Wrote(Ide, Written),
    /// Its settings could not be told of the session, which it is opened in all the same.
    NotWritten(Ide, Arc<OpenError>),
    /// It has not the extension that it connects by.
    NeedsExtension(Ide, &'static str),
    /// It was started by this command.
    Opened(Ide, String),
    /// It was not.
    Failed(Arc<OpenError>),
}

/// Why an IDE was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its files, or its absence.
    #[error(transparent)]
    Ide(#[from] ide::Error),
    /// It asks the user's ssh configuration, which does not know the session.
    #[error(
        "{ide} finds `{alias}` only through {}, which {why}", config.display()
    )]
    NotIncluded {
        /// The IDE.
        ide: Ide,
        /// The session.
        alias: String,
        /// The user's ssh configuration.
        config: PathBuf,
        /// What is wrong with it.
        why: String,
        /// The lines that it lacks.
        lines: String,
    },
    /// It could not be started.
    #[error(transparent)]
    Program(#[from] process::Error),
    /// Its program ended with an error.
    #[error("`{command}` ended with status {status}: {said}")]
    Ended {
        /// The command.
        command: String,
        /// Its status.
        status: i32,
        /// Its last words.
        said: String,
    },
    /// Something of qdebug's own.
    #[error(transparent)]
    Laptop(#[from] Error),
}

/// Opens a session in an IDE, and tells how that went.
pub(super) async fn open(opening: &Opening, known: &Known, paths: &Paths, ui: &Ui) {
    let tell = |event| ui.tell(Event::Ide(event));
    match opened(opening, known, paths, &tell).await {
        Ok(command) => tell(IdeEvent::Opened(opening.ide, command)),
        Err(error) => tell(IdeEvent::Failed(Arc::new(error))),
    }
}

async fn opened(
    opening: &Opening,
    known: &Known,
    paths: &Paths,
    tell: &impl Fn(IdeEvent),
) -> Result<String, OpenError> {
    let ide = opening.ide;
    let details = &known.details;
    let folder = details.project.to_string_lossy();
    let identity = paths.identity.as_path();
    let target = Target::new(&known.alias, &details.user, known.port, &folder, identity)?;
    let lacks = lacks(ide, &details.notices);
    if !lacks.is_empty() {
        tell(IdeEvent::Lacks(ide, lacks));
    }
    // PyCharm alone is given port and key.
    let by_alias = ide != Ide::PyCharm;
    if by_alias && let Some(why) = not_included(paths) {
        return Err(OpenError::NotIncluded {
            ide,
            alias: known.alias.clone(),
            config: paths.user_config.clone(),
            why,
            lines: include::include_lines(&paths.ssh_config),
        });
    }
    let home = &paths.home;
    let workspace = opening.workspace.as_deref();
    let command = ide.command(home, &target, workspace);
    // PyCharm may be started from a menu alone; its files are of use then, too.
    let command = match ide {
        Ide::PyCharm => command,
        _ => Ok(command?),
    };
    let write = async || -> Result<Vec<Written>, ide::Error> {
        let mut book = Book::open(&paths.ide()).await?;
        match ide {
            Ide::PyCharm => ide::pycharm::write(&mut book, home, &target, workspace),
            _ => {
                let scratch = opening.scratch.as_deref();
                let written = ide::vscode::write(&mut book, ide, home, &target, scratch)?;
                Ok(written.into_iter().collect())
            }
        }
    };
    match write().await {
        Ok(written) => {
            for written in written {
                tell(IdeEvent::Wrote(ide, written));
            }
        }
        // Without them PyCharm knows nothing of the session, the others only ask a question more.
        Err(error) if ide == Ide::PyCharm => return Err(error.into()),
        Err(error) => tell(IdeEvent::NotWritten(ide, Arc::new(error.into()))),
    }
    let command = command?;
    if let Some(extension) = ide::vscode::extension(ide) {
        let listing = Program::new(&command.program).arg("--list-extensions");
        let is_extension = |line: &str| line.trim().eq_ignore_ascii_case(extension);
        // It may open all the same where it cannot list.
        if let Ok(listed) = listing.time_limit(LISTING).output().await
            && listed.status == 0
            && !listed.stdout.lines().any(is_extension)
        {
            tell(IdeEvent::NeedsExtension(ide, extension));
        }
    }
    let program = Program::new(&command.program).args(&command.args);
    let shown = program.shown();
    let log = paths.ide().join("open.log");
    let failed = |source| ide::Error::File {
        what: "write",
        path: log.display().to_string(),
        source,
    };
    let file = File::create(&log).map_err(failed)?;
    match program.own_locale().launch(file, EARLY).await? {
        None | Some(0) => Ok(shown),
        Some(status) => Err(OpenError::Ended {
            command: shown,
            status,
            said: last_words(&std::fs::read(&log).unwrap_or_default()),
        }),
    }
}

/// Why the user's ssh configuration does not know the sessions.
fn not_included(paths: &Paths) -> Option<String> {
    match include::plan_include(&paths.user_config, &paths.ssh_config) {
        Ok(None) => None,
        Ok(Some(_)) => Some("does not include qdebug's".to_owned()),
        Err(error) => Some(format!("cannot be read: {error}")),
    }
}

/// What the node half said of the image that this IDE will miss.
fn lacks(ide: Ide, notices: &[String]) -> Vec<String> {
    let is_meant = |notice: &&String| {
        let server = ide.has_server() && notice.contains("IDE server");
        let python = ide == Ide::PyCharm && notice.contains("python3");
        server || python
    };
    notices.iter().filter(is_meant).cloned().collect()
}

/// The last line that was said, fit to be shown.
fn last_words(log: &[u8]) -> String {
    let tail = &log[log.len().saturating_sub(LAST_WORDS)..];
    let text = String::from_utf8_lossy(tail);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    let plain = last.unwrap_or("it said nothing").chars();
    plain.filter(|c| !c.is_control()).collect()
}

/// Everything that is written for IDEs on this machine, and whether its session is still known.
///
/// # Errors
/// [`ide::Error`] of the book.
pub async fn written(paths: &Paths) -> Result<Vec<(ide::Listed, bool)>, ide::Error> {
    let known = Known::all(&paths.sessions);
    let is_known = |alias: &str| known.iter().any(|one| one.alias == alias);
    let entries = Book::open(&paths.ide()).await?.entries();
    let with = |listed: ide::Listed| {
        let is_known = is_known(&listed.entry.alias);
        (listed, is_known)
    };
    Ok(entries.into_iter().map(with).collect())
}

/// Takes away what is written of the session that a user means by `word`, or of all of them.
///
/// # Errors
/// [`Error::NotKnown`] where nothing is written of it; [`ide::Error`] of the book.
pub async fn clean(paths: &Paths, word: Option<&str>) -> Result<Cleaned, OpenError> {
    let mut book = Book::open(&paths.ide()).await?;
    let Some(word) = word else {
        return Ok(take_out(&mut book, paths, |_| true)?);
    };
    // A session that is forgotten has no job any more, but its name.
    let mut aliases = vec![word.to_owned(), format!("qdebug-{word}")];
    let known = Known::find(&paths.sessions, word);
    let is_known = known.is_ok();
    aliases.extend(known.ok().map(|known| known.alias));
    let is_meant = |alias: &str| aliases.iter().any(|other| other == alias);
    if !is_known && !book.entries().iter().any(|one| is_meant(&one.entry.alias)) {
        let name = word.to_owned();
        return Err(Error::NotKnown { name }.into());
    }
    Ok(take_out(&mut book, paths, |entry| is_meant(&entry.alias))?)
}

/// What is written of sessions that are over, with their entries of the ssh configuration. A debugger's
/// configuration in somebody's workspace stays: it was asked for, and the next session of that name
/// has the same port.
pub(super) async fn sweep(paths: &Paths, aliases: &[String]) {
    if aliases.is_empty() || !paths.ide().join("ledger.json").exists() {
        return;
    }
    let is_meant = |entry: &ide::Entry| {
        aliases.contains(&entry.alias) && !matches!(entry.what, What::Launch { .. })
    };
    let swept = match Book::open(&paths.ide()).await {
        Ok(mut book) => take_out(&mut book, paths, is_meant),
        Err(error) => Err(error),
    };
    match swept {
        Ok(cleaned) => {
            for error in cleaned.left {
                tracing::info!(%error, "left for `qdebug ide clean`");
            }
        }
        Err(error) => tracing::info!(%error, "IDEs' files are not swept"),
    }
}

fn take_out(
    book: &mut Book,
    paths: &Paths,
    is_meant: impl Fn(&ide::Entry) -> bool,
) -> Result<Cleaned, ide::Error> {
    book.clean(is_meant, |_, entry| match entry.what {
        What::SshConfig | What::WebServer | What::Deployment => {
            ide::pycharm::is_closed(&paths.home)
        }
        _ => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_image_lacks_is_told_to_those_who_miss_it() {
        let notices = [
            "the image has musl instead of glibc; most IDE servers will not run in it",
            "the image has no bash, which IDE servers start with",
            "the image has no python3 on its PATH, so nothing to debug Python with",
            "the disk is full",
        ]
        .map(str::to_owned);
        assert_eq!(lacks(Ide::Code, &notices), notices[..2]);
        assert_eq!(lacks(Ide::Toolbox, &notices), notices[..2]);
        assert_eq!(lacks(Ide::PyCharm, &notices), notices[2..3]);
        assert!(lacks(Ide::Zed, &notices).is_empty());
    }

    /// What happens when a session is opened in a VS Code that ends at once, its settings being so.
    #[cfg(unix)]
    async fn opened_with(home: &std::path::Path, settings: &str) -> Vec<IdeEvent> {
        use super::super::known::tests::status;
        use super::super::{Place, paths};
        let plain = |path: &str| crate::ssh::PlainPath::new(home.join(path)).unwrap();
        let paths = Paths {
            user_config: home.join(".ssh/config"),
            ssh_config: plain("qdebug/ssh_config"),
            sessions: home.join("state/sessions"),
            home: ide::Home::below(home),
            ..paths::tests::paths()
        };
        for folder in [".ssh", "bin", ".config/Code/User"] {
            std::fs::create_dir_all(home.join(folder)).unwrap();
        }
        let lines = include::include_lines(&paths.ssh_config);
        std::fs::write(&paths.user_config, lines).unwrap();
        std::fs::write(home.join(".config/Code/User/settings.json"), settings).unwrap();
        let code = home.join("bin/code");
        if !code.exists() {
            std::os::unix::fs::symlink("/bin/true", code).unwrap();
        }
        let known = Known::new(&status("otter", '1'), Place::Here, &[]).unwrap();
        let opening = Opening {
            ide: Ide::Code,
            scratch: None,
            workspace: None,
        };
        let events = std::cell::RefCell::new(Vec::new());
        let tell = |event| {
            if !matches!(event, IdeEvent::NeedsExtension(..)) {
                events.borrow_mut().push(event);
            }
        };
        let command = opened(&opening, &known, &paths, &tell).await.unwrap();
        assert!(command.contains("ssh-remote+qdebug-otter"), "{command}");
        events.into_inner()
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn settings_that_cannot_be_told_keep_no_ide_closed() {
        let home = tempfile::tempdir().unwrap();
        let events = opened_with(home.path(), "no { JSON").await;
        assert!(
            matches!(&events[..], [IdeEvent::NotWritten(Ide::Code, error)]
                if error.to_string().contains("settings.json")),
            "{events:?}"
        );
        let events = opened_with(home.path(), "{}").await;
        assert!(
            matches!(&events[..], [IdeEvent::Wrote(Ide::Code, written)] if written.changed),
            "{events:?}"
        );
    }

    #[test]
    fn the_last_words_are_a_line_fit_to_be_shown() {
        assert_eq!(last_words(b""), "it said nothing");
        assert_eq!(
            last_words(b"a\n\x1b[31mno \xff display\x1b[0m\n\n"),
            "[31mno \u{fffd} display[0m"
        );
    }
}
