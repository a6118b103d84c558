//! A node that is cut off for so long that the scheduler gives its job up. The session's folder is
//! still seen from both sides, as where the files have a network of their own.

use std::sync::PoisonError;
use std::time::Duration;

use super::daemons::{self, Down};
use super::witness::{Cleanup, Witness};
use super::{Blow, DAEMONS, SMALL, install_hooks};
use crate::host::{Host, within};
use crate::scheduler::{Scheduler, here};
use crate::session::Session;

/// How long the server shall wait for a node, in seconds, in place of 310. Before that come its 60 s
/// until it misses the node at all.
const PATIENCE: u32 = 20;

/// The server's patience is shortened until this is dropped; `None` where that cannot be done.
struct Impatient;

impl Impatient {
    #[track_caller]
    fn server() -> Option<Self> {
        let real = here() == Scheduler::OpenPbs
            && Host::Login.sh("test -e /opt/pbs/sbin/pbs_server").code == 0;
        if !real {
            eprintln!("skipped: only a real OpenPBS gives up jobs of lost nodes soon enough");
            return None;
        }
        set(PATIENCE);
        Some(Self)
    }
}

impl Drop for Impatient {
    fn drop(&mut self) {
        set(310);
    }
}

fn set(seconds: u32) {
    let line = format!("qmgr -c 'set server node_fail_requeue = {seconds}'");
    let ran = Host::Login.root(&line);
    if !std::thread::panicking() {
        ran.ok();
    }
}

/// Waits until the scheduler itself, asked without qdebug, has given the job up.
#[track_caller]
fn given_up(session: &Session) {
    within(Duration::from_secs(180), "the job is given up", || {
        let told = Host::Login.run(&["qstat", "-x", "-f", &session.job]);
        match told.out.contains("job_state = F") {
            true => Ok(()),
            false => Err(told.to_string()),
        }
    });
}

/// Whoever asks for the status hears of the end, and by that the node half does.
#[test]
fn a_job_that_is_given_up_ends_when_somebody_asks() {
    let _own = DAEMONS.write().unwrap_or_else(PoisonError::into_inner);
    let Some(_impatient) = Impatient::server() else {
        return;
    };
    install_hooks();
    let text = "the node is cut off, its job is given up, `status` is asked";
    let blow = Blow::at_once(text, &[Cleanup::NodeHalf], &["the node of the job failed"]);
    let session = Session::ready("blow-given-up", &SMALL);
    let witness = Witness::of(&session);
    let down = Down::cut(session.node());
    given_up(&session);
    assert_eq!(session.containers().len(), 1);
    witness.struck_now();
    let status = session.status();
    assert_eq!(status["state"], "ended", "{status:#}");
    let seen = blow.see(&session, witness);
    drop(down);
    daemons::all_is_well();
    blow.check(&session, &seen);
}

/// Nobody asks: the node itself is told when it comes back.
#[test]
fn a_job_that_is_given_up_ends_when_its_node_comes_back() {
    let _own = DAEMONS.write().unwrap_or_else(PoisonError::into_inner);
    let Some(_impatient) = Impatient::server() else {
        return;
    };
    install_hooks();
    let text = "the node is cut off, its job is given up, the node comes back";
    let blow =
        Blow::at_once(text, &[Cleanup::Lease], &["the node of the job failed"]).within_the_grace();
    let session = Session::ready("blow-back", &SMALL);
    let witness = Witness::of(&session);
    let down = Down::cut(session.node());
    given_up(&session);
    assert_eq!(session.containers().len(), 1);
    witness.struck_now();
    drop(down);
    let seen = blow.see(&session, witness);
    daemons::all_is_well();
    blow.check(&session, &seen);
}
