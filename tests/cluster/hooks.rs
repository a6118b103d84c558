//! Slurm's Epilog for real: slurmd runs it as root at the end of every job. What it must remove,
//! what it must not touch, and that no node is ever drained by it.
//!
//! The containers are made by jobs of alice's, who may write any label she likes. They have no
//! lease and no node half: what removes them is the hook alone.

use std::sync::Once;
use std::time::Duration;

use crate::host::{Host, within};
use crate::session::Session;

static INSTALLED: Once = Once::new();

const FILE: &str = "/etc/slurm/epilog.d/50-qdebug.sh";
const ALICE: &str = "2001";
const BOB: &str = "2002";

/// The hooks are on both nodes from then on. They stay: other tests' jobs are on the nodes, and
/// a hook that goes while a job ends drains its node.
#[track_caller]
fn install() {
    INSTALLED.call_once(|| {
        for node in Host::NODES {
            let install = "qdebug hooks install --scheduler slurm --yes";
            node.root(install).ok();
            let again = node.root(install).ok();
            assert!(again.err.contains("nothing to do"), "{again}");
        }
    });
    for node in Host::NODES {
        node.root("qdebug hooks status --scheduler slurm").ok();
    }
}

/// These are Slurm's hooks; the others' are run by their own clusters.
fn not_slurm() -> bool {
    std::env::var("QDEBUG_TEST_SCHEDULER").is_ok_and(|kind| kind != "slurm")
}

/// Fails when an epilog has drained a node.
#[track_caller]
fn no_node_is_drained() {
    let states = Host::Login.sh("sinfo -h -N -o '%N %T %E'").ok();
    let drained = ["drain", "Epilog"]
        .iter()
        .any(|word| states.out.contains(word));
    assert!(!drained, "{states}");
}

/// Labels as a node half writes them, as words of a shell in which `$job` is the job's id. With the
/// token of a living session, another test's `gc` leaves the container alone.
fn labels(job: &str, uid: &str, token: &str, more: &[(&str, &str)]) -> String {
    let mut labels = vec![
        ("session", "forged"),
        ("token", token),
        ("job", job),
        ("cluster", "slurm qdebug"),
        ("uid", uid),
    ];
    labels.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    labels.extend(more);
    let word = |(name, value): &(&str, &str)| format!(" --label \"qdebug.{name}={value}\"");
    labels.iter().map(word).collect()
}

/// A job of alice's on node1 that makes a container for each of these labels, under these names,
/// and ends. Returns its id when it is over.
#[track_caller]
fn job_that_leaves(containers: &[(&str, String)], then: &str) -> String {
    let mut script = String::from("#!/bin/bash\njob=$SLURM_JOB_ID\n");
    for (name, labels) in containers {
        script += &format!("docker run -d --name {name}{labels} qdebug/busybox sleep 600\n");
    }
    script += then;
    let submit = format!(
        "cat >hooks.sh <<'QD'\n{script}\nQD\nsbatch --parsable -w node1 --mem 100 -o hooks.log hooks.sh"
    );
    let job = Host::Login.sh(&submit).ok().text().to_owned();
    within(
        Duration::from_secs(60),
        "the job is over",
        || match Host::Login
            .sh(&format!("squeue -h -t all -o %T -j {job}"))
            .text()
        {
            "COMPLETED" | "FAILED" | "TIMEOUT" => Ok(()),
            state => Err(state.to_owned()),
        },
    );
    job
}

fn names() -> Vec<String> {
    let list = "docker ps -a --format '{{.Names}}' --filter label=qdebug.token";
    let ran = Host::Node1.root(list).ok();
    ran.text().lines().map(str::to_owned).collect()
}

fn there(name: &str) -> bool {
    names().iter().any(|found| found == name)
}

fn remove(prefix: &str) {
    let line = format!("docker ps -aq --filter name=^{prefix} | xargs -r docker rm -f");
    Host::Node1.root(&line).ok();
}

#[test]
fn the_epilog_removes_what_a_job_left_and_nothing_else() {
    if not_slurm() {
        return;
    }
    install();
    let live = Session::ready(
        "hooks-live",
        &["-g", "V100", "-w", "10m", "-i", "qdebug/busybox"],
    );
    let more = |more: &[(&str, &str)]| labels("$job", ALICE, &live.token, more);
    let kept = [
        ("hk-live", labels(&live.job, ALICE, &live.token, &[])),
        ("hk-bob", labels("$job", BOB, &live.token, &[])),
        ("hk-path", more(&[("job", "/etc/passwd")])),
        ("hk-newline", more(&[("job", "$job\n")])),
        ("hk-option", more(&[("job", "--force")])),
        ("hk-uid", more(&[("uid", "--force")])),
        ("hk-token", more(&[("token", "../../../etc")])),
        ("hk-session", more(&[("session", "$(printf '\\n')-rf")])),
        ("hk-torque", more(&[("cluster", "torque qdebug")])),
        ("hk-local", more(&[("cluster", "local node1")])),
    ];
    let mut all = kept.to_vec();
    all.push(("hg-mine", more(&[])));
    all.push(("hg-two", more(&[("session", "another-name")])));
    job_that_leaves(&all, "");
    within(Duration::from_secs(10), "what the job left is gone", || {
        let names = names();
        let left = names.iter().filter(|name| name.starts_with("hg-")).count();
        if left == 0 {
            Ok(())
        } else {
            Err(format!("{names:?}"))
        }
    });
    // The epilog is through by now, and again later.
    for (name, labels) in &kept {
        assert!(there(name), "{name} is gone:{labels}");
    }
    let running = Host::Node1.run(&[
        "docker",
        "ps",
        "-q",
        "--filter",
        &format!("name=qdebug-{}", live.name),
    ]);
    assert_eq!(
        running.ok().text().lines().count(),
        1,
        "a living session is touched"
    );
    remove("hk-");
    let refused = Host::Node1.root("qdebug hooks uninstall --scheduler slurm --yes");
    refused.fails(4, &[&live.job, "drained"]);
    Host::Node1.root(&format!("test -x {FILE}")).ok();
    no_node_is_drained();
}

#[test]
fn the_epilog_twice_at_the_same_time_and_with_a_dead_engine_succeeds() {
    if not_slurm() {
        return;
    }
    install();
    let mine = labels("4000000000", BOB, &"b".repeat(32), &[]);
    let make = format!("docker run -d --name hg-twice{mine} qdebug/busybox sleep 600");
    let epilog = format!("env -i SLURM_JOB_ID=4000000000 SLURM_JOB_UID={BOB} {FILE}");
    // The engine's socket is dead for this process alone: other tests have theirs.
    let dead =
        format!("unshare -m sh -c 'mount --bind /dev/null /run/docker.sock && exec {epilog}'");
    Host::Node1.sh(&make).ok();
    Host::Node1.root(&dead).ok();
    assert!(there("hg-twice"), "nobody could have removed it");
    let strict = dead.replace(
        &format!("exec {epilog}"),
        "exec qdebug cleanup --job 4000000000 --strict",
    );
    Host::Node1.root(&strict).fails(7, &["next sweep"]);
    let both = format!("{epilog} & one=$!; {epilog} & two=$!; wait $one && wait $two");
    Host::Node1.root(&both).ok();
    assert!(!there("hg-twice"));
    Host::Node1.root(&epilog).ok();
}

#[test]
fn cleanup_by_a_user_is_for_his_own_and_a_sweep_spares_the_young() {
    if not_slurm() {
        return;
    }
    let small = ["-g", "V100", "-w", "10m", "-i", "qdebug/busybox"];
    let live = Session::ready("hooks-user", &small);
    for (name, uid) in [("hu-mine", ALICE), ("hu-bobs", BOB)] {
        let labels = labels("4000000001", uid, &live.token, &[]);
        let make = format!("docker run -d --name {name}{labels} qdebug/busybox sleep 600");
        Host::Node1.sh(&make).ok();
    }
    let sweep = |live: &str, age: u32| {
        format!("qdebug cleanup --sweep --live '{live}' --min-age {age} --scheduler slurm")
    };
    // Every session of the suite on this node lives, as far as this sweep knows.
    let ids = "docker ps -a --filter label=qdebug.job --format '{{.Label \"qdebug.job\"}}'";
    let ids = Host::Node1.root(ids).ok().out;
    let others: Vec<&str> = ids
        .split_whitespace()
        .filter(|id| *id != "4000000001")
        .collect();
    let others = others.join(",");
    Host::Node1.root(&sweep(&others, 3600)).ok();
    Host::Node1.root(&sweep("4000000001,--force", 0)).ok();
    Host::Node1
        .root(&sweep(&format!("{others},4000000001"), 0))
        .ok();
    assert!(there("hu-mine") && there("hu-bobs"), "{:?}", names());
    Host::Node1
        .sh("qdebug cleanup --job 4000000001 --strict")
        .ok();
    assert!(!there("hu-mine") && there("hu-bobs"), "{:?}", names());
    Host::Node1
        .root("qdebug cleanup --job 4000000001 --strict")
        .ok();
    assert!(!there("hu-bobs"), "{:?}", names());
}

#[test]
fn a_session_ends_as_ever_with_the_hooks_installed() {
    if not_slurm() {
        return;
    }
    install();
    let small = ["-g", "V100", "-w", "10m", "-i", "qdebug/busybox"];
    let session = Session::ready("hooks-session", &small);
    Host::Login.run(&["scancel", &session.job]).ok();
    session.is_gone();
    let status = session.await_state("ended");
    let reason = status["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("cancelled"), "{status:#}");
    no_node_is_drained();
}
