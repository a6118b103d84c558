//! Windows, with the OpenSSH that it brings.
//!
//! A user's profile is closed to other users by what its folders inherit, so files and folders below
//! it are made as they come; a private key is closed by an access list of its own besides, since
//! ssh refuses one that others may read.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::os::windows::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use etcetera::BaseStrategy;
use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close,
    ctrl_logoff, ctrl_shutdown,
};

use super::{Interrupt, Reader, Writer};

/// `CREATE_NEW_PROCESS_GROUP` of CreateProcess: a Ctrl-C of our console does not reach it.
const NEW_PROCESS_GROUP: u32 = 0x0000_0200;

/// `ERROR_SHARING_VIOLATION`: somebody holds the file and shares it with nobody.
const SHARING_VIOLATION: i32 = 32;

/// What ends in one of these is a program, unless the user's `PATHEXT` says otherwise.
const PROGRAMS: &str = ".COM;.EXE;.BAT;.CMD";

/// Listens for events of the console that ask this program to end; from then on they end nothing by
/// themselves, in this whole process.
#[derive(Debug)]
pub struct Interrupts {
    keyboard: CtrlC,
    stop: CtrlBreak,
    close: CtrlClose,
    logoff: CtrlLogoff,
    shutdown: CtrlShutdown,
}

impl Interrupts {
    /// Begins to listen.
    ///
    /// # Errors
    /// What the system said.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            keyboard: ctrl_c()?,
            stop: ctrl_break()?,
            close: ctrl_close()?,
            logoff: ctrl_logoff()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    /// The next one. May be dropped and asked again.
    pub async fn next(&mut self) -> Interrupt {
        tokio::select! {
            _ = self.keyboard.recv() => Interrupt::Keyboard,
            _ = self.stop.recv() => Interrupt::Outside,
            _ = self.close.recv() => Interrupt::Outside,
            _ = self.logoff.recv() => Interrupt::Outside,
            _ = self.shutdown.recv() => Interrupt::Outside,
        }
    }
}

/// Takes the lock of a lock file, made when missing; `None` when somebody else holds it. It is held
/// as long as the file is open, which is then shared with nobody.
///
/// # Errors
/// What the system said.
pub fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options
        .create(true)
        .truncate(false)
        .write(true)
        .share_mode(0);
    match options.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.raw_os_error() == Some(SHARING_VIOLATION) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a folder and its parents, closed to others by what they inherit.
///
/// # Errors
/// What the system said.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path)
}

/// What closes a file to everybody but its user, to be run: an access list of one entry. `None`
/// where the user's name is not known.
pub fn closing(path: &Path) -> Option<Vec<OsString>> {
    let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = named("USERNAME")?;
    let user = match named("USERDOMAIN") {
        Some(domain) => format!("{domain}\\{user}"),
        None => user,
    };
    Some(icacls(path, &user))
}

/// As Microsoft documents it: inherited entries are removed, and the user may do everything.
fn icacls(path: &Path, user: &str) -> Vec<OsString> {
    let grant = format!("{user}:F");
    let words = ["/inheritance:r", "/grant:r", grant.as_str()];
    let path = path.as_os_str();
    let words = words.iter().map(OsString::from);
    [OsString::from("icacls"), path.to_owned()]
        .into_iter()
        .chain(words)
        .collect()
}

/// Lets an opening wait for nobody; a file of Windows makes nobody wait.
pub fn without_waiting(_: &mut OpenOptions) {}

/// Whether somebody may run a file with such metadata: its name tells, not they.
pub fn may_run(_: &Metadata) -> bool {
    true
}

/// The names of the file of a program of this name. One without an ending of a program's is a script
/// of another system (VS Code brings both, `code` and `code.cmd`).
pub fn names_of_program(name: &str) -> Vec<OsString> {
    let endings = std::env::var("PATHEXT").unwrap_or_else(|_| PROGRAMS.to_owned());
    with_endings(name, &endings)
}

fn with_endings(name: &str, endings: &str) -> Vec<OsString> {
    let endings = endings.split(';').map(str::trim);
    let endings: Vec<String> = endings
        .filter(|ending| ending.len() > 1 && ending.starts_with('.'))
        .map(str::to_lowercase)
        .collect();
    let lower = name.to_lowercase();
    if endings.iter().any(|ending| lower.ends_with(ending)) {
        return vec![name.into()];
    }
    let named = endings
        .iter()
        .map(|ending| format!("{name}{ending}").into());
    named.collect()
}

/// Keeps a Ctrl-C on our console from a program.
pub fn group_of_its_own(command: &mut Command) {
    command.creation_flags(NEW_PROCESS_GROUP);
}

/// The signal that a program died of: there are none.
pub fn signal_of(_: ExitStatus) -> Option<i32> {
    None
}

/// Asks a process to end, which only its console can: that hands a Ctrl-C to every program on it.
pub fn ask_to_end(_: u32) {}

/// Whether a process of that id lives, which is taken for granted.
pub fn is_alive(_: u32) -> bool {
    true
}

/// This program's stdin and stdout, for a runtime.
pub fn stdio() -> (Reader, Writer) {
    (Box::new(tokio::io::stdin()), Box::new(tokio::io::stdout()))
}

/// Whether what is written there reaches nobody any more, which only a write tells here.
pub fn is_unread<T>(_: T) -> bool {
    false
}

/// This user and this machine, as `alice@LAPTOP`.
pub fn user_and_host() -> String {
    let named = |name: &str| std::env::var(name).unwrap_or_else(|_| "unknown".to_owned());
    format!("{}@{}", named("USERNAME"), named("COMPUTERNAME"))
}

/// A path in the form that ssh takes in a configuration and on its command line: slashes, since a
/// backslash quotes there, and without the mark of a path that is already in full.
pub fn for_ssh(path: PathBuf) -> PathBuf {
    let Some(text) = path.to_str() else {
        return path;
    };
    let text = text.strip_prefix(r"\\?\").unwrap_or(text);
    text.replace('\\', "/").into()
}

/// The folder of a user's data that stays on this machine: the roaming one is copied between
/// machines, and a private key must not be.
pub fn data_folder(base: &impl BaseStrategy) -> PathBuf {
    base.cache_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_ssh_reads_it() {
        for (path, told) in [
            (r"C:\Users\Ü b\.ssh\config", "C:/Users/Ü b/.ssh/config"),
            (r"\\?\C:\a\b", "C:/a/b"),
            ("C:/a", "C:/a"),
        ] {
            assert_eq!(for_ssh(path.into()).to_str(), Some(told));
        }
    }

    #[test]
    fn a_program_has_an_ending() {
        let names = |name, endings| {
            let names = with_endings(name, endings);
            let text = names.iter().map(|name| name.to_string_lossy().into_owned());
            text.collect::<Vec<_>>()
        };
        assert_eq!(names("code", ".EXE;.CMD"), ["code.exe", "code.cmd"]);
        assert_eq!(names("pycharm64.exe", ".EXE;.CMD"), ["pycharm64.exe"]);
        assert_eq!(names("a.b", ";.;.EXE"), ["a.b.exe"]);
    }

    #[test]
    fn a_key_is_closed_by_one_entry() {
        let words = icacls(Path::new(r"C:\a b\id"), r"HOME\alice");
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        let expected = [
            "icacls",
            r"C:\a b\id",
            "/inheritance:r",
            "/grant:r",
            r"HOME\alice:F",
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn console_events_are_listened_for() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut interrupts = Interrupts::listen().unwrap();
            let next = tokio::time::timeout(std::time::Duration::ZERO, interrupts.next()).await;
            assert!(next.is_err());
        });
    }
}
