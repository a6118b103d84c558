//! Waits in a real queue, by a person at a terminal who has enough of it: Ctrl-C asks, and the
//! scheduler's word tells what became of the job. What a wait shows is in `tests/waiting.rs`.

use crate::host::{Host, Ran};
use crate::scheduler::here;
use crate::session::Session;

/// A person at a terminal, to whom the steps are given as JSON.
const PERSON: &str = include_str!("../support/person.py");
const CTRL_C: &str = "\u{3}";
const QUESTION: &str = "[K]eep, [c]ancel:";

const SMALL: [&str; 6] = ["-g", "none", "-w", "30m", "-i", "qdebug/busybox"];

/// A session that waits until somebody deletes it.
#[track_caller]
fn waiting(name: &str) -> Session {
    let session = Session::submit(name, &[&SMALL[..], &here().waiting()].concat());
    session.await_state(here().waiting_state());
    session
}

/// Types Ctrl-C as soon as the wait tells where the session stands, then the answer.
#[track_caller]
fn has_enough(host: Host, name: &str, answer: &str, words: &[&str]) -> Ran {
    let told = format!("{name}: {}", here().waiting_state());
    let steps = serde_json::json!([[told, CTRL_C], [QUESTION, answer]]).to_string();
    let ran = host.run(&[&["python3", "-c", PERSON, &steps, "qdebug"], words].concat());
    assert_eq!(ran.code, 130, "{ran}");
    assert!(ran.out.contains(QUESTION), "{ran}");
    ran
}

/// The job is as it was, and the person was told how to end it.
#[track_caller]
fn kept(session: &Session, ran: &Ran) {
    let cure = format!("the job is kept; `qdebug stop {}", session.job);
    assert!(ran.out.contains(&cure), "{ran}");
    assert_eq!(session.status()["state"], here().waiting_state());
    assert_ne!(here().jobs_named(&format!("qdebug-{}", session.name)), "");
}

/// The scheduler has no such job any more, and `status` tells who ended it.
#[track_caller]
fn cancelled(session: &Session, ran: &Ran) {
    assert!(ran.out.contains("ended: stopped by alice"), "{ran}");
    let status = session.await_state("ended");
    let reason = status["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("stopped by alice"), "{status:#}");
    assert_eq!(
        here().jobs_named(&format!("qdebug-{}", session.name)),
        "",
        "{ran}"
    );
}

#[test]
fn ctrl_c_in_connect_keeps_and_then_cancels() {
    let session = waiting("waits-connect");
    let connect = ["connect", &session.name, "--on", "alice@login", "--yes"];
    for answer in ["keep\n", "\n", CTRL_C] {
        let ran = has_enough(Host::Laptop, &session.name, answer, &connect);
        kept(&session, &ran);
    }
    let ran = has_enough(Host::Laptop, &session.name, "cancel\n", &connect);
    cancelled(&session, &ran);
}

#[test]
fn ctrl_c_in_submit_keeps_or_cancels() {
    for (name, answer) in [("waits-keep", "k\n"), ("waits-cancel", "c\n")] {
        let words = [
            &["submit", "--name", name, "--wait"],
            &SMALL[..],
            &here().waiting(),
        ]
        .concat();
        let ran = has_enough(Host::Login, name, answer, &words);
        let session = Session::known(name);
        match answer {
            "k\n" => kept(&session, &ran),
            _ => cancelled(&session, &ran),
        }
    }
}
