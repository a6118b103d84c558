//! `qdebug ide`: what is written for IDEs on this machine, and taking it away.

use std::path::Path;

use serde::Serialize;

use super::args::{self, Global};
use super::output::{harmless, table};
use super::{Exit, Failure, output};
use crate::ide::{Cleaned, Listed, What};
use crate::laptop::{self, Paths};

/// What `ide list --json` prints.
#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    entries: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    session: &'a str,
    ide: &'a str,
    what: &'static str,
    path: &'a Path,
    /// Whether this machine knows the session no more.
    stale: bool,
}

/// What `ide clean --json` prints.
#[derive(Serialize)]
struct Gone<'a> {
    format: u32,
    gone: Vec<Entry<'a>>,
    restored: &'a [std::path::PathBuf],
    left: Vec<String>,
}

impl args::Ide {
    pub(super) async fn run(self, global: &Global) -> Result<u8, Failure> {
        let paths = Paths::of_user()?;
        match self {
            Self::List => list(&paths, global.json).await,
            Self::Clean { job } => {
                let cleaned = laptop::clean(&paths, job.as_deref()).await;
                let cleaned = cleaned.map_err(|error| {
                    let failure = Failure::from(&error);
                    match failure.exit() {
                        Exit::NoSuchSession => Failure::new(
                            Exit::NoSuchSession,
                            format!("nothing is written for {:?}", job.unwrap_or_default()),
                        )
                        .hint("`qdebug ide list` tells what is written"),
                        _ => failure,
                    }
                })?;
                Ok(told(&cleaned, global.json))
            }
        }
    }
}

async fn list(paths: &Paths, json: bool) -> Result<u8, Failure> {
    let written = laptop::written(paths).await?;
    if json {
        let entries = written
            .iter()
            .map(|(listed, is_known)| entry(listed, !is_known));
        output::json(&Written {
            format: crate::session::FORMAT,
            entries: entries.collect(),
        });
        return Ok(0);
    }
    if written.is_empty() {
        output::talk("nothing is written for any IDE");
        return Ok(0);
    }
    let row = |(listed, is_known): &(Listed, bool)| {
        let state = if *is_known { "known" } else { "over" };
        vec![
            name(&listed.entry.alias).to_owned(),
            state.to_owned(),
            harmless(&listed.entry.ide),
            what(&listed.entry.what).to_owned(),
            harmless(&listed.path.to_string_lossy()),
        ]
    };
    let rows: Vec<Vec<String>> = written.iter().map(row).collect();
    output::data(&table(&["SESSION", "STATE", "IDE", "WHAT", "FILE"], &rows));
    if let Some((stale, _)) = written.iter().find(|(_, is_known)| !is_known) {
        output::talk(&format!(
            "of a session that is over: `qdebug ide clean {}` takes it away",
            name(&stale.entry.alias)
        ));
    }
    Ok(0)
}

fn told(cleaned: &Cleaned, json: bool) -> u8 {
    let left = cleaned.left.iter();
    let left: Vec<Failure> = left.map(Failure::from).collect();
    for listed in &cleaned.gone {
        let (path, session) = (listed.path.display(), name(&listed.entry.alias));
        let what = what(&listed.entry.what);
        output::talk(&match cleaned.restored.contains(&listed.path) {
            true => format!("{session}: {what}: {path} is as it was before"),
            false => format!("{session}: {what}: taken out of {path}"),
        });
    }
    if cleaned.gone.is_empty() && left.is_empty() {
        output::talk("nothing is written for any IDE");
    }
    for failure in &left {
        output::talk(&format!("error: {}", failure.lines()));
    }
    if json {
        output::json(&Gone {
            format: crate::session::FORMAT,
            gone: cleaned
                .gone
                .iter()
                .map(|listed| entry(listed, false))
                .collect(),
            restored: &cleaned.restored,
            left: cleaned.left.iter().map(ToString::to_string).collect(),
        });
    }
    left.first().map_or(0, |failure| failure.exit().code())
}

fn entry(listed: &Listed, stale: bool) -> Entry<'_> {
    Entry {
        session: name(&listed.entry.alias),
        ide: &listed.entry.ide,
        what: what(&listed.entry.what),
        path: &listed.path,
        stale,
    }
}

fn name(alias: &str) -> &str {
    alias.strip_prefix("qdebug-").unwrap_or(alias)
}

fn what(what: &What) -> &'static str {
    match what {
        What::VscodeSettings => "settings",
        What::Launch { .. } => "launch",
        What::SshConfig => "ssh-config",
        What::WebServer => "server",
        What::Deployment => "deployment",
        What::Other => "unknown",
    }
}
