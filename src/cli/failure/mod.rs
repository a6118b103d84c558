//! Errors as the user sees them: what happened, why, what to do, and the exit code. Made from the
//! typed errors of the halves here and nowhere else: `login`, `node` and `laptop` say what each
//! of their errors means.

mod ide;
mod laptop;
#[cfg(target_os = "linux")]
mod login;
#[cfg(target_os = "linux")]
mod node;

#[cfg(target_os = "linux")]
pub(super) use node::explain;
use serde::Serialize;

use super::{Exit, output};

/// A command that did not do what it was asked.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
}

/// What `--json` prints of a failure, on stdout.
#[derive(Serialize)]
struct Told<'a> {
    error: &'a str,
    causes: &'a [String],
    hints: &'a [String],
    code: u8,
}

impl Failure {
    /// A failure in words of our own.
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// A failure with an error's message and the chain of its causes.
    pub(super) fn of(exit: Exit, error: &dyn std::error::Error) -> Self {
        let mut failure = Self::new(exit, error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Transparent wrappers repeat what they wrap.
            if failure.message != text && !failure.causes.contains(&text) {
                failure.causes.push(text);
            }
            source = cause.source();
        }
        failure
    }

    /// A command line that clap has refused, from its own text: the sentence, and what it advises.
    pub(super) fn of_usage(text: &str) -> Self {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or_default();
        let message = first.strip_prefix("error: ").unwrap_or(first);
        let mut failure = Self::new(Exit::Usage, message);
        for line in lines {
            let Some((head, rest)) = line.split_once(": ") else {
                // What belongs to the sentence, such as the names of missing flags.
                if !line.starts_with("For more information") {
                    failure.message = format!("{} {line}", failure.message);
                }
                continue;
            };
            match head {
                "tip" => failure = failure.hint(rest),
                "Usage" => failure = failure.hint(format!("usage: {rest}")),
                _ => failure.message = format!("{} {line}", failure.message),
            }
        }
        failure
    }

    /// The exit code it ends with.
    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    /// What happened.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Why.
    pub(super) fn causes(&self) -> &[String] {
        &self.causes
    }

    /// What to do about it.
    pub(super) fn hints(&self) -> &[String] {
        &self.hints
    }

    /// Adds what to do about it.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Puts what it is about before the message.
    pub(super) fn about(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The session ended or failed while it was waited for.
    pub(super) fn over(status: &crate::session::Status) -> Self {
        let line = super::show::line(status);
        let failure = Self::new(
            Exit::SessionOver,
            format!("{} is over: {line}", status.name),
        );
        let failure = match &status.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        };
        failure.hint(format!("`qdebug logs {}` shows what happened", status.name))
    }

    /// The same as a line with its causes and hints below, for what does not end the command.
    pub(super) fn lines(&self) -> String {
        let causes = self.causes.iter();
        let causes = causes.map(|cause| format!("\n  because: {}", cause.trim_end()));
        let hints = self.hints.iter().map(|hint| format!("\n  hint: {hint}"));
        let message = std::iter::once(self.message.clone());
        message.chain(causes).chain(hints).collect()
    }

    /// Says it, on stderr and with `json` on stdout too; returns the exit code.
    pub(super) fn tell(&self, json: bool) -> u8 {
        output::talk(&format!("error: {}", self.message));
        for cause in &self.causes {
            output::talk(&format!("  because: {}", cause.trim_end()));
        }
        for hint in &self.hints {
            output::talk(&format!("  hint: {hint}"));
        }
        if json {
            self.tell_json();
        }
        self.exit.code()
    }

    /// What scripts read of it, on stdout.
    pub(super) fn tell_json(&self) {
        output::json(&Told {
            error: &self.message,
            causes: &self.causes,
            hints: &self.hints,
            code: self.exit.code(),
        });
    }
}

impl From<crate::config::Error> for Failure {
    fn from(error: crate::config::Error) -> Self {
        Self::of(Exit::Config, &error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let exit = match error.kind() {
            std::io::ErrorKind::PermissionDenied => Exit::Permission,
            _ => Exit::Failed,
        };
        Self::of(exit, &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_command_line_keeps_its_sentence_and_advice() {
        let text = "error: unexpected argument '--walltme' found\n\n  tip: a similar argument exists: \
                    '--walltime'\n\nUsage: qdebug submit --walltime <TIME>\n\nFor more information, \
                    try '--help'.\n";
        let failure = Failure::of_usage(text);
        assert_eq!(failure.message, "unexpected argument '--walltme' found");
        let hints = [
            "a similar argument exists: '--walltime'",
            "usage: qdebug submit --walltime <TIME>",
        ];
        assert_eq!(failure.hints, hints);
        let missing = "error: the following required arguments were not provided:\n  <JOB>\n\nUsage: \
                       qdebug status <JOB>\n";
        let failure = Failure::of_usage(missing);
        assert!(
            failure.message.ends_with("not provided: <JOB>"),
            "{failure:?}"
        );
        assert_eq!(failure.exit().code(), 2);
    }
}
