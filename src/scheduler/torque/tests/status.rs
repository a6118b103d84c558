//! Where jobs stand.

use super::*;
use crate::scheduler::JobEnd;

fn status(fake: &Fake, ids: &[&str]) -> Result<BTreeMap<JobId, JobStatus>, Error> {
    let ids: Vec<JobId> = ids.iter().map(|text| id(text)).collect();
    block_on(fake.torque().status(&ids))
}

pub(super) fn xml(jobs: &str) -> String {
    format!("cat <<'E'\n<?xml version=\"1.0\"?>\n<Data>{jobs}</Data>\nE")
}

pub(super) fn xml_job(id: &str, state: &str) -> String {
    format!("<Job><Job_Id>{id}</Job_Id><job_state>{state}</job_state></Job>")
}

#[test]
fn recorded_jobs_stand_where_they_stood() {
    let cancelled = JobState::Ended(JobEnd::Cancelled { by: None });
    for (name, of, state, node) in [
        ("qstat-fx-R", "0.login", JobState::Running, Some("node1")),
        ("qstat-fx-Q", "3.login", JobState::Queued, None),
        ("qstat-fx-H", "4.login", JobState::Held, None),
        (
            "qstat-fx-C",
            "0.login",
            JobState::Ended(JobEnd::Failed { exit: 3 }),
            Some("node1"),
        ),
        ("qstat-fx-deleted", "1.login", cancelled, Some("node1")),
        ("qstat-fx-stoppedQ", "5.login", JobState::Queued, None),
        (
            "qstat-fx-during-epilogue",
            "34.login",
            JobState::Running,
            Some("node1"),
        ),
        (
            "qstat-fx-node-down",
            "75.login",
            JobState::Running,
            Some("node1"),
        ),
    ] {
        let answer = status(&Fake::recorded("qstat", name), &[of]).unwrap();
        let job = &answer[&id(of)];
        assert_eq!(job.state, state, "{name}");
        assert_eq!(job.node.as_deref(), node, "{name}");
    }
    let running = status(&Fake::recorded("qstat", "qstat-fx-R"), &["0.login"]).unwrap();
    let until = running[&id("0.login")].until.unwrap().as_second();
    assert_eq!(until, 1_795_449_838 + 600);
    let held = status(&Fake::recorded("qstat", "qstat-fx-H"), &["4.login"]).unwrap();
    let reason = held[&id("4.login")].reason.clone().unwrap();
    assert!(reason.text.contains("owner"), "{reason:?}");
}

#[test]
fn text_says_the_same_as_xml() {
    for state in ["R", "Q", "H", "C"] {
        let xml = parse::jobs_of_xml(&fixture(&format!("qstat-fx-{state}"), "out")).unwrap();
        let text = parse::jobs_of_text(&fixture(&format!("qstat-f-{state}"), "out"));
        assert_eq!(xml, text, "{state}");
        assert_eq!(xml.len(), 1);
    }
    let one_line = parse::jobs_of_text(&fixture("qstat-f1-R", "out"));
    assert_eq!(one_line, parse::jobs_of_text(&fixture("qstat-f-R", "out")));
    // Array elements are nobody's session.
    let all = parse::jobs_of_text(&fixture("qstat-f-array", "out"));
    let known = parse::jobs_of_xml(&fixture("qstat-fx-array", "out")).unwrap();
    assert_eq!(
        all.keys().collect::<Vec<_>>(),
        known.keys().collect::<Vec<_>>()
    );
    assert!(
        parse::jobs_of_xml(&fixture("qstat-fx-sub", "out"))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn unknown_ids_do_not_hide_the_known() {
    let fake = Fake::recorded("qstat", "qstat-mixed");
    let jobs = status(&fake, &["9999.login", "0.login"]).unwrap();
    assert_eq!(jobs.len(), 1);
    assert!(jobs.contains_key(&id("0.login")));
    assert_eq!(fake.calls("qstat"), ["qstat -f -x 9999.login 0.login"]);
    let none = status(
        &Fake::recorded("qstat", "qstat-fx-unknown"),
        &["9999.login"],
    );
    assert!(none.unwrap().is_empty());
}

#[test]
fn an_id_without_its_server_is_answered_as_it_was_asked() {
    let jobs = status(&Fake::recorded("qstat", "qstat-fx-R"), &["0"]).unwrap();
    assert_eq!(jobs[&id("0")].state, JobState::Running);
    assert_eq!(jobs.len(), 1);
}

#[test]
fn a_lost_answer_is_no_end() {
    for name in ["qstat-server-down", "qstat-trqauthd-down"] {
        let fake = Fake::recorded("qstat", name);
        let error = status(&fake, &["150.login"]).unwrap_err();
        assert!(
            matches!(error, Error::Unreachable { .. }),
            "{name}: {error}"
        );
        assert_eq!(fake.calls("qstat").len(), 2, "asked once more");
    }
    let half = format!(
        "{}\necho 'qstat: End of File' >&2; exit 1",
        xml(&xml_job("1.a", "R"))
    );
    let error = status(&Fake::new(&[("qstat", &half)]), &["1.a", "2.a"]).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    let silent = Fake::new(&[("qstat", "exit 1")]);
    assert!(status(&silent, &["1.a"]).is_err());
    let killed = Fake::new(&[("qstat", "kill -9 $$")]);
    assert!(status(&killed, &["1.a"]).is_err());
}

#[test]
fn a_hidden_job_is_not_gone() {
    let body = format!(
        "{}\necho 'qstat: Unauthorized Request  8.login' >&2; exit 159",
        xml(&xml_job("7.login", "R"))
    );
    let jobs = status(&Fake::new(&[("qstat", &body)]), &["7.login", "8.login"]).unwrap();
    assert_eq!(jobs[&id("7.login")].state, JobState::Running);
    assert_eq!(jobs[&id("8.login")].state, JobState::Unknown);
}

#[test]
fn text_serves_where_there_is_no_xml() {
    let body = format!(
        "case \" $* \" in *\" -x \"*) echo 'usage: qstat' >&2; exit 2;; esac; cat '{FIXTURES}/qstat-f-R.out'"
    );
    let fake = Fake::new(&[("qstat", &body)]);
    let jobs = status(&fake, &["0.login"]).unwrap();
    assert_eq!(jobs[&id("0.login")].state, JobState::Running);
    assert_eq!(fake.calls("qstat").len(), 2);
    let broken = format!(
        "case \" $* \" in *\" -x \"*) echo '<Data><Job>';; *) cat '{FIXTURES}/qstat-f-R.out';; esac"
    );
    let jobs = status(&Fake::new(&[("qstat", &broken)]), &["0.login"]).unwrap();
    assert_eq!(jobs.len(), 1);
}

#[test]
fn a_thousand_jobs_are_one_call() {
    let jobs: String = (0..1000)
        .map(|n| xml_job(&format!("{n}.login"), "R"))
        .collect();
    let fake = Fake::new(&[("qstat", &xml(&jobs))]);
    let names: Vec<String> = (0..1000).map(|n| format!("{n}.login")).collect();
    let asked: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(status(&fake, &asked).unwrap().len(), 1000);
    assert_eq!(fake.calls("qstat").len(), 1);
    assert!(status(&fake, &[]).unwrap().is_empty());
}

#[test]
fn places_come_from_moab_or_maui_alone() {
    let qstat = xml(&(xml_job("7.login", "Q") + &xml_job("8.login", "R")));
    let showq = "printf 'IDLE JOBS---\\n9 b Idle 1 1:00 M\\n7 a Idle 1 1:00 M\\n'";
    let jobs = status(
        &Fake::new(&[("qstat", &qstat), ("showq", showq)]),
        &["7.login", "8.login"],
    );
    let jobs = jobs.unwrap();
    assert_eq!(jobs[&id("7.login")].position, Some(2));
    assert_eq!(jobs[&id("8.login")].position, None);
    for tools in [
        &[("qstat", &*qstat)][..],
        &[("qstat", &qstat), ("showq", "exit 1")],
    ] {
        let jobs = status(&Fake::new(tools), &["7.login"]).unwrap();
        assert_eq!(jobs[&id("7.login")].position, None);
    }
}

#[test]
fn times_are_asked_for_in_utc() {
    let fake = Fake::new(&[("qstat", &format!("echo $TZ >zone; {}", xml("")))]);
    status(&fake, &["1.a"]).unwrap();
    let zone = fs::read_to_string(fake.folder.path().join("zone")).unwrap();
    assert_eq!(zone, "UTC\n");
}
