//! Tests of `parse.rs`.

use proptest::prelude::*;

use super::*;

fn fixture(name: &str) -> String {
    let path = format!("{}/tests/fixtures/slurm/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn one(line: &str) -> JobStatus {
    jobs(line).into_values().next().expect("a job")
}

#[test]
fn a_log_that_could_not_be_opened_is_no_signal() {
    for end in [failure("0:53", ""), failure("53", "RaisedSignal")] {
        assert!(end.to_string().contains("could not open"), "{end}");
    }
    assert_eq!(failure("0:9", ""), JobEnd::Signalled { signal: 9 });
}

#[test]
fn jobs_are_read_whatever_state_they_are_in() {
    let running = one("3|RUNNING|None|2026-11-24T03:47:13|node1|2026-11-24T02:47:13|0|a|b|");
    assert_eq!(running.name.as_deref(), Some("a|b"));
    assert_eq!(running.state, JobState::Running);
    assert_eq!(running.until, Some("2026-11-24T03:47:13Z".parse().unwrap()));
    assert_eq!(running.node.as_deref(), Some("node1"));
    let waiting = one("4|PENDING|Resources|N/A||2026-11-24T03:47:13|0|");
    assert_eq!(waiting.state, JobState::Queued);
    assert!(waiting.start_estimate.is_some() && !waiting.reason.unwrap().never);
    assert_eq!(
        one("4|PENDING|JobHeldUser|N/A||N/A|0|").state,
        JobState::Held
    );
    let failed = "4|PENDING|user_env_retrieval_failed_requeued_held|N/A||N/A|0|";
    let failed = one(failed);
    assert_eq!(failed.state, JobState::Held);
    assert!(failed.reason.is_some());
    assert_eq!(
        one("4|REQUEUE_HOLD|JobHeldAdmin|N/A||N/A|0|").state,
        JobState::Held
    );
}

#[test]
fn ends_are_told_apart() {
    for (line, end) in [
        ("1|COMPLETED|None|t|n|t|0|", JobEnd::Completed),
        ("1|CANCELLED|None|t|n|t|0|", JobEnd::Cancelled { by: None }),
        ("1|TIMEOUT|TimeLimit|t|n|t|0|", JobEnd::Walltime),
        (
            "1|FAILED|RaisedSignal:9(Killed)|t|n|t|9|",
            JobEnd::Signalled { signal: 9 },
        ),
        (
            "1|FAILED|NonZeroExitCode|t|n|t|1792|",
            JobEnd::Failed { exit: 7 },
        ),
        ("1|NODE_FAIL|NodeDown|t|n|t|0|", JobEnd::NodeFail),
        (
            "1|OUT_OF_MEMORY|OutOfMemory|t|n|t|0:125|",
            JobEnd::OutOfMemory,
        ),
    ] {
        assert_eq!(one(line).state, JobState::Ended(end), "{line}");
    }
    assert_eq!(one("1|DREAMING||||||").state, JobState::Unknown);
}

/// Recorded on Slurm 22.05: names with a bar and with a line break, a long host name.
#[test]
fn a_recorded_queue_is_read() {
    let jobs = jobs(&fixture("squeue-status.out"));
    assert_eq!(jobs.len(), 9);
    let job = |id: &str| &jobs[&id.parse().unwrap()];
    // The name of 44 goes on with a line that calls 35 completed.
    assert_eq!(job("35").state, JobState::Running);
    assert_eq!(job("35").name.as_deref(), Some("a|b c"));
    let node = "a-rather-long-host-name-of-gpu-node-0001";
    assert_eq!(job("35").node.as_deref(), Some(node));
    let failed = JobState::Ended(JobEnd::Failed { exit: 7 });
    let killed = JobState::Ended(JobEnd::Signalled { signal: 9 });
    let cancelled = JobState::Ended(JobEnd::Cancelled { by: None });
    assert_eq!((&job("36").state, &job("37").state), (&failed, &killed));
    assert_eq!(job("43").state, cancelled);
    assert_eq!(
        (&job("40").state, &job("44").state),
        (&JobState::Held, &JobState::Held)
    );
    let waits = job("38").reason.as_ref().unwrap();
    assert!(
        waits.text.contains("down or reserved") && !waits.never,
        "{waits:?}"
    );
    assert!(job("42").reason.as_ref().unwrap().never);
}

#[test]
fn recorded_places_leave_out_who_cannot_start() {
    let places = positions(&fixture("squeue-pending.out"));
    let place = |id: &str| places.get(&id.parse().unwrap()).copied();
    assert_eq!(
        (place("38"), place("39"), place("41")),
        (Some(1), Some(2), None)
    );
}

#[test]
fn accounting_is_read() {
    let jobs = history(
        "7|CANCELLED by 2001|0:15|node1|a|b\n8|FAILED|0:9|node1|c\n8.batch|x|0:0||\n9|RUNNING|0:0|node1|lost\n",
    );
    assert_eq!(jobs.len(), 2);
    assert_eq!(jobs[&"7".parse().unwrap()].name.as_deref(), Some("a|b"));
    let by = Some("uid 2001".to_owned());
    assert_eq!(
        jobs[&"7".parse().unwrap()].state,
        JobState::Ended(JobEnd::Cancelled { by })
    );
    let killed = JobState::Ended(JobEnd::Signalled { signal: 9 });
    assert_eq!(jobs[&"8".parse().unwrap()].state, killed);
}

#[test]
fn places_count_by_partition() {
    let places = positions(
        "9|gpu|Resources|\n12_[1-3]|gpu|Priority|\n2|gpu|BeginTime|\n5|cpu|Priority|\n\
         11|gpu|Priority|\n13|gpu,cpu|Priority|\n3|gpu|JobHeldUser|\nrubbish\n",
    );
    let place = |id: &str| places.get(&id.parse().unwrap()).copied();
    assert_eq!(
        (place("9"), place("11"), place("5")),
        (Some(1), Some(3), Some(1))
    );
    assert_eq!((place("2"), place("3"), place("13")), (None, None, Some(2)));
}

#[test]
fn recorded_words_are_understood() {
    assert!(is_unknown_job(&fixture("squeue-unknown.err")));
    for name in ["ctld-down-squeue.err", "ctld-down-sbatch.err"] {
        assert!(is_unreachable(&said(&fixture(name))), "{name}");
    }
    let refused = said(fixture("native-toomany.err").lines().next().unwrap());
    assert_eq!(refused, "Requested node configuration is not available");
    let types = gpu_types("gpu:V100:2(S:0-1),tmpdisk:3\ngpu:P100:1\n(null)\ngpu:4\n");
    assert_eq!(types.into_iter().collect::<Vec<_>>(), ["P100", "V100"]);
    assert_eq!(submitted("33;lab\n").unwrap().as_str(), "33");
    assert_eq!(submitted("Submitted batch job 33"), None);
    assert_eq!(newest("9|\n10|\n").unwrap().as_str(), "10");
    let config = "SlurmctldHost[0] = login\nClusterName             = lab\n";
    assert_eq!(cluster_name(config).as_deref(), Some("lab"));
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in "(?s).{0,200}|([0-9]{1,3}\\|[A-Z]{0,12}\\|[^\\n]{0,30}\\n){0,4}") {
        let _ = (jobs(&text), history(&text), positions(&text), newest(&text), said(&text));
        let _ = (gpu_types(&text), cluster_name(&text), submitted(&text), time(&text));
    }
}
