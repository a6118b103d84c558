//! Every blow that can end a job: by which cleanup its container goes, how long that takes, and
//! what `status` says then.
//!
//! Each test strikes a session that is ready and holds what it sees against the promise: no process
//! of the container 5 s after the job's end, no record of it either once the engine answers, and
//! never a `ready` that is none. What was seen is held against the table in `pbs/README.md`;
//! `QDEBUG_TEST_WRITE=1` writes it there, which is done on the real schedulers.
//!
//! Some blows hit the daemons that everybody's jobs need. Those are alone while they strike, so
//! these tests run when no others do: `tests/run.sh` gives them a stage of their own.

mod daemons;
mod table;
mod witness;

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use crate::hooked;
use crate::host::{Host, within};
use crate::scheduler::{Scheduler, here};
use crate::session::Session;
use daemons::Daemon;
use witness::{Cleanup, Witness};

/// Held for writing by who strikes a daemon.
static DAEMONS: RwLock<()> = RwLock::new(());

/// What the promise allows after the end of the job.
const PROMISE: Duration = Duration::from_secs(5);

const SMALL: [&str; 6] = ["-g", "none", "-w", "30m", "-i", "qdebug/busybox"];

/// A blow and what it must lead to.
struct Blow {
    /// Its row in the table, and by its letters the session's name.
    text: &'static str,
    /// What may end the container.
    by: &'static [Cleanup],
    /// How long the job itself may live on after the blow.
    job_ends_in: Duration,
    /// Words of the reason that `status` gives, one of them.
    reasons: &'static [&'static str],
}

impl Blow {
    /// A blow that ends the job at once.
    fn at_once(
        text: &'static str,
        by: &'static [Cleanup],
        reasons: &'static [&'static str],
    ) -> Self {
        Self {
            text,
            by,
            job_ends_in: Duration::ZERO,
            reasons,
        }
    }

    /// The same for one that the scheduler answers within its grace.
    fn within_the_grace(mut self) -> Self {
        self.job_ends_in = match here() {
            Scheduler::OpenPbs => Duration::from_secs(20),
            Scheduler::Torque => Duration::from_secs(15),
            Scheduler::Slurm => Duration::from_secs(40),
        };
        self
    }

    /// Strikes a session of this name and checks all that was promised.
    #[track_caller]
    fn strike(self, name: &str, words: &[&str], blow: impl FnOnce(&Session, &Witness)) {
        let session = Session::ready(name, words);
        let witness = Witness::of(&session);
        blow(&session, &witness);
        self.check(&session, witness);
    }

    /// Whether all is as promised, once the blow has come down.
    #[track_caller]
    fn check(self, session: &Session, witness: Witness) {
        let seen = witness.testify(self.job_ends_in + PROMISE);
        assert!(
            self.by.contains(&seen.cleanup),
            "{}: by {:?} after {:?}\n{}",
            self.text,
            seen.cleanup,
            seen.after,
            session.logs()
        );
        // No record either.
        session.is_gone();
        self.verdict(session);
        table::hold(self.text, self.by, &seen.to_string());
    }

    /// `status` says that it is over and why, or, while the scheduler itself does not know, that
    /// it does not know; it never calls ready what is none.
    #[track_caller]
    fn verdict(&self, session: &Session) {
        within(Duration::from_secs(100), "a verdict", || {
            let status = session.status();
            let state = status["state"].as_str().unwrap_or_default();
            let reason = status["reason"].as_str().unwrap_or_default();
            let known = matches!(state, "ended" | "failed")
                && self.reasons.iter().any(|word| reason.contains(word));
            let doubted = state == "unknown" && status["doubts"].to_string().len() > 4;
            if known || doubted {
                Ok(())
            } else {
                Err(format!("{status:#}"))
            }
        });
    }
}

/// A blow that only its own session feels.
#[track_caller]
fn quietly(work: impl FnOnce()) {
    let _shared = DAEMONS.read().unwrap_or_else(PoisonError::into_inner);
    install_hooks();
    work();
}

/// A blow at a daemon: nobody else strikes meanwhile, and after it the cluster is whole again.
#[track_caller]
fn alone(work: impl FnOnce()) {
    let _own = DAEMONS.write().unwrap_or_else(PoisonError::into_inner);
    install_hooks();
    work();
    daemons::all_is_well();
}

/// The hooks are there, as at a site that has them.
#[track_caller]
fn install_hooks() {
    static INSTALLED: std::sync::Once = std::sync::Once::new();
    INSTALLED.call_once(hooked::install);
}

/// The process id of a session's node half.
#[track_caller]
fn node_half(session: &Session) -> String {
    let line = format!("pgrep -f 'qdebug node .*/{}$'", session.name);
    let found = session.node().root(&line).ok();
    let first = found.text().lines().next();
    first.expect("a node half").to_owned()
}

#[test]
fn delete() {
    let blow = Blow::at_once("`qdel`, `scancel`", &[Cleanup::NodeHalf], &["cancelled"]);
    quietly(|| {
        blow.strike("blow-delete", &SMALL, |session, _| {
            here().delete(&session.job).ok();
        });
    });
}

#[test]
fn delete_of_a_waiting_job() {
    quietly(|| {
        let words = [&SMALL[..], &here().waiting()].concat();
        let session = Session::submit("blow-waiting", &words);
        session.await_state(here().waiting_state());
        here().delete(&session.job).ok();
        let status = session.await_state("ended");
        assert!(
            status["reason"].to_string().contains("cancelled"),
            "{status:#}"
        );
        assert!(session.containers().is_empty());
        let text = "the same, of a job that waits";
        table::hold(text, &[Cleanup::None], &Cleanup::None.to_string());
    });
}

#[test]
fn walltime() {
    let by = &[Cleanup::NodeHalf];
    let blow = Blow::at_once("the walltime is over", by, &["walltime"]);
    quietly(|| {
        let words = ["-g", "none", "-w", "1m", "-i", "qdebug/busybox"];
        blow.strike("blow-walltime", &words, |session, witness| {
            let deadline = session.status()["deadline"].clone();
            let deadline: jiff::Timestamp = serde_json::from_value(deadline).expect("a deadline");
            let left = deadline.duration_since(jiff::Timestamp::now());
            std::thread::sleep(Duration::try_from(left).unwrap_or_default());
            witness.struck_now();
        });
    });
}

#[test]
fn forced_delete() {
    let by = &[Cleanup::Lease];
    let text = "`qdel -W force`, `qdel -p`, `scancel -s KILL -f`";
    let reasons = &[
        "cancelled",
        "killed",
        "signal 9",
        "failed",
        "deleted",
        "forgotten",
    ];
    let blow = Blow::at_once(text, by, reasons).within_the_grace();
    quietly(|| {
        blow.strike("blow-force", &SMALL, |session, _| {
            here().force(&session.job).ok();
        });
    });
}

#[test]
fn kill_9_of_the_node_half() {
    let by = &[Cleanup::Lease];
    let reasons = &["signal 9", "killed", "failed"];
    let blow = Blow::at_once("kill -9 of the node half", by, reasons);
    quietly(|| {
        blow.strike("blow-node-half", &SMALL, |session, witness| {
            let pid = node_half(session);
            witness.struck_now();
            session.node().root(&format!("kill -9 {pid}")).ok();
        });
    });
}

#[test]
fn kill_9_of_the_whole_session() {
    let by = &[Cleanup::Lease];
    let reasons = &["signal 9", "killed", "failed", "ended"];
    let blow = Blow::at_once("kill -9 of all of the job's processes", by, reasons);
    quietly(|| {
        blow.strike("blow-session", &SMALL, |session, _| {
            here().kill_all(session)
        });
    });
}

#[test]
fn delete_while_the_node_half_hangs() {
    let text = "`qdel`, `scancel` while the node half hangs";
    let reasons = &["cancelled", "signal 9", "killed", "failed"];
    let blow = Blow::at_once(text, &[Cleanup::Lease], reasons).within_the_grace();
    quietly(|| {
        blow.strike("blow-hangs", &SMALL, |session, witness| {
            let pid = node_half(session);
            session.node().root(&format!("kill -STOP {pid}")).ok();
            witness.struck_now();
            here().delete(&session.job).ok();
        });
    });
}

#[test]
fn the_container_is_killed() {
    let reasons = &["container exited"];
    let blow = Blow::at_once(
        "`docker kill` of the container",
        &[Cleanup::Outside],
        reasons,
    );
    quietly(|| {
        let session = Session::ready("blow-container", &SMALL);
        let witness = Witness::of(&session).killed_by_the_blow();
        let container = session.containers().remove(0);
        session.node().run(&["docker", "kill", &container]).ok();
        blow.check(&session, witness);
    });
}

#[test]
fn run_again() {
    let by = &[Cleanup::NodeHalf, Cleanup::Lease];
    let text = "run again under its id, forced by an admin";
    let reasons = &["cancelled", "signal 9", "killed", "failed", "requeued"];
    let blow = Blow::at_once(text, by, reasons).within_the_grace();
    quietly(|| {
        let session = Session::ready("blow-again", &SMALL);
        // As it was submitted it does not run again.
        let refused = here().run_again(&session.job);
        assert_ne!(refused.code, 0, "{refused}");
        assert_eq!(session.status()["state"], "ready");
        here().allow_run_again(&session.job).ok();
        let witness = Witness::of(&session);
        here().run_again(&session.job).ok();
        blow.check(&session, witness);
        // The second run finds that the session is over, and makes nothing.
        within(Duration::from_secs(60), "the second run is over", || {
            let left = here().jobs_named(&format!("qdebug-{}", session.name));
            if left.is_empty() { Ok(()) } else { Err(left) }
        });
        assert!(session.containers().is_empty());
        assert_eq!(session.status()["token"], session.token.as_str());
    });
}

#[test]
fn the_nodes_daemon_stops_and_comes_back() {
    let text = "the node's daemon stops and comes back";
    alone(|| {
        let session = Session::ready("blow-mom", &SMALL);
        let witness = Witness::of(&session);
        let node = session.node();
        Daemon::Mom.stop(node);
        if daemons::STOP_OF_MOM_ENDS_JOBS.contains(&here()) {
            let reasons = &["killed", "failed", "signal 9", "cancelled", "restarted"];
            let blow = Blow::at_once(text, &[Cleanup::NodeHalf, Cleanup::Lease], reasons);
            let seen = witness.testify(PROMISE);
            assert!(
                blow.by.contains(&seen.cleanup),
                "{seen}\n{}",
                session.logs()
            );
            session.is_gone();
            Daemon::Mom.start(node);
            daemons::all_is_well();
            blow.verdict(&session);
            table::hold(text, blow.by, &seen.to_string());
        } else {
            Daemon::Mom.start(node);
            daemons::all_is_well();
            lives_on(&session, text);
        }
    });
}

#[test]
fn the_nodes_daemon_is_killed_while_the_job_ends() {
    let text = "the node's daemon is killed while the job ends";
    let by = &[Cleanup::NodeHalf, Cleanup::Lease];
    let reasons = &["cancelled", "killed", "failed", "signal 9", "restarted"];
    alone(|| {
        let blow = Blow::at_once(text, by, reasons).within_the_grace();
        let session = Session::ready("blow-mom-ends", &SMALL);
        let witness = Witness::of(&session);
        let node = session.node();
        here().delete(&session.job).ok();
        Daemon::Mom.kill(node);
        let seen = witness.testify(blow.job_ends_in + PROMISE);
        assert!(
            blow.by.contains(&seen.cleanup),
            "{seen}\n{}",
            session.logs()
        );
        session.is_gone();
        Daemon::Mom.start(node);
        daemons::all_is_well();
        blow.verdict(&session);
        table::hold(text, blow.by, &seen.to_string());
    });
}

#[test]
fn the_nodes_daemon_and_the_whole_session_are_killed() {
    let text = "the node's daemon and all of the job are killed";
    let by = &[Cleanup::Lease];
    let reasons = &[
        "killed",
        "failed",
        "signal 9",
        "cancelled",
        "restarted",
        "ended",
    ];
    alone(|| {
        let blow = Blow::at_once(text, by, reasons);
        let session = Session::ready("blow-mom-all", &SMALL);
        let witness = Witness::of(&session);
        let node = session.node();
        Daemon::Mom.kill(node);
        here().kill_all_on(&session, node);
        let seen = witness.testify(PROMISE);
        assert!(
            blow.by.contains(&seen.cleanup),
            "{seen}\n{}",
            session.logs()
        );
        session.is_gone();
        Daemon::Mom.start(node);
        daemons::all_is_well();
        blow.verdict(&session);
        table::hold(text, blow.by, &seen.to_string());
    });
}

#[test]
fn the_server_is_down_at_the_end() {
    let text = "the server is down when the job ends";
    let by = &[Cleanup::NodeHalf];
    alone(|| {
        let reasons = &["cancelled", "stopped by"];
        let blow = Blow::at_once(text, by, reasons);
        let session = Session::ready("blow-server", &SMALL);
        let witness = Witness::of(&session);
        let pid = node_half(&session);
        Daemon::Server.stop(Host::Login);
        let node = Host::named(&witness.node_name());
        witness.struck_now();
        node.root(&format!("kill -TERM {pid}")).ok();
        let seen = witness.testify(PROMISE);
        assert!(blow.by.contains(&seen.cleanup), "{seen}");
        session.is_gone();
        // The file alone knows it.
        blow.verdict(&session);
        Daemon::Server.start(Host::Login);
        daemons::all_is_well();
        blow.verdict(&session);
        table::hold(text, blow.by, &seen.to_string());
    });
}

#[test]
fn the_node_is_cut_off_and_comes_back() {
    let text = "the node's network is cut for a while";
    alone(|| {
        let session = Session::ready("blow-cut", &SMALL);
        let node = session.node();
        daemons::cut(node);
        std::thread::sleep(Duration::from_secs(8));
        daemons::join(node);
        daemons::all_is_well();
        lives_on(&session, text);
    });
}

#[test]
fn the_engine_is_killed_and_comes_back() {
    let text = "the engine is killed and comes back";
    alone(|| {
        let by = &[Cleanup::Lease];
        let blow = Blow::at_once(text, by, &["engine"]);
        let session = Session::ready("blow-engine", &SMALL);
        let witness = Witness::of(&session).without_the_engine();
        let node = session.node();
        Daemon::Engine.kill(node);
        let seen = witness.testify(PROMISE + Duration::from_secs(4));
        Daemon::Engine.start(node);
        daemons::all_is_well();
        assert!(
            blow.by.contains(&seen.cleanup),
            "{seen}\n{}",
            session.logs()
        );
        session.is_gone();
        blow.verdict(&session);
        table::hold(text, blow.by, &seen.to_string());
    });
}

/// A job that the blow does not end: its session is as good as before, and ends as ever.
#[track_caller]
fn lives_on(session: &Session, text: &str) {
    let status = session.status();
    assert_eq!(status["state"], "ready", "{status:#}\n{}", session.logs());
    assert_eq!(session.containers().len(), 1);
    session.connect();
    assert_eq!(session.ssh(&["echo here"]).ok().text(), "here");
    table::hold(text, &[Cleanup::Nothing], &Cleanup::Nothing.to_string());
    here().delete(&session.job).ok();
    session.is_gone();
}
