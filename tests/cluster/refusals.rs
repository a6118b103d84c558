//! Wrong inputs: each a clear error with the cure, its exit code, and nothing left behind.

use crate::engine::{Engine, engine};
use crate::host::{Host, Ran};
use crate::scheduler::{Scheduler, here};
use crate::session::Session;

const DEMO: [&str; 6] = ["-g", "none", "-w", "1h", "-i", "qdebug/demo"];

fn qdebug(words: &[&str]) -> Ran {
    Host::Login.run(&[&["qdebug"], words].concat())
}

/// A submit that must be refused: with this code and words, leaving no session and no job.
#[track_caller]
fn refused(name: &str, words: &[&str], code: i32, says: &[&str]) {
    let head = ["submit", "--name", name];
    let ran = qdebug(&[&head[..], words].concat()).fails(code, says);
    assert!(ran.err.contains("hint:") || code == 2, "no hint: {ran}");
    qdebug(&["status", name]).fails(3, &[name]);
    let jobs = here().jobs_named(&format!("qdebug-{name}"));
    assert_eq!(jobs, "", "a job is left");
}

#[test]
fn an_unknown_gpu_type() {
    let words = ["-g", "V10", "-w", "1h", "-i", "qdebug/demo"];
    refused("bad-gpu", &words, 2, &["V10", "did you mean V100", "P100"]);
}

#[test]
fn a_bad_walltime() {
    let words = ["-g", "V100", "-w", "4", "-i", "qdebug/demo"];
    refused("bad-time", &words, 2, &["4h", "HH:MM:SS"]);
}

#[test]
fn an_image_that_is_nowhere() {
    let session = Session::submit(
        "bad-image",
        &["-g", "none", "-w", "1h", "-i", "no-such-image:v9"],
    );
    let status = session.await_state("failed");
    assert_eq!(status["code"], 8, "{status:#}");
    let text = status["reason"].as_str().unwrap_or_default();
    assert!(text.contains("no-such-image:v9"), "{status:#}");
    assert!(status["hint"].is_string(), "{status:#}");
    session.is_gone();
}

#[test]
fn a_mount_of_a_folder_that_is_not_there() {
    let words = [
        "-g",
        "none",
        "-w",
        "1h",
        "-i",
        "qdebug/demo",
        "-m",
        "/no/such folder:/data",
    ];
    refused("bad-mount", &words, 2, &["/no/such folder"]);
}

#[test]
fn a_path_with_a_newline() {
    let words = [
        "-g",
        "none",
        "-w",
        "1h",
        "-i",
        "qdebug/demo",
        "-m",
        "/tmp\n#SBATCH:/data",
    ];
    refused("bad-path", &words, 2, &["line break"]);
    let words = [
        "-g",
        "none",
        "-w",
        "1h",
        "-i",
        "qdebug/demo",
        "--workdir",
        "/tmp/a\nb",
    ];
    refused("bad-dir", &words, 2, &["line break"]);
}

#[test]
fn a_job_id_that_never_existed() {
    qdebug(&["status", "987654"]).fails(3, &["987654", "qdebug list"]);
    qdebug(&["stop", "987654"]).fails(3, &["987654"]);
    qdebug(&["logs", "987654"]).fails(3, &["987654"]);
    let connect = [
        "qdebug",
        "connect",
        "987654",
        "--on",
        "alice@login",
        "--yes",
    ];
    Host::Laptop.run(&connect).fails(3, &["987654"]);
}

#[test]
fn an_array_id_and_array_options() {
    for id in ["33[]", "33_1", "33[1]"] {
        qdebug(&["status", id]).fails(2, &["array"]);
    }
    let option = here().array_option();
    let words = [&DEMO[..], &["--", option]].concat();
    refused("bad-array", &words, 2, &[option, "array"]);
    let words = [&DEMO[..], &["--"], here().rerun_options()].concat();
    refused("bad-requeue", &words, 2, &["twice"]);
}

#[test]
fn a_session_that_cannot_be_read() {
    let lay = |name: &str, request: &str| {
        Host::Login.sh(&format!("mkdir -p .qdebug/sessions/{name} && cat > .qdebug/sessions/{name}/request.json <<'END'\n{request}\nEND")).ok();
    };
    lay("unreadable", "{}");
    Host::Login
        .sh("chmod 000 .qdebug/sessions/unreadable/request.json")
        .ok();
    qdebug(&["status", "unreadable"]).fails(15, &["unreadable/request.json", "hint:"]);
    lay("damaged", "not json");
    qdebug(&["status", "damaged"]).fails(1, &["damaged/request.json", "hint:"]);
    // Others are still listed, and these are told.
    let listed = qdebug(&["list", "--json"]).ok();
    assert!(
        listed.json().is_array() && listed.err.contains("damaged"),
        "{listed}"
    );
    Host::Login
        .sh("rm -rf .qdebug/sessions/unreadable .qdebug/sessions/damaged")
        .ok();
}

#[test]
fn a_state_of_a_newer_version() {
    let session = Session::submit("newer", &[&DEMO[..], &here().waiting()].concat());
    Host::Login.sh("echo '{\"format\": 7, \"written_by\": \"9.1.0\", \"phase\": 3}' > .qdebug/sessions/newer/state.json").ok();
    qdebug(&["status", "newer"]).fails(11, &["9.1.0", "install"]);
    let connect = ["qdebug", "connect", "newer", "--on", "alice@login", "--yes"];
    Host::Laptop.run(&connect).fails(11, &["9.1.0"]);
    Host::Login.sh("rm .qdebug/sessions/newer/state.json").ok();
    drop(session);
}

#[test]
fn a_damaged_state_does_not_keep_its_job() {
    let words = [&DEMO[..], &here().waiting()].concat();
    let session = Session::submit("unreadable-job", &words);
    let state = ".qdebug/sessions/unreadable-job/state.json";
    Host::Login.sh(&format!("echo '{{' > {state}")).ok();
    qdebug(&["status", "unreadable-job"]).fails(1, &["damaged", "qdebug stop"]);
    qdebug(&["stop", &session.job]).fails(1, &["damaged"]);
    assert_eq!(here().jobs_named("qdebug-unreadable-job"), "");
    Host::Login.sh(&format!("rm {state}")).ok();
    drop(session);
}

#[test]
fn an_engine_that_refuses() {
    if here() != Scheduler::Slurm {
        eprintln!("skipped: PBS hands DOCKER_HOST of the submitter to no job");
        return;
    }
    if engine() == Engine::Podman {
        // It is not asked where Docker is.
        return;
    }
    let words = ["-g", "none", "-w", "1h", "-i", "qdebug/demo"];
    let name = ["submit", "--json", "--name", "bad-engine"];
    let line = "export DOCKER_HOST=unix:///nonexistent/docker.sock; exec qdebug \"$@\"";
    let all = [&["bash", "-c", line, "qdebug"][..], &name, &words].concat();
    let ran = Host::Login.run(&all).ok();
    let job = ran.json()["job"].as_str().unwrap_or_default().to_owned();
    let mut last = String::new();
    crate::host::within(std::time::Duration::from_secs(60), "it fails", || {
        let status = qdebug(&["status", "--json", &job]).ok().json();
        last = format!("{status:#}");
        if status["state"] == "failed" {
            Ok(())
        } else {
            Err(last.clone())
        }
    });
    assert!(
        last.contains("\"code\": 7") && last.contains("/nonexistent/docker.sock"),
        "{last}"
    );
}

#[test]
fn a_name_that_is_taken() {
    let session = Session::submit("taken", &[&DEMO[..], &here().waiting()].concat());
    let words = [
        "submit",
        "--name",
        "taken",
        "-g",
        "none",
        "-w",
        "1h",
        "-i",
        "qdebug/demo",
    ];
    qdebug(&words).fails(1, &["taken", here().waiting_state(), "hint:"]);
    drop(session);
    // An ended one gives its name up.
    let again = Session::submit("taken", &[&DEMO[..], &here().waiting()].concat());
    drop(again);
}
