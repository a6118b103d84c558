//! What GPUs a cluster's nodes have, and which jobs wait for them.
//!
//! | dialect | nodes | jobs |
//! |---|---|---|
//! | Slurm | `sinfo -N -O` | `squeue` |
//! | OpenPBS | `pbsnodes -a -F json` | `qstat -f -F json` |
//! | Torque | `pbsnodes -x`, or `-a` where that is no XML | `qstat -f -x` |
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

/// A waiting job that asks for GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingJob {
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
