//! The runner on fake tools that answer as recorded ones did, and every recorded answer.

use std::os::unix::fs::PermissionsExt as _;

use super::super::{JobEnd, nodes, recorded};
use super::*;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/openpbs");

/// OpenPBS made of shell scripts; each notes its argv in `log`. `$n` counts a tool's calls.
struct Fake {
    folder: tempfile::TempDir,
}

impl Fake {
    fn new(tools: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (tool, body) in tools {
            let path = folder.path().join(tool);
            let script = format!(
                "#!/bin/sh\nfixtures='{FIXTURES}'\ncd \"${{0%/*}}\" || exit 1\n\
                 echo \"{tool} $*\" >>log\nn=$(grep -c '^{tool} ' log)\n{body}\n"
            );
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        Self { folder }
    }

    fn pbs(&self) -> OpenPbs {
        OpenPbs::in_folder(self.folder.path().to_owned())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn calls(&self, tool: &str) -> usize {
        let of_tool = |line: &&str| line.split(' ').next() == Some(tool);
        self.log().lines().filter(of_tool).count()
    }
}

/// Answers as that recorded call did.
fn replay(name: &str) -> String {
    format!(
        "cat $fixtures/{name}.out; cat $fixtures/{name}.err >&2; exit $(cat $fixtures/{name}.rc)"
    )
}

fn id(text: &str) -> JobId {
    text.parse().unwrap()
}

fn statuses(fake: &Fake, ids: &[&str]) -> Result<BTreeMap<JobId, JobStatus>, Error> {
    let ids: Vec<JobId> = ids.iter().map(|text| id(text)).collect();
    block_on(fake.pbs().status(&ids))
}

#[test]
fn one_call_answers_for_the_known_among_unknown_ones() {
    let fake = Fake::new(&[(
        "qstat",
        "cat $fixtures/qstat-json-F.out; cat $fixtures/qstat-mixed.err >&2; exit 153",
    )]);
    let jobs = statuses(&fake, &["3.lab-opbs-login", "999999.lab-opbs-login"]).unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!(
        jobs[&id("3.lab-opbs-login")].state,
        JobState::Ended(JobEnd::Completed)
    );
    assert_eq!(
        fake.log(),
        "qstat -f -F json -x 3.lab-opbs-login 999999.lab-opbs-login\n"
    );
}

#[test]
fn a_server_without_history_is_asked_again_without_it() {
    let body = format!(
        "case \"$*\" in *-x*) {};; *) {};; esac",
        replay("nohistory-qstat-x-finished").replace("; exit", " ; exit"),
        replay("qstat-json-R")
    );
    let fake = Fake::new(&[("qstat", &body)]);
    let jobs = statuses(&fake, &["3.lab-opbs-login"]).unwrap();
    assert_eq!(jobs[&id("3.lab-opbs-login")].state, JobState::Running);
    assert_eq!(fake.calls("qstat"), 2);
}

#[test]
fn a_job_that_the_server_has_forgotten_is_not_in_the_answer() {
    let body = format!(
        "case \"$*\" in *-x*) {};; *) {};; esac",
        replay("nohistory-qstat-x-finished"),
        replay("nohistory-qstat-finished")
    );
    let fake = Fake::new(&[("qstat", &body)]);
    assert!(statuses(&fake, &["117.lab-opbs-login"]).unwrap().is_empty());
}

#[test]
fn a_server_that_is_down_is_no_verdict() {
    for body in [
        "echo 'Connection refused' >&2; echo 'qstat: cannot connect to server s (errno=15010)' >&2; exit 255",
        "exit 162",
        "echo 'qstat: End of File' >&2; printf '{\\n}\\n'; exit 183",
    ] {
        let fake = Fake::new(&[("qstat", body)]);
        let error = statuses(&fake, &["1.s"]).unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    }
    let fake = Fake::new(&[("qstat", "echo 'a site wrapper says hello'")]);
    let error = statuses(&fake, &["1.s"]).unwrap_err();
    assert!(matches!(error, Error::Unexpected { .. }), "{error:?}");
}

#[test]
fn a_server_that_is_away_for_a_moment_is_asked_once_more() {
    let away = "[ \"$n\" -lt 2 ] && { echo 'Connection refused' >&2; \
                echo 'qstat: cannot connect to server s (errno=15010)' >&2; exit 255; }";
    let qstat = format!("{away}\n{}", replay("qstat-json-R"));
    let fake = Fake::new(&[("qstat", &qstat)]);
    let jobs = statuses(&fake, &["3.lab-opbs-login"]).unwrap();
    assert_eq!(jobs[&id("3.lab-opbs-login")].state, JobState::Running);
    assert_eq!(fake.calls("qstat"), 2);
    let fake = Fake::new(&[("qstat", &format!("{away}\n{}", replay("qstat-B-json")))]);
    assert_eq!(block_on(fake.pbs().cluster()).unwrap(), "lab-opbs-login");
    let fake = Fake::new(&[
        ("qdel", &format!("{away}\nexit 0")),
        ("qstat", &replay("qstat-json-R")),
    ]);
    block_on(fake.pbs().delete(&id("3.lab-opbs-login"))).unwrap();
    // Twice would be two jobs.
    let fake = Fake::new(&[("qsub", &format!("{away}\necho 1.s"))]);
    block_on(fake.pbs().submit(&command::tests::spec())).unwrap_err();
    assert_eq!(fake.calls("qsub"), 1);
}

#[test]
fn a_hidden_or_foreign_job_is_not_gone() {
    for said in [
        "qstat: Unauthorized Request  1.s",
        "qstat: illegally formed job identifier: 1.s",
    ] {
        let fake = Fake::new(&[("qstat", &format!("echo '{said}' >&2; echo '{{}}'; exit 1"))]);
        assert!(statuses(&fake, &["1.s"]).is_err(), "{said}");
    }
}

#[test]
fn places_cost_one_call_and_only_where_they_can_be_known() {
    let job = |id: &str, owner: &str, hour: u32| {
        format!(
            "\"{id}\":{{\"job_state\":\"Q\",\"queue\":\"gpu\",\"Job_Owner\":\"{owner}\",\
             \"estimated\":{{\"start_time\":\"Mon Nov 23 {hour}:00:00 2026\"}}}}"
        )
    };
    let (ours, other) = (job("2.s", "alice@s", 17), job("1.s", "bob@s", 16));
    let body = format!(
        "case \"$*\" in *-x*) echo '{{\"Jobs\":{{{ours}}}}}';; \
         *) echo '{{\"Jobs\":{{{ours},{other}}}}}';; esac"
    );
    let fake = Fake::new(&[("qstat", &body)]);
    let jobs = statuses(&fake, &["2.s"]).unwrap();
    assert_eq!(jobs[&id("2.s")].position, Some(2));
    assert_eq!(
        fake.log(),
        "qstat -f -F json -x 2.s\nqstat -f -F json gpu\n"
    );
    let fake = Fake::new(&[("qstat", &replay("qstat-json-Q"))]);
    let jobs = statuses(&fake, &["14.lab-opbs-login"]).unwrap();
    assert_eq!(jobs[&id("14.lab-opbs-login")].position, None);
    assert_eq!(fake.calls("qstat"), 1);
}

#[test]
fn a_submission_gives_the_full_id_or_the_reason_with_a_cure() {
    let submit = |body: &str| {
        let fake = Fake::new(&[("qsub", body), ("qstat", &replay("qstat-Q-json"))]);
        block_on(fake.pbs().submit(&command::tests::spec()))
    };
    assert_eq!(
        submit(&replay("qsub-script")).unwrap().as_str(),
        "0.lab-opbs-login"
    );
    let hint = |name: &str| match submit(&replay(name)).unwrap_err() {
        Error::Refused { hint, .. } => hint.expect("a hint"),
        error => panic!("{error:?}"),
    };
    assert!(hint("qsub-unknown-queue").contains("short (at most 00:10:00), workq"));
    assert!(hint("qsub-walltime-over").contains("short (at most 00:10:00)"));
    assert!(hint("qsub-unknown-res").contains("[gpus.V100]"));
    assert!(hint("qsub-unknown-res2").contains("[gpus.V100]"));
    assert!(hint("qsub-bad-walltime").contains("-w"));
    let lost = submit("echo 'qsub: End of File' >&2; exit 183").unwrap_err();
    assert!(lost.may_have_submitted(), "{lost:?}");
    let down = submit("echo 'qsub: cannot connect to server s (errno=15010)' >&2; exit 162");
    let down = down.unwrap_err();
    assert!(!down.may_have_submitted(), "{down:?}");
    assert!(
        submit(&replay("qsub-array")).is_err(),
        "an array is no session"
    );
}

#[test]
fn deleting_what_is_over_or_unknown_is_done() {
    for name in ["qdel-finished", "qdel-unknown", "nohistory-qdel-finished"] {
        let fake = Fake::new(&[("qdel", &replay(name))]);
        block_on(fake.pbs().delete(&id("3.lab-opbs-login"))).unwrap();
    }
    let fake = Fake::new(&[("qdel", &replay("qdel-otheruser"))]);
    let error = block_on(fake.pbs().delete(&id("16.lab-opbs-login"))).unwrap_err();
    assert!(
        matches!(&error, Error::Refused { hint: Some(hint), .. } if hint.contains("another user")),
        "{error:?}"
    );
    let fake = Fake::new(&[("qdel", "exit 162")]);
    let error = block_on(fake.pbs().delete(&id("3.lab-opbs-login"))).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[test]
fn a_waiting_job_is_seen_to_leave_the_queue() {
    let gone = format!(
        "if [ \"$n\" -lt 3 ]; then cat $fixtures/qstat-json-Q.out; else {}; fi",
        replay("qstat-json-F-deleted-while-Q")
    );
    let fake = Fake::new(&[("qdel", "exit 0"), ("qstat", &gone)]);
    block_on(fake.pbs().delete(&id("14.lab-opbs-login"))).unwrap();
    assert_eq!((fake.calls("qdel"), fake.calls("qstat")), (1, 3));
}

#[test]
fn a_running_job_is_left_its_grace_and_never_forced() {
    let fake = Fake::new(&[("qdel", "exit 0"), ("qstat", &replay("qstat-json-R"))]);
    block_on(fake.pbs().delete(&id("3.lab-opbs-login"))).unwrap();
    assert_eq!(fake.calls("qstat"), 1);
    assert!(!fake.log().contains("force"));
}

#[test]
fn a_node_that_does_not_answer_in_passing_is_asked_again() {
    let qdel = "[ \"$n\" -gt 1 ] && exit 0; \
                echo 'qdel: Server could not connect to MOM 3.lab-opbs-login' >&2; exit 222";
    let fake = Fake::new(&[("qdel", qdel), ("qstat", &replay("qstat-json-R"))]);
    block_on(fake.pbs().delete(&id("3.lab-opbs-login"))).unwrap();
    assert_eq!(fake.calls("qdel"), 2);
    // It is over already: nothing is left to delete.
    let qdel = "echo 'qdel: Request invalid for state of job 3.lab-opbs-login' >&2; exit 168";
    let fake = Fake::new(&[("qdel", qdel), ("qstat", &replay("qstat-json-F"))]);
    block_on(fake.pbs().delete(&id("3.lab-opbs-login"))).unwrap();
}

#[test]
fn the_server_and_a_job_by_its_name_are_found() {
    let fake = Fake::new(&[
        ("qstat", &replay("qstat-B-json")),
        ("qselect", "echo 9.s; echo 10.s"),
    ]);
    assert_eq!(block_on(fake.pbs().cluster()).unwrap(), "lab-opbs-login");
    let found = block_on(fake.pbs().find(&"qdebug-otter".parse().unwrap())).unwrap();
    assert_eq!(found, Some(id("10.s")));
    let asked = fake.log();
    let asked = asked.lines().last().unwrap();
    assert!(
        asked.starts_with("qselect -u ") && asked.ends_with(" -N qdebug-otter"),
        "{asked}"
    );
}

#[test]
fn a_server_that_is_down_has_its_name_all_the_same() {
    let fake = Fake::new(&[(
        "qstat",
        "echo '{\"pbs_server\":\"lab\"}'; echo 'Connection refused' >&2; exit 255",
    )]);
    assert_eq!(block_on(fake.pbs().cluster()).unwrap(), "lab");
    let fake = Fake::new(&[("qstat", "echo 'Connection refused' >&2; exit 255")]);
    let error = block_on(fake.pbs().cluster()).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[test]
fn a_tool_that_is_not_there_is_named() {
    let fake = Fake::new(&[]);
    let error = statuses(&fake, &["1.s"]).unwrap_err();
    assert!(
        matches!(
            &error,
            Error::NotInstalled {
                program: "qstat",
                ..
            }
        ),
        "{error:?}"
    );
}

/// What a recorded call comes to.
fn verdict(tool: &str, output: &Output) -> String {
    if output.command.contains("--version") {
        return format!("{:?}", detect::family(output));
    }
    let document = || parse::document(&output.stdout).unwrap();
    match tool {
        "qstat" if output.command.contains("-Bf") => format!("{:?}", document().server()),
        "qstat" if output.command.contains("-Qf") => format!("{:?}", document().queues()),
        "qstat" if said::all(output).contains(&Said::NoHistory) => "asked again".to_owned(),
        "qstat" if output.command.contains("-F json") => {
            let ids: Vec<JobId> = parse::document(&output.stdout)
                .map(|document| document.ids())
                .unwrap_or_default();
            match answer(output, &ids) {
                Ok((_, jobs)) if jobs.is_empty() => "no such job".to_owned(),
                Ok((_, jobs)) => jobs
                    .values()
                    .map(|job| format!("{:?}", job.state))
                    .collect::<Vec<_>>()
                    .join(" "),
                Err(error) => recorded::kind_of(&error).to_owned(),
            }
        }
        "qsub" => match (output.status, parse::submitted(&output.stdout)) {
            (0, Some(id)) => id.to_string(),
            (0, None) => "unexpected".to_owned(),
            _ => recorded::kind_of(&said::failure(output)).to_owned(),
        },
        "pbsnodes" if output.status == 0 => match nodes::openpbs::parse_nodes(&output.stdout) {
            Some(nodes) => nodes
                .iter()
                .map(|node| {
                    format!(
                        "{} {:?}/{} {}",
                        node.node, node.used, node.total, node.request
                    )
                })
                .collect::<Vec<_>>()
                .join(", "),
            None => "unexpected".to_owned(),
        },
        _ if output.status == 0 => "done".to_owned(),
        _ => format!("{:?}", said::all(output)),
    }
}

#[test]
fn every_recorded_answer_comes_to_the_right_verdict() {
    recorded::judge("openpbs", |_, output| {
        let tools = ["qstat", "qsub", "qdel", "qselect", "pbsnodes"];
        let tool = tools.into_iter().find(|tool| output.command.contains(tool));
        verdict(tool.unwrap_or_else(|| panic!("{}", output.command)), output)
    });
}
