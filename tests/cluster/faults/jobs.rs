//! Many jobs, a few at a time on each node, each struck by something at some moment of its life.

use std::time::Duration;

use super::blow::Blow;
use super::seed::Chance;
use super::{is_full, kind_of, on_both_nodes, promise};
use crate::host::Host;
use crate::scheduler::here;
use crate::session::Session;

/// How many jobs a node has at once: one for each of its GPUs.
const AT_ONCE: usize = 2;

/// What hits one job and nobody else.
const BLOWS: [Blow; 3] = [Blow::Term, Blow::KillNodeHalf, Blow::KillSession];

/// Jobs that share a node.
#[derive(Debug)]
struct Wave {
    number: usize,
    /// What hits each of them, and when, in milliseconds after its submit.
    jobs: Vec<(Blow, usize)>,
    /// When the engine is killed below them, if it is.
    engine: Option<usize>,
}

#[test]
fn jobs_struck_at_random_moments() {
    let mut chance = Chance::of_environment("jobs");
    let waves = if is_full() { 100 } else { 10 };
    let waves = (0..waves).map(|number| Wave {
        number,
        jobs: (0..AT_ONCE)
            .map(|_| (BLOWS[chance.below(BLOWS.len())], chance.below(4000)))
            .collect(),
        engine: (chance.below(4) == 0).then(|| chance.below(4000)),
    });
    on_both_nodes(waves.collect(), ride);
}

/// One wave, from its submits to the last check.
fn ride(node: Host, wave: &Wave) {
    let strikes: Vec<_> = (wave.jobs.iter().enumerate())
        .map(|(at, (blow, moment))| {
            let name = format!("job-{}-{at}", wave.number);
            let line = format!("sleep {}; {}", *moment as f64 / 1000.0, blow.strike(&name));
            let words = ["-g", kind_of(node), "-w", "10m", "-i", "qdebug/busybox"];
            let session = Session::submit(&name, &words);
            (session, std::thread::spawn(move || node.root(&line)))
        })
        .collect();
    let engine = wave.engine.map(|moment| {
        let line = format!(
            "sleep {}; {}",
            moment as f64 / 1000.0,
            Blow::EngineKilled.strike("")
        );
        std::thread::spawn(move || node.root(&line))
    });
    let away = match &engine {
        Some(_) => Blow::EngineKilled.engine_is_away(),
        None => Duration::ZERO,
    };
    let mut sessions = Vec::new();
    for (session, strike) in strikes {
        strike.join().expect("a blow");
        sessions.push(session);
    }
    if let Some(engine) = engine {
        engine.join().expect("a blow").ok();
    }
    for session in sessions {
        // A blow before its node half began has missed it, and Slurm does not see that its own
        // process for a job was killed.
        here().delete(&session.job);
        promise::no_process(&session, node, away);
        promise::verdict(&session, &[]);
        promise::nothing_left(&session, node);
    }
}
