//! The scheduler's hooks for real: it runs them as root at the end of every job. What they must
//! remove, what they must not touch, and that no node is ever harmed by them.
//!
//! The containers are made by jobs of alice's, who may write any label she likes. They have no
//! lease and no node half: what removes them is the hooks alone.

use std::time::Duration;

use crate::hooked::{self, after_bobs, job_id};
use crate::host::{Host, within};
use crate::job::Job;
use crate::scheduler::here;
use crate::session::Session;

const ALICE: &str = "2001";
const BOB: &str = "2002";

const SMALL: [&str; 6] = ["-g", "V100", "-w", "10m", "-i", "qdebug/busybox"];

/// The hooks are on both nodes from then on; they stay for the other tests.
#[track_caller]
fn install() {
    static INSTALLED: std::sync::Once = std::sync::Once::new();
    INSTALLED.call_once(hooked::install);
}

/// Labels as a node half writes them, as words of a shell in which `$job` is the job's id. With the
/// token of a living session, another test's `gc` leaves the container alone.
fn labels(job: &str, uid: &str, token: &str, more: &[(&str, &str)]) -> String {
    let cluster = format!("{} qdebug", here().name());
    let mut labels = vec![
        ("session", "forged"),
        ("token", token),
        ("job", job),
        ("cluster", &cluster),
        ("uid", uid),
    ];
    labels.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    labels.extend(more);
    let word = |(name, value): &(&str, &str)| format!(" --label \"qdebug.{name}={value}\"");
    labels.iter().map(word).collect()
}

/// A line that makes a container with these labels.
fn make(name: &str, labels: &str) -> String {
    format!("docker run -d --name {name}{labels} qdebug/busybox sleep 600\n")
}

fn names() -> Vec<String> {
    let list = "docker ps -a --format '{{.Names}}' --filter label=qdebug.token";
    let ran = Host::Node1.root(list).ok();
    ran.text().lines().map(str::to_owned).collect()
}

fn there(name: &str) -> bool {
    names().iter().any(|found| found == name)
}

/// Removes the containers whose names begin so: a test's own, also those of a run that failed.
fn remove(prefix: &str) {
    let line = format!("docker ps -aq --filter name=^{prefix} | xargs -r docker rm -f");
    Host::Node1.root(&line).ok();
}

#[test]
fn a_hook_removes_what_a_job_left_and_nothing_else() {
    install();
    remove("h[kg]-");
    let live = Session::ready("hooks-live", &SMALL);
    let more = |more: &[(&str, &str)]| labels("$job", ALICE, &live.token, more);
    let [another, _] = here().others();
    let another = format!("{another} qdebug");
    let kept = [
        ("hk-live", labels(&live.job, ALICE, &live.token, &[])),
        ("hk-bob", labels("$job", BOB, &live.token, &[])),
        ("hk-path", more(&[("job", "/etc/passwd")])),
        ("hk-newline", more(&[("job", "$job\n")])),
        ("hk-option", more(&[("job", "--force")])),
        ("hk-uid", more(&[("uid", "--force")])),
        ("hk-token", more(&[("token", "../../../etc")])),
        ("hk-session", more(&[("session", "$(printf '\\n')-rf")])),
        ("hk-another", more(&[("cluster", &another)])),
        ("hk-local", more(&[("cluster", "local node1")])),
    ];
    let gone = [
        ("hg-mine", more(&[])),
        ("hg-two", more(&[("session", "another-name")])),
    ];
    let mut script = format!("job=${}\n", here().id_variable());
    for (name, labels) in kept.iter().chain(&gone) {
        script += &make(name, labels);
    }
    let job = Job::submit("hooks", Host::Node1, 0, &script);
    assert_eq!(job.output().lines().count(), kept.len() + gone.len());
    within(Duration::from_secs(10), "what the job left is gone", || {
        let names = names();
        if names.iter().any(|name| name.starts_with("hg-")) {
            Err(format!("{names:?}"))
        } else {
            Ok(())
        }
    });
    // The last hook of the job is through by now.
    std::thread::sleep(Duration::from_secs(2));
    let names = names();
    for (name, labels) in &kept {
        assert!(
            names.iter().any(|found| found == name),
            "{name} is gone:{labels}"
        );
    }
    let filter = format!("name=qdebug-{}", live.name);
    let running = Host::Node1.run(&["docker", "ps", "-q", "--filter", &filter]);
    let count = running.ok().text().lines().count();
    assert_eq!(count, 1, "a living session is touched");
    remove("hk-");
    hooked::no_node_is_harmed();
}

#[test]
fn a_hook_twice_at_the_same_time_succeeds() {
    install();
    remove("ht-");
    let job = job_id(4_000_000_000);
    let mine = labels(&job, BOB, &"b".repeat(32), &[]);
    Host::Node1.sh(&make("ht-twice", &mine)).ok();
    let hook = after_bobs(&job);
    let both = format!("{hook} & one=$!; {hook} & two=$!; wait $one && wait $two");
    Host::Node1.root(&both).ok();
    assert!(!there("ht-twice"));
    Host::Node1.root(&hook).ok();
}

#[test]
fn with_a_dead_engine_a_hook_succeeds_and_the_next_sweep_does_it() {
    install();
    remove("hd-");
    let job = job_id(4_000_000_002);
    let mine = labels(&job, BOB, &"c".repeat(32), &[]);
    Host::Node1.sh(&make("hd-dead", &mine)).ok();
    // The engine's socket is dead for this process alone: other tests have theirs.
    let dead = |line: &str| {
        format!("unshare -m sh -c \"mount --bind /dev/null /run/docker.sock && exec {line}\"")
    };
    Host::Node1.root(&dead(&after_bobs(&job))).ok();
    assert!(there("hd-dead"), "nobody could have removed it");
    let strict = format!("qdebug cleanup --job {job} --strict");
    Host::Node1.root(&dead(&strict)).fails(7, &["next sweep"]);
    // A sweep spares what is younger than a minute.
    assert!(there("hd-dead"));
    std::thread::sleep(Duration::from_secs(62));
    hooked::sweep(&job);
    within(Duration::from_secs(90), "the next sweep removes it", || {
        if there("hd-dead") {
            Err(format!("{:?}", names()))
        } else {
            Ok(())
        }
    });
    hooked::no_node_is_harmed();
}

#[test]
fn cleanup_by_a_user_is_for_his_own_and_a_sweep_spares_the_young_and_the_living() {
    // Of a scheduler that is not there: no hook and no sweep of another test's is meant.
    let [_, scheduler] = here().others();
    let cluster = format!("{scheduler} qdebug");
    let token = "d".repeat(32);
    remove("hu-");
    for (name, uid) in [("hu-mine", ALICE), ("hu-bobs", BOB)] {
        let labels = labels("4000000001", uid, &token, &[("cluster", &cluster)]);
        Host::Node1.sh(&make(name, &labels)).ok();
    }
    let sweep = |live: &str, age: u32| {
        let list = format!("--live '{live}' --min-age {age}");
        let line = format!("qdebug cleanup --sweep {list} --scheduler {scheduler}");
        Host::Node1.root(&line).ok()
    };
    sweep("", 3600);
    let refused = sweep("4000000001,--force", 0);
    assert!(refused.err.contains("nothing is swept"), "{refused}");
    sweep("17,4000000001", 0);
    assert!(there("hu-mine") && there("hu-bobs"), "{:?}", names());
    let mine = "qdebug cleanup --job 4000000001 --strict";
    Host::Node1.sh(mine).ok();
    assert!(!there("hu-mine") && there("hu-bobs"), "{:?}", names());
    sweep("17", 0);
    assert!(!there("hu-bobs"), "{:?}", names());
}

#[test]
fn a_session_ends_as_ever_with_the_hooks_installed() {
    install();
    let session = Session::ready("hooks-session", &SMALL);
    here().delete(&session.job).ok();
    session.is_gone();
    let status = session.await_state("ended");
    let reason = status["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("cancelled"), "{status:#}");
    hooked::no_node_is_harmed();
}
