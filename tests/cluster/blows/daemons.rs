//! The cluster's own daemons, as an accident hits them.

use std::time::Duration;

use crate::host::{Host, within};
use crate::scheduler::{Scheduler, here};

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
    fn put_down(self, host: Host, word: &str) -> Down {
        let service = self.service();
        host.root(&format!("cluster-init {word} {service}")).ok();
        Down {
            host,
            mend: format!("cluster-init start {service}"),
        }
    }

    /// Tells it to stop, and waits.
    #[track_caller]
    pub(super) fn stop(self, host: Host) -> Down {
        self.put_down(host, "stop")
    }

    /// Kills it; slurmctld is told to stop. It writes down what happened a while later, so that one
    /// that is killed forgets that a job has started, starts it again, and drains the node where it
    /// still runs ("Duplicate jobid").
    #[track_caller]
    pub(super) fn kill(self, host: Host) -> Down {
        let word = match (self, here()) {
            (Self::Server, Scheduler::Slurm) => "stop",
            _ => "kill",
        };
        self.put_down(host, word)
    }
}

/// Something that is down until this is dropped.
pub(super) struct Down {
    host: Host,
    mend: String,
}

impl Down {
    /// Nothing goes between a node and the login host, where the server is.
    #[track_caller]
    pub(super) fn cut(node: Host) -> Self {
        let rules = |action: &str| {
            format!(
                "login=$(getent ahostsv4 login | cut -d' ' -f1 | head -n 1)
                 for chain in INPUT OUTPUT; do for way in -s -d; do
                     iptables -w {action} $chain $way $login -j DROP
                 done; done"
            )
        };
        node.root(&rules("-I")).ok();
        Self {
            host: node,
            mend: rules("-D"),
        }
    }
}

impl Drop for Down {
    fn drop(&mut self) {
        let mended = self.host.root(&self.mend);
        if !std::thread::panicking() {
            mended.ok();
        }
    }
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
            Err(Host::Login
                .sh("sinfo -N -o '%N %T %E'; pbsnodes -a")
                .to_string())
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
