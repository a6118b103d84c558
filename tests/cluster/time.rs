//! Time: the walltime that an admin moves, the last words of what the user runs, and a session that
//! nobody uses.

use std::time::Duration;

use crate::host::{Host, Running, within};
use crate::scheduler::here;
use crate::session::Session;

/// What a program that runs on the laptop has printed so far.
struct Talk {
    _running: Running,
    file: String,
}

impl Talk {
    /// Starts a line of shell on the laptop with its output in a file.
    fn start(name: &str, line: &str) -> Self {
        let file = format!("/tmp/talk-{name}");
        Host::Laptop.sh(&format!("rm -f {file}")).ok();
        let line = format!("exec {line} > {file} 2>&1");
        let running = Host::Laptop.start(&["bash", "-c", &line]);
        Self {
            _running: running,
            file,
        }
    }

    #[track_caller]
    fn says(&self, limit: u64, words: &str) {
        let limit = Duration::from_secs(limit);
        within(limit, &format!("{words:?} is said"), || {
            let said = Host::Laptop.sh(&format!("cat {} || true", self.file)).out;
            if said.contains(words) {
                Ok(())
            } else {
                Err(said)
            }
        });
    }
}

/// Connects from the laptop for good.
fn connect(session: &Session) -> Talk {
    let name = &session.name;
    let line = format!("qdebug connect {name} --on alice@login --yes");
    let talk = Talk::start(name, &line);
    talk.says(60, "connected: ssh qdebug-");
    talk
}

/// A terminal in the session that stays open and prints what is written to it.
fn terminal(session: &Session) -> Talk {
    let line = format!(
        "ssh -tt qdebug-{} 'echo here; exec sleep 3000'",
        session.name
    );
    let talk = Talk::start(&format!("{}-tty", session.name), &line);
    talk.says(60, "here");
    talk
}

#[test]
fn an_end_that_the_admin_moves_is_told_and_followed() {
    let Some(give_more) = here().walltime_of(3) else {
        return;
    };
    let words = ["-g", "none", "-w", "2m", "-i", "qdebug/demo"];
    let session = Session::ready("moved", &words);
    let before = session.status()["deadline"].as_str().map(str::to_owned);
    let laptop = connect(&session);
    laptop.says(10, "it ends in 1 min");
    let terminal = terminal(&session);
    Host::Login
        .root(&give_more.replace("JOB", &session.job))
        .ok();
    // The laptop asks; what it hears reaches the node half by the session.
    laptop.says(60, "the walltime was changed; the session now ends in");
    terminal.says(60, "the walltime was changed; this session now ends in");
    let state = session.file("state.json");
    let known = state["details"]["deadline"].as_str().map(str::to_owned);
    assert!(known > before, "{before:?} {state:#}");
    // Past the old end it lives, and is told of the new one.
    laptop.says(150, "notice: the session ends in");
    terminal.says(150, "this session ends in 2 minutes (walltime)");
    assert_eq!(session.status()["state"], "ready");
}

#[test]
fn a_node_half_that_nobody_asks_about_hears_of_a_moved_end_itself() {
    let Some(give_more) = here().walltime_of(3) else {
        return;
    };
    let words = ["-g", "none", "-w", "1m", "-i", "qdebug/busybox"];
    let session = Session::ready("moved-alone", &words);
    Host::Login
        .root(&give_more.replace("JOB", &session.job))
        .ok();
    std::thread::sleep(Duration::from_secs(75));
    assert_eq!(session.containers().len(), 1, "it follows the new end");
    // Other tests list all sessions, and so tell this one, too.
    let logs = session.logs();
    assert!(logs.contains("the scheduler was asked when"), "{logs}");
}

#[test]
fn what_the_user_runs_may_say_its_last_words() {
    let words = ["-g", "none", "-w", "30m", "-i", "qdebug/demo"];
    let session = Session::ready("last-words", &words);
    session.connect();
    // More than what is on its way when the process ends.
    let loops = "trap \"sleep 0.2; seq 30000; echo my last words; exit 0\" TERM; echo begun; \
                 while :; do sleep 0.05; done";
    let line = format!("ssh qdebug-last-words '{loops}'");
    let talk = Talk::start("last-words", &line);
    talk.says(30, "begun");
    let terminal = terminal(&session);
    Host::Login.run(&["qdebug", "stop", "last-words"]).ok();
    session.is_gone();
    talk.says(5, "my last words");
    terminal.says(5, "this session ends now: stopped by alice@login");
}

#[test]
fn a_session_that_nobody_uses_gives_its_node_back() {
    let words = [
        "-g",
        "none",
        "-w",
        "30m",
        "-i",
        "qdebug/busybox",
        "--idle-timeout",
        "40s",
    ];
    let session = Session::ready("unused", &words);
    let laptop = connect(&session);
    // Somebody is there for longer than the time-out.
    let ran = session.ssh(&["sleep 50; echo still here"]).ok();
    assert_eq!(ran.text(), "still here");
    laptop.says(
        60,
        "nobody is connected and no GPU works; the session ends in",
    );
    // Whoever comes sets the clock back.
    let terminal = terminal(&session);
    laptop.says(30, "used again");
    drop(terminal);
    Host::Laptop.run(&["pkill", "-f", "ssh -tt qdebug-unused"]);
    laptop.says(90, "unused has ended: idle for 40 seconds");
    session.is_gone();
    let status = session.await_state("ended");
    assert_eq!(status["reason"], "idle for 40 seconds", "{status:#}");
}

/// One GPU of node1 computes, as far as NVML tells, until this is dropped.
struct Work {
    uuid: String,
}

impl Work {
    fn on(uuid: &str) -> Self {
        let uuid = uuid.to_owned();
        let edit = format!("sed -i '/uuid {uuid}/a utilisation 40' /etc/qdebug-test-nvml.conf");
        Host::Node1.root(&edit).ok();
        Self { uuid }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let edit = format!(
            "sed -i '/uuid {}/{{n;/utilisation/d}}' /etc/qdebug-test-nvml.conf",
            self.uuid
        );
        Host::Node1.root(&edit);
    }
}

#[test]
fn a_gpu_at_work_keeps_a_session_that_nobody_is_in() {
    let words = [
        "-g",
        "V100",
        "-w",
        "30m",
        "-i",
        "qdebug/busybox",
        "--idle-timeout",
        "30s",
    ];
    let session = Session::ready("at-work", &words);
    let uuid = session.status()["details"]["gpus"][0]["uuid"]
        .as_str()
        .expect("a GPU")
        .to_owned();
    let work = Work::on(&uuid);
    std::thread::sleep(Duration::from_secs(50));
    assert_eq!(session.status()["state"], "ready");
    drop(work);
    within(Duration::from_secs(60), "it ends", || {
        let status = session.status();
        match status["reason"].as_str() {
            Some("idle for 30 seconds") => Ok(()),
            _ => Err(format!("{status:#}")),
        }
    });
    session.is_gone();
}
