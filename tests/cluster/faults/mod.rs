//! Each phase of a session times each blow, and many jobs struck at random moments.
//!
//! After each, what DESIGN promises is held against the node: see `promise`. A choice of the pairs
//! runs always, all of them by `QDEBUG_TEST_FULL=1`. `QDEBUG_TEST_SEED` has the same choice, and the
//! same moments, again; `QDEBUG_TEST_PAIR='Launching EngineKilled'` one pair alone.
//!
//! The blows hit the nodes' engines, so these tests run when no others do, two at a time: each node
//! is struck for one session.

mod blow;
mod jobs;
mod phase;
mod promise;
mod seed;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::host::Host;
use crate::scheduler::here;
use crate::session::Session;
use blow::{Blow, Place};
use phase::Phase;
use seed::Chance;

/// One at a time: both tests strike both nodes.
static NODES: Mutex<()> = Mutex::new(());

/// How many pairs are tried always.
const SOME: usize = 20;

/// A phase and a blow in it, after a moment.
#[derive(Debug, Clone, Copy)]
struct Pair {
    phase: Phase,
    blow: Blow,
    /// After the phase has begun, in milliseconds.
    moment: usize,
}

impl Pair {
    fn name(self) -> String {
        format!("{:?} {:?}", self.phase, self.blow)
    }
}

fn is_full() -> bool {
    std::env::var_os("QDEBUG_TEST_FULL").is_some()
}

/// The GPU type that only this node has.
fn kind_of(node: Host) -> &'static str {
    if node == Host::Node1 { "V100" } else { "P100" }
}

/// Runs each on one of the nodes, as soon as that is free; what failed is told at the end. A node that
/// a try has put out of use gets no other: the other node does what is left.
#[track_caller]
fn on_both_nodes<T: Send + std::fmt::Debug>(work: Vec<T>, try_one: impl Fn(Host, &T) + Sync) {
    let _own = NODES.lock().unwrap_or_else(PoisonError::into_inner);
    let work = Mutex::new(work);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for node in Host::NODES {
            let (work, failed, try_one) = (&work, &failed, &try_one);
            scope.spawn(move || {
                loop {
                    if let Some(why) = here().out_of_use(node) {
                        eprintln!("nothing more is tried on {node:?}: {why}");
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        return failed.push(why);
                    }
                    let next = work.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(one) = next else { return };
                    let began = Instant::now();
                    let tried = catch_unwind(AssertUnwindSafe(|| try_one(node, &one)));
                    let took = began.elapsed().as_secs_f64();
                    let word = if tried.is_ok() { "kept" } else { "BROKEN" };
                    eprintln!("{word} on {node:?} in {took:.1} s: {one:?}");
                    let drained = here().out_of_use(node);
                    if tried.is_err() || drained.is_some() {
                        let why = drained.unwrap_or_default();
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        failed.push(format!("{one:?} {why}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let left = work.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(
        failed.is_empty(),
        "broken: {}; not tried: {left:?}",
        failed.join("; ")
    );
}

#[test]
fn each_phase_times_each_blow() {
    let mut chance = Chance::of_environment("pairs");
    let mut all = Vec::new();
    for phase in Phase::ALL {
        for blow in Blow::ALL {
            let moment = match phase {
                // Half a second is all there is of it.
                Phase::Launching => chance.below(500),
                // And less of that.
                Phase::Ending => chance.below(60),
                _ => chance.below(200),
            };
            all.push(Pair {
                phase,
                blow,
                moment,
            });
        }
    }
    let one = std::env::var("QDEBUG_TEST_PAIR").ok();
    let pairs = match one {
        Some(name) => (all.into_iter())
            .filter(|pair| pair.name().starts_with(&name))
            .collect(),
        None if is_full() => all,
        None => chance.some_of(all, SOME),
    };
    assert!(!pairs.is_empty(), "no such pair");
    on_both_nodes(pairs, |node, pair| strike(node, *pair));
}

/// One session, struck once.
#[track_caller]
fn strike(node: Host, pair: Pair) {
    let Pair {
        phase,
        blow,
        moment,
    } = pair;
    let name = format!("{phase:?}-{blow:?}").to_lowercase();
    let place = Place::ready_for(blow, node, &name);
    let held = phase.hold(node);

    // The blow waits on the node itself for its moment, from before the job is there.
    let state = format!("/home/alice/.qdebug/sessions/{name}/state.json");
    let word = phase.in_file();
    let line = format!(
        "for try in $(seq 3000); do \
             grep -qs '{word}' {state} && break; sleep 0.01; \
         done; sleep {}; cat {state}; {}",
        moment as f64 / 1000.0,
        blow.strike(&name)
    );
    let blow_comes = std::thread::spawn(move || node.root(&line));
    let image = phase.image();
    let words = ["-g", kind_of(node), "-w", "10m", &image[0], &image[1]];
    let session = Session::submit(&name, &words);
    if phase == Phase::Ending {
        session.await_state("ready");
        Host::Login
            .run(&["qdebug", "stop", "--no-wait", &name])
            .ok();
    }
    let struck = blow_comes.join().expect("a blow");
    // What was struck was there, and the session stood where it should.
    if phase.stays() {
        let at = struck.json();
        let (name, step) = (at["phase"].to_string(), at["step"].to_string());
        assert!(name.contains(word) || step.contains(word), "{at:#}");
    }
    let struck = if phase == Phase::Ending {
        struck
    } else {
        struck.ok()
    };
    assert!(!struck.out.is_empty(), "{struck}");
    let away = blow.engine_is_away();
    // It is gone by the blow, or lives on: then it ends as ever.
    let ended = blow.ends_the_job() || phase == Phase::Ending;
    if ended {
        promise::no_process(&session, node, away);
    } else {
        if blow.blinds_the_scheduler() {
            promise::no_process(&session, node, away);
        } else {
            std::thread::sleep(Duration::from_millis(500));
        }
        here().delete(&session.job);
        // The scheduler gives a node half that hangs with its disk its grace.
        promise::no_process(&session, node, away + Duration::from_secs(5));
    }
    place.mend();
    drop(held);
    promise::verdict(&session, reasons(phase, blow));
    promise::nothing_left(&session, node);
    drop(place);
    promise::name_is_free(&session);
}

/// Words of the reason that must be told, one of them; none where several things may have come
/// first.
fn reasons(phase: Phase, blow: Blow) -> &'static [&'static str] {
    match (phase, blow) {
        (Phase::Ending, Blow::Term) => &["stopped by alice"],
        (_, Blow::Term) => &["cancelled"],
        _ => &[],
    }
}
