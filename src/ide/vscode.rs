//! VS Code and its forks: what their `settings.json` says of a session, and how they open it.
//!
//! Two settings name hosts: `remote.SSH.remotePlatform`, without which the first connection asks,
//! and `remote.SSH.serverInstallPath`, which keeps the server out of a home with a quota.

use std::path::{Path, PathBuf};

use jsonc_parser::json;

use super::jsonc;
use super::ledger::{Entry, What};
use super::program::{Command, find};
use super::{Book, Error, Home, Ide, Target, Written};

/// Whether a host's platform need not be asked for.
const PLATFORM: &str = "remote.SSH.remotePlatform";

/// Where the server is put on a host.
const INSTALL_PATH: &str = "remote.SSH.serverInstallPath";

/// What differs between the members of the family.
struct Fork {
    /// Its folder of settings.
    folder: &'static str,
    /// The extension that connects, where it does not come with the IDE.
    extension: Option<&'static str>,
}

fn fork(ide: Ide) -> Option<Fork> {
    let (folder, extension) = match ide {
        Ide::Code => ("Code", Some("ms-vscode-remote.remote-ssh")),
        Ide::Cursor => ("Cursor", None),
        Ide::Windsurf => ("Windsurf", None),
        Ide::Codium => ("VSCodium", Some("jeanp413.open-remote-ssh")),
        Ide::Zed | Ide::PyCharm | Ide::Gateway | Ide::Toolbox => return None,
    };
    Some(Fork { folder, extension })
}

/// The extension that the IDE needs and does not bring, to be looked for by `--list-extensions`.
pub fn extension(ide: Ide) -> Option<&'static str> {
    fork(ide)?.extension
}

/// The IDE's settings of this user.
fn settings(ide: Ide, home: &Home) -> Option<PathBuf> {
    let folder = fork(ide)?.folder;
    Some(home.config.join(folder).join("User").join("settings.json"))
}

/// Its program.
///
/// # Errors
/// [`Error::Missing`].
pub fn program(ide: Ide, home: &Home) -> Result<PathBuf, Error> {
    find(&[ide.word()], home).ok_or_else(|| Error::Missing {
        ide,
        looked: format!("`{}`", ide.word()),
    })
}

/// The command that opens the session's folder.
pub fn command(program: PathBuf, target: &Target) -> Command {
    let remote = format!("ssh-remote+{}", target.alias());
    let args = ["--remote", &remote, target.folder()];
    Command {
        program,
        args: args.map(Into::into).to_vec(),
    }
}

/// Writes the session's settings; `scratch` is where the server goes, if not into the home.
///
/// # Errors
/// [`Error`]; the settings are then as they were.
pub fn write(
    book: &mut Book,
    ide: Ide,
    home: &Home,
    target: &Target,
    scratch: Option<&Path>,
) -> Result<Option<Written>, Error> {
    let Some(path) = settings(ide, home) else {
        return Ok(None);
    };
    let entry = Entry::new(target.alias(), ide.word(), What::VscodeSettings);
    let scratch = scratch.map(|path| path.to_string_lossy().into_owned());
    let with = |text: &str| with_host(text, target.alias(), scratch.as_deref());
    book.put(&path, entry, with).map(Some)
}

/// The settings with a host in them; unchanged when it is there already, as whoever put it there.
pub(super) fn with_host(text: &str, alias: &str, scratch: Option<&str>) -> Result<String, String> {
    jsonc::edit(text, |object| {
        let values = [(PLATFORM, Some("linux")), (INSTALL_PATH, scratch)];
        for (key, value) in values {
            let Some(value) = value else { continue };
            let Some(hosts) = object.object_value_or_create(key) else {
                return Err(format!("`{key}` is no object"));
            };
            if hosts.get(alias).is_none() {
                hosts.ensure_multiline();
                hosts.append(alias, json!(value));
            }
        }
        Ok(())
    })
}

/// The settings without a host.
pub(super) fn without_host(text: &str, alias: &str) -> Result<String, String> {
    jsonc::edit(text, |object| {
        for key in [PLATFORM, INSTALL_PATH] {
            let Some(hosts) = object.object_value(key) else {
                continue;
            };
            let Some(ours) = hosts.get(alias) else {
                continue;
            };
            ours.remove();
            if hosts.properties().is_empty()
                && let Some(property) = object.get(key)
            {
                property.remove();
            }
        }
        Ok(())
    })
}

#[cfg(test)]
#[path = "vscode_tests.rs"]
mod tests;
