//! One machine with docker, no cluster, no site file: node1, as a workstation of its own.

use std::time::Duration;

use crate::engine::engine;
use crate::host::{Host, Ran, within};

const HERE: Host = Host::Node1;

/// qdebug with a home of its own, and no scheduler's tools on PATH.
fn qdebug(words: &[&str]) -> Ran {
    let env = [
        "env",
        "QDEBUG_HOME=/home/alice/.qdebug-local",
        "QDEBUG_SITE=/nonexistent",
    ];
    HERE.run(&[&env[..], &["qdebug"], words].concat())
}

fn submit(name: &str, words: &[&str]) -> String {
    let head = [
        "submit",
        "--scheduler",
        "local",
        "-g",
        "none",
        "-i",
        "qdebug/demo",
        "--name",
        name,
    ];
    qdebug(&[&head[..], words].concat()).ok().text().to_owned()
}

#[test]
fn a_workstation_without_a_cluster() {
    let job = submit("alone", &["-w", "10m", "--wait"]);
    let connect = qdebug(&["connect", &job, "--yes", "--detach", "--on", "here"]).ok();
    assert!(connect.err.contains("ssh qdebug-alone"), "{connect}");
    assert_eq!(
        HERE.run(&["ssh", "qdebug-alone", "id -un"]).ok().text(),
        "alice"
    );
    let status = qdebug(&["status", "--json", &job]).ok().json();
    assert_eq!(status["state"], "ready", "{status:#}");
    assert_eq!(status["cluster"]["scheduler"], "local", "{status:#}");
    let stopped = qdebug(&["stop", &job, "--json"]).ok().json();
    assert_eq!(stopped["state"], "ended", "{stopped:#}");
    gone("alone");
}

#[test]
fn its_walltime_ends_it() {
    let job = submit("alone-short", &["-w", "8s", "--wait"]);
    within(Duration::from_secs(30), "the walltime ends it", || {
        let status = qdebug(&["status", "--json", &job]).ok().json();
        let over = status["state"] == "ended"
            && status["reason"]
                .as_str()
                .unwrap_or_default()
                .contains("walltime");
        if over {
            Ok(())
        } else {
            Err(format!("{status:#}"))
        }
    });
    gone("alone-short");
}

#[test]
fn a_killed_supervisor_or_node_half_leaves_nothing() {
    for (name, pattern) in [
        ("alone-sup", "qdebug local-run .*"),
        ("alone-node", "qdebug node .*/alone-node$"),
    ] {
        let job = submit(name, &["-w", "10m", "--wait"]);
        let pattern = pattern.replace(
            ".*",
            &format!(".*/{}", if name == "alone-sup" { &job } else { name }),
        );
        let pattern = pattern.replace("/alone-node/alone-node", "/alone-node");
        HERE.root(&format!("pkill -9 -f '{pattern}$'")).ok();
        qdebug(&["stop", &job]).ok();
        gone(name);
        let status = qdebug(&["status", "--json", &job]).ok().json();
        assert_eq!(status["state"], "ended", "{status:#}");
    }
}

#[track_caller]
fn gone(name: &str) {
    let label = format!("qdebug.session={name}");
    within(Duration::from_secs(5), "its container is gone", || {
        let left = engine().containers(HERE, &label);
        if left.is_empty() {
            Ok(())
        } else {
            Err(left.join(" "))
        }
    });
}
