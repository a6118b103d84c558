//! The cluster's own daemons, as an accident hits them.

use std::time::Duration;

use crate::host::{Host, within};
use crate::scheduler::{Scheduler, here};

/// Where a daemon of the node that is told to stop takes its jobs along.
pub(super) const STOP_OF_MOM_ENDS_JOBS: [Scheduler; 2] = [Scheduler::OpenPbs, Scheduler::Torque];

/// A daemon.
#[derive(Debug, Clone, Copy)]
pub(super) enum Daemon {
    /// pbs_mom or slurmd.
    Mom,
    /// pbs_server or slurmctld.
    Server,
    /// dockerd.
    Engine,
}

impl Daemon {
    fn service(self) -> &'static str {
        match (self, here()) {
            (Self::Engine, _) => "docker",
            (Self::Mom, Scheduler::Slurm) => "slurmd",
            (Self::Mom, _) => "pbs_mom",
            (Self::Server, Scheduler::Slurm) => "slurmctld",
            (Self::Server, _) => "pbs_server",
        }
    }

    #[track_caller]
    fn tell(self, host: Host, word: &str) {
        host.root(&format!("cluster-init {word} {}", self.service()))
            .ok();
    }

    /// Tells it to stop, and waits.
    #[track_caller]
    pub(super) fn stop(self, host: Host) {
        self.tell(host, "stop");
    }

    /// Kills it.
    #[track_caller]
    pub(super) fn kill(self, host: Host) {
        self.tell(host, "kill");
    }

    /// Starts it again.
    #[track_caller]
    pub(super) fn start(self, host: Host) {
        self.tell(host, "start");
    }
}

/// Nothing goes between a node and the login host, where the server is.
#[track_caller]
pub(super) fn cut(node: Host) {
    node.root(
        "for chain in INPUT OUTPUT; do for way in -s -d; do
         iptables -w -I $chain $way $(getent ahostsv4 login | cut -d' ' -f1 | head -n 1) -j DROP
         done; done",
    )
    .ok();
}

/// The way is free again.
#[track_caller]
pub(super) fn join(node: Host) {
    node.root(
        "for chain in INPUT OUTPUT; do for way in -s -d; do
         iptables -w -D $chain $way $(getent ahostsv4 login | cut -d' ' -f1 | head -n 1) -j DROP
         done; done",
    )
    .ok();
}

/// Waits until server, nodes and engines do their work.
#[track_caller]
pub(super) fn all_is_well() {
    let line = match here() {
        Scheduler::Slurm => {
            "scontrol ping | grep -q UP && ! sinfo -h -N -o %T | grep -qvE '^(idle|mixed|allocated|completing)$'"
        }
        Scheduler::OpenPbs | Scheduler::Torque => {
            "[ $(pbsnodes -a | grep -cE '^ *state = (free|job-exclusive|job-busy)') = 2 ]"
        }
    };
    within(Duration::from_secs(120), "the cluster is whole", || {
        let ran = Host::Login.sh(line);
        if ran.code == 0 {
            Ok(())
        } else {
            Err(Host::Login.sh("sinfo -N; pbsnodes -a").to_string())
        }
    });
    for node in Host::NODES {
        within(Duration::from_secs(60), "an engine", || {
            let ran = node.run(&["docker", "version"]);
            if ran.code == 0 {
                Ok(())
            } else {
                Err(ran.to_string())
            }
        });
    }
}
