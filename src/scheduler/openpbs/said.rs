//! What OpenPBS' tools say when they do not do what they were asked, and what helps.
//!
//! The words on stderr are the truth: the exit code is the low byte of PBS' own number, and that of
//! the last failure where several jobs were asked for. Only where there are no words it decides.

use super::super::{Error, JobSpec};
use crate::process::Output;

/// What one line on stderr means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Said {
    /// The server does not know the job (any more).
    UnknownJob,
    /// The job is over.
    Finished,
    /// The server keeps no history: ask again without `-x`.
    NoHistory,
    /// An id of a server that is not known here.
    ForeignJob,
    /// Not this user's, or hidden from them.
    Unauthorized,
    /// The state does not allow it, as when the job is ending.
    BadState,
    /// The server does not reach the job's node.
    NodeDown,
    /// The server does not answer.
    Unreachable,
    /// Anything else.
    Other,
}

/// What a tool's run means, line by line.
pub(super) fn all(output: &Output) -> Vec<Said> {
    let lines = output.stderr.lines().filter(|line| !line.trim().is_empty());
    let said: Vec<Said> = lines.map(of_line).collect();
    if said.is_empty() && output.status != 0 {
        return vec![of_status(output.status)];
    }
    said
}

fn of_line(line: &str) -> Said {
    let line = line.to_lowercase();
    let has = |words: &str| line.contains(words);
    if has("not configured to maintain job history") {
        Said::NoHistory
    } else if has("unknown job id") {
        Said::UnknownJob
    } else if has("job has finished") {
        Said::Finished
    } else if has("illegally formed job identifier") || has("unknown queue destination") {
        Said::ForeignJob
    } else if has("unauthorized request") || has("no permission") {
        Said::Unauthorized
    } else if has("invalid for state of job") {
        Said::BadState
    } else if has("could not connect to mom") {
        Said::NodeDown
    } else if UNREACHABLE.iter().any(|words| has(words)) {
        Said::Unreachable
    } else {
        Said::Other
    }
}

/// Words of a server that is away, that is full, or whose answer was lost.
const UNREACHABLE: [&str; 11] = [
    "couldn't connect to cluster",
    "cannot connect to server",
    "connection refused",
    "connection timed out",
    "no route to host",
    "end of file",
    "communication failure",
    "server shutting down",
    "server is busy",
    "premature end of message",
    "no server host",
];

fn of_status(status: i32) -> Said {
    match status {
        153 => Said::UnknownJob,
        35 => Said::Finished,
        159 => Said::Unauthorized,
        168 => Said::BadState,
        222 => Said::NodeDown,
        162 | 255 => Said::Unreachable,
        _ => Said::Other,
    }
}

/// The words themselves, without the tool's name.
pub(super) fn words(output: &Output) -> String {
    let word = |line: &str| {
        let line = line.trim();
        let named = line.split_once(": ");
        let tool = |name: &str| name.starts_with('q') && !name.contains(' ');
        let line = named
            .filter(|(name, _)| tool(name))
            .map_or(line, |(_, rest)| rest);
        line.trim().to_owned()
    };
    let lines: Vec<String> = output
        .stderr
        .lines()
        .map(word)
        .filter(|line| !line.is_empty())
        .collect();
    match lines.is_empty() {
        true => format!("status {}", output.status),
        false => lines.join("; "),
    }
}

/// Whether the server did not answer.
pub(super) fn is_lost(output: &Output) -> bool {
    output.status != 0 && all(output).contains(&Said::Unreachable)
}

/// A failure as an error: a server that is away, or a no.
pub(super) fn failure(output: &Output) -> Error {
    let (command, said) = (output.command.clone(), words(output));
    if all(output).contains(&Said::Unreachable) {
        Error::Unreachable { command, said }
    } else {
        Error::Refused {
            command,
            said,
            hint: None,
        }
    }
}

/// A refusal of a submission that has a cure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no such queue, or not for this: the queues tell.
    Queue,
    /// More than a queue or the server allows: the queues tell.
    Limits,
    /// Anything else.
    Known(String),
}

/// What qsub's words mean.
pub(super) fn refusal(output: &Output, spec: &JobSpec) -> Option<Refusal> {
    let said = words(output).to_lowercase();
    let has = |words: &str| said.contains(words);
    let status = |status: i32| output.status == status;
    let known = |hint: &str| Some(Refusal::Known(hint.to_owned()));
    if has("unknown resource") || status(187) {
        let kind = spec.gpus.as_ref().and_then(|gpus| gpus.kind.as_deref());
        return Some(Refusal::Known(unknown_resource(kind)));
    }
    if has("unknown queue") || status(170) {
        return Some(Refusal::Queue);
    }
    if has("violates queue and/or server resource limits") || status(188) {
        return Some(Refusal::Limits);
    }
    if has("queue is not enabled") || has("not authorized to use") {
        return Some(Refusal::Queue);
    }
    if has("resource_list.walltime") {
        return known("OpenPBS does not take this walltime; give another by `-w`");
    }
    if has("maximum number of jobs") || has("would exceed") {
        return known("end one of your jobs first; `qdebug list` shows your sessions");
    }
    if has("unauthorized request") || status(159) {
        return known("this queue or project may not be for you; `qstat -Qf` shows queues");
    }
    if has("bad uid") || has("bad gid") || has("access from host") || has("no password entry") {
        return known("the server does not accept this account or host; ask its admin");
    }
    None
}

/// The resource that asks for a GPU type has another name at each site.
fn unknown_resource(kind: Option<&str>) -> String {
    let table = kind.unwrap_or("TYPE");
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let table = match table.chars().all(plain) {
        true => table.to_owned(),
        false => format!("{table:?}"),
    };
    format!(
        "this server names its GPUs by another resource (`pbsnodes -a` shows which); \
         say so in the site file: `openpbs = \"...\"` in [gpus.{table}]"
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::command::tests::spec;
    use super::*;

    fn output(status: i32, stderr: &str) -> Output {
        Output {
            command: "qsub".to_owned(),
            status,
            stdout: String::new(),
            stderr: stderr.to_owned(),
        }
    }

    #[test]
    fn a_lost_server_is_no_refusal() {
        for (status, said) in [
            (162, ""),
            (
                255,
                "Connection refused\nqstat: cannot connect to server login (errno=15010)\n",
            ),
            (183, "qstat: End of File\n"),
            (162, "Couldn't connect to cluster: opbs\n"),
        ] {
            let error = failure(&output(status, said));
            assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        }
        let error = failure(&output(159, "qdel: Unauthorized Request  16.lab\n"));
        assert!(
            matches!(&error, Error::Refused { said, .. } if said == "Unauthorized Request  16.lab"),
            "{error:?}"
        );
    }

    #[test]
    fn refusals_get_their_cure() {
        let cure = |status, said: &str| refusal(&output(status, said), &spec());
        assert_eq!(cure(170, "qsub: Unknown queue\n"), Some(Refusal::Queue));
        assert_eq!(cure(188, ""), Some(Refusal::Limits));
        let Some(Refusal::Known(hint)) = cure(187, "qsub: Unknown resource: gpu_model\n") else {
            panic!("no hint");
        };
        assert!(
            hint.contains("[gpus.V100]") && hint.contains("openpbs ="),
            "{hint}"
        );
        assert!(unknown_resource(Some("a]\nb")).contains("[gpus.\"a]\\nb\"]"));
        assert_eq!(cure(1, "qsub: what?"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(status in any::<i32>(), text in "(?s).{0,200}|qsub: [a-zA-Z: ]{0,40}") {
            let output = output(status, &text);
            let _ = (all(&output), words(&output), failure(&output), refusal(&output, &spec()));
        }
    }
}
