//! The scheduler's hooks of qdebug as each scheduler has them: where they are installed, what it
//! runs after a job, how the next sweep comes.

use std::time::Duration;

use crate::host::{Host, within};
use crate::job::Job;
use crate::scheduler::{Scheduler, here};

/// Where OpenPBS' moms keep their copies.
const COPIES: &str = "/var/spool/pbs/mom_priv/hooks/qdebug.";
const EPILOG_FOLDER: &str = "/etc/slurm/epilog.d";
const MOM_PRIV: &str = "/var/spool/torque/mom_priv";

/// Where `qdebug hooks` is run: on the server's host, or on every node.
pub(crate) fn hosts() -> &'static [Host] {
    match here() {
        Scheduler::OpenPbs => &[Host::Login],
        Scheduler::Slurm | Scheduler::Torque => &Host::NODES,
    }
}

/// `qdebug hooks ...` of this scheduler.
pub(crate) fn command(words: &str) -> String {
    format!("qdebug hooks {words} --scheduler {}", here().name())
}

/// The hooks are on both nodes from then on.
#[track_caller]
pub(crate) fn install() {
    for host in hosts() {
        host.root(&command("install --yes")).ok();
        let again = host.root(&command("install --yes")).ok();
        assert!(again.err.contains("nothing to do"), "{again}");
        host.root(&command("status")).ok();
    }
    for node in Host::NODES {
        within(Duration::from_secs(60), "the node has the hooks", || {
            let files = files(node);
            if files.is_empty() {
                Err("no file".to_owned())
            } else {
                Ok(())
            }
        });
    }
}

/// The files of the hooks on a node.
#[track_caller]
pub(crate) fn files(node: Host) -> String {
    let line = match here() {
        Scheduler::Slurm => format!("ls -A {EPILOG_FOLDER} | grep -vx 00-nothing"),
        Scheduler::OpenPbs => format!("ls {COPIES}*"),
        Scheduler::Torque => format!("ls -A {MOM_PRIV} | grep -E 'logue|qdebug'"),
    };
    // Neither finds anything to be an error.
    node.root(&format!("{line} 2>/dev/null; true"))
        .ok()
        .text()
        .to_owned()
}

/// A job id as this scheduler writes it.
pub(crate) fn job_id(number: u64) -> String {
    match here() {
        Scheduler::Slurm => number.to_string(),
        Scheduler::OpenPbs | Scheduler::Torque => format!("{number}.login"),
    }
}

/// What runs as root on the node when bob's job is over. OpenPBS' hook needs its mom around it, so
/// there it is what the hook runs.
pub(crate) fn after_bobs(job: &str) -> String {
    match here() {
        Scheduler::Slurm => {
            format!("env -i SLURM_JOB_ID={job} SLURM_JOB_UID=2002 {EPILOG_FOLDER}/50-qdebug.sh")
        }
        Scheduler::OpenPbs => {
            format!(
                "env -i /usr/local/bin/qdebug cleanup --scheduler openpbs --job {job} --uid 2002"
            )
        }
        Scheduler::Torque => format!(
            "env -i PATH=/bin:/usr/bin {MOM_PRIV}/epilogue {job} bob bob STDIN 77 \
             nodes=1 cput=0 gpu '' 0 {MOM_PRIV}/jobs/{job}.SC"
        ),
    }
}

/// Sees to it that the next sweep of node1 comes, for containers that are old enough.
#[track_caller]
pub(crate) fn sweep(job: &str) {
    match here() {
        // It has none: an admin does it by hand.
        Scheduler::Slurm => {
            Host::Node1
                .root(&format!("qdebug cleanup --job {job} --strict"))
                .ok();
        }
        // It comes by itself.
        Scheduler::OpenPbs => {}
        Scheduler::Torque => Job::submit("hooks-sweep", Host::Node1, 0, "true").await_end(),
    }
}

/// Fails when a hook has done harm to a node.
#[track_caller]
pub(crate) fn no_node_is_harmed() {
    let line = match here() {
        Scheduler::Slurm => "sinfo -h -N -o '%N %T %E'",
        Scheduler::OpenPbs | Scheduler::Torque => "pbsnodes -a",
    };
    let states = Host::Login.sh(line).ok();
    assert!(states.out.contains("node1"), "{states}");
    for word in ["drain", "Epilog", "offline", "down", "unknown"] {
        assert!(!states.out.contains(word), "{states}");
    }
}
