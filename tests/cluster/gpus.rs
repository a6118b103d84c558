//! GPUs of every kind of trouble, and limits: what a session gets, is refused, and is told later.

use crate::trial::{GRANTED, HERE, KNOWN, NODE_DIR, OWN, Trial, v100s};

#[test]
fn a_gpu_that_would_fail_is_refused_with_its_reason() {
    let troubles: [(&'static str, &str, &[&str]); 7] = [
        (
            "gpu-busy",
            "process 1 1073741824",
            &["pid 1", "of root", "1024 MiB"],
        ),
        (
            "gpu-ecc",
            "ecc on\necc-errors 3",
            &["3 uncorrected memory errors"],
        ),
        ("gpu-remap", "remapped 0 1 pending", &["remapping"]),
        ("gpu-spare", "remapped 9 9 failed", &["no spare rows"]),
        ("gpu-retire", "retired 2 pending", &["retirement"]),
        ("gpu-lost", "fault lost", &["fallen off the bus"]),
        ("gpu-closed", "mode prohibited", &["prohibited"]),
    ];
    for (name, more, says) in troubles {
        Trial::submit(name, &v100s(&[(KNOWN[0], more)]), &GRANTED, &["-g", "V100"]).refused(says);
    }
}

#[test]
fn gpus_that_are_not_what_was_asked_for_are_refused() {
    let one = v100s(&[(KNOWN[0], "")]);
    let wrong = Trial::submit("gpu-type", &one, &GRANTED, &["-g", "A100"]);
    wrong.refused(&["A100", "Tesla V100"]);
    let few = Trial::submit("gpu-few", &one, &GRANTED, &["-g", "V100", "-n", "2"]);
    few.refused(&["2 GPUs"]);
    let driver = "init driver-not-loaded";
    let none = Trial::submit("gpu-driver", driver, &GRANTED, &["-g", "V100"]);
    none.refused(&["no GPU on this node"]);
}

#[test]
fn what_the_engine_did_not_hand_out_is_missed() {
    // The hook, like an engine that ignores what it is asked for, has no device for this one.
    let unknown = v100s(&[("GPU-00000000-no-device", "")]);
    let trial = Trial::submit("gpu-ignored", &unknown, &GRANTED, &["-g", "V100"]);
    trial.refused(&["no GPU", "/dev/nvidia0"]);
}

#[test]
fn without_a_grant_idle_ones_are_picked_and_each_once() {
    let node = v100s(&[(KNOWN[0], "process 1 1048576"), (KNOWN[1], "")]);
    let first = Trial::submit("gpu-picked", &node, &[], &["-g", "V100"]);
    let details = first.ready();
    assert_eq!(details["gpus"][0]["uuid"], KNOWN[1], "{details:#}");
    assert_eq!(details["gpus"][0]["picked"], true, "{details:#}");
    assert_eq!(
        first.inside(&details, "ls /dev | grep 'nvidia[0-9]'"),
        "nvidia1"
    );
    let second = Trial::submit("gpu-none", &node, &[], &["-g", "V100"]);
    second.refused(&["pid 1", "another session"]);
    let third = Trial::submit("gpu-bold", &node, &[], &["-g", "V100", "--allow-busy"]);
    let details = third.ready();
    assert_eq!(details["gpus"][0]["uuid"], KNOWN[0], "{details:#}");
}

#[test]
fn a_strict_site_lets_none_be_picked() {
    HERE.sh(&format!(
        "printf 'gpu_pick = \"refuse\"\\nnode_dir = \"{NODE_DIR}\"\\n' >strict.toml"
    ))
    .ok();
    let site = ["QDEBUG_SITE=/home/alice/strict.toml"];
    let idle = v100s(&[(KNOWN[0], "")]);
    let trial = Trial::submit("gpu-strict", &idle, &site, &["-g", "V100"]);
    let hint = trial.refused(&["no grant", "lets none be picked"])["hint"].to_string();
    assert!(hint.contains("gpu_pick"), "{hint}");
    // What was granted is none of its business.
    let env = [site[0], GRANTED[0]];
    Trial::submit("gpu-strict-granted", &idle, &env, &["-g", "V100"]).ready();
}

#[test]
fn a_mig_part_is_taken_by_its_name() {
    let cut = "mig on\npart MIG-5aa1-no-device 5368709120";
    let env = ["CUDA_VISIBLE_DEVICES=MIG-5aa1-no-device"];
    let trial = Trial::submit(
        "gpu-part",
        &v100s(&[(KNOWN[0], cut)]),
        &env,
        &["-g", "V100"],
    );
    // It was found, and asked for by name; the node's own hook has none.
    trial.refused(&["no GPU", "/dev/nvidia0"]);
    let env = ["CUDA_VISIBLE_DEVICES=MIG-other"];
    let trial = Trial::submit(
        "gpu-nopart",
        &v100s(&[(KNOWN[0], cut)]),
        &env,
        &["-g", "V100"],
    );
    trial.refused(&["MIG-other", "MIG-5aa1-no-device"]);
}

#[test]
fn a_driver_that_goes_away_is_told_while_the_session_lives() {
    let trial = Trial::submit(
        "gpu-gone",
        &v100s(&[(KNOWN[0], "")]),
        &GRANTED,
        &["-g", "V100"],
    );
    trial.ready();
    trial.set("init driver-not-loaded");
    let status = trial.until("the notice", 75, |status| {
        status["details"]["notices"]
            .to_string()
            .contains("does not answer any more")
    });
    assert_eq!(status["state"], "ready");
}

#[test]
fn a_container_has_the_limits_of_its_job() {
    // One CPU is what this job may use.
    let trial = Trial::set_up("gpu-limits", "");
    let line = "taskset -c 0 qdebug submit --scheduler local -g none -i qdebug/demo -w 10m \
                --memory 512M --name gpu-limits";
    HERE.sh(&format!("{} {line}", OWN.join(" "))).ok();
    let details = trial.ready();
    assert_eq!(trial.inside(&details, "nproc"), "1");
    let read =
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null";
    let memory = trial.inside(&details, &format!("{read} || true"));
    assert_eq!(memory, (512u64 << 20).to_string());
    let read = "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null || true";
    let pids = trial.inside(&details, read);
    assert_eq!(pids, details["limits"]["pids"].to_string(), "{details:#}");
    assert_eq!(details["limits"]["cpuset"], "0", "{details:#}");
    assert_eq!(details["limits"]["memory_bytes"], 512 << 20, "{details:#}");
    let shown = trial.qdebug(&["status"]).ok();
    assert!(shown.out.contains("CPUs 0, 512 MiB memory"), "{shown}");
    let gpus = "ls /dev | grep -c '^nvidia' || true";
    assert_eq!(trial.inside(&details, gpus), "0");
}

#[test]
fn memory_that_runs_out_is_told_and_ends_what_dies_of_it() {
    // 32,000 pages: the kernel counts in thousandths of them, rounded down.
    let words = ["-g", "none", "--memory", "125M"];
    let trial = Trial::submit("gpu-memory", "", &[], &words);
    let details = trial.ready();
    let id = details["container"].as_str().unwrap_or_default();
    let greedy = ["docker", "exec", id, "tail", "/dev/zero"];
    assert_eq!(HERE.run(&greedy).code, 137);
    let status = trial.until("the notice", 60, |status| {
        let notices = status["details"]["notices"].to_string();
        notices.contains("a process was killed: out of memory")
    });
    assert_eq!(status["state"], "ready", "{status:#}");

    // The kernel prefers the largest: now it takes the container's first process.
    let first = format!(
        "pid=$(docker inspect -f '{{{{.State.Pid}}}}' {id}) && echo 1000 >/proc/$pid/oom_score_adj"
    );
    HERE.root(&first).ok();
    assert_ne!(HERE.run(&greedy).code, 0);
    let status = trial.until("its end", 60, |status| status["state"] == "ended");
    let reason = status["reason"].as_str().unwrap_or_default();
    for word in ["out of memory", "limit of 125M", "--memory"] {
        assert!(reason.contains(word), "{word}: {status:#}");
    }
}
