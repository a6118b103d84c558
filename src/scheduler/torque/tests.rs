//! The recorded answers, and the runner on fake tools that answer as the real ones did.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::super::{GpuRequest, JobEnd};
use super::*;

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

pub(super) fn spec() -> JobSpec {
    let session = Path::new("/home/alice/.qdebug/sessions/otter");
    JobSpec {
        name: "qdebug-otter".parse().unwrap(),
        script: "/home/a b/job.sh".into(),
        output: session.join("job.log"),
        walltime: Duration::from_secs(30 * 3600 + 1),
        gpus: Some(GpuRequest {
            kind: Some("V100".into()),
            count: 2,
            request: None,
        }),
        cpus: Some(4),
        memory_bytes: Some(28 << 30),
        queue: Some("a;b $(c)".into()),
        project: None,
        account: None,
        qos: Some("high".into()),
        reservation: Some("lab.7".into()),
        extra: vec!["-m".into(), "n".into()],
        shell: Some(session.join("shell")),
        epilogue: Some(session.join("epilogue")),
    }
}

/// Torque made of shell scripts; each notes its argv in `log`.
struct Fake {
    folder: tempfile::TempDir,
}

impl Fake {
    fn new(tools: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (tool, body) in tools {
            let path = folder.path().join(tool);
            let script = format!(
                "#!/bin/sh\ncd \"${{0%/*}}\" || exit 1\necho \"{tool} $*\" >>log\n{body}\n"
            );
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        Self { folder }
    }

    /// One tool that answers as a recorded one.
    fn recorded(tool: &str, name: &str) -> Self {
        let file = |ending| format!("{}/{name}.{ending}", FIXTURES);
        let body = format!(
            "cat '{}'; cat '{}' >&2; exit {}",
            file("out"),
            file("err"),
            fixture(name, "rc").trim()
        );
        Self::new(&[(tool, &body)])
    }

    fn torque(&self) -> Torque {
        Torque::in_folder(self.folder.path().to_owned())
    }

    fn calls(&self, tool: &str) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let of_tool = |line: &&str| line.split(' ').next() == Some(tool);
        log.lines().filter(of_tool).map(str::to_owned).collect()
    }
}

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/torque");

fn fixture(name: &str, ending: &str) -> String {
    let path = format!("{FIXTURES}/{name}.{ending}");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn id(text: &str) -> JobId {
    text.parse().unwrap()
}

fn status(fake: &Fake, ids: &[&str]) -> Result<BTreeMap<JobId, JobStatus>, Error> {
    let ids: Vec<JobId> = ids.iter().map(|text| id(text)).collect();
    block_on(fake.torque().status(&ids))
}

fn xml(jobs: &str) -> String {
    format!("cat <<'E'\n<?xml version=\"1.0\"?>\n<Data>{jobs}</Data>\nE")
}

fn xml_job(id: &str, state: &str) -> String {
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
fn a_refusal_is_told_without_its_wrapping() {
    let said = parse::said(&fixture("qsub-badqueue", "err"));
    assert_eq!(said, "Unknown queue MSG=requested queue not found");
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

fn submit(fake: &Fake) -> Result<JobId, Error> {
    block_on(fake.torque().submit(&spec()))
}

#[test]
fn a_job_is_submitted() {
    let fake = Fake::new(&[("qsub", "echo 'welcome to lab'; echo 12.login")]);
    assert_eq!(submit(&fake).unwrap(), id("12.login"));
    let calls = fake.calls("qsub");
    assert!(
        calls[0].contains("-r n") && calls[0].contains("-K 8"),
        "{calls:?}"
    );
}

#[test]
fn an_old_qsub_is_asked_without_the_delay() {
    let old = "case \" $* \" in *' -K '*) printf \"qsub: invalid option -- 'K'\\nusage: qsub\\n\" >&2; exit 2;; esac; echo 12.login";
    let fake = Fake::new(&[("qsub", old)]);
    assert_eq!(submit(&fake).unwrap(), id("12.login"));
    let calls = fake.calls("qsub");
    assert_eq!(calls.len(), 2);
    assert!(
        !calls[1].contains("-K") && calls[1].contains("-S /home") && calls[1].contains("-j oe")
    );
}

#[test]
fn refusals_say_what_to_do() {
    let body = format!("cat '{FIXTURES}/qsub-badprop2.err' >&2; exit 190");
    let nodes = format!("cat '{FIXTURES}/pbsnodes-x.out'");
    for (tools, words) in [
        (
            vec![("qsub", &*body), ("pbsnodes", &*nodes)],
            "that many V100",
        ),
        (vec![("qsub", &*body)], "pbsnodes -a"),
    ] {
        let Err(Error::Refused { said, hint, .. }) = submit(&Fake::new(&tools)) else {
            panic!("taken");
        };
        assert!(said.contains("cannot locate feasible nodes"), "{said}");
        assert!(
            hint.as_deref().is_some_and(|hint| hint.contains(words)),
            "{hint:?}"
        );
    }
    for (name, words) in [
        ("qsub-badqueue", "qstat -q"),
        ("qsub-badres", "leave it out"),
    ] {
        let Err(Error::Refused { hint, .. }) = submit(&Fake::recorded("qsub", name)) else {
            panic!("{name}");
        };
        assert!(hint.is_some_and(|hint| hint.contains(words)), "{name}");
    }
}

#[test]
fn a_job_that_may_be_there_is_told() {
    for body in ["echo hello", "kill -9 $$", "kill -TERM $$"] {
        let error = submit(&Fake::new(&[("qsub", body)])).unwrap_err();
        assert!(error.may_have_submitted(), "{body}: {error}");
    }
    for name in ["qsub-server-down", "qsub-trqauthd-down", "qsub-badqueue"] {
        let fake = Fake::recorded("qsub", name);
        assert!(!submit(&fake).unwrap_err().may_have_submitted(), "{name}");
        assert_eq!(fake.calls("qsub").len(), 1, "never twice");
    }
    let error = submit(&Fake::new(&[])).unwrap_err();
    assert!(
        matches!(
            error,
            Error::NotInstalled {
                program: "qsub",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn times_are_asked_for_in_utc() {
    let fake = Fake::new(&[("qstat", &format!("echo $TZ >zone; {}", xml("")))]);
    status(&fake, &["1.a"]).unwrap();
    let zone = fs::read_to_string(fake.folder.path().join("zone")).unwrap();
    assert_eq!(zone, "UTC\n");
}

fn delete(fake: &Fake) -> Result<(), Error> {
    block_on(fake.torque().delete(&id("75.login")))
}

#[test]
fn what_is_over_was_wanted() {
    for name in ["qdel-running", "qdel-finished", "qdel-unknown", "qdel-held"] {
        let fake = Fake::recorded("qdel", name);
        delete(&fake).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(fake.calls("qdel"), ["qdel 75.login"]);
    }
    for name in ["qdel-others", "qdel-p-user"] {
        let error = delete(&Fake::recorded("qdel", name)).unwrap_err();
        assert!(
            matches!(error, Error::Refused { hint: Some(_), .. }),
            "{name}: {error}"
        );
    }
    let error = delete(&Fake::recorded("qdel", "qdel-server-down")).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

#[test]
fn a_node_that_did_not_answer_is_asked_again() {
    let passing = "[ -e again ] && exit 0; touch again; echo 'qdel: Server could not connect to MOM 75.login' >&2; exit 224";
    let running = xml(&xml_job("75.login", "R"));
    let fake = Fake::new(&[("qdel", passing), ("qstat", &running)]);
    delete(&fake).unwrap();
    assert_eq!(fake.calls("qdel").len(), 2);
    // Deleted all the same.
    let down = "echo 'qdel: Server could not connect to MOM 75.login' >&2; exit 224";
    let over = xml(&xml_job("75.login", "C"));
    let fake = Fake::new(&[("qdel", down), ("qstat", &over)]);
    delete(&fake).unwrap();
    assert_eq!(fake.calls("qdel").len(), 1);
}

#[test]
fn a_node_that_is_down_is_told() {
    let down = format!("cat '{FIXTURES}/qdel-node-down.err' >&2; exit 224");
    let running = xml(&xml_job("75.login", "R"));
    let fake = Fake::new(&[("qdel", &down), ("qstat", &running)]);
    let Err(Error::Refused { hint, .. }) = delete(&fake) else {
        panic!("deleted");
    };
    assert!(hint.is_some_and(|hint| hint.contains("node is down")));
}

#[test]
fn a_job_is_found_by_its_name() {
    let fake = Fake::new(&[("qselect", "printf '9.login\\n10.login\\n6[].login\\n'")]);
    let name: JobName = "qdebug-otter".parse().unwrap();
    assert_eq!(
        block_on(fake.torque().find(&name)).unwrap(),
        Some(id("10.login"))
    );
    assert!(fake.calls("qselect")[0].starts_with("qselect -N qdebug-otter -u "));
    let none = Fake::new(&[("qselect", "")]);
    assert_eq!(block_on(none.torque().find(&name)).unwrap(), None);
}

#[test]
fn the_cluster_is_the_server() {
    let fake = Fake::recorded("qstat", "qstat-B");
    assert_eq!(block_on(fake.torque().cluster()).unwrap(), "login");
    let odd = Fake::new(&[("qstat", "echo hello")]);
    let error = block_on(odd.torque().cluster()).unwrap_err();
    assert!(matches!(error, Error::Unexpected { .. }), "{error}");
}
