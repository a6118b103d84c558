//! How sessions end, and what `status` says then; every blow from outside is in `blows`.

use std::time::Duration;

use crate::engine::engine;
use crate::host::{Host, within};
use crate::scheduler::here;
use crate::session::Session;

const SMALL: [&str; 6] = ["-g", "none", "-w", "30m", "-i", "qdebug/busybox"];

/// Waits for the verdict and holds its reason against these words.
#[track_caller]
fn ended(session: &Session, words: &[&str]) {
    let status = session.await_state("ended");
    let reason = status["reason"].as_str().unwrap_or_default();
    assert!(
        words.iter().any(|word| reason.contains(word)),
        "{words:?}: {status:#}"
    );
}

#[test]
fn qdebug_stop() {
    let session = Session::ready("end-stop", &SMALL);
    Host::Login.run(&["qdebug", "stop", &session.name]).ok();
    session.is_gone();
    ended(&session, &["stopped by alice@login"]);
}

#[test]
fn stop_of_a_waiting_job() {
    let session = Session::submit("end-queued-stop", &[&SMALL[..], &here().waiting()].concat());
    session.await_state(here().waiting_state());
    let status = Host::Login
        .run(&["qdebug", "stop", &session.name, "--json"])
        .ok()
        .json();
    assert_eq!(status["state"], "ended", "{status:#}");
}

#[test]
fn kill_9_of_everything_of_the_job() {
    let session = Session::ready("end-kill-all", &SMALL);
    session.node().root(&here().killing_all(&session)).ok();
    session.is_gone();
    // Slurm needs minutes to notice that its own daemon for the job is gone. Until then nobody is
    // told that the session is ready.
    within(Duration::from_secs(90), "silence is noticed", || {
        let status = session.status();
        let told = status["state"] == "unknown"
            && status["doubts"].to_string().contains("last heard")
            || status["state"] == "ended";
        if told {
            Ok(())
        } else {
            Err(format!("{status:#}"))
        }
    });
    within(Duration::from_secs(400), "a verdict", || {
        let status = session.status();
        if status["state"] == "ended" {
            Ok(())
        } else {
            Err(format!("{status:#}"))
        }
    });
}

#[test]
fn kill_9_while_it_is_being_made() {
    for (turn, delay) in ["0", "0.1", "0.2", "0.3", "0.45"].iter().enumerate() {
        let session = Session::submit(&format!("end-early-{turn}"), &SMALL);
        let line = format!(
            "for try in $(seq 300); do pid=$(pgrep -f 'qdebug node .*/{}$') && break; sleep 0.02; done
             test -n \"$pid\" && sleep {delay} && kill -9 $pid",
            session.name
        );
        let killed = Host::NODES.map(|node| {
            let line = line.clone();
            std::thread::spawn(move || node.root(&line).code == 0)
        });
        let killed: Vec<bool> = killed
            .into_iter()
            .map(|t| t.join().expect("a thread"))
            .collect();
        assert!(
            killed.contains(&true),
            "no node half was seen: {}",
            session.logs()
        );
        within(Duration::from_secs(60), "a verdict", || {
            let status = session.status();
            let over = matches!(status["state"].as_str(), Some("ended" | "failed"));
            if over {
                Ok(())
            } else {
                Err(format!("{status:#}"))
            }
        });
        // A container that was made and not yet started waits for the next sweep.
        for node in Host::NODES {
            node.run(&["qdebug", "gc"]).ok();
        }
        session.is_gone();
    }
}

#[test]
fn the_container_is_killed_from_outside() {
    let session = Session::ready("end-container", &SMALL);
    let container = session.containers().remove(0);
    let kill = format!("kill {container}");
    engine().run(session.node(), &kill).ok();
    session.is_gone();
    ended(&session, &["container exited"]);
    // The job ends with it: nothing holds the node for an hour.
    within(Duration::from_secs(20), "the job is over", || {
        let left = here().jobs_named(&format!("qdebug-{}", session.name));
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

#[test]
fn a_job_id_that_comes_again_is_another_session() {
    let session = Session::ready("end-again", &SMALL);
    Host::Login.run(&["qdebug", "stop", &session.name]).ok();
    // An older session claims the same id: as after a scheduler that was set up anew.
    let line = format!(
        "cd .qdebug/sessions && cp -r end-again old-{turn} &&
         sed -i 's/{token}/{other}/; s/\"name\": \"end-again\"/\"name\": \"old-again\"/' old-{turn}/*.json &&
         mv old-{turn} old-again",
        turn = session.job, token = session.token, other = "0".repeat(32)
    );
    Host::Login.sh(&line).ok();
    Host::Login
        .sh("sed -i 's/\"created\": \"2/\"created\": \"1/' .qdebug/sessions/old-again/request.json")
        .ok();
    let status = Host::Login
        .run(&["qdebug", "status", "--json", &session.job])
        .ok()
        .json();
    Host::Login.sh("rm -r .qdebug/sessions/old-again").ok();
    assert_eq!(status["token"], session.token.as_str(), "{status:#}");
}
