//! Tests of `record.rs`.

use std::collections::BTreeMap;

use super::super::samples::{job, request};
use super::super::state::{EndReason, Phase};
use super::*;

const NOW: &str = "2026-01-01T00:30:00Z";

fn state(request: &Request, phase: Phase) -> State {
    State {
        token: request.token.clone(),
        job: Some("1".into()),
        node: Some("node1".into()),
        phase,
        at: request.created,
        began: BTreeMap::from([("starting".into(), request.created)]),
        details: None,
    }
}

fn record(request: &Request, state: Option<&State>, end: Option<End>) -> Record {
    let job = job(request, "1");
    Record::new(
        request.clone(),
        Some(job),
        state.cloned(),
        (None, end),
        Vec::new(),
    )
}

fn judge(request: &Request, state: Option<&State>, word: &JobWord, now: &str) -> Status {
    record(request, state, None).verdict(word, now.parse().unwrap())
}

fn killed() -> JobWord {
    JobWord::Ended {
        detail: "killed by signal 9".into(),
        walltime: false,
    }
}

#[test]
fn a_node_half_that_was_killed_is_ended_by_the_schedulers_word() {
    let request = request("otter");
    let ready = state(&request, Phase::Ready);
    let status = judge(&request, Some(&ready), &killed(), NOW);
    assert_eq!(status.state, Standing::Ended);
    assert_eq!(status.reason.as_deref(), Some("killed by signal 9"));
    assert_eq!(status.details, None);
}

#[test]
fn the_node_halfs_last_word_beats_the_schedulers() {
    let request = request("otter");
    let failed = Phase::Failed {
        error: "no GPU".into(),
        hint: None,
        code: Some(9),
    };
    let status = judge(&request, Some(&state(&request, failed)), &killed(), NOW);
    assert_eq!((status.state, status.code), (Standing::Failed, Some(9)));
}

#[test]
fn an_ending_that_was_cut_short_keeps_its_reason() {
    let request = request("otter");
    let reason = EndReason::Stopped { by: "alice".into() };
    let ending = state(&request, Phase::Ending { reason });
    let status = judge(&request, Some(&ending), &killed(), NOW);
    assert_eq!(status.reason.as_deref(), Some("stopped by alice"));
}

#[test]
fn a_queued_job_is_told_in_the_queues_words() {
    let request = request("otter");
    let word = JobWord::Queued {
        held: false,
        reason: Some("waits for free resources".into()),
        never: false,
        position: Some(3),
        estimate: None,
    };
    let status = judge(&request, None, &word, NOW);
    assert_eq!((status.state, status.position), (Standing::Queued, Some(3)));
}

#[test]
fn a_session_that_is_being_submitted_has_not_failed() {
    let request = request("otter");
    let after = |minutes| {
        let now = request.created + SignedDuration::from_mins(minutes);
        record(&request, None, None).verdict(&JobWord::NeverSubmitted, now)
    };
    assert_eq!(after(0).state, Standing::Unknown);
    assert_eq!(after(2).state, Standing::Unknown);
    assert_eq!(after(4).state, Standing::Failed);
    // One that was stopped meanwhile has nothing to wait for.
    let mut stopped = record(&request, None, None);
    stopped.stop = Some(Stop {
        token: request.token.clone(),
        by: "alice@login".to_owned(),
        at: request.created,
    });
    let status = stopped.verdict(&JobWord::NeverSubmitted, request.created);
    assert_eq!(status.state, Standing::Ended);
    assert_eq!(status.reason.as_deref(), Some("stopped by alice@login"));
}

#[test]
fn unknown_or_unreachable_is_not_gone() {
    let request = request("otter");
    let ready = state(&request, Phase::Ready);
    for word in [
        JobWord::Unknown,
        JobWord::Unreachable {
            detail: "refused".into(),
        },
    ] {
        let status = judge(&request, Some(&ready), &word, NOW);
        assert_eq!(status.state, Standing::Ready, "{word:?}");
        assert_eq!(status.doubts.len(), 1, "{word:?}");
    }
    let status = judge(
        &request,
        Some(&ready),
        &JobWord::Unknown,
        "2026-01-01T01:09:00Z",
    );
    assert_eq!(status.state, Standing::Ready);
    let status = judge(
        &request,
        Some(&ready),
        &JobWord::Unknown,
        "2026-01-01T01:11:00Z",
    );
    assert_eq!(status.state, Standing::Ended);
}

#[test]
fn a_node_half_that_fell_silent_is_not_called_ready() {
    let request = request("otter");
    let ready = state(&request, Phase::Ready);
    let word = JobWord::Running { until: None };
    let heard = |seconds| {
        let record = record(&request, Some(&ready), None);
        let record = record.heard(Some(Duration::from_secs(seconds)));
        record.verdict(&word, NOW.parse().unwrap())
    };
    assert_eq!(heard(59).state, Standing::Ready);
    let silent = heard(61);
    assert_eq!(silent.state, Standing::Unknown);
    assert!(silent.doubts[0].contains("61 s"), "{:?}", silent.doubts);
}

#[test]
fn a_kept_end_stands_when_the_scheduler_has_forgotten() {
    let request = request("otter");
    let ready = state(&request, Phase::Ready);
    let end = End {
        token: request.token.clone(),
        detail: "node failure".into(),
        walltime: false,
        at: request.created,
    };
    let record = record(&request, Some(&ready), Some(end));
    assert!(record.is_over());
    let status = record.verdict(&JobWord::Unknown, NOW.parse().unwrap());
    assert_eq!(status.reason.as_deref(), Some("node failure"));
}

#[test]
fn files_of_another_token_are_not_believed() {
    let (mine, other) = (request("otter"), request("otter"));
    let ended = state(
        &other,
        Phase::Ended {
            reason: EndReason::Walltime,
            exit: None,
        },
    );
    let word = JobWord::Running { until: None };
    let record = Record::new(mine.clone(), None, Some(ended), (None, None), Vec::new());
    let status = record.verdict(&word, NOW.parse().unwrap());
    assert_eq!(status.state, Standing::Starting);
    let stale = Some(job(&other, "1"));
    let record = Record::new(mine, stale, None, (None, None), Vec::new());
    let status = record.verdict(&word, NOW.parse().unwrap());
    assert_eq!(status.job, None);
}

#[test]
fn every_standing_is_written_as_it_is_called() {
    for standing in [
        Standing::Queued,
        Standing::CheckingGpus,
        Standing::PreparingImage,
    ] {
        assert_eq!(serde_json::to_value(standing).unwrap(), standing.name());
    }
}

/// A Slurm without accounting forgets a job five minutes after its end.
#[test]
fn a_job_nobody_has_heard_of_for_long_is_over() {
    let request = request("otter");
    let ready = state(&request, Phase::Ready);
    let verdict = |state: Option<&State>, silence: u64, word: &JobWord| {
        let record = record(&request, state, None);
        let record = record.heard(Some(Duration::from_secs(silence)));
        record.verdict(word, NOW.parse().unwrap())
    };
    let gone = verdict(Some(&ready), 601, &JobWord::Forgotten);
    assert_eq!(gone.state, Standing::Ended);
    let reason = gone.reason.unwrap();
    assert!(reason.contains("no longer knows the job"), "{reason}");
    // Its node half speaks, or was heard of lately; a job that is hidden; nobody who answers.
    let unreachable = JobWord::Unreachable {
        detail: "down".into(),
    };
    for (silence, word) in [
        (5, &JobWord::Forgotten),
        (500, &JobWord::Forgotten),
        (100_000, &JobWord::Unknown),
        (100_000, &unreachable),
    ] {
        let status = verdict(Some(&ready), silence, word);
        assert!(!status.state.is_final(), "{silence} {word:?} {status:?}");
        assert!(!status.doubts.is_empty(), "{status:?}");
    }
    // One that never spoke: its job was submitted half an hour ago.
    let never = verdict(None, 0, &JobWord::Forgotten);
    assert_eq!(never.state, Standing::Ended);
    assert!(never.hint.unwrap().contains("qdebug logs"));
    let fresh = judge(&request, None, &JobWord::Forgotten, "2026-01-01T00:05:00Z");
    assert_eq!(fresh.state, Standing::Unknown);
}
