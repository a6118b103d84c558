//! GPUs: what this node has, what the job was granted, and which of them a session gets.
//!
//! Owns NVML and the reading of `CUDA_VISIBLE_DEVICES` and its like; knows no scheduler and no
//! session. NVML is loaded for one look and closed again: an idle node half does not keep the
//! driver's library in memory.
//!
//! - [`inventory`] asks NVML;
//! - [`Granted`] is what the environment of a job says;
//! - [`TypePattern`] says which names a type stands for;
//! - [`select`] joins the three, and [`pick`] chooses where nothing is granted; both pure;
//! - [`Watch`] tells in the middle of a session that a GPU, or the driver, is gone;
//! - [`at_work`] tells whether anything computes on them.

mod capabilities;
mod grant;
mod health;
mod inventory;
mod pattern;
mod process;
mod select;
mod watch;
mod work;

pub use capabilities::{Capabilities, Instances, Part};
pub use grant::{GrantError, Granted, Sources};
pub use health::Fault;
pub use inventory::{Gpu, Mode, inventory};
pub use pattern::TypePattern;
pub use process::GpuProcess;
pub use select::{Selected, Wanted, pick, select};
pub use watch::{Seen, Watch};
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
    /// A MIG part was granted that is not here (any more).
    #[error(
        "the job was granted the MIG part {wanted}, and this node has {}",
        listed(present)
    )]
    NoSuchPart {
        /// As the environment names it.
        wanted: String,
        /// The parts the node has.
        present: Vec<String>,
    },
    /// A GPU was granted that is in MIG mode and has no parts, so nothing can compute on it.
    #[error("the job was granted {gpu}, which is in MIG mode and has no parts")]
    NoParts {
        /// The GPU.
        gpu: String,
    },
    /// Nobody may compute on it.
    #[error("{gpu} is in compute mode \"prohibited\"")]
    Prohibited {
        /// The GPU.
        gpu: String,
    },
    /// It would fail, or compute wrong.
    #[error("not fit to compute on: {}", gpus.join("; "))]
    Unhealthy {
        /// Each with what is wrong.
        gpus: Vec<String>,
    },
    /// Somebody else's processes are on it.
    #[error("in use by somebody else: {}", gpus.join("; "))]
    Busy {
        /// Each with its processes.
        gpus: Vec<String>,
    },
    /// The scheduler shows no grant, and too few can be picked.
    #[error(
        "the scheduler shows no grant, and {wanted} cannot be picked: {}",
        passed.join("; ")
    )]
    NoneIdle {
        /// How many were asked for.
        wanted: usize,
        /// Those of the type that were passed over, each with the reason.
        passed: Vec<String>,
    },
    /// The scheduler shows no grant, and the site allows no picking.
    #[error("the scheduler shows no grant of GPUs to the job, and this site lets none be picked")]
    PickRefused,
    /// A GPU cannot be held for this session.
    #[error("cannot hold a GPU by {}", path.display())]
    Hold {
        /// The folder of the locks.
        path: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Not these GPUs, or others too, are in the container.
    #[error("the container has {seen}, and should have {wanted}")]
    NotArrived {
        /// The devices of GPUs in it.
        seen: String,
        /// Those of the session's GPUs.
        wanted: String,
        /// How the engine was asked, for the hint.
        way: &'static str,
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
