//! GPUs by Slurm: generic resources of nodes, and of waiting jobs.
//!
//! A node prints `gpu:V100:2(S:0-1),gpu:4` as what it has and `gpu:V100:1(IDX:1)` as what is used;
//! a comma may stand within parentheses. A job prints `gres:gpu:V100:1` (22.05) or
//! `gres/gpu:V100:1` in the field of the option that asked: per node, job, task or socket.

use super::{NodeGpus, WaitingJob, words};
use crate::scheduler::slurm::parse::time;

/// What nodes have: fields that cannot hold a bar.
pub(in crate::scheduler) fn nodes() -> Vec<String> {
    let fields = "NodeHost:|,StateLong:|,Gres:|,GresUsed:|";
    words(&["--Node", "--noheader", "-O", fields])
}

/// What waits, each job of an array in a line of its own.
pub(in crate::scheduler) fn waiting() -> Vec<String> {
    let fields = "Reason:|,StartTime:|,tres-per-node:|,tres-per-job:|,tres-per-task:|,\
                  tres-per-socket:|";
    words(&["--noheader", "--array", "--states=PENDING", "-O", fields])
}

/// The lines of [`nodes`]: a node stands in one for each of its partitions.
pub(in crate::scheduler) fn parse_nodes(stdout: &str) -> Vec<NodeGpus> {
    let mut found: Vec<NodeGpus> = Vec::new();
    for line in stdout.lines() {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [node, state, has, used, ..] = fields[..] else {
            continue;
        };
        if node.is_empty() || found.iter().any(|known| known.node == node) {
            continue;
        }
        let used = gres(used);
        for (kind, total) in gres(has) {
            let same = used.iter().filter(|(used, _)| *used == kind);
            let in_use = same.map(|(_, count)| *count).sum::<u32>();
            found.push(NodeGpus {
                node: node.to_owned(),
                total,
                // Versions that do not tell print nothing.
                used: (!used.is_empty()).then_some(in_use.min(total)),
                is_up: is_up(state),
                request: match &kind {
                    Some(kind) => format!("gpu:{kind}:{{count}}"),
                    None => "gpu:{count}".to_owned(),
                },
                kind,
            });
        }
    }
    found
}

/// The lines of [`waiting`]; one that is held does not wait for GPUs.
pub(in crate::scheduler) fn parse_waiting(stdout: &str) -> Vec<WaitingJob> {
    let job = |line: &str| {
        let mut fields = line.split('|').map(str::trim);
        let (reason, start) = (fields.next()?, fields.next()?);
        let (kind, _) = fields.flat_map(gres).next()?;
        (!reason.starts_with("JobHeld")).then(|| WaitingJob {
            count: 1,
            kind,
            start_estimate: time(start),
        })
    };
    stdout.lines().filter_map(job).collect()
}

/// The GPUs of a list of resources: each type, none where none is named, with its number.
fn gres(text: &str) -> Vec<(Option<String>, u32)> {
    let mut depth = 0_u32;
    let words = text.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    let gpus = |word: &str| {
        let word = word.trim();
        let bare = word.strip_prefix("gres:");
        let word = bare.or_else(|| word.strip_prefix("gres/")).unwrap_or(word);
        let word = word.split_once("(S:").map_or(word, |(before, _)| before);
        let word = word.split_once("(IDX:").map_or(word, |(before, _)| before);
        let rest = word.strip_prefix("gpu")?;
        if !(rest.is_empty() || rest.starts_with([':', '='])) {
            return None;
        }
        let mut parts = rest.split([':', '=']).filter(|part| !part.is_empty());
        match (parts.next(), parts.next()) {
            (None, _) if rest.is_empty() => Some((None, 1)),
            (None, _) => None,
            (Some(count), None) => match count.parse() {
                Ok(count) => Some((None, count)),
                Err(_) => Some((Some(super::plain(count)?), 1)),
            },
            (Some("(null)"), Some(count)) => Some((None, count.parse().ok()?)),
            (Some(kind), Some(count)) => Some((Some(super::plain(kind)?), count.parse().ok()?)),
        }
    };
    words.filter_map(gpus).collect()
}

/// Whether a node in this state takes jobs (sinfo(1), NODE STATE CODES). `*` is one that does not
/// answer, `$` one in maintenance, `~` and `#` one that is powered up when it is needed.
fn is_up(state: &str) -> bool {
    let takes = [
        "idle", "mix", "alloc", "comp", "planned", "resv", "reserved", "power",
    ];
    let state = state.to_lowercase();
    takes.iter().any(|name| state.starts_with(name)) && !state.contains(['*', '$'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture;
    use super::*;

    #[test]
    fn recorded_nodes_are_read_once_each() {
        let nodes = parse_nodes(&fixture("nodes/slurm-sinfo.out"));
        let shown: Vec<_> = nodes
            .iter()
            .map(|gpus| {
                (
                    gpus.node.as_str(),
                    gpus.kind.as_deref(),
                    gpus.total,
                    gpus.used,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("node1", Some("V100"), 2, Some(1)),
                ("node2", Some("P100"), 2, Some(2))
            ]
        );
        assert!(nodes.iter().all(|gpus| gpus.is_up));
        assert_eq!(nodes[0].request, "gpu:V100:{count}");
    }

    #[test]
    fn recorded_waiting_jobs_are_read() {
        let jobs = parse_waiting(&fixture("nodes/slurm-squeue.out"));
        let kinds: Vec<_> = jobs.iter().map(|job| job.kind.as_deref()).collect();
        assert_eq!(
            kinds,
            [Some("V100"), Some("V100")],
            "a held job is not told"
        );
        assert!(jobs.iter().all(|job| job.start_estimate.is_some()));
        let any = parse_waiting("Resources|N/A|N/A|gres:gpu:2|\nPriority|N/A|N/A|\n");
        assert_eq!(any.len(), 1);
        assert_eq!(any[0].kind, None);
    }

    #[test]
    fn resources_are_read_however_they_are_written() {
        let some = |kind: &str, count| (Some(kind.to_owned()), count);
        for (text, gpus) in [
            ("gpu:V100:2(S:0-1),tmpdisk:3", vec![some("V100", 2)]),
            (
                "gpu:V100:3(IDX:0,2-3),gpu:P100:1(IDX:1)",
                vec![some("V100", 3), some("P100", 1)],
            ),
            ("gpu:4", vec![(None, 4)]),
            ("gpu:(null):0(IDX:N/A)", vec![(None, 0)]),
            ("gpu:1g.5gb:7", vec![some("1g.5gb", 7)]),
            ("gres:gpu:V100:1", vec![some("V100", 1)]),
            ("gres/gpu:V100=2", vec![some("V100", 2)]),
            ("gres:gpu", vec![(None, 1)]),
            ("gpu:V100", vec![some("V100", 1)]),
            ("(null)", vec![]),
            ("N/A", vec![]),
            ("gpumem:80", vec![]),
            ("gpu:a;b:1", vec![]),
            ("gres", vec![]),
        ] {
            assert_eq!(gres(text), gpus, "{text}");
        }
    }

    #[test]
    fn states_that_take_no_job_are_down() {
        for up in [
            "idle",
            "mixed",
            "allocated",
            "completing",
            "idle~",
            "planned",
            "reserved",
        ] {
            assert!(is_up(up), "{up}");
        }
        for down in [
            "down", "drained", "draining", "idle*", "fail", "maint", "mixed$", "unknown", "",
        ] {
            assert!(!is_up(down), "{down}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s).{0,120}|((node[0-9]|\\||idle|gpu|gres|:|[a-z0-9(),=/é]){0,12}\n){0,4}") {
            let _ = (parse_nodes(&text), parse_waiting(&text), gres(&text), is_up(&text));
        }
    }
}
