//! What real tools once printed, kept below `tests/fixtures`: each recording is read and judged,
//! none is forgotten.
//!
//! A folder's `verdicts.txt` says what each comes to. A recording without a verdict fails, as does
//! a verdict without its recording, or a file that belongs to none.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Error;
use crate::process::Output;

fn folder(scheduler: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(scheduler)
}

/// Every recording of a scheduler by its name; the command is the line that was typed.
fn all(scheduler: &str) -> BTreeMap<String, Output> {
    let folder = folder(scheduler);
    let read = |name: &str, ending: &str| {
        let path = folder.join(format!("{name}.{ending}"));
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
    };
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() || path.ends_with("verdicts.txt") {
            continue;
        }
        let ending = path.extension().unwrap_or_default().to_str().unwrap();
        assert!(["cmd", "out", "err", "rc"].contains(&ending), "{path:?}");
        let name = path.file_stem().unwrap().to_str().unwrap();
        let output = Output {
            command: read(name, "cmd"),
            status: read(name, "rc").trim().parse().unwrap(),
            stdout: read(name, "out"),
            stderr: read(name, "err"),
        };
        all.insert(name.to_owned(), output);
    }
    all
}

/// Holds every recording against its verdict.
#[track_caller]
pub(super) fn judge(scheduler: &str, verdict: impl Fn(&str, &Output) -> String) {
    let told = all(scheduler).into_iter().map(|(name, output)| {
        let verdict = verdict(&name, &output);
        format!("{name}: {verdict}\n")
    });
    let told: String = told.collect();
    let path = folder(scheduler).join("verdicts.txt");
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let said: Vec<&str> = told.lines().collect();
    let new = said
        .iter()
        .filter(|line| !expected.lines().any(|other| other == **line));
    let new: Vec<&&str> = new.collect();
    let lost: Vec<&str> = expected
        .lines()
        .filter(|line| !said.contains(line))
        .collect();
    assert!(
        new.is_empty() && lost.is_empty(),
        "{path:?} lacks {new:#?} and says {lost:#?}"
    );
}

/// The kind of an error, in a word.
pub(super) fn kind_of(error: &Error) -> &'static str {
    match error {
        Error::Refused { .. } => "refused",
        Error::Unreachable { .. } => "unreachable",
        Error::Unexpected { .. } => "unexpected",
        _ => "other",
    }
}
