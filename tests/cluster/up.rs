//! `qdebug up`: from the laptop alone.

use crate::host::{Host, Ran};
use crate::session::Session;

/// `qdebug up` of a small session, which does not stay.
fn up(name: &str, words: &[&str]) -> Ran {
    let begin = [
        "qdebug",
        "up",
        "--on",
        "alice@login",
        "--yes",
        "--name",
        name,
        "-w",
        "10m",
        "-i",
        "qdebug/busybox",
    ];
    Host::Laptop.run(&[&begin[..], words].concat())
}

#[test]
fn from_the_laptop_alone_into_the_session() {
    let odd = "ODD=a 'b' \"c\" $d \\ ü";
    Host::Laptop
        .sh("printf 'FILED=of the laptop\\nODD=beaten\\n' > up.env")
        .ok();
    let words = ["-g", "none", "--env-file", "up.env", "-e", odd, "--detach"];
    let ran = up("up-alone", &words).ok();
    let session = Session::known("up-alone");
    assert_eq!(ran.text(), session.job, "{ran}");
    assert!(ran.err.contains("up-alone: ready"), "{ran}");
    let told = session.ssh(&["printf %s, \"$ODD\" \"$FILED\""]).ok();
    assert_eq!(told.out, "a 'b' \"c\" $d \\ ü,of the laptop,");
    assert_eq!(session.status()["details"]["project"], "/home/alice");
}

#[test]
fn its_answer_is_the_open_way_and_its_refusals_the_clusters() {
    let ran = up("up-json", &["-g", "none", "--detach", "--json"]).ok();
    let session = Session::known("up-json");
    let open = ran.json();
    assert_eq!(open["alias"], "qdebug-up-json", "{open:#}");
    assert_eq!(open["status"]["job"], session.job.as_str(), "{open:#}");

    let taken = up("up-json", &["-g", "none"]);
    let login = [
        "-g",
        "none",
        "-w",
        "10m",
        "-i",
        "qdebug/busybox",
        "--name",
        "up-json",
    ];
    let there = Host::Login.run(&[&["qdebug", "submit"], &login[..]].concat());
    assert_ne!(taken.code, 0, "{taken}");
    assert_eq!(taken.code, there.code, "{taken}\n{there}");
    up("up-none", &["-g", "V10"]).fails(2, &["V100"]);
    let missing = up("up-none", &["-g", "none", "-m", "/no/such:/x"]);
    missing.fails(2, &["/no/such"]);
    // Nothing is left of what was refused.
    Host::Login
        .run(&["qdebug", "status", "up-none"])
        .fails(3, &[]);
}

#[test]
fn a_dry_run_is_what_login_would_do() {
    let flags = [
        "-g",
        "V100",
        "-A",
        "lab",
        "--cpus",
        "3",
        "--memory",
        "1G",
        "--dry-run",
    ];
    let there = ["-w", "10m", "-i", "qdebug/busybox", "--name", "up-dry"];
    let there = [&["qdebug", "submit"], &there[..], &flags].concat();
    let there = Host::Login.run(&there).ok();
    assert_eq!(up("up-dry", &flags).ok().out, there.out);
    let json = up("up-dry", &[&flags[..], &["--json"]].concat())
        .ok()
        .json();
    assert!(json["command"].is_array(), "{json:#}");
}
