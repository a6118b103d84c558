//! GPUs by Torque: a node's number of them, its type among its properties, and what jobs hold.
//!
//! A node prints no number of used GPUs: `exec_gpus` of its jobs (`node1-gpu/1+node1-gpu/0`) tells.
//! Where a site hides the jobs of others, the number stays unknown.

use std::collections::BTreeSet;

use super::{IsType, NodeGpus, WaitingJob, plain, words};
use crate::scheduler::torque::record::{self, Record};

/// What nodes have.
pub(in crate::scheduler) fn nodes(xml: bool) -> Vec<String> {
    words(if xml { &["-x"] } else { &["-a"] })
}

/// Everybody's jobs, and each of an array's: without `-t` it prints an array as one job in state R,
/// which holds nothing, whatever of it runs or waits (seen on 6.1.3).
pub(in crate::scheduler) fn jobs() -> Vec<String> {
    words(&["-f", "-t", "-x"])
}

/// A node in one of these takes no job.
const DOWN: [&str; 3] = ["down", "offline", "unknown"];

/// What one answer tells of the nodes.
pub(in crate::scheduler) struct Nodes(Vec<Record>);

/// The nodes of `pbsnodes -x`; `None` when it is no XML.
pub(in crate::scheduler) fn of_xml(stdout: &str) -> Option<Nodes> {
    record::of_xml(stdout).map(Nodes)
}

/// The nodes of `pbsnodes -a`.
pub(in crate::scheduler) fn of_text(stdout: &str) -> Nodes {
    Nodes(record::of_text(stdout))
}

/// The jobs of `qstat -f -t -x`, which prints nothing when there are none; `None` when it is none.
pub(in crate::scheduler) fn parse_jobs(stdout: &str) -> Option<Vec<Record>> {
    match stdout.trim() {
        "" => Some(Vec::new()),
        text => record::of_xml(text),
    }
}

impl Nodes {
    /// The nodes with GPUs. Without jobs nobody knows how many are used.
    pub(in crate::scheduler) fn gpus(
        &self,
        is_type: IsType<'_>,
        jobs: Option<&[Record]>,
    ) -> Vec<NodeGpus> {
        let nodes = self.0.iter();
        nodes.filter_map(|node| gpus(node, is_type, jobs)).collect()
    }
}

fn gpus(node: &Record, is_type: IsType<'_>, jobs: Option<&[Record]>) -> Option<NodeGpus> {
    let field = |name: &str| node.get(name).map(String::as_str).unwrap_or_default();
    let total = field("gpus").parse().ok().filter(|total| *total > 0)?;
    let kind = kind(field("properties").split(','), is_type);
    let state = field("state");
    let exclusive = state.contains("exclusive");
    let used = jobs.and_then(|jobs| used(field("name"), field("jobs"), jobs));
    Some(NodeGpus {
        node: field("name").to_owned(),
        total,
        used: if exclusive {
            Some(total)
        } else {
            used.map(|used| used.min(total))
        },
        is_up: !state.is_empty() && !state.split(',').any(|state| DOWN.contains(&state.trim())),
        request: match &kind {
            Some(kind) => format!("gpus={{count}}:{kind}"),
            None => "gpus={count}".to_owned(),
        },
        kind,
    })
}

/// The type among a node's or a request's words: one that is known, else one that looks like it.
fn kind<'a>(words: impl Iterator<Item = &'a str> + Clone, is_type: IsType<'_>) -> Option<String> {
    let words = words.filter_map(|word| plain(word.trim()));
    let known = words.clone().find(|word| is_type(word));
    known.or_else(|| words.clone().find(|word| looks_like_a_type(word)))
}

/// `K80`, `rtx3090`, `A6000`, `gtx1080ti`: letters, then two digits or more, then a short end.
fn looks_like_a_type(word: &str) -> bool {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let letters = word.len() - rest.len();
    let end = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = rest.len() - end.len();
    let family = &word[..letters].to_lowercase();
    (1..=3).contains(&letters)
        && (2..=4).contains(&digits)
        && end.len() <= 2
        && end.chars().all(|c| c.is_ascii_alphabetic())
        && !["n", "cn", "gn"].contains(&family.as_str())
}

/// How many GPUs of a node its jobs hold; `None` when one of them is hidden.
fn used(node: &str, jobs_there: &str, jobs: &[Record]) -> Option<u32> {
    let ids = |job: &Record| job.get("Job_Id").cloned();
    let seen: BTreeSet<String> = jobs.iter().filter_map(ids).collect();
    // `0-1/0.login, 2/5.login`
    let mut there = jobs_there.split(',').filter_map(|job| job.split_once('/'));
    if !there.all(|(_, id)| seen.contains(id.trim())) {
        return None;
    }
    let running = |job: &&Record| job.get("job_state").is_some_and(|state| state != "C");
    let held = jobs.iter().filter(running);
    let held = held.filter_map(|job| job.get("exec_gpus"));
    let of_node = held.flat_map(|gpus| gpus.split('+')).filter(|gpu| {
        let host = gpu.rsplit_once('/').map(|(host, _)| host);
        host.and_then(|host| host.strip_suffix("-gpu")) == Some(node)
    });
    u32::try_from(of_node.count()).ok()
}

/// The waiting jobs that ask for GPUs.
pub(in crate::scheduler) fn waiting(jobs: &[Record], is_type: IsType<'_>) -> Vec<WaitingJob> {
    let job = |job: &Record| {
        let state = job.get("job_state").map(String::as_str);
        let nodes = job
            .get("Resource_List.nodes")
            .filter(|_| state == Some("Q"))?;
        // `1:ppn=1:gpus=1:V100+2:ppn=4`
        let words = nodes.split([':', '+']);
        let asks = |word: &str| matches!(word.split_once('='), Some(("gpus", n)) if n != "0");
        words.clone().any(asks).then(|| WaitingJob {
            count: 1,
            kind: kind(words.filter(|word| !word.contains('=')), is_type),
            start_estimate: None,
        })
    };
    jobs.iter().filter_map(job).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture;
    use super::*;

    fn known(word: &str) -> bool {
        word == "V100"
    }

    fn jobs(name: &str) -> Vec<Record> {
        parse_jobs(&fixture(&format!("torque/{name}.out"))).unwrap()
    }

    #[test]
    fn recorded_nodes_are_read_as_xml_and_as_text() {
        let xml = of_xml(&fixture("torque/pbsnodes-x.out")).unwrap();
        let text = of_text(&fixture("torque/pbsnodes-a.out"));
        assert_eq!(xml.gpus(&known, Some(&[])), text.gpus(&known, Some(&[])));
        let gpus = &xml.gpus(&known, Some(&[]))[0];
        assert_eq!(
            (gpus.kind.as_deref(), gpus.total, gpus.used, gpus.is_up),
            (Some("V100"), 2, Some(0), true)
        );
        assert_eq!(gpus.request, "gpus={count}:V100");
        let down = of_xml(&fixture("torque/pbsnodes-x-down.out")).unwrap();
        assert!(!down.gpus(&known, None)[0].is_up);
        assert!(of_xml("node1\n     state = free\n").is_none());
    }

    #[test]
    fn what_is_used_is_what_jobs_hold() {
        let busy = of_xml(&fixture("torque/pbsnodes-x-busy.out")).unwrap();
        let running = jobs("qstat-fx-R");
        assert_eq!(busy.gpus(&known, Some(&running))[0].used, Some(1));
        // Its job is hidden, or was not asked for.
        for jobs in [Some(&[][..]), None] {
            assert_eq!(busy.gpus(&known, jobs)[0].used, None);
        }
    }

    #[test]
    fn recorded_waiting_jobs_are_read() {
        let waiting = |name: &str| waiting(&jobs(name), &known);
        assert_eq!(waiting("qstat-fx-Q")[0].kind.as_deref(), Some("V100"));
        assert!(waiting("qstat-fx-R").is_empty() && waiting("qstat-fx-H").is_empty());
        assert!(waiting("qstat-fx-empty").is_empty());
    }

    #[test]
    fn an_arrays_jobs_hold_and_wait_each_by_itself() {
        let fixture = |name: &str| fixture(&format!("nodes/torque-arrays-{name}.out"));
        let jobs = parse_jobs(&fixture("qstat")).unwrap();
        let nodes = of_xml(&fixture("pbsnodes")).unwrap();
        let used: Vec<_> = nodes
            .gpus(&known, Some(&jobs))
            .iter()
            .map(|n| n.used)
            .collect();
        assert_eq!(used, [Some(2), Some(2)]);
        assert_eq!(waiting(&jobs, &known).len(), 2);
        assert!(super::jobs().contains(&"-t".to_owned()));
    }

    #[test]
    fn a_type_is_found_among_properties() {
        let never = |_: &str| false;
        let found = |words: &str, is_type: IsType<'_>| kind(words.split(','), is_type);
        assert_eq!(
            found("bigmem,rtx3090,ib", &never).as_deref(),
            Some("rtx3090")
        );
        assert_eq!(found("K80,V100", &known).as_deref(), Some("V100"));
        for words in ["bigmem,rack12", "node12", "n012", "", "a b,é", "1"] {
            assert_eq!(found(words, &never), None, "{words}");
        }
        for word in ["K80", "gtx1080ti", "A6000", "L40S", "T400"] {
            assert!(looks_like_a_type(word), "{word}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s).{0,120}", name in "[a-z0-9,/:+=-]{0,12}") {
            let _ = (of_xml(&text).is_some(), of_text(&text).gpus(&known, None), parse_jobs(&text));
            let job = format!("<Data><Job><Job_Id>{name}</Job_Id><job_state>Q</job_state><exec_gpus>{name}</exec_gpus><Resource_List><nodes>{name}</nodes></Resource_List></Job></Data>");
            let jobs = parse_jobs(&job).unwrap();
            let _ = waiting(&jobs, &known);
            let node = format!("<Data><Node><name>{name}</name><gpus>2</gpus><jobs>{name}</jobs><properties>{name}</properties></Node></Data>");
            let _ = of_xml(&node).unwrap().gpus(&known, Some(&jobs));
        }
    }
}
