//! How `connect` and `up` open an IDE, and what they say about it.

use std::path::PathBuf;

use super::Failure;
use super::output::harmless;
use crate::config::Config;
use crate::ide::Ide;
use crate::laptop::{Cluster, IdeEvent, Opening, Place};

/// What is to be opened, with what the configuration says of the cluster.
pub(super) fn of(
    ide: Option<Ide>,
    workspace: Option<PathBuf>,
    cluster: &Cluster,
    config: &Config,
) -> Result<Option<Opening>, Failure> {
    let Some(ide) = ide else { return Ok(None) };
    let scratch = match cluster.place() {
        Place::Here => None,
        Place::Login { login, .. } => {
            let profile = config.profile_of_login(&login);
            profile.and_then(|(_, profile)| profile.scratch.clone())
        }
    };
    let workspace = match workspace {
        Some(given) => Some(std::path::absolute(given)?),
        None => {
            let here = std::env::current_dir()?;
            here.join(".idea").is_dir().then_some(here)
        }
    };
    Ok(Some(Opening {
        ide,
        scratch,
        workspace,
    }))
}

/// What has happened, in words.
pub(super) fn told(event: &IdeEvent) -> String {
    match event {
        IdeEvent::Lacks(ide, lacks) => {
            let lines = lacks.iter().map(|lack| format!("\n  {}", harmless(lack)));
            let lines: String = lines.collect();
            format!("{ide} may not get on in this image:{lines}")
        }
        IdeEvent::Wrote(_, written) if !written.changed => String::new(),
        IdeEvent::Wrote(ide, written) => {
            let path = written.path.display();
            match &written.backup {
                None => format!("{ide}: wrote {path} (`qdebug ide clean` takes it away)"),
                Some(backup) => format!(
                    "{ide}: changed {path} (as it was before: {}; `qdebug ide clean` puts it back)",
                    backup.display()
                ),
            }
        }
        IdeEvent::NotWritten(ide, error) => {
            let failure = Failure::from(&**error);
            format!(
                "warning: {ide} is not told of the session and will ask for its platform (Linux): {}",
                failure.lines()
            )
        }
        IdeEvent::NeedsExtension(ide, extension) => format!(
            "{ide} lacks its extension for this; install it: {} --install-extension {extension}",
            ide.word()
        ),
        IdeEvent::Opened(ide, command) => format!("{ide} is opened: {command}"),
        IdeEvent::Failed(error) => {
            let failure = Failure::from(&**error);
            format!("not opened in the IDE: {}", failure.lines())
        }
    }
}
