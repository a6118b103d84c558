//! The container engine that the suite runs on, and how its containers are counted.
//!
//! `QDEBUG_TEST_ENGINE=podman`: the site file of the nodes says `engine = "podman"`, which
//! `examples/cluster/up --engine podman` writes; sessions are then alice's own rootless containers.

use crate::host::{Host, Ran};

/// Which engine serves the sessions of this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Docker,
    Podman,
}

/// Podman's command for the store of qdebug's own service, as its processes call it. A runtime
/// folder that is not there yet would be passed over for another, for good.
const PODMAN: &str = "umask 077; mkdir -p /var/tmp/qdebug-2001/podman/run; XDG_RUNTIME_DIR=/var/tmp/qdebug-2001/podman/run \
     podman --root /var/tmp/qdebug-2001/podman/storage \
     --runroot /var/tmp/qdebug-2001/podman/runroot --storage-driver overlay";

/// The engine of this run.
pub(crate) fn engine() -> Engine {
    match std::env::var("QDEBUG_TEST_ENGINE").as_deref() {
        Ok("podman") => Engine::Podman,
        Ok("docker") | Err(_) => Engine::Docker,
        Ok(other) => panic!("no engine of these tests: {other:?}"),
    }
}

impl Engine {
    /// The ids of the containers of one label on a node that have a process or may get one. A
    /// record of Podman's whose process is dead is none: it waits for the next sweep.
    pub(crate) fn containers(self, node: Host, label: &str) -> Vec<String> {
        match self {
            Self::Docker => {
                let filter = format!("label={label}");
                let ran = node.run(&["docker", "ps", "-aq", "--filter", &filter]);
                ran.ok().text().lines().map(str::to_owned).collect()
            }
            Self::Podman => {
                let records = records(node, label);
                let lives = records.into_iter().filter(|record| {
                    let [_, pid, state] = record.as_slice() else {
                        panic!("{record:?}")
                    };
                    match pid.as_str() {
                        "0" => !state.starts_with("Exited"),
                        pid => node.sh(&format!("test -e /proc/{pid}")).code == 0,
                    }
                });
                lives.map(|record| record[0].clone()).collect()
            }
        }
    }

    /// The ids of all that the engine keeps of containers of one label, dead or not.
    pub(crate) fn records(self, node: Host, label: &str) -> Vec<String> {
        match self {
            Self::Docker => self.containers(node, label),
            Self::Podman => records(node, label)
                .into_iter()
                .map(|record| record[0].clone())
                .collect(),
        }
    }

    /// A command for its own command line, as alice.
    pub(crate) fn run(self, node: Host, words: &str) -> Ran {
        match self {
            Self::Docker => node.sh(&format!("docker {words}")),
            Self::Podman => node.sh(&format!("{PODMAN} {words}")),
        }
    }
}

/// Id, process and state of each. When everything of Podman's was killed at once, its command
/// refuses to work until it is told to begin anew, which `qdebug gc` does.
fn records(node: Host, label: &str) -> Vec<Vec<String>> {
    let line = format!(
        "test -e /var/tmp/qdebug-2001/podman/storage || exit 0; {PODMAN} ps -a --no-trunc \
         --filter 'label={label}' --format '{{{{.ID}}}} {{{{.Pid}}}} {{{{.State}}}}'"
    );
    let ran = node.sh(&line);
    if ran.err.contains("invalid internal status") {
        let left = node.root("pgrep -f '^/.qdebug/init'");
        let record = |pid: &str| vec![pid.to_owned(), pid.to_owned(), "running".to_owned()];
        return left.text().lines().map(record).collect();
    }
    let lines = ran.ok();
    let lines = lines.text().lines();
    lines
        .map(|line| line.splitn(3, ' ').map(str::to_owned).collect())
        .collect()
}
