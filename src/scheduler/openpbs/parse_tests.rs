//! Reading what qstat prints: recorded answers, made-up ones, any text.

use proptest::prelude::*;

use super::*;

fn fixture(name: &str) -> String {
    let path = format!(
        "{}/tests/fixtures/openpbs/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The one job of a recorded answer.
fn recorded(name: &str) -> JobStatus {
    let document = document(&fixture(&format!("{name}.out"))).expect("a document");
    let (_, job) = document.numbered().next().expect("a job");
    job.status()
}

fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

#[test]
fn jobs_are_read_whatever_state_they_are_in() {
    let running = recorded("qstat-json-R");
    assert_eq!(running.state, JobState::Running);
    assert_eq!(running.node.as_deref(), Some("lab-opbs-node1"));
    assert_eq!(running.until, at("2026-11-23T15:55:02Z"));
    let waiting = recorded("qstat-json-Q");
    assert_eq!(waiting.state, JobState::Queued);
    let reason = waiting.reason.unwrap();
    assert_eq!(
        (reason.text.as_str(), reason.never),
        ("waits for free GPUs of its type", false)
    );
    for name in ["qstat-json-impossible-count", "qstat-json-impossible-model"] {
        assert!(recorded(name).reason.unwrap().never, "{name}");
    }
    assert_eq!(recorded("qstat-json-hold").state, JobState::Held);
    assert_eq!(recorded("qstat-json-E").state, JobState::Ending);
    let later = recorded("qstat-json-after");
    assert_eq!(later.state, JobState::Queued);
    assert!(later.reason.unwrap().text.contains("Nov 23 23:59:00"));
    // Deleted by force, and the server has not noticed yet.
    assert_eq!(recorded("qstat-after-force").state, JobState::Running);
}

#[test]
fn ends_are_told_apart() {
    let ended = |name: &str| match recorded(name).state {
        JobState::Ended(end) => end,
        state => panic!("{name}: {state:?}"),
    };
    assert_eq!(ended("qstat-json-F"), JobEnd::Completed);
    let by = Some("alice@lab-opbs-login".to_owned());
    assert_eq!(
        ended("qstat-json-F-deleted-running"),
        JobEnd::Cancelled { by }
    );
    assert_eq!(
        ended("qstat-json-F-deleted-while-Q"),
        JobEnd::Cancelled { by: None }
    );
    let end = |exit: i32, substate: u32| {
        let json = format!(
            r#"{{"Jobs":{{"1.s":{{"job_state":"F","substate":{substate},"Exit_status":{exit}}}}}}}"#
        );
        match document(&json).unwrap().jobs.unwrap()["1.s"].status().state {
            JobState::Ended(end) => end,
            state => panic!("{state:?}"),
        }
    };
    assert_eq!(end(-29, 93), JobEnd::Walltime);
    assert_eq!(end(-20, 93), JobEnd::NodeFail);
    assert_eq!(end(-27, 93), JobEnd::OutOfMemory);
    assert_eq!(end(265, 93), JobEnd::Signalled { signal: 9 });
    assert_eq!(end(137, 93), JobEnd::Signalled { signal: 9 });
    assert_eq!(end(265, 91), JobEnd::Cancelled { by: None });
    assert_eq!(end(7, 93), JobEnd::Failed { exit: 7 });
    assert!(matches!(end(-4, 93), JobEnd::Other(why) if why.contains("restarted")));
}

#[test]
fn a_short_id_is_answered_by_the_full_one_and_arrays_by_none() {
    let ids =
        |texts: &[&str]| -> Vec<JobId> { texts.iter().map(|id| id.parse().unwrap()).collect() };
    let one = document(&fixture("qstat-json-R.out")).unwrap();
    assert_eq!(one.statuses(&ids(&["3", "3.lab-opbs-login"])).len(), 2);
    assert!(one.statuses(&ids(&["3.other", "4"])).is_empty());
    let array = document(&fixture("qstat-json-array-t.out")).unwrap();
    assert!(
        array
            .statuses(&ids(&["17", "17.lab-opbs-login"]))
            .is_empty()
    );
}

#[test]
fn odd_variables_change_nothing() {
    for entry in std::fs::read_dir(format!(
        "{}/tests/fixtures/openpbs/json-weird",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap()
    {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let document: Document =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let (_, job) = document.numbered().next().expect("a job");
        let state = job.status().state;
        assert!(
            matches!(
                state,
                JobState::Running | JobState::Ended(JobEnd::Completed)
            ),
            "{path:?}: {state:?}"
        );
    }
}

#[test]
fn raw_words_of_older_versions_do_not_hide_the_jobs() {
    let broken = "{\n\"Jobs\":{\n\"1.s\":{\n\"job_state\":\"R\",\n\"Variable_List\":{\n\"A\":007,\n\
        \"B\":inf,\n\"C\":\"x\ty\\z\"\n},\n\"comment\":\"a\tb\"\n,\n\"Submit_arguments\":\"-v \"q\"\"\n\
        }\n}\n}\n";
    assert!(serde_json::from_str::<Document>(broken).is_err());
    let document = document(broken).expect("read leniently");
    let id: JobId = "1.s".parse().unwrap();
    assert_eq!(
        document.statuses(std::slice::from_ref(&id))[&id].state,
        JobState::Running
    );
}

#[test]
fn servers_and_queues_are_read() {
    let server = document(&fixture("qstat-B-json.out")).unwrap().server();
    assert_eq!(server.as_deref(), Some("lab-opbs-login"));
    assert_eq!(document("{\"pbs_server\":\"a b\"}").unwrap().server(), None);
    let queues = document(&fixture("qstat-Q-json.out")).unwrap();
    assert_eq!(
        queues.queues(),
        [("short", Some("00:10:00")), ("workq", None)]
    );
}

/// Waiting jobs: id, owner, queue, estimated start.
fn listing(jobs: &[(&str, &str, &str, &str)]) -> Document {
    let jobs = jobs.iter().map(|(id, owner, queue, start)| {
        let job = serde_json::json!({
            "job_state": "Q", "Job_Owner": owner, "queue": queue,
            "estimated": {"start_time": start},
        });
        ((*id).to_owned(), job)
    });
    let jobs: serde_json::Map<_, _> = jobs.collect();
    document(&serde_json::json!({ "Jobs": jobs }).to_string()).unwrap()
}

#[test]
fn a_place_is_the_rank_by_estimated_start_in_the_queue() {
    let listing = listing(&[
        ("9.s", "alice@l", "gpu", "Mon Nov 23 16:00:00 2026"),
        ("10.s", "bob@l", "gpu", "Mon Nov  2 15:00:00 2026"),
        ("11[].s", "bob@l", "gpu", "1795446000"),
        ("12.s", "bob@l", "cpu", "Mon Nov 23 17:00:00 2026"),
        ("13.s", "alice@l", "gpu", "UNKNOWN"),
    ]);
    let places = listing.positions();
    let place = |id: &str| places.get(&id.parse().unwrap()).copied();
    assert_eq!(
        (place("9.s"), place("10.s"), place("12.s"), place("13.s")),
        (Some(3), Some(1), Some(1), None)
    );
    let queues: Vec<_> = listing.queues_with_estimates().into_iter().collect();
    assert_eq!(queues, ["cpu", "gpu"]);
}

#[test]
fn no_place_is_told_where_others_may_be_hidden() {
    let alone = listing(&[
        ("9.s", "alice@l", "gpu", "Mon Nov 23 16:00:00 2026"),
        ("10.s", "alice@l", "-x y", "Mon Nov 23 15:00:00 2026"),
    ]);
    assert!(alone.positions().is_empty());
    assert_eq!(
        alone.queues_with_estimates().len(),
        1,
        "no option as a queue"
    );
}

#[test]
fn times_are_read_as_utc() {
    assert_eq!(time("Sun Nov  1 05:06:07 2026"), at("2026-11-01T05:06:07Z"));
    assert_eq!(time("1795448998"), at("2026-11-23T15:49:58Z"));
    assert_eq!((time("UNKNOWN"), time("0"), time("-5")), (None, None, None));
    for (text, expected) in [("100:00:01", 360_001), ("01:30", 90), ("200", 200)] {
        assert_eq!(seconds(text), Some(SignedDuration::from_secs(expected)));
    }
    assert_eq!(
        (seconds(""), seconds("1:-2"), seconds("--")),
        (None, None, None)
    );
}

#[test]
fn ids_that_were_printed_are_read() {
    assert_eq!(
        submitted("a hook's greeting\n3.s\n\n").unwrap().as_str(),
        "3.s"
    );
    assert_eq!(submitted("17[].s\n"), None);
    assert_eq!(newest("9.s\n10.s\n17[].s\n").unwrap().as_str(), "10.s");
    let finished = newest(&fixture("qselect.out")).unwrap();
    assert_eq!(finished.as_str(), "3.lab-opbs-login");
}

#[test]
fn a_thousand_jobs_are_read_in_one_answer() {
    let one: serde_json::Value = serde_json::from_str(&fixture("qstat-json-R.out")).unwrap();
    let job = &one["Jobs"]["3.lab-opbs-login"];
    let jobs: serde_json::Map<_, _> = (0..1000)
        .map(|n| (format!("{n}.lab-opbs-login"), job.clone()))
        .collect();
    let text = serde_json::json!({ "Jobs": jobs }).to_string();
    let ids: Vec<JobId> = (0..1000)
        .map(|n| format!("{n}.lab-opbs-login").parse().unwrap())
        .collect();
    let statuses = document(&text).unwrap().statuses(&ids);
    assert_eq!(statuses.len(), 1000);
    assert!(statuses.values().all(|job| job.state == JobState::Running));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(?s).{0,200}") {
        let _ = (submitted(&text), newest(&text), time(&text), seconds(&text), repaired(&text));
        if let Some(document) = document(&text) {
            let _ = (document.server(), document.positions());
        }
    }

    #[test]
    fn no_value_makes_the_parser_panic(
        keys in proptest::collection::vec("job_state|substate|comment|stime|exec_host|queue|Job_Owner|Hold_Types|Exit_status|Execution_Time", 0..8),
        values in proptest::collection::vec("\"[A-Z]{1}\"|-?[0-9]{1,12}|null|\"[^\"\\\\[:cntrl:]]{0,20}\"|\\[\\]|true", 8),
        start in "\"[^\"\\\\[:cntrl:]]{0,20}\"|-?[0-9]{1,18}",
        walltime in "\"[0-9:]{0,40}\"",
    ) {
        let keys: BTreeSet<String> = keys.into_iter().collect();
        let mut fields: Vec<String> = keys.iter().zip(&values).map(|(key, value)| format!("\"{key}\":{value}")).collect();
        fields.push(format!("\"estimated\":{{\"start_time\":{start}}},\"Resource_List\":{{\"walltime\":{walltime}}}"));
        let text = format!("{{\"Jobs\":{{\"1.s\":{{{}}}}}}}", fields.join(","));
        if let Some(document) = document(&text) {
            let _ = (document.statuses(&["1.s".parse().unwrap()]), document.positions());
        }
    }
}
