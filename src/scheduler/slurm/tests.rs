//! The runner on fake tools that answer as recorded ones did.

use std::os::unix::fs::PermissionsExt as _;

use super::super::JobEnd;
use super::*;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Slurm made of shell scripts; each notes its argv in `log`.
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
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        Self { folder }
    }

    fn slurm(&self) -> Slurm {
        Slurm::in_folder(self.folder.path().to_owned())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn calls(&self, tool: &str) -> usize {
        let of_tool = |line: &&str| line.split(' ').next() == Some(tool);
        self.log().lines().filter(of_tool).count()
    }
}

fn id(text: &str) -> JobId {
    text.parse().unwrap()
}

fn spec() -> JobSpec {
    JobSpec {
        name: "qdebug-otter".parse().unwrap(),
        script: "/home/a b/job.sh".into(),
        output: "/home/a b/job.log".into(),
        walltime: Duration::from_secs(60),
        gpus: None,
        cpus: None,
        memory_bytes: None,
        queue: None,
        project: None,
        account: None,
        qos: None,
        reservation: None,
        extra: Vec::new(),
        shell: None,
        epilogue: None,
    }
}

/// A tool that fails with these words.
fn fails(said: &str) -> String {
    format!("echo '{said}' >&2; exit 1")
}

const DOWN: &str = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)";

#[test]
fn one_call_answers_for_all_and_accounting_for_the_forgotten() {
    let fake = Fake::new(&[
        (
            "squeue",
            "echo '1|RUNNING|None|2026-11-24T03:08:55|node1|2026-11-24T03:03:55|0|'",
        ),
        ("sacct", "echo '2|TIMEOUT|0:0|node2'; echo '9|FAILED|1:0|n'"),
    ]);
    let ids = ["1", "2", "3", "0", "5.lab", "99999999999"].map(id);
    let jobs = block_on(fake.slurm().status(&ids)).unwrap();
    assert_eq!(jobs.len(), 2, "{jobs:?}");
    assert_eq!(jobs[&id("1")].state, JobState::Running);
    assert_eq!(jobs[&id("2")].state, JobState::Ended(JobEnd::Walltime));
    assert_eq!((fake.calls("squeue"), fake.calls("sacct")), (1, 1));
    assert!(fake.log().contains("--jobs=1,2,3 "), "{}", fake.log());
}

#[test]
fn a_thousand_jobs_are_one_call() {
    let fake = Fake::new(&[(
        "squeue",
        "seq -f '%.0f|RUNNING|None|2026-11-24T03:08:55|node1|2026-11-24T03:03:55|0|' 1000",
    )]);
    let ids: Vec<JobId> = (1..=1000).map(|number| id(&number.to_string())).collect();
    let jobs = block_on(fake.slurm().status(&ids)).unwrap();
    assert_eq!((jobs.len(), fake.calls("squeue")), (1000, 1));
    assert_eq!(jobs[&id("1000")].state, JobState::Running);
}

#[test]
fn an_unknown_job_without_accounting_is_no_error() {
    let fake = Fake::new(&[
        (
            "squeue",
            &fails("slurm_load_jobs error: Invalid job id specified"),
        ),
        ("sacct", &fails("Slurm accounting storage is disabled")),
    ]);
    assert_eq!(block_on(fake.slurm().status(&[id("7")])).unwrap().len(), 0);
}

#[test]
fn a_controller_that_is_away_is_asked_twice_and_is_no_verdict() {
    let fake = Fake::new(&[("squeue", &fails(DOWN))]);
    let error = block_on(fake.slurm().status(&[id("7")])).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(fake.calls("squeue"), 2);
    let body = format!(
        "test -e again && {{ echo '7|COMPLETED|None|t|n|t|0|'; exit 0; }}; : >again; {}",
        fails(DOWN)
    );
    let back = Fake::new(&[("squeue", &body)]);
    let jobs = block_on(back.slurm().status(&[id("7")])).unwrap();
    assert_eq!(jobs[&id("7")].state, JobState::Ended(JobEnd::Completed));
}

#[test]
fn a_submission_is_never_repeated_and_tells_whether_it_may_have_arrived() {
    let said = |words: &str| {
        fails(&format!(
            "sbatch: error: Batch job submission failed: {words}"
        ))
    };
    for (body, may) in [
        (
            said("Unable to contact slurm controller (connect failure)"),
            false,
        ),
        (said("Socket timed out on send/recv operation"), true),
        (said("Zero Bytes were transmitted or received"), true),
        (said("Invalid qos specification"), false),
        ("kill -9 $$".to_owned(), true),
        ("echo something else".to_owned(), true),
    ] {
        let fake = Fake::new(&[("sbatch", &body)]);
        let error = block_on(fake.slurm().submit(&spec())).unwrap_err();
        assert_eq!(error.may_have_submitted(), may, "{body}: {error:?}");
        assert_eq!(fake.calls("sbatch"), 1);
    }
}

#[test]
fn a_refusal_names_what_there_is() {
    let fake = Fake::new(&[
        (
            "sbatch",
            &fails("sbatch: error: Batch job submission failed: Invalid partition name specified"),
        ),
        ("sinfo", "printf 'gpu\\ncpu\\n'"),
    ]);
    let error = block_on(fake.slurm().submit(&spec())).unwrap_err();
    let Error::Refused {
        command,
        said,
        hint,
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(said, "Invalid partition name specified");
    assert!(hint.unwrap().contains("gpu, cpu"));
    assert!(!command.starts_with("env "), "{command}");
}

#[test]
fn a_deletion_is_believed_when_the_queue_shows_it() {
    let fake = Fake::new(&[
        ("scancel", ""),
        (
            "squeue",
            "test -e again && { echo '7|COMPLETING|None|t|n|t|0|'; exit 0; }; : >again\necho '7|RUNNING|None|t|n|t|0|'",
        ),
    ]);
    block_on(fake.slurm().delete(&id("7"))).unwrap();
    assert!(fake.log().starts_with("scancel --user="), "{}", fake.log());
    assert_eq!(fake.calls("squeue"), 2);
    // A step is not a job.
    let error = block_on(fake.slurm().delete(&id("7.0"))).unwrap_err();
    assert!(matches!(error, Error::BadId { .. }));
    assert_eq!(fake.calls("scancel"), 1);
}

#[test]
fn a_place_is_not_told_where_the_queue_is_hidden() {
    for (reason, place) in [("Priority", None), ("Resources", Some(1))] {
        let body = format!(
            "case \"$*\" in *PENDING*) echo '7|gpu|';; *) echo '7|PENDING|{reason}|N/A||N/A|0|';; esac"
        );
        let fake = Fake::new(&[("squeue", &body)]);
        let jobs = block_on(fake.slurm().status(&[id("7")])).unwrap();
        assert_eq!(jobs[&id("7")].position, place, "{reason}");
    }
}

#[test]
fn a_missing_tool_is_named() {
    let slurm = Fake::new(&[]).slurm();
    let asked = block_on(slurm.cluster()).unwrap_err();
    // With variables to be taken away it is env(1) that looks for it.
    let submitted = block_on(slurm.submit(&spec())).unwrap_err();
    for (error, tool) in [(asked, "scontrol"), (submitted, "sbatch")] {
        let names = matches!(&error, Error::NotInstalled { program, .. } if *program == tool);
        assert!(names, "{error:?}");
    }
}

#[test]
fn variables_that_meddle_are_taken_away() {
    let names = || {
        let all = "HOME QDEBUG_LOG SLURM_CONF HOMEPAGE API_TOKEN BASH_FUNC_module%% \
                   SBATCH_ARRAY_INX SLURM_JOB_GPUS SLURM_CLUSTERS SQUEUE_USERS";
        all.split(' ').map(OsString::from)
    };
    let all: Vec<OsString> = names().collect();
    assert_eq!(meddling("squeue", names()), all[8..]);
    assert_eq!(meddling("sbatch", names()), all[3..]);
    let every = exported::EXPORTED.map(OsString::from);
    assert!(meddling("sbatch", every.into_iter()).is_empty());
    // A user's defaults for sbatch are his.
    let own = ["SBATCH_ACCOUNT", "SBATCH_PARTITION"].map(OsString::from);
    assert!(meddling("sbatch", own.into_iter()).is_empty());
}
