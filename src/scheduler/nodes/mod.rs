//! What GPUs a cluster's nodes have, and which jobs wait for them.
//!
//! | dialect | nodes | jobs |
//! |---|---|---|
//! | Slurm | `sinfo -N -O` | `squeue --array` |
//! | OpenPBS | `pbsnodes -a -F json` | `qstat -f -F json` |
//! | Torque | `pbsnodes -x`, or `-a` where that is no XML | `qstat -f -t -x` |
//!
//! The argv and parsers of each dialect are pure; here they are run. What tools print is read as
//! hostile: a node or job that is not understood is left out, a number that cannot be known is
//! `None`.

pub(super) mod openpbs;
pub(super) mod slurm;
pub(super) mod torque;

use jiff::Timestamp;

use super::{Error, OpenPbs, Slurm, Torque};
use crate::process::Output;

/// Whether somebody knows this word as a GPU type. Torque tells types among other properties.
pub type IsType<'a> = &'a dyn Fn(&str) -> bool;

/// GPUs of one type on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeGpus {
    /// The node, or OpenPBS's vnode.
    pub node: String,
    /// The type in the scheduler's own word; `None` where it only counts GPUs.
    pub kind: Option<String>,
    /// How many the node has.
    pub total: u32,
    /// How many jobs hold; `None` where that cannot be known.
    pub used: Option<u32>,
    /// Whether the node takes jobs.
    pub is_up: bool,
    /// The words that ask for this type there, with `{count}` for the number.
    pub request: String,
}

/// A waiting job that asks for GPUs, or those of an array that wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingJob {
    /// How many jobs this is: more than one of an array.
    pub count: u32,
    /// The type in the scheduler's own word; any when `None`.
    pub kind: Option<String>,
    /// When the scheduler expects to start it.
    pub start_estimate: Option<Timestamp>,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// What nodes have.
    pub nodes: Vec<NodeGpus>,
    /// What waits; `None` where that could not be asked.
    pub waiting: Option<Vec<WaitingJob>>,
}

/// What came of a question that is worth asking and no error when it fails.
fn or_unknown<T>(answer: Result<Option<T>, Error>) -> Option<T> {
    match answer {
        Ok(Some(answer)) => Some(answer),
        Ok(None) => {
            tracing::debug!("jobs are told in a way that is not understood");
            None
        }
        Err(error) => {
            tracing::debug!(%error, "jobs cannot be asked");
            None
        }
    }
}

impl Slurm {
    pub(super) async fn gpus(&self) -> Result<Vec<NodeGpus>, Error> {
        let output = self.ask("sinfo", &slurm::nodes()).await?;
        Ok(slurm::parse_nodes(&output.stdout))
    }

    pub(super) async fn survey(&self) -> Result<Survey, Error> {
        let nodes = self.gpus().await?;
        let waiting = self.ask("squeue", &slurm::waiting()).await;
        let waiting = waiting.map(|output| Some(slurm::parse_waiting(&output.stdout)));
        Ok(Survey {
            nodes,
            waiting: or_unknown(waiting),
        })
    }
}

impl OpenPbs {
    pub(super) async fn gpus(&self) -> Result<Vec<NodeGpus>, Error> {
        let output = self.ask("pbsnodes", &openpbs::nodes()).await?;
        openpbs::parse_nodes(&output.stdout).ok_or_else(|| unexpected(&output))
    }

    pub(super) async fn survey(&self) -> Result<Survey, Error> {
        let nodes = self.gpus().await?;
        let jobs = self.ask("qstat", &openpbs::jobs()).await;
        let waiting = jobs.map(|output| openpbs::parse_waiting(&output.stdout));
        Ok(Survey {
            nodes,
            waiting: or_unknown(waiting),
        })
    }
}

impl Torque {
    pub(super) async fn gpus(&self, is_type: IsType<'_>) -> Result<Vec<NodeGpus>, Error> {
        Ok(self.nodes().await?.gpus(is_type, None))
    }

    pub(super) async fn survey(&self, is_type: IsType<'_>) -> Result<Survey, Error> {
        let nodes = self.nodes().await?;
        let jobs = self.ask("qstat", &torque::jobs()).await;
        let jobs = or_unknown(jobs.map(|output| torque::parse_jobs(&output.stdout)));
        Ok(Survey {
            nodes: nodes.gpus(is_type, jobs.as_deref()),
            waiting: jobs.map(|jobs| torque::waiting(&jobs, is_type)),
        })
    }

    async fn nodes(&self) -> Result<torque::Nodes, Error> {
        let output = self.ask("pbsnodes", &torque::nodes(true)).await?;
        if let Some(nodes) = torque::of_xml(&output.stdout) {
            return Ok(nodes);
        }
        let output = self.ask("pbsnodes", &torque::nodes(false)).await?;
        Ok(torque::of_text(&output.stdout))
    }
}

fn unexpected(output: &Output) -> Error {
    Error::Unexpected {
        command: output.command.clone(),
        said: output.stdout.trim().chars().take(2000).collect(),
    }
}

/// A word as tools take it for a type, so that it can stand in a request; `None` of another.
fn plain(word: &str) -> Option<String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let begins = word.starts_with(|c: char| c.is_ascii_alphanumeric());
    (begins && word.len() <= 64 && word.bytes().all(fits)).then(|| word.to_owned())
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A recorded output.
#[cfg(test)]
fn fixture(name: &str) -> String {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::scheduler::Scheduler;

    /// Tools that answer as recorded, each by the name of its fixture; others fail.
    fn tools(answers: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
        let all = ["sinfo", "squeue", "pbsnodes", "qstat", "qsub"];
        for tool in all {
            let answer = answers.iter().find(|(name, _)| *name == tool);
            let does = match answer {
                Some((_, fixture)) => format!("cat '{fixtures}/{fixture}.out'"),
                None => "echo 'Connection refused' >&2; exit 111".to_owned(),
            };
            let path = folder.path().join(tool);
            std::fs::write(&path, format!("#!/bin/sh\n{does}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        folder
    }

    async fn survey(scheduler: Scheduler) -> Result<Survey, Error> {
        let is_type = |word: &str| word == "V100";
        let survey = scheduler.survey(&is_type).await?.expect("a scheduler");
        let nodes = scheduler.gpus(&is_type).await?.expect("a scheduler");
        assert_eq!(nodes.len(), survey.nodes.len());
        Ok(survey)
    }

    #[tokio::test]
    async fn every_dialect_tells_nodes_and_what_waits() {
        let slurm = tools(&[
            ("sinfo", "nodes/slurm-sinfo"),
            ("squeue", "nodes/slurm-squeue"),
        ]);
        let slurm = Scheduler::Slurm(Slurm::in_folder(slurm.path().to_owned()));
        let pbs = tools(&[
            ("pbsnodes", "nodes/openpbs-json"),
            ("qstat", "openpbs/qstat-json-Q"),
        ]);
        let torque = tools(&[
            ("pbsnodes", "torque/pbsnodes-x"),
            ("qstat", "torque/qstat-fx-Q"),
        ]);
        for (scheduler, nodes, waiting) in [
            (slurm, 2, 2),
            (
                Scheduler::OpenPbs(OpenPbs::in_folder(pbs.path().to_owned())),
                2,
                1,
            ),
            (
                Scheduler::Torque(Torque::in_folder(torque.path().to_owned())),
                1,
                1,
            ),
        ] {
            let kind = scheduler.kind();
            let survey = survey(scheduler).await.unwrap();
            assert_eq!(survey.nodes.len(), nodes, "{kind}");
            assert_eq!(survey.nodes[0].kind.as_deref(), Some("V100"), "{kind}");
            assert_eq!(
                survey.waiting.map(|jobs| jobs.len()),
                Some(waiting),
                "{kind}"
            );
        }
    }

    #[tokio::test]
    async fn nodes_in_text_are_read_and_a_silent_queue_stays_unknown() {
        let folder = tools(&[("pbsnodes", "torque/pbsnodes-a-busy")]);
        let torque = Scheduler::Torque(Torque::in_folder(folder.path().to_owned()));
        let survey = survey(torque).await.unwrap();
        assert_eq!((survey.nodes[0].used, survey.waiting), (None, None));
    }

    #[tokio::test]
    async fn nodes_that_cannot_be_asked_are_an_error() {
        let folder = tools(&[]);
        for scheduler in [
            Scheduler::OpenPbs(OpenPbs::in_folder(folder.path().to_owned())),
            Scheduler::Torque(Torque::in_folder(folder.path().to_owned())),
        ] {
            assert!(survey(scheduler).await.is_err());
        }
        let text = tools(&[("pbsnodes", "nodes/openpbs-text")]);
        let pbs = Scheduler::OpenPbs(OpenPbs::in_folder(text.path().to_owned()));
        assert!(matches!(survey(pbs).await, Err(Error::Unexpected { .. })));
    }
}
