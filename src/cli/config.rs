//! `qdebug config`: every value in force and where it comes from, and whether all of it is sound.

use std::path::Path;

use serde::Serialize;

use super::args::{ConfigAction, Global};
use super::output::{harmless, table};
use super::setting::Setting;
use super::{Failure, output};
use crate::config::Value;

/// What `config --json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    format: u32,
    files: Vec<File<'a>>,
    values: &'a [Value],
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct File<'a> {
    path: &'a Path,
    found: bool,
}

/// `qdebug config [check]`.
pub(super) fn run(action: Option<&ConfigAction>, global: &Global) -> Result<u8, Failure> {
    let setting = Setting::load()?;
    if let Some(ConfigAction::Check) = action {
        setting.submit_defaults()?;
        setting.default_login()?;
    }
    let config = &setting.config;
    let files: Vec<File<'_>> = config
        .files()
        .into_iter()
        .map(|(path, found)| File { path, found })
        .collect();
    let values = config.values();
    if global.json {
        output::json(&Shown {
            format: crate::session::FORMAT,
            files,
            values: &values,
            warnings: config.warnings.iter().map(ToString::to_string).collect(),
        });
        return Ok(0);
    }
    for file in &files {
        let missing = if file.found { "" } else { " (not there)" };
        output::talk(&format!("{}{missing}", file.path.display()));
    }
    match action {
        Some(ConfigAction::Check) => output::talk(match config.warnings.len() {
            0 => "nothing is wrong",
            _ => "nothing is wrong but what the warnings say",
        }),
        None => output::data(&shown(&values)),
    }
    Ok(0)
}

fn shown(values: &[Value]) -> String {
    let row = |value: &Value| {
        vec![
            harmless(&value.key),
            harmless(&value.value.to_string()).replace('\n', " "),
            harmless(&value.origin.to_string()),
        ]
    };
    let rows: Vec<Vec<String>> = values.iter().map(row).collect();
    table(&["KEY", "VALUE", "FROM"], &rows)
}
