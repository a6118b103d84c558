//! GPUs: what this node has, what the job was granted, and which of them a session gets.
//!
//! Owns NVML and the reading of `CUDA_VISIBLE_DEVICES` and its like; knows no scheduler and no
//! session. NVML is loaded for one look and closed again: an idle node half does not keep the
//! driver's library in memory.
//!
//! - [`inventory`] asks NVML;
//! - [`Granted`] is what the environment of a job says;
//! - [`TypePattern`] says which names a type stands for;
//! - [`select`] joins the three, pure;
//! - [`at_work`] tells whether anything computes on them.
//!
//! Health, strangers' processes and picking where nothing is granted have their place in
//! [`select`]; [`Gpu::processes`] is already there for them.

mod grant;
mod inventory;
mod pattern;
mod select;
mod work;

pub use grant::{GrantError, Granted};
pub use inventory::{Gpu, GpuProcess, inventory};
pub use pattern::TypePattern;
pub use select::{Selected, select};
pub use work::at_work;

/// Why a session gets no GPU.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No library, no driver, or a library that cannot see one: all mean that nothing is here.
    #[error("no GPU on this node ({detail})")]
    NoGpu {
        /// What NVML said.
        detail: String,
    },
    /// NVML is there and failed.
    #[error("NVML failed while {doing}: {detail}")]
    Nvml {
        /// The phase.
        doing: String,
        /// What it said.
        detail: String,
    },
    /// The environment names GPUs in a way that cannot be read.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// The job was granted a GPU this node does not have.
    #[error(
        "the job was granted GPU {wanted}, and this node has {}",
        listed(present)
    )]
    Missing {
        /// As the environment names it.
        wanted: String,
        /// What the node has.
        present: Vec<String>,
    },
    /// A part of a GPU was granted, which a later version will take.
    #[error("the job was granted a MIG part ({wanted}), which this qdebug cannot use")]
    Mig {
        /// As the environment names it.
        wanted: String,
    },
    /// The GPUs are not what was asked for.
    #[error("{wanted} was asked for, and the job has {}", listed(present))]
    WrongType {
        /// The type asked for.
        wanted: String,
        /// What the job has.
        present: Vec<String>,
    },
    /// What was asked for is no pattern.
    #[error("{pattern:?}, which stands for {wanted}, is no regular expression ({reason})")]
    Pattern {
        /// The type.
        wanted: String,
        /// What should be a pattern of it.
        pattern: String,
        /// Why it is none.
        reason: String,
    },
    /// There are too few.
    #[error("{wanted} GPUs were asked for, and the job has {}", listed(present))]
    TooFew {
        /// How many were asked for.
        wanted: usize,
        /// What the job has.
        present: Vec<String>,
    },
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}
