//! GPUs by OpenPBS: `ngpus` of vnodes and the custom resource that names their type, which sites
//! call `gpu_model`, `gpu_type` or the like.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{NodeGpus, WaitingJob, plain, words};
use crate::scheduler::openpbs::parse::{repaired, time};

/// What nodes have.
pub(in crate::scheduler) fn nodes() -> Vec<String> {
    words(&["-a", "-F", "json"])
}

/// Everybody's jobs that are not over.
pub(in crate::scheduler) fn jobs() -> Vec<String> {
    words(&["-f", "-F", "json"])
}

/// A vnode in one of these takes no job, whatever else is said of it (pbs_node_attributes(7B)).
const DOWN: [&str; 9] = [
    "down",
    "offline",
    "unknown",
    "state-unknown",
    "unresolvable",
    "stale",
    "maintenance",
    "initializing",
    "provisioning",
];

/// The vnodes with GPUs; `None` when it is no such answer.
pub(in crate::scheduler) fn parse_nodes(stdout: &str) -> Option<Vec<NodeGpus>> {
    let document = document(stdout)?;
    let Some(nodes) = document.get("nodes") else {
        return Some(Vec::new());
    };
    let node = |(name, node): (&String, &Value)| {
        let has = node.get("resources_available")?.as_object()?;
        let key = COUNTS.into_iter().find(|key| has.contains_key(*key))?;
        let total = count(has.get(key)).filter(|total| *total > 0)?;
        let assigned = node.get("resources_assigned");
        let used = count(assigned.and_then(|assigned| assigned.get(key))).unwrap_or(0);
        let state = text(node.get("state"));
        let states = || state.split(',').map(str::trim);
        let exclusive = states().any(|state| state.ends_with("-exclusive"));
        let model = model(
            has.iter()
                .map(|(key, value)| (key.as_str(), text(Some(value)))),
        );
        Some(NodeGpus {
            node: name.clone(),
            total,
            used: Some(if exclusive { total } else { used.min(total) }),
            is_up: !state.is_empty() && !states().any(|state| DOWN.contains(&state)),
            request: match &model {
                Some((resource, kind)) => format!("{key}={{count}}:{resource}={kind}"),
                None => format!("{key}={{count}}"),
            },
            kind: model.map(|(_, kind)| kind),
        })
    };
    Some(nodes.as_object()?.iter().filter_map(node).collect())
}

/// The waiting jobs that ask for GPUs; `None` when it is no such answer.
pub(in crate::scheduler) fn parse_waiting(stdout: &str) -> Option<Vec<WaitingJob>> {
    let document = document(stdout)?;
    let Some(jobs) = document.get("Jobs") else {
        return Some(Vec::new());
    };
    let waiting = |job: &Value| {
        let waiting = match text(job.get("job_state")).as_str() {
            "Q" => waiting_of_array(job).unwrap_or(1),
            // An array that has begun.
            "B" => waiting_of_array(job).unwrap_or(0),
            _ => 0,
        };
        let asked = job.get("Resource_List").filter(|_| waiting > 0)?;
        let select = text(asked.get("select"));
        // `2:ncpus=1:ngpus=1:gpu_model=V100+1:ncpus=4`
        let pairs = || {
            select
                .split([':', '+'])
                .filter_map(|word| word.split_once('='))
        };
        let is_count = |(key, count): (&str, &str)| COUNTS.contains(&key) && count != "0";
        let in_all = COUNTS.iter().filter_map(|key| count(asked.get(*key)));
        if !(pairs().any(is_count) || in_all.max().unwrap_or(0) > 0) {
            return None;
        }
        Some(WaitingJob {
            count: waiting,
            kind: model(pairs().map(|(key, value)| (key, value.to_owned()))).map(|(_, kind)| kind),
            start_estimate: estimate(job),
        })
    };
    Some(jobs.as_object()?.values().filter_map(waiting).collect())
}

/// How many jobs of an array wait, which `Queued:4 Running:2 Exiting:0 Expired:0` tells; `None` of a job
/// of its own.
fn waiting_of_array(job: &Value) -> Option<u32> {
    let counts = text(Some(job.get("array_state_count")?));
    let queued = |word: &str| word.strip_prefix("Queued:")?.parse().ok();
    counts.split_whitespace().find_map(queued)
}

/// The resources that count GPUs.
const COUNTS: [&str; 4] = ["ngpus", "gpus", "ngpu", "naccelerators"];

/// The resource that names a type, the commonest first, and its value.
fn model<'a>(pairs: impl Iterator<Item = (&'a str, String)>) -> Option<(String, String)> {
    const COMMON: [&str; 5] = [
        "gpu_model",
        "gpu_type",
        "gputype",
        "gpumodel",
        "accelerator_model",
    ];
    let rank = |key: &str| COMMON.iter().position(|common| *common == key);
    let likely = |key: &str| {
        let other = ["mem", "mode", "count", "id"]
            .iter()
            .any(|word| key.contains(word));
        rank(key).is_some() || (key.contains("gpu") && !COUNTS.contains(&key) && !other)
    };
    let names = pairs.filter_map(|(key, value)| {
        let kind = plain(&value).filter(|kind| kind.parse::<f64>().is_err())?;
        (likely(key) && !matches!(kind.as_str(), "True" | "False")).then(|| (key.to_owned(), kind))
    });
    names.min_by_key(|(key, _)| rank(key).unwrap_or(COMMON.len()))
}

fn estimate(job: &Value) -> Option<Timestamp> {
    time(&text(job.get("estimated")?.get("start_time")))
}

fn document(stdout: &str) -> Option<Map<String, Value>> {
    let read = |text: &str| serde_json::from_str::<Map<String, Value>>(text).ok();
    read(stdout).or_else(|| read(&repaired(stdout)))
}

/// A word, or a number that may have been one.
fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(word)) => word.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(word)) => word.to_string(),
        _ => String::new(),
    }
}

fn count(value: Option<&Value>) -> Option<u32> {
    text(value).parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture;
    use super::*;

    #[test]
    fn recorded_nodes_are_read() {
        let nodes = parse_nodes(&fixture("nodes/openpbs-json.out")).unwrap();
        let shown: Vec<_> = nodes
            .iter()
            .map(|gpus| (gpus.kind.as_deref(), gpus.total, gpus.used, gpus.is_up))
            .collect();
        assert_eq!(
            shown,
            [
                (Some("V100"), 2, Some(1), true),
                (Some("P100"), 2, Some(0), true)
            ]
        );
        assert_eq!(nodes[0].request, "ngpus={count}:gpu_model=V100");
        assert_eq!(parse_nodes(&fixture("nodes/openpbs-text.out")), None);
    }

    #[test]
    fn nodes_of_other_sites_are_read() {
        let node = |state: &str, has: &str| {
            let text = format!(
                r#"{{"nodes":{{"n":{{"state":"{state}","resources_available":{{{has}}},
                "resources_assigned":{{"ngpus":"1"}}}}}}}}"#
            );
            parse_nodes(&text).unwrap().pop()
        };
        let gpus = node("free", r#""ngpus":"4","gpu_mem":"16gb","gpu_type":"tesla""#).unwrap();
        assert_eq!((gpus.total, gpus.used), (4, Some(1)));
        assert_eq!(gpus.request, "ngpus={count}:gpu_type=tesla");
        let plain = node("free", r#""ngpus":4"#).unwrap();
        assert_eq!(
            (plain.kind, plain.request.as_str()),
            (None, "ngpus={count}")
        );
        assert!(!node("state-unknown,down", r#""ngpus":4"#).unwrap().is_up);
        let exclusive = node("job-exclusive", r#""ngpus":4"#).unwrap();
        assert_eq!((exclusive.is_up, exclusive.used), (true, Some(4)));
        assert_eq!(node("free", r#""ncpus":4"#), None);
        assert_eq!(node("free", r#""ngpus":0"#), None);
        assert_eq!(
            node("free", r#""ngpus":2,"gpu_model":"a:b=c""#)
                .unwrap()
                .kind,
            None
        );
        assert_eq!(parse_nodes("{}"), Some(Vec::new()));
    }

    #[test]
    fn recorded_waiting_jobs_are_read() {
        for (name, kind) in [
            ("qstat-json-Q", Some("V100")),
            ("qstat-json-impossible-model", Some("H100")),
        ] {
            let jobs = parse_waiting(&fixture(&format!("openpbs/{name}.out"))).unwrap();
            assert_eq!(jobs.len(), 1, "{name}");
            assert_eq!(jobs[0].kind.as_deref(), kind, "{name}");
        }
        for name in ["qstat-json-R", "qstat-json-array", "qstat-json-hold"] {
            let jobs = parse_waiting(&fixture(&format!("openpbs/{name}.out")));
            assert_eq!(jobs, Some(Vec::new()), "{name}");
        }
        let array = parse_waiting(&fixture("nodes/openpbs-array.out")).unwrap();
        let counts: Vec<_> = array.iter().map(|job| job.count).collect();
        assert_eq!(counts, [4, 1]);
        let estimated = r#"{"Jobs":{"1.s":{"job_state":"Q","Resource_List":{"ngpus":1},
            "estimated":{"start_time":"Mon Nov 23 16:00:00 2026"}}}}"#;
        let jobs = parse_waiting(estimated).unwrap();
        let start = "2026-11-23T16:00:00Z".parse().ok();
        assert_eq!(
            (jobs[0].kind.clone(), jobs[0].start_estimate),
            (None, start)
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s).{0,120}", key in "[a-z_]{0,9}", value in "[0-9a-z.:=,]{0,9}") {
            let _ = (parse_nodes(&text), parse_waiting(&text));
            let job = format!(r#"{{"Jobs":{{"1":{{"job_state":"Q","Resource_List":{{"select":"{value}","{key}":"{value}"}}}}}}}}"#);
            let _ = parse_waiting(&job);
            let node = format!(r#"{{"nodes":{{"n":{{"state":"{value}","resources_available":{{"ngpus":2,"{key}":"{value}"}}}}}}}}"#);
            let _ = parse_nodes(&node);
        }
    }
}
