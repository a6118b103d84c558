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
mod partition;
mod table;
mod witness;

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use crate::hooked;
use crate::host::{Host, within};
use crate::scheduler::{Scheduler, here};
use crate::session::Session;
use daemons::{Daemon, Down};
use witness::{Cleanup, Seen, Witness};

/// Held for writing by who strikes a daemon.
static DAEMONS: RwLock<()> = RwLock::new(());

/// What the promise allows after the end of the job.
const PROMISE: Duration = Duration::from_secs(5);

/// How long what is away stays away, when it comes back to a job that lives on.
const AWAY: Duration = Duration::from_secs(8);

/// What schedulers say of a job that was killed, one way or another.
const KILLED: &[&str] = &[
    "cancelled",
    "killed",
    "signal 9",
    "failed",
    "deleted",
    "restarted",
    "requeued",
    "forgotten",
    // What Torque calls a job whose mom was killed.
    "completed",
];

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
            // Its kill_delay twice: 22 to 26 s were seen.
            Scheduler::OpenPbs => Duration::from_secs(30),
            Scheduler::Torque => Duration::from_secs(15),
            Scheduler::Slurm => Duration::from_secs(40),
        };
        self
    }

    /// The same for one that Torque's mom hears of with its next report to the server: 45 s apart.
    fn within_a_report(self) -> Self {
        let mut within = self.within_the_grace();
        if here() == Scheduler::Torque {
            within.job_ends_in = Duration::from_secs(60);
        }
        within
    }

    /// Waits for the container's end, which must be as promised.
    #[track_caller]
    fn see(&self, session: &Session, witness: Witness) -> Seen {
        let seen = witness.testify(self.job_ends_in + PROMISE);
        assert!(
            self.by.contains(&seen.cleanup),
            "{}: {seen}\n{}",
            self.text,
            session.logs()
        );
        seen
    }

    /// What is left to check: no record, the verdict, the row of the table.
    #[track_caller]
    fn check(&self, session: &Session, seen: &Seen) {
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
fn quietly(blow: &Blow, name: &str, words: &[&str], strike: impl FnOnce(&Session, &Witness)) {
    let shared = DAEMONS.read().unwrap_or_else(PoisonError::into_inner);
    install_hooks();
    let session = Session::ready(name, words);
    let witness = Witness::of(&session);
    strike(&session, &witness);
    let seen = blow.see(&session, witness);
    // A verdict may take a while, and others need not wait for it.
    drop(shared);
    blow.check(&session, &seen);
}

/// A blow at a daemon: nobody else strikes meanwhile, and after it the cluster is whole again.
/// `strike` is given the node, and returns what it has put down.
#[track_caller]
fn alone(blow: &Blow, name: &str, strike: impl FnOnce(&Session, &mut Witness, Host) -> Down) {
    let own = DAEMONS.write().unwrap_or_else(PoisonError::into_inner);
    install_hooks();
    let session = Session::ready(name, &SMALL);
    let mut witness = Witness::of(&session);
    let down = strike(&session, &mut witness, session.node());
    let seen = blow.see(&session, witness);
    drop(down);
    daemons::all_is_well();
    drop(own);
    blow.check(&session, &seen);
}

/// A blow that does not end the job: its session is as good as before, and ends as ever.
#[track_caller]
fn lives_on(text: &str, name: &str, strike: impl FnOnce(Host) -> Down) {
    let _own = DAEMONS.write().unwrap_or_else(PoisonError::into_inner);
    install_hooks();
    let session = Session::ready(name, &SMALL);
    let down = strike(session.node());
    std::thread::sleep(AWAY);
    drop(down);
    daemons::all_is_well();
    let status = session.status();
    assert_eq!(status["state"], "ready", "{status:#}\n{}", session.logs());
    assert_eq!(session.containers().len(), 1);
    session.connect();
    assert_eq!(session.ssh(&["echo here"]).ok().text(), "here");
    table::hold(text, &[Cleanup::Nothing], &Cleanup::Nothing.to_string());
    here().delete(&session.job).ok();
    session.is_gone();
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
    quietly(&blow, "blow-delete", &SMALL, |session, _| {
        here().delete(&session.job).ok();
    });
}

#[test]
fn delete_of_a_waiting_job() {
    let words = [&SMALL[..], &here().waiting()].concat();
    let session = Session::submit("blow-waiting", &words);
    session.await_state(here().waiting_state());
    here().delete(&session.job).ok();
    let status = session.await_state("ended");
    let reason = status["reason"].to_string();
    assert!(reason.contains("cancelled"), "{status:#}");
    assert!(session.containers().is_empty());
    let text = "`qdel`, `scancel` of a job that waits";
    table::hold(text, &[Cleanup::None], &Cleanup::None.to_string());
}

#[test]
fn walltime() {
    let by = &[Cleanup::NodeHalf];
    let blow = Blow::at_once("the walltime is over", by, &["walltime"]);
    let words = ["-g", "none", "-w", "20s", "-i", "qdebug/busybox"];
    quietly(&blow, "blow-walltime", &words, |session, witness| {
        let deadline = session.status()["deadline"].clone();
        let deadline: jiff::Timestamp = serde_json::from_value(deadline).expect("a deadline");
        let left = deadline.duration_since(jiff::Timestamp::now());
        std::thread::sleep(Duration::try_from(left).unwrap_or_default());
        witness.struck_now();
    });
}

#[test]
fn forced_delete() {
    let by: &[Cleanup] = match here() {
        // It sends SIGTERM first all the same.
        Scheduler::Slurm => &[Cleanup::NodeHalf],
        Scheduler::OpenPbs | Scheduler::Torque => &[Cleanup::Lease],
    };
    let text = "`qdel -W force`, `qdel -p`, `scancel -s KILL -f`";
    let blow = Blow::at_once(text, by, KILLED).within_a_report();
    quietly(&blow, "blow-force", &SMALL, |session, _| {
        here().force(&session.job).ok();
    });
}

#[test]
fn kill_9_of_the_node_half() {
    let by = &[Cleanup::Lease];
    let blow = Blow::at_once("kill -9 of the node half", by, KILLED);
    quietly(&blow, "blow-node-half", &SMALL, |session, witness| {
        witness.strike(&format!("kill -9 {}", node_half(session)));
    });
}

#[test]
fn kill_9_of_the_whole_session() {
    let by = &[Cleanup::Lease];
    let text = "kill -9 of all of the job's processes";
    let blow = Blow::at_once(text, by, KILLED);
    quietly(&blow, "blow-session", &SMALL, |session, witness| {
        witness.strike(&here().killing_all(session));
    });
}

#[test]
fn delete_while_the_node_half_hangs() {
    let by: &[Cleanup] = match here() {
        // Its SIGCONT wakes it up.
        Scheduler::Slurm => &[Cleanup::NodeHalf],
        Scheduler::OpenPbs | Scheduler::Torque => &[Cleanup::Lease],
    };
    let text = "`qdel`, `scancel` while the node half hangs";
    let blow = Blow::at_once(text, by, KILLED).within_the_grace();
    quietly(&blow, "blow-hangs", &SMALL, |session, witness| {
        let pid = node_half(session);
        session.node().root(&format!("kill -STOP {pid}")).ok();
        witness.struck_now();
        here().delete(&session.job).ok();
    });
}

#[test]
fn the_container_is_killed() {
    let by = &[Cleanup::Force];
    let blow = Blow::at_once("`docker kill` of the container", by, &["container exited"]);
    quietly(&blow, "blow-container", &SMALL, |session, witness| {
        witness.strike(&format!("docker kill {}", session.containers().remove(0)));
    });
}

#[test]
fn run_again() {
    let by = &[Cleanup::NodeHalf, Cleanup::Lease];
    let text = "run again under its id, forced by an admin";
    let blow = Blow::at_once(text, by, KILLED).within_the_grace();
    let _shared = DAEMONS.read().unwrap_or_else(PoisonError::into_inner);
    install_hooks();
    let session = Session::ready("blow-again", &SMALL);
    // As it was submitted it does not run again.
    let refused = here().run_again(&session.job);
    assert_ne!(refused.code, 0, "{refused}");
    assert_eq!(session.status()["state"], "ready");
    here().allow_run_again(&session.job).ok();
    let witness = Witness::of(&session);
    here().run_again(&session.job).ok();
    let seen = blow.see(&session, witness);
    // The second run finds that the session is over, and makes nothing.
    within(Duration::from_secs(90), "the second run is over", || {
        here().hurry(&session.job);
        let left = here().jobs_named(&format!("qdebug-{}", session.name));
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    assert_eq!(session.status()["token"], session.token.as_str());
    blow.check(&session, &seen);
}

#[test]
fn the_nodes_daemon_stops_and_comes_back() {
    let text = "the node's daemon stops and comes back";
    if here().stop_of_mom_ends_jobs() {
        let blow = Blow::at_once(text, &[Cleanup::NodeHalf, Cleanup::Lease], KILLED);
        alone(&blow, "blow-mom", |_, _, node| Daemon::Mom.stop(node));
    } else {
        lives_on(text, "blow-mom", |node| Daemon::Mom.stop(node));
    }
}

#[test]
fn the_nodes_daemon_is_killed_while_the_job_ends() {
    let text = "the node's daemon is killed while the job ends";
    let by = &[Cleanup::NodeHalf, Cleanup::Lease];
    let blow = Blow::at_once(text, by, KILLED).within_the_grace();
    alone(&blow, "blow-mom-ends", |session, _, node| {
        here().delete(&session.job).ok();
        // Before that the daemon might not have heard of it.
        within(Duration::from_secs(10), "the node half hears of it", || {
            let logs = session.logs();
            if logs.contains("a signal came") {
                Ok(())
            } else {
                Err(logs)
            }
        });
        Daemon::Mom.kill(node)
    });
}

#[test]
fn the_nodes_daemon_and_the_whole_session_are_killed() {
    let text = "the node's daemon and all of the job are killed";
    let blow = Blow::at_once(text, &[Cleanup::Lease], KILLED);
    alone(&blow, "blow-mom-all", |session, witness, node| {
        let down = Daemon::Mom.kill(node);
        witness.strike(&here().killing_all(session));
        down
    });
}

#[test]
fn the_server_is_down_at_the_end() {
    let text = "the server is down when the job ends";
    let blow = Blow::at_once(text, &[Cleanup::NodeHalf], &["cancelled"]);
    alone(&blow, "blow-server", |session, witness, _| {
        let pid = node_half(session);
        let down = Daemon::Server.kill(Host::Login);
        witness.strike(&format!("kill -TERM {pid}"));
        // The session's files alone know it, and tell it.
        blow.verdict(session);
        down
    });
}

#[test]
fn the_node_is_cut_off_and_comes_back() {
    lives_on(
        "the node's network is cut for a while",
        "blow-cut",
        Down::cut,
    );
}

#[test]
fn the_engine_is_killed_and_comes_back() {
    let text = "the engine is killed and comes back";
    let blow = Blow::at_once(text, &[Cleanup::Lease], &["engine"]);
    alone(&blow, "blow-engine", |_, witness, node| {
        witness.does_without_the_engine();
        Daemon::Engine.kill(node)
    });
}
