//! What `gpus --json` says of a cluster's GPUs.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Cluster, FORMAT};

/// A cluster's GPUs of one type. Numbers that the scheduler does not tell are absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuSupply {
    /// The format of this answer.
    pub format: u32,
    /// The cluster.
    pub cluster: Cluster,
    /// The type as the catalogue writes it, else as the scheduler does; `None` for GPUs that the
    /// scheduler only counts.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Nodes that have some.
    pub nodes: u32,
    /// All of them, those on nodes that are down too.
    pub total: u32,
    /// How many are free on nodes that take jobs.
    pub free: Option<u32>,
    /// How many are on nodes that take no jobs.
    pub down: u32,
    /// Jobs that wait for this type.
    pub queued: Option<u32>,
    /// When the scheduler expects the last of those to start that it has planned.
    pub estimated_start: Option<Timestamp>,
}

impl GpuSupply {
    /// Nothing of a type yet.
    pub fn none_of(cluster: Cluster, kind: Option<String>) -> Self {
        Self {
            format: FORMAT,
            cluster,
            kind,
            nodes: 0,
            total: 0,
            free: Some(0),
            down: 0,
            queued: Some(0),
            estimated_start: None,
        }
    }
}
