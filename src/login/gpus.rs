//! The cluster's GPUs: which types the nodes report, how many are free, and what waits for them.
//!
//! The scheduler's words become types by `type_of`, which the caller takes from its catalogue; a
//! word that it does not know stays as it is.

use std::collections::{BTreeMap, BTreeSet};

use super::{Error, Login};
use crate::scheduler::{Kind, NodeGpus, Survey};
use crate::session::{Cluster, GpuSupply};

/// The type that a scheduler's word stands for.
pub type TypeOf<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A type that the cluster's nodes report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReportedType {
    /// In the scheduler's own word.
    pub word: String,
    /// The words that ask for it, with `{count}` for the number.
    pub request: String,
}

impl Login {
    /// The dialect that is submitted in.
    pub fn kind(&self) -> Kind {
        self.first.scheduler.kind()
    }

    /// The types that the nodes of the cluster report; `None` where there are no nodes to ask.
    ///
    /// # Errors
    /// The scheduler's, when it does not answer.
    pub async fn reported_types(
        &self,
        type_of: TypeOf<'_>,
    ) -> Result<Option<Vec<ReportedType>>, Error> {
        let is_type = |word: &str| type_of(word).is_some();
        let nodes = self.first.scheduler.gpus(&is_type).await?;
        Ok(nodes.map(|nodes| reported(&nodes)))
    }

    /// The GPUs of the cluster that is submitted to, the most numerous first; `None` where there
    /// are no nodes to ask.
    ///
    /// # Errors
    /// The scheduler's, when it does not answer.
    pub async fn gpus(&self, type_of: TypeOf<'_>) -> Result<Option<Vec<GpuSupply>>, Error> {
        let (cluster, scheduler) = self.target().await?;
        let is_type = |word: &str| type_of(word).is_some();
        let survey = scheduler.survey(&is_type).await?;
        Ok(survey.map(|survey| supplies(&cluster, &survey, type_of)))
    }
}

fn reported(nodes: &[NodeGpus]) -> Vec<ReportedType> {
    let reported = nodes.iter().filter_map(|gpus| {
        Some(ReportedType {
            word: gpus.kind.clone()?,
            request: gpus.request.clone(),
        })
    });
    let once: BTreeSet<ReportedType> = reported.collect();
    once.into_iter().collect()
}

fn supplies(cluster: &Cluster, survey: &Survey, type_of: TypeOf<'_>) -> Vec<GpuSupply> {
    let named = |word: &Option<String>| {
        let word = word.as_ref()?;
        Some(type_of(word).unwrap_or_else(|| word.clone()))
    };
    let mut found: BTreeMap<Option<String>, (GpuSupply, BTreeSet<&str>)> = BTreeMap::new();
    let of = |kind: Option<String>| {
        let supply = GpuSupply::none_of(cluster.clone(), kind.clone());
        (kind, (supply, BTreeSet::new()))
    };
    for gpus in &survey.nodes {
        let (kind, empty) = of(named(&gpus.kind));
        let (supply, nodes) = found.entry(kind).or_insert(empty);
        nodes.insert(&gpus.node);
        supply.total = supply.total.saturating_add(gpus.total);
        if gpus.is_up {
            let free = gpus.used.map(|used| gpus.total.saturating_sub(used));
            supply.free = supply
                .free
                .zip(free)
                .map(|(sum, free)| sum.saturating_add(free));
        } else {
            supply.down = supply.down.saturating_add(gpus.total);
        }
    }
    for job in survey.waiting.iter().flatten() {
        let (kind, empty) = of(named(&job.kind));
        let (supply, _) = found.entry(kind).or_insert(empty);
        supply.queued = supply.queued.map(|queued| queued.saturating_add(job.count));
        supply.estimated_start = supply.estimated_start.max(job.start_estimate);
    }
    let mut supplies: Vec<GpuSupply> = found
        .into_values()
        .map(|(supply, nodes)| GpuSupply {
            nodes: u32::try_from(nodes.len()).unwrap_or(u32::MAX),
            queued: supply.queued.filter(|_| survey.waiting.is_some()),
            ..supply
        })
        .collect();
    supplies.sort_by_key(|supply| std::cmp::Reverse(supply.total));
    supplies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::WaitingJob;

    fn gpus(node: &str, kind: Option<&str>, used: Option<u32>, is_up: bool) -> NodeGpus {
        NodeGpus {
            node: node.to_owned(),
            kind: kind.map(str::to_owned),
            total: 4,
            used,
            is_up,
            request: format!("gpu:{}:{{count}}", kind.unwrap_or_default()),
        }
    }

    fn told(survey: &Survey) -> Vec<GpuSupply> {
        let cluster = Cluster {
            scheduler: "slurm".to_owned(),
            server: "lab".to_owned(),
        };
        let type_of = |word: &str| (word == "volta").then(|| "V100".to_owned());
        supplies(&cluster, survey, &type_of)
    }

    #[test]
    fn types_are_summed_up_under_the_catalogues_names() {
        let start = "2026-11-24T04:28:59Z".parse().ok();
        let waits = |kind: Option<&str>, start_estimate| WaitingJob {
            count: 2,
            kind: kind.map(str::to_owned),
            start_estimate,
        };
        let told = told(&Survey {
            nodes: vec![
                gpus("n1", Some("volta"), Some(1), true),
                gpus("n2", Some("volta"), Some(0), false),
                gpus("n3", Some("odd"), None, true),
            ],
            waiting: Some(vec![
                waits(Some("volta"), start),
                waits(Some("volta"), None),
                waits(None, None),
            ]),
        });
        let shown: Vec<_> = told
            .iter()
            .map(|one| {
                (
                    one.kind.as_deref(),
                    one.nodes,
                    one.total,
                    one.free,
                    one.down,
                    one.queued,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                (Some("V100"), 2, 8, Some(3), 4, Some(4)),
                (Some("odd"), 1, 4, None, 0, Some(0)),
                (None, 0, 0, Some(0), 0, Some(2)),
            ]
        );
        assert_eq!(told[0].estimated_start, start);
    }

    #[test]
    fn a_queue_that_cannot_be_asked_is_no_empty_one() {
        let told = told(&Survey {
            nodes: vec![gpus("n1", Some("volta"), Some(4), true)],
            waiting: None,
        });
        assert_eq!((told[0].free, told[0].queued), (Some(0), None));
    }

    #[test]
    fn a_type_is_reported_once() {
        let nodes = [
            gpus("n1", Some("volta"), None, true),
            gpus("n2", Some("volta"), None, false),
            gpus("n3", None, None, true),
        ];
        let reported = reported(&nodes);
        assert_eq!(reported.len(), 1);
        assert_eq!(reported[0].request, "gpu:volta:{count}");
    }
}
