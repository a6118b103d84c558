//! What the user reads: stdout is data, stderr is talk. Nothing else in qdebug prints.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot::{self, Receiver};

use crate::platform;

/// How often it is looked at whether somebody still reads.
const LOOK: Duration = Duration::from_secs(1);

/// Whether data was lost on its way out.
static INCOMPLETE: AtomicBool = AtomicBool::new(false);

/// Whether something of the answer could not be written, as on a full disk; it was told then.
pub(super) fn is_incomplete() -> bool {
    INCOMPLETE.load(Ordering::Relaxed)
}

/// Whether the reader of data was found to have gone.
static UNREAD: AtomicBool = AtomicBool::new(false);

/// Tells of data that could not be written, once. A reader that went away (`| head`) is no error.
fn written(result: io::Result<()>) {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            UNREAD.store(true, Ordering::Relaxed);
        }
        Err(error) if !INCOMPLETE.swap(true, Ordering::Relaxed) => {
            talk(&format!("error: cannot write the answer: {error}"));
        }
        _ => {}
    }
}

/// Resolves when nobody reads data any more, as behind `| head`, and where the ssh that this runs
/// behind has been ended: without a terminal no signal tells of that.
pub(super) async fn unread() {
    while !UNREAD.load(Ordering::Relaxed) && !platform::is_unread(io::stdout()) {
        tokio::time::sleep(LOOK).await;
    }
}

/// Resolves when nobody reads talk any more either.
#[cfg(target_os = "linux")]
pub(super) async fn unheard() {
    while !(platform::is_unread(io::stdout()) && platform::is_unread(io::stderr())) {
        tokio::time::sleep(LOOK).await;
    }
}

/// Prints one line of data on stdout.
pub(super) fn data(line: &str) {
    let mut out = anstream::stdout();
    written(writeln!(out, "{line}").and_then(|()| out.flush()));
}

/// Prints bytes of data on stdout as they are and at once.
pub(super) fn raw(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    written(out.write_all(bytes).and_then(|()| out.flush()));
}

/// Prints a value as JSON on stdout.
pub(super) fn json<T: Serialize>(value: &T) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => data(&text),
        Err(error) => talk(&format!("a bug: this answer has no JSON form: {error}")),
    }
}

/// Says one line on stderr. Much of it comes from outside (ssh, the cluster, the engine), so
/// control characters are shown, not obeyed.
pub(super) fn talk(line: &str) {
    let _ = writeln!(anstream::stderr(), "{}", harmless(line));
}

/// Asks on the terminal, where Enter means yes; `None` when there is none to ask on. It may be
/// dropped like [`ask`].
pub(super) async fn confirm(question: &str) -> Option<bool> {
    asked(&format!("{question} [Y/n]"), true).await
}

/// The same for what changes a machine for everybody: Enter means no.
#[cfg(target_os = "linux")]
pub(super) async fn confirm_surely(question: &str) -> Option<bool> {
    asked(&format!("{question} [y/N]"), false).await
}

async fn asked(question: &str, by_enter: bool) -> Option<bool> {
    if !is_attended() {
        return None;
    }
    let answer = ask(question).await?;
    Some(match answer.trim().to_lowercase().as_str() {
        "" => by_enter,
        answer => matches!(answer, "y" | "yes"),
    })
}

/// Whether somebody sits at a terminal who can read a question and answer it.
pub(super) fn is_attended() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Puts a question on the terminal and gives the line that answers it, `None` at the end of input.
/// It may be dropped, and the program end, while nobody answers.
pub(super) async fn ask(question: &str) -> Option<String> {
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "{} ", harmless(question)).and_then(|()| stderr.flush());
    let mut line = Line::awaited();
    let answer = line.0.as_mut()?.await;
    line.0 = None;
    answer.ok().flatten()
}

/// The next line of the terminal, which is being read. A read cannot be called off: where its
/// question was dropped, the next question gets its line.
struct Line(Option<Receiver<Option<String>>>);

/// The line that is being read while no question waits for it.
static UNCLAIMED: Mutex<Option<Receiver<Option<String>>>> = Mutex::new(None);

impl Line {
    fn awaited() -> Self {
        let unclaimed = UNCLAIMED.lock().ok().and_then(|mut kept| kept.take());
        let receiver = unclaimed.unwrap_or_else(|| {
            let (give, answer) = oneshot::channel();
            // No task of the runtime's, whose end would wait for the line.
            std::thread::spawn(move || {
                let mut line = String::new();
                let read = std::io::stdin().read_line(&mut line);
                let _ = give.send(read.ok().filter(|length| *length > 0).map(|_| line));
            });
            answer
        });
        Self(Some(receiver))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let (Some(receiver), Ok(mut kept)) = (self.0.take(), UNCLAIMED.lock()) {
            *kept = Some(receiver);
        }
    }
}

/// What came from outside, fit for a terminal: control characters are shown, not obeyed.
pub(super) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{FFFD}'
            } else {
                c
            }
        })
        .collect()
}

/// Rows under headings, columns aligned by two spaces; the last column is not padded.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let longest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        longest.max(headings[column].chars().count())
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let last = cells.len().saturating_sub(1);
        let padded = cells.iter().enumerate().map(|(column, cell)| {
            if column == last {
                (*cell).to_owned()
            } else {
                format!("{cell:<width$}  ", width = widths[column])
            }
        });
        padded.collect::<String>().trim_end().to_owned()
    };
    let mut lines = vec![line(headings.to_vec())];
    lines.extend(
        rows.iter()
            .map(|row| line(row.iter().map(String::as_str).collect())),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_whatever_is_in_them() {
        let rows = [vec!["ä".into(), "1".into()], vec!["long".into(), "".into()]];
        assert_eq!(table(&["NAME", "N"], &rows), "NAME  N\nä     1\nlong");
    }

    #[test]
    fn escape_sequences_are_shown_not_obeyed() {
        assert_eq!(harmless("a\x1b[31mb\nc"), "a\u{FFFD}[31mb\nc");
    }
}
