//! What is Podman's own: records of the dead, the hooks as the dropped user, and what keeps it from
//! working. The rest of the suite runs on it as it is, with `QDEBUG_TEST_ENGINE=podman`.

use std::time::Duration;

use serde_json::Value;

use crate::engine::{Engine, engine};
use crate::host::{Host, Ran, within};
use crate::session::Session;

const SMALL: [&str; 6] = ["-g", "none", "-w", "10m", "-i", "qdebug/busybox"];

/// These tests are chosen by name, where the engine is Podman.
#[track_caller]
fn on_podman() {
    assert_eq!(engine(), Engine::Podman, "QDEBUG_TEST_ENGINE=podman");
}

/// Labels as a node half writes them.
fn labels(job: &str, uid: &str) -> String {
    let token = "c".repeat(32);
    [
        ("session", "forged"),
        ("token", &token),
        ("job", job),
        ("cluster", "slurm qdebug"),
        ("uid", uid),
    ]
    .map(|(name, value)| format!(" --label 'qdebug.{name}={value}'"))
    .concat()
}

fn there(name: &str) -> bool {
    let list = format!("ps -a --format '{{{{.Names}}}}' --filter name=^{name}$");
    engine().run(Host::Node2, &list).ok().text() == name
}

/// A container that no node half serves, in the store that qdebug uses.
#[track_caller]
fn orphan(name: &str, labels: &str) {
    let run = format!(
        "--storage-opt overlay.imagestore=/var/tmp/containers-2001 --cgroup-manager cgroupfs run -d \
         --network none --name {name}{labels} localhost/qdebug/busybox sleep 600"
    );
    engine().run(Host::Node2, &run).ok();
}

/// The scheduler kills all that it finds in the job's cgroup: here that is done by hand, and to
/// every process of Podman's that serves the session.
#[test]
fn when_everything_of_podmans_is_killed_the_process_goes_and_the_record_at_the_next_gc() {
    on_podman();
    let session = Session::ready("pm-dead", &SMALL);
    let (node, container) = (session.node(), session.containers().remove(0));
    let label = format!("qdebug.token={}", session.token);
    let kill = format!(
        "half=$(pgrep -f 'qdebug node .*/{}$'); service=$(pgrep -P $half)
         kill -9 $(pgrep -f '[c]onmon .*-c {container}') $half $service",
        session.name
    );
    node.root(&kill).ok();
    session.is_gone();
    // Its record stays until somebody sweeps: this gc, or another session's start meanwhile.
    node.run(&["qdebug", "gc"]).ok();
    assert_eq!(engine().records(node, &label), Vec::<String>::new());
}

#[test]
fn no_service_of_podmans_outlives_its_node_half() {
    on_podman();
    let session = Session::ready("pm-service", &SMALL);
    let node = session.node();
    let half = node.root(&format!("pgrep -f 'qdebug node .*/{}$'", session.name));
    let half = half.ok().text().to_owned();
    let service = node
        .root(&format!("pgrep -f '/podman/{half}-0.sock$'"))
        .ok();
    assert!(!service.text().is_empty());
    node.root(&format!("kill -9 {half}")).ok();
    session.is_gone();
    // Nobody tells it: it ends for want of a connection, after half a minute.
    within(Duration::from_secs(45), "the service is gone", || {
        let left = node.root(&format!("pgrep -af '/podman/{half}-0.sock$'"));
        if left.code == 1 {
            Ok(())
        } else {
            Err(left.to_string())
        }
    });
}

#[test]
fn roots_cleanup_removes_what_a_job_left_as_its_owner_and_nothing_else() {
    on_podman();
    // What is left from an earlier run.
    let names = ["pm-mine", "pm-bobs", "pm-other"];
    // The first name that is not there would end the command, and well.
    let remove = || names.map(|name| engine().run(Host::Node2, &format!("rm -f -t 0 {name}")));
    remove();
    orphan("pm-mine", &labels("4000000007", "2001"));
    orphan("pm-bobs", &labels("4000000007", "2002"));
    orphan("pm-other", &labels("4000000008", "2001"));
    let root = |words: &str| Host::Node2.root(&format!("qdebug cleanup --strict {words}"));
    // Bob has no folder here, and alice's is none of his.
    root("--job 4000000007 --uid 2002").ok();
    assert!(there("pm-mine") && there("pm-bobs"));
    let ran = root("--job 4000000007 --uid 2001").ok();
    assert!(
        ran.err.contains("4000000007") && ran.err.contains("2001"),
        "{ran}"
    );
    assert!(!there("pm-mine") && there("pm-bobs") && there("pm-other"));
    // A sweep spares the young and those whose job lives.
    root("--sweep --live 1 --min-age 3600 --scheduler slurm").ok();
    assert!(there("pm-other"));
    remove();
    assert!(!names.iter().any(|name| there(name)));
}

/// Slurm's Epilog with Podman, as it is installed.
#[test]
fn the_epilog_removes_podmans_containers() {
    on_podman();
    engine().run(Host::Node2, "rm -f -t 0 pm-epilog");
    Host::Node2
        .root("qdebug hooks install --scheduler slurm --yes")
        .ok();
    orphan("pm-epilog", &labels("4000000009", "2001"));
    let epilog =
        "env -i SLURM_JOB_ID=4000000009 SLURM_JOB_UID=2001 /etc/slurm/epilog.d/50-qdebug.sh";
    Host::Node2.root(epilog).ok();
    assert!(!there("pm-epilog"));
}

/// A folder that somebody else laid under alice's name gets nobody to run anything.
#[test]
fn a_folder_that_is_not_its_users_is_passed_over() {
    on_podman();
    let lay = "rm -rf /tmp/pm-base; mkdir -p /tmp/pm-base/qdebug-2001/podman; \
               chown -R bob /tmp/pm-base; ln -s / /tmp/pm-base/qdebug-2002; \
               echo 'node_dir = \"/tmp/pm-base\"' >/tmp/pm-site.toml";
    Host::Node2.root(lay).ok();
    let sweep = "QDEBUG_LOG=debug QDEBUG_SITE=/tmp/pm-site.toml \
                 qdebug cleanup --sweep --live 1 --strict";
    let ran = Host::Node2.root(sweep).ok();
    assert!(!ran.err.contains("setpriv"), "{ran}");
    Host::Node2
        .root("rm -rf /tmp/pm-base /tmp/pm-site.toml")
        .ok();
}

/// Each of these machines is made for one process alone, with a folder of its own, so that no
/// namespace of an earlier service is joined.
#[test]
fn what_keeps_podman_from_working_is_told_with_its_cure() {
    on_podman();
    for (name, spoil, cure) in [
        (
            "tun",
            "chmod 600 /dev/net/tun.x; mount --bind /dev/net/tun.x /dev/net/tun",
            "/dev/net/tun",
        ),
        (
            "subid",
            "mount --bind /dev/null /etc/subuid; mount --bind /dev/null /etc/subgid",
            "--add-subuids",
        ),
        (
            "newuidmap",
            "mount -t tmpfs -o nosuid none /mnt; cp /usr/bin/newuidmap /mnt; mount --bind /mnt/newuidmap /usr/bin/newuidmap",
            "uidmap",
        ),
    ] {
        let folder = format!("/var/tmp/pm-{name}-dir");
        let line = format!(
            "mkdir -p {folder}; chmod 1777 {folder}
             test -e /dev/net/tun.x || mknod /dev/net/tun.x c 10 200
             printf 'node_dir = \"{folder}\"\\nengine = \"podman\"\\n' >/tmp/pm-{name}.toml
             unshare -m sh -euc '{spoil}
                exec runuser -u alice -- env HOME=/home/alice QDEBUG_SITE=/tmp/pm-{name}.toml \
                qdebug submit --scheduler local --name pm-{name} -g none -w 5m -i qdebug/busybox --wait'
             code=$?
             kill $(cat {folder}/qdebug-2001/podman/run/libpod/tmp/pause.pid) || true
             exit $code"
        );
        let ran = Host::Node2.root(&line);
        assert!(ran.err.contains(cure), "{name}: {ran}");
        assert_eq!(ran.code, 10, "{ran}");
    }
}

/// A session of the scheduler `local` in a control group with a limit of memory, as schedulers make one
/// for a job; with a folder of its own on the node, so that no process of Podman's that others need is
/// in that group.
struct Limited;

impl Limited {
    const NODE: Host = Host::Node2;
    const ENV: &str = "HOME=/home/alice QDEBUG_HOME=/home/alice/.qdebug-oom \
                       QDEBUG_SITE=/tmp/pm-oom.toml";
    /// Of cgroup version 1, or 2.
    const GROUP: &str = "if test -e /sys/fs/cgroup/cgroup.controllers
         then group=/sys/fs/cgroup/pm-oom limit=memory.max
         else group=/sys/fs/cgroup/memory/pm-oom limit=memory.limit_in_bytes; fi";

    #[track_caller]
    fn ready() -> Self {
        let line = format!(
            "{}
             mkdir -p $group; echo 400M >$group/$limit; echo $$ >$group/cgroup.procs
             mkdir -p -m 1777 /var/tmp/pm-oom
             printf 'node_dir = \"/var/tmp/pm-oom\"\\nengine = \"podman\"\\n' >/tmp/pm-oom.toml
             exec runuser -u alice -- env {} qdebug submit --scheduler local --name pm-oom -g none \
                -w 10m -i qdebug/demo --wait",
            Self::GROUP,
            Self::ENV
        );
        let own = Self;
        Self::NODE.root(&line).ok();
        own
    }

    fn qdebug(&self, words: &str) -> Ran {
        Self::NODE.sh(&format!("env {} qdebug {words}", Self::ENV))
    }

    #[track_caller]
    fn until(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        within(Duration::from_secs(60), what, || {
            last = self.qdebug("status --json pm-oom").ok().json();
            is(&last).then_some(()).ok_or_else(|| format!("{last:#}"))
        });
        last
    }

    /// A program in the session that takes all the memory it can get; how it ended.
    fn greedy(&self) -> Ran {
        Self::NODE.run(&["ssh", "qdebug-pm-oom", "exec tail /dev/zero"])
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.qdebug("logs pm-oom"));
        }
        self.qdebug("stop pm-oom");
        let line = format!(
            "{}
             kill $(cat /var/tmp/pm-oom/qdebug-2001/podman/run/libpod/tmp/pause.pid)
             for _ in $(seq 50); do rmdir $group && break; sleep 0.1; done
             rm -rf /tmp/pm-oom.toml",
            Self::GROUP
        );
        Self::NODE.root(&line);
    }
}

#[test]
fn memory_that_the_job_runs_out_of_is_told_and_ends_what_dies_of_it() {
    on_podman();
    let session = Limited::ready();
    let status = session.until("it is ready", |status| status["state"] == "ready");
    let limit = &status["details"]["limits"]["memory_bytes"];
    assert_eq!(*limit, 400 << 20, "{status:#}");
    session
        .qdebug("connect pm-oom --yes --detach --on here")
        .ok();
    assert_ne!(session.greedy().code, 0);
    let status = session.until("the notice", |status| {
        let notices = status["details"]["notices"].to_string();
        notices.contains("a process was killed: out of memory: the job's limit of 400M")
    });
    assert_eq!(status["state"], "ready", "{status:#}");

    // The kernel prefers the largest: now it takes the container's first process.
    let first = format!(
        "{}
         for pid in $(cat $group/cgroup.procs); do
            ! grep -q '^/.qdebug/init' /proc/$pid/cmdline || echo 1000 >/proc/$pid/oom_score_adj
         done",
        Limited::GROUP
    );
    Limited::NODE.root(&first).ok();
    assert_ne!(session.greedy().code, 0);
    let status = session.until("its end", |status| status["state"] == "ended");
    let reason = status["reason"].as_str().unwrap_or_default();
    for word in ["out of memory", "limit of 400M", "--memory"] {
        assert!(reason.contains(word), "{word}: {status:#}");
    }
}

/// Debian's Podman has runc, which keeps no groups.
#[test]
fn groups_that_stay_outside_are_named_with_the_cure() {
    on_podman();
    let session = Session::ready("pm-groups", &SMALL);
    let node = session.node();
    let groups = node
        .sh("id -G | tr ' ' '\\n' | grep -vx 2001 | sort -n")
        .ok();
    let names = groups.text().lines().map(|number| {
        let line = format!("getent group {number} | cut -d: -f1");
        format!("{} ({number})", node.sh(&line).ok().text())
    });
    let names = names.collect::<Vec<_>>().join(", ");
    assert_ne!(names, "", "alice is in a group that runc leaves out");
    let notices = session.status()["details"]["notices"].to_string();
    let old = node.sh("test ! -e /sys/fs/cgroup/cgroup.controllers").code == 0;
    let cure = if old {
        "--engine docker"
    } else {
        "install crun"
    };
    for word in [&*format!("outside: {names}."), cure] {
        assert!(notices.contains(word), "{word}: {notices}");
    }
}

#[test]
fn a_gpu_that_does_not_arrive_is_missed() {
    on_podman();
    let words = ["-g", "V100", "-w", "10m", "-i", "qdebug/busybox"];
    let session = Session::submit("pm-gpu", &words);
    let status = session.await_state("failed");
    // Podman 4 ignores what it is asked for, 5 refuses it by its name in CDI.
    let reason = status["reason"].to_string();
    let named = ["/dev/nvidia", "nvidia.com/gpu"].map(|name| reason.contains(name));
    assert_ne!(named, [false, false], "{status:#}");
    assert_eq!(status["code"], 9, "{status:#}");
    session.is_gone();
}
