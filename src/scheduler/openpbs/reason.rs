//! Why a job waits or ended, in plain words, from what OpenPBS' scheduler writes into its comment.
//!
//! The comments are those of the scheduler's table of errors: `Not Running: WHY` for the moment,
//! `Can Never Run: WHY` for good. A comment that is not known is told as it is.

use super::super::Reason;

/// A waiting job's reason.
pub(super) fn waiting(comment: &str) -> Option<Reason> {
    let comment = comment.trim();
    if comment.is_empty() {
        return None;
    }
    let never = comment.strip_prefix("Can Never Run:");
    let why = never
        .or_else(|| comment.strip_prefix("Not Running:"))
        .unwrap_or(comment)
        .trim();
    let text = match never {
        Some(_) => impossible(why),
        None => plain(why),
    };
    Some(Reason {
        code: comment.to_owned(),
        text,
        never: never.is_some(),
    })
}

/// A held job's reason: by whom.
pub(super) fn held(types: &str, comment: &str) -> Reason {
    let by = [
        ('u', "held by its owner (qrls)"),
        ('o', "held by an operator"),
        ('s', "held by the system"),
        ('p', "held, because its password is not accepted"),
    ];
    let by = by.iter().rev().find(|(letter, _)| types.contains(*letter));
    let by = by.map_or("held", |(_, words)| words);
    let comment = comment.trim();
    Reason {
        code: format!("Hold_Types {types}"),
        text: match comment {
            "" => by.to_owned(),
            comment => format!("{by}: {comment}"),
        },
        never: false,
    }
}

/// A job that is to begin later.
pub(super) fn begin(time: &str) -> Reason {
    Reason {
        code: "Execution_Time".to_owned(),
        text: match time {
            "" => "its begin time has not come".to_owned(),
            time => format!("its begin time has not come ({time} UTC)"),
        },
        never: false,
    }
}

/// `gpu_model (H100 != V100,P100)` of `Insufficient amount of resource: ...`, in its two parts.
fn short_of(why: &str) -> Option<(&str, &str)> {
    let rest = why.strip_prefix("Insufficient amount of ")?;
    let (_, rest) = rest.split_once("resource: ")?;
    let (resource, detail) = rest.split_once('(').unwrap_or((rest, ""));
    let detail = detail.trim().strip_suffix(')').unwrap_or(detail);
    Some((resource.trim(), detail.trim()))
}

/// Why it can never run.
fn impossible(why: &str) -> String {
    let Some((resource, detail)) = short_of(why) else {
        return plain(why);
    };
    if let Some((asked, there)) = detail.split_once(" != ") {
        let there = there.replace(',', ", ");
        return format!("no node has {resource} {asked}; there is {there}");
    }
    // `R: 64 A: 4 T: 4`: requested, available, total.
    let mut words = detail.split_whitespace();
    let mut after = |key: &str| {
        words.find(|word| *word == key)?;
        words.next()
    };
    match (after("R:"), after("T:")) {
        (Some(asked), Some(total)) => {
            format!("asks for {resource}={asked}, and there are {total} at most")
        }
        _ => format!("no node has enough {resource} ({detail})"),
    }
}

/// Why it does not run now.
fn plain(why: &str) -> String {
    if let Some((resource, _)) = short_of(why) {
        let what = match resource {
            "ngpus" => "GPUs",
            "gpu_model" | "gpu_type" | "gputype" => "GPUs of its type",
            "ncpus" => "cores",
            "mem" => "memory",
            other => return format!("waits for free {other}"),
        };
        return format!("waits for free {what}");
    }
    let known = [
        ("Queue not started", "its queue is stopped"),
        (
            "would conflict with reservation or top job",
            "a reservation or a job before it needs the nodes",
        ),
        (
            "would interfere with",
            "a reservation or a job before it needs the nodes",
        ),
        ("strict sorted order", "other jobs are before it"),
        ("job limit", "a limit of running jobs is reached"),
        ("limit on resource", "a limit of resources is reached"),
        (
            "limit reached on resource",
            "a limit of resources is reached",
        ),
        ("edicated", "the machine is reserved for dedicated time"),
        ("only runs in", "its queue runs at other hours"),
        (
            "would cross into",
            "it would run into hours its queue does not run in",
        ),
        ("Not enough free nodes", "waits for free nodes"),
        ("No available resources on nodes", "waits for free nodes"),
        ("Nodes not available", "waits for free nodes"),
        ("zero shares", "its owner has no share left"),
        ("too few free resources", "waits for free nodes"),
    ];
    match known.iter().find(|(words, _)| why.contains(words)) {
        Some((_, text)) => (*text).to_owned(),
        None => why.to_owned(),
    }
}

/// Who ended a job: `... and terminated by alice@login`.
pub(super) fn terminated_by(comment: &str) -> Option<String> {
    let (_, by) = comment.rsplit_once(" terminated by ")?;
    let by = by.split_whitespace().next()?;
    Some(by.to_owned())
}

/// PBS' own reasons to end a job (job.h, `JOB_EXEC_`).
pub(super) fn ended(exit: i32) -> String {
    let text = match exit {
        -1 | -2 => "PBS could not start it",
        -3 | -11 | -14 | -15 => "PBS gave it up to run it again",
        -6..=-4 => "the node's PBS daemon was restarted",
        -10 => "its user is not known on the node",
        -13 => "its password was not accepted",
        -19..=-16 | -22 => "a hook of the site ended it",
        -21 | -23 => "PBS refused it for its credentials",
        -24 | -25 => "it used more cores than it had",
        -28 => "its CPU time is over",
        -30 => "its nodes did not find together",
        _ => return format!("PBS ended it with {exit}"),
    };
    format!("{text} ({exit})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_never_run_is_told_as_such_with_what_there_is() {
        let reason = waiting(
            "Can Never Run: Insufficient amount of resource: gpu_model (H100 != V100,P100)",
        )
        .unwrap();
        assert!(reason.never);
        assert_eq!(
            reason.text,
            "no node has gpu_model H100; there is V100, P100"
        );
        let reason =
            waiting("Can Never Run: Insufficient amount of resource: ngpus (R: 64 A: 4 T: 4)");
        assert_eq!(
            reason.unwrap().text,
            "asks for ngpus=64, and there are 4 at most"
        );
        assert!(
            waiting("Can Never Run: Not enough total nodes available")
                .unwrap()
                .never
        );
    }

    #[test]
    fn what_waits_is_told_in_plain_words() {
        for (comment, text) in [
            (
                "Not Running: Insufficient amount of resource: gpu_model ",
                "waits for free GPUs of its type",
            ),
            (
                "Not Running: Insufficient amount of server resource: licence (R: 1 A: 0 T: 4)",
                "waits for free licence",
            ),
            (
                "Not Running: User has reached queue workq running job limit.",
                "a limit of running jobs is reached",
            ),
            ("Not Running: Queue not started.", "its queue is stopped"),
            ("Not Running: something new", "something new"),
        ] {
            let reason = waiting(comment).unwrap();
            assert_eq!(
                (reason.text.as_str(), reason.never),
                (text, false),
                "{comment}"
            );
        }
        assert_eq!(waiting(" "), None);
    }

    #[test]
    fn held_jobs_say_by_whom() {
        assert_eq!(held("u", "").text, "held by its owner (qrls)");
        assert_eq!(
            held("us", "job held, too many failed attempts to run").text,
            "held by the system: job held, too many failed attempts to run"
        );
        let by = terminated_by("Job run at x on (n:ncpus=1) and terminated by alice@login");
        assert_eq!(by.as_deref(), Some("alice@login"));
        assert_eq!(terminated_by("Not Running: x  and terminated"), None);
    }
}
