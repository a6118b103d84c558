//! The blows, each as a line of shell that root runs on the session's node.

use std::time::Duration;

use crate::host::Host;
use crate::scheduler::{Scheduler, here};

/// What hits the session, or the node below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    /// The scheduler's SIGTERM.
    Term,
    /// kill -9 of the node half.
    KillNodeHalf,
    /// kill -9 of all of the job.
    KillSession,
    /// The engine is killed and comes back.
    EngineKilled,
    /// The engine hangs for a while.
    EngineHangs,
    /// The node's own folder is on a disk that is full.
    NodeDiskFull,
    /// The shared file system is full.
    SharedDiskFull,
    /// The session's files cannot be written.
    StateUnwritable,
    /// Nothing goes between the node and the login host, for a while.
    NetworkCut,
}

/// The node's own folder of alice's.
pub(super) const NODE_DIR: &str = "/var/tmp/qdebug-2001";

/// How long what hangs, or is cut, stays so.
const AWAY: u32 = 7;

impl Blow {
    pub(super) const ALL: [Self; 9] = [
        Self::Term,
        Self::KillNodeHalf,
        Self::KillSession,
        Self::EngineKilled,
        Self::EngineHangs,
        Self::NodeDiskFull,
        Self::SharedDiskFull,
        Self::StateUnwritable,
        Self::NetworkCut,
    ];

    /// Whether the session is over by it, whatever phase it hits.
    pub(super) fn ends_the_job(self) -> bool {
        matches!(self, Self::Term | Self::KillNodeHalf)
    }

    /// Whether the scheduler itself does not know that its job is over.
    pub(super) fn blinds_the_scheduler(self) -> bool {
        self == Self::KillSession
    }

    /// How long after the blow the promise may begin to count: the engine has to come back first.
    pub(super) fn engine_is_away(self) -> Duration {
        match self {
            Self::EngineKilled => Duration::from_secs(15),
            Self::EngineHangs => Duration::from_secs(u64::from(AWAY)),
            _ => Duration::ZERO,
        }
    }

    /// The place is made ready for it, before the session is submitted.
    pub(super) fn prepare(self) -> &'static str {
        match self {
            Self::NodeDiskFull => {
                "install -d -o 2001 -g 2001 -m 700 /var/tmp/qdebug-2001 &&
                 mount -t tmpfs -o size=40m,uid=2001,gid=2001,mode=700 full /var/tmp/qdebug-2001"
            }
            _ => "true",
        }
    }

    /// Strikes the session of that name.
    pub(super) fn strike(self, name: &str) -> String {
        let node_half = format!("pkill -9 -f 'qdebug node .*/{name}$'");
        let session = format!("/home/alice/.qdebug/sessions/{name}");
        match self {
            Self::Term => match here() {
                Scheduler::Slurm => format!("runuser -u alice -- scancel -n qdebug-{name}"),
                Scheduler::OpenPbs | Scheduler::Torque => format!(
                    "runuser -u alice -- sh -c 'qdel $(qselect -N qdebug-{name})'"
                ),
            },
            Self::KillNodeHalf => node_half,
            Self::KillSession => match here() {
                Scheduler::Slurm => format!(
                    "job=$(squeue -h -o %i -n qdebug-{name}); \
                     pkill -9 -f \"slurmstepd: \\[$job\\.\"; {node_half}"
                ),
                Scheduler::OpenPbs | Scheduler::Torque => format!(
                    "pkill -9 -s $(ps -o sid= -p $(pgrep -f 'qdebug node .*/{name}$'))"
                ),
            },
            Self::EngineKilled => {
                "cluster-init kill docker; sleep 1; cluster-init start docker".to_owned()
            }
            Self::EngineHangs => {
                format!("pkill -STOP -x dockerd; sleep {AWAY}; pkill -CONT -x dockerd")
            }
            Self::NodeDiskFull => {
                format!("dd if=/dev/zero of={NODE_DIR}/fill bs=4k 2>/dev/null; true")
            }
            // What is there is read, and nothing can be written.
            Self::SharedDiskFull => format!(
                "mkdir -p /run/full.{name} && mount -t tmpfs -o size=64k full /run/full.{name} &&
                 mkdir /run/full.{name}/upper /run/full.{name}/work &&
                 chown -R alice: /run/full.{name} &&
                 (dd if=/dev/zero of=/run/full.{name}/fill bs=4k 2>/dev/null; true) &&
                 mount -t overlay full {session} -o \
                     lowerdir={session},upperdir=/run/full.{name}/upper,workdir=/run/full.{name}/work"
            ),
            Self::StateUnwritable => format!(
                "mount --bind {session} {session} && mount -o remount,ro,bind {session}"
            ),
            Self::NetworkCut => format!("{}; sleep {AWAY}; {}", rules("-I"), rules("-D")),
        }
    }

    /// What makes it good again.
    fn mend(self, name: &str) -> String {
        let session = format!("/home/alice/.qdebug/sessions/{name}");
        match self {
            Self::EngineKilled => "cluster-init start docker".to_owned(),
            Self::EngineHangs => "pkill -CONT -x dockerd".to_owned(),
            Self::NodeDiskFull => format!("rm -f {NODE_DIR}/fill"),
            Self::SharedDiskFull => format!("umount -l {session}; umount -l /run/full.{name}"),
            Self::StateUnwritable => format!("umount -l {session}"),
            _ => "true".to_owned(),
        }
    }
}

fn rules(action: &str) -> String {
    format!(
        "login=$(getent ahostsv4 login | cut -d' ' -f1 | head -n 1); \
         for chain in INPUT OUTPUT; do for way in -s -d; do \
             iptables -w {action} $chain $way $login -j DROP; \
         done; done"
    )
}

/// A place that is ready for a blow; it is made good when this is mended, or dropped.
pub(super) struct Place {
    node: Host,
    blow: Blow,
    name: String,
}

impl Place {
    #[track_caller]
    pub(super) fn ready_for(blow: Blow, node: Host, name: &str) -> Self {
        node.root(blow.prepare()).ok();
        Self {
            node,
            blow,
            name: name.to_owned(),
        }
    }

    /// Makes it good again, and waits for the engine.
    pub(super) fn mend(&self) {
        self.node.root(&self.blow.mend(&self.name));
        let engine =
            "for try in $(seq 300); do docker version >/dev/null 2>&1 && exit; sleep 0.1; done";
        self.node.root(engine);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.mend();
        if self.blow == Blow::NodeDiskFull {
            self.node.root(&format!("umount -l {NODE_DIR}"));
        }
    }
}
