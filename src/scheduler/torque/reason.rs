//! Why a job waits, how it ended and why it was refused, in plain words.

use std::collections::BTreeSet;

use super::super::{JobEnd, Reason};
use crate::text::nearest;

/// Why a job waits: its state's letter, its holds and the scheduler's comment. Torque's server
/// refuses at once what no node can ever have, so few waits are for ever.
pub(super) fn waiting(state: &str, holds: &str, comment: Option<&str>) -> Option<Reason> {
    // The comment of an earlier run stays.
    let comment = comment.filter(|text| !text.starts_with("Job started"));
    let (code, text) = match (state, comment) {
        ("H", _) if holds.contains('o') || holds.contains('s') => {
            ("hold", "held by an admin".to_owned())
        }
        ("H", _) if holds.contains('u') => ("hold", "held by its owner (qrls)".to_owned()),
        ("W", _) => ("wait", "its start time (qsub -a) has not come".to_owned()),
        (_, Some(comment)) => (comment, in_plain_words(comment)),
        ("H", None) => ("hold", "held".to_owned()),
        (_, None) => return None,
    };
    Some(Reason {
        code: code.to_owned(),
        never: comment.is_some_and(|text| text.to_lowercase().contains("never run")),
        text,
    })
}

/// `Not Running: Not enough of the right type of nodes are available`, as pbs_sched says it; Moab
/// and Maui say it in their own words.
fn in_plain_words(comment: &str) -> String {
    let words = comment.strip_prefix("Not Running:").unwrap_or(comment);
    let words = words.trim();
    if words.is_empty() { comment } else { words }.to_owned()
}

/// How a job ended, by its exit status: of the job up to 255, 256 and the signal, and pbs_mom's
/// own below 0 (JOB_EXEC_* of its pbs_job.h). None at all is that of a job deleted before it ran;
/// after a restart of pbs_mom or a crash of the node it is 0, which cannot be told apart.
pub(super) fn end(exit_status: Option<&str>) -> JobEnd {
    let Some(text) = exit_status else {
        return JobEnd::Cancelled { by: None };
    };
    let other = |text: &str| JobEnd::Other(text.to_owned());
    match text.parse::<i32>() {
        Ok(0) => JobEnd::Completed,
        // Nobody but qdel sends a whole job SIGTERM.
        Ok(271) => JobEnd::Cancelled { by: None },
        Ok(status @ 257..) => JobEnd::Signalled {
            signal: status - 256,
        },
        Ok(exit @ 1..) => JobEnd::Failed { exit },
        Ok(-11) => JobEnd::Walltime,
        Ok(-10) => JobEnd::OutOfMemory,
        Ok(-12) => other("it used more processor time than it had"),
        Ok(-1) => other("the node could not start it"),
        Ok(-2 | -14) => other("the node's prologue failed"),
        Ok(-4..=-3) => other("the node gave it up"),
        Ok(-8) => other("the node could not run its shell or script"),
        Ok(-9) => other("the node could not make its output file"),
        Ok(-13) => other("the node could not make its cgroup"),
        Ok(_) | Err(_) => other(&format!("exit status {text}")),
    }
}

/// A refusal that has a sure cure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No node has what was asked for.
    NoSuchNode,
    /// Anything else with one cure.
    Known(&'static str),
}

/// What an exit status of qsub or qdel means: the server's error number, its low byte.
pub(super) fn of_refusal(status: i32, said: &str) -> Option<Refusal> {
    let known = |hint| Some(Refusal::Known(hint));
    match status {
        190 if said.contains("feasible nodes") => Some(Refusal::NoSuchNode),
        190 => known("ask for less; `qstat -Q -f` shows the limits of each queue"),
        189 => known("this server has no resource of that name; leave it out"),
        172 => known("`qstat -q` lists the queues"),
        175 => known("the queue takes no jobs now; `qstat -q` lists the others"),
        177 => known("this machine may not submit; use the login node"),
        168 => known("one of the options has a value of a wrong form"),
        159 => known("the job or queue belongs to somebody else"),
        224 => known("the job's node is down: the job ends when it is back, or by an admin"),
        _ => None,
    }
}

/// The cure of [`Refusal::NoSuchNode`].
pub(super) fn no_such_node(asked: Option<&str>, known: &BTreeSet<String>) -> String {
    let listed: Vec<&str> = known.iter().map(String::as_str).collect();
    let listed = listed.join(", ");
    match asked {
        Some(asked) if known.contains(asked) => {
            // The server says the same of nodes that it has not heard of since it began.
            format!(
                "no node that is up has that many {asked}, cores or memory at once; `pbsnodes -l` \
                 shows which are down, all of them in the first minute of a server"
            )
        }
        Some(asked) if !known.is_empty() => {
            match nearest(asked, known.iter().map(String::as_str)) {
                Some(near) => format!(
                    "no node has the property {asked}; did you mean {near}? there are: {listed}"
                ),
                None => format!("no node has the property {asked}; there are: {listed}"),
            }
        }
        _ => "ask for less; `pbsnodes -a` shows what nodes have, and which are down".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart() {
        for (status, end) in [
            (Some("0"), JobEnd::Completed),
            (Some("3"), JobEnd::Failed { exit: 3 }),
            (Some("271"), JobEnd::Cancelled { by: None }),
            (Some("265"), JobEnd::Signalled { signal: 9 }),
            (Some("-11"), JobEnd::Walltime),
            (Some("-10"), JobEnd::OutOfMemory),
            (None, JobEnd::Cancelled { by: None }),
        ] {
            assert_eq!(super::end(status), end, "{status:?}");
        }
        for prologue in ["-2", "-14"] {
            assert!(end(Some(prologue)).to_string().contains("prologue"));
        }
        for odd in ["x", "", "99999999999", "-99"] {
            assert!(matches!(end(Some(odd)), JobEnd::Other(_)), "{odd}");
        }
    }

    #[test]
    fn reasons_are_plain() {
        let text = |state, holds, comment| waiting(state, holds, comment).unwrap().text;
        assert_eq!(text("Q", "n", Some("Not Running: Draining")), "Draining");
        assert!(text("H", "u", None).contains("qrls"));
        assert_eq!(text("H", "os", None), "held by an admin");
        assert!(waiting("Q", "n", Some("Job started on Mon")).is_none());
        assert!(waiting("Q", "n", None).is_none());
        let never = Some("Not Running: Job will never run with the resources");
        assert!(waiting("Q", "n", never).unwrap().never);
    }

    #[test]
    fn an_unknown_property_gets_those_there_are() {
        let known = BTreeSet::from(["P100".to_owned(), "V100".to_owned()]);
        let hint = no_such_node(Some("V10"), &known);
        assert!(
            hint.contains("did you mean V100") && hint.contains("P100, V100"),
            "{hint}"
        );
        let hint = no_such_node(Some("V100"), &known);
        assert!(
            hint.contains("that many") && hint.contains("pbsnodes -l"),
            "{hint}"
        );
        assert!(no_such_node(None, &known).contains("ask for less"));
    }
}
