//! The table of `pbs/README.md`: a row for each blow, a column for each scheduler.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::witness::Cleanup;
use crate::scheduler::{Scheduler, here};

/// What stands before the table's head.
const MARK: &str = "<!-- table: made by the tests -->";
const HEAD: &str = "| blow | OpenPBS | Torque | Slurm |\n|---|---|---|---|\n";

/// One test at a time reads and writes the file.
static FILE: Mutex<()> = Mutex::new(());

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("pbs/README.md")
}

fn column() -> usize {
    match here() {
        Scheduler::OpenPbs => 0,
        Scheduler::Torque => 1,
        Scheduler::Slurm => 2,
    }
}

/// Holds what was seen of a blow against its row, or writes it there.
#[track_caller]
pub(super) fn hold(text: &str, by: &[Cleanup], seen: &str) {
    let _one = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let readme = std::fs::read_to_string(path()).expect("pbs/README.md");
    let (before, after) = readme.split_once(MARK).expect("the mark of the table");
    let (table, after) = split(after);
    let mut rows = rows(table);
    if std::env::var_os("QDEBUG_TEST_WRITE").is_some() {
        let row = match rows.iter_mut().find(|(blow, _)| blow == text) {
            Some((_, cells)) => cells,
            None => {
                rows.push((text.to_owned(), Default::default()));
                &mut rows.last_mut().expect("a row").1
            }
        };
        row[column()] = seen.to_owned();
        let table: String = rows.iter().map(line).collect();
        let all = format!("{before}{MARK}\n\n{HEAD}{table}{after}");
        std::fs::write(path(), all).expect("pbs/README.md");
        return;
    }
    let row = rows.iter().find(|(blow, _)| blow == text);
    let (_, cells) = row.unwrap_or_else(|| panic!("no row for {text:?} in pbs/README.md"));
    let told = &cells[column()];
    let fits = by.iter().any(|by| told.starts_with(&by.to_string()));
    assert!(
        fits,
        "pbs/README.md tells of {text:?}: {told:?}; seen now: {seen}"
    );
}

/// The table, and what follows it.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches('\n');
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        if !line.starts_with('|') {
            break;
        }
        end += line.len();
    }
    text.split_at(end)
}

fn rows(table: &str) -> Vec<(String, [String; 3])> {
    let cells = |line: &str| -> Option<(String, [String; 3])> {
        let mut cells = line.trim().trim_matches('|').split(" | ").map(str::trim);
        let mut next = || cells.next().map(str::to_owned);
        Some((next()?, [next()?, next()?, next()?]))
    };
    table.lines().skip(2).filter_map(cells).collect()
}

fn line((blow, cells): &(String, [String; 3])) -> String {
    let told = |cell: &String| match cell.as_str() {
        "" => "not run".to_owned(),
        cell => cell.to_owned(),
    };
    let [openpbs, torque, slurm] = [0, 1, 2].map(|at| told(&cells[at]));
    format!("| {blow} | {openpbs} | {torque} | {slurm} |\n")
}
