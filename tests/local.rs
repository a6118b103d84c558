//! The scheduler `local` through its public interface, by real jobs.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use qdebug::scheduler::{JobEnd, JobId, JobSpec, JobState, Local, Scheduler};
use tempfile::TempDir;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn executable(path: &Path, text: &str) {
    // Written aside: a file that another test's child holds open for writing cannot be run.
    let aside = path.with_extension("new");
    fs::write(&aside, text).unwrap();
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&aside, path).unwrap();
}

fn spec(folder: &Path) -> JobSpec {
    JobSpec {
        shell: None,
        epilogue: None,
        name: "qdebug-otter".parse().unwrap(),
        script: folder.join("job.sh"),
        output: folder.join("job.log"),
        walltime: Duration::from_secs(3600),
        gpus: None,
        cpus: None,
        memory_bytes: None,
        queue: None,
        project: None,
        account: None,
        qos: None,
        reservation: None,
        extra: Vec::new(),
    }
}

fn ids<const N: usize>(ids: [&str; N]) -> [JobId; N] {
    ids.map(|id| id.parse().unwrap())
}

/// `local` in a home of its own, with spaces.
struct Here {
    folder: TempDir,
    local: Scheduler,
}

impl Here {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("a b ").tempdir().unwrap();
        let qdebug = PathBuf::from(env!("CARGO_BIN_EXE_qdebug"));
        let local = Scheduler::Local(Local::new(folder.path(), qdebug));
        Self { folder, local }
    }

    fn spec(&self, script: &str, walltime: u64) -> JobSpec {
        let mut spec = spec(self.folder.path());
        executable(&spec.script, &format!("#!/bin/sh\n{script}\n"));
        spec.walltime = Duration::from_secs(walltime);
        spec
    }

    fn state(&self, id: &JobId) -> JobState {
        let jobs = block_on(self.local.status(std::slice::from_ref(id))).unwrap();
        jobs[id].state.clone()
    }

    #[track_caller]
    fn end(&self, id: &JobId, within: u64) -> JobEnd {
        let limit = Instant::now() + Duration::from_secs(within);
        loop {
            match self.state(id) {
                JobState::Ended(end) => return end,
                state if Instant::now() > limit => panic!("still {state:?}"),
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("job.log")).unwrap_or_default()
    }

    #[track_caller]
    fn await_log(&self, text: &str) {
        let limit = Instant::now() + Duration::from_secs(10);
        while !self.log().contains(text) {
            assert!(Instant::now() < limit, "{:?} without {text:?}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_local_job_runs_and_tells_its_end() {
    let here = Here::new();
    let script = "echo out; echo err >&2; echo \"job $QDEBUG_LOCAL_JOB\"; pwd; exit 7";
    let id = block_on(here.local.submit(&here.spec(script, 60))).unwrap();
    assert_eq!(here.end(&id, 10), JobEnd::Failed { exit: 7 });
    assert_eq!(here.log(), "out\nerr\njob 1\n/\n");
    let next = block_on(here.local.submit(&here.spec("exit 0", 60))).unwrap();
    assert_eq!(next.as_str(), "2");
    assert_eq!(here.end(&next, 10), JobEnd::Completed);
    let never = block_on(here.local.status(&ids(["3"]))).unwrap();
    assert!(never.is_empty());
}

#[test]
fn a_local_job_is_ended_at_its_walltime_by_term() {
    let here = Here::new();
    let script = "trap 'echo TERM; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let id = block_on(here.local.submit(&here.spec(script, 1))).unwrap();
    assert_eq!(here.end(&id, 9), JobEnd::Walltime);
    assert!(here.log().ends_with("TERM\n"), "{:?}", here.log());
}

#[test]
fn what_a_local_job_leaves_behind_gets_its_grace_too() {
    let here = Here::new();
    // It waits until its child is up, then leaves it.
    let script = "(trap 'sleep 0.3; echo child done; exit' TERM; echo up; \
                  while :; do sleep 0.05; done) &\n\
                  until grep -q up \"${0%.sh}.log\"; do sleep 0.05; done";
    let id = block_on(here.local.submit(&here.spec(script, 60))).unwrap();
    assert_eq!(here.end(&id, 9), JobEnd::Completed);
    assert!(here.log().ends_with("child done\n"), "{:?}", here.log());
}

#[test]
fn a_local_job_is_found_by_name_and_deleted() {
    let here = Here::new();
    let script = "trap 'echo TERM; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let spec = here.spec(script, 60);
    let id = block_on(here.local.submit(&spec)).unwrap();
    here.await_log("up");
    assert_eq!(here.state(&id), JobState::Running);
    assert_eq!(
        block_on(here.local.find(&spec.name)).unwrap(),
        Some(id.clone())
    );
    block_on(here.local.delete(&id)).unwrap();
    assert_eq!(here.end(&id, 1), JobEnd::Cancelled { by: None });
    assert!(here.log().ends_with("TERM\n"), "{:?}", here.log());
    assert_eq!(block_on(here.local.find(&spec.name)).unwrap(), None);
    block_on(here.local.delete(&id)).unwrap();
}

#[test]
fn a_hangup_does_not_end_a_local_job_and_a_killed_supervisor_is_told() {
    let here = Here::new();
    let id = block_on(here.local.submit(&here.spec("echo up; exec sleep 60", 60))).unwrap();
    here.await_log("up");
    let alive = walk(here.folder.path(), "alive.json");
    let alive: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(alive).unwrap()).unwrap();
    let supervisor = alive["supervisor"]["pid"].as_u64().unwrap().to_string();
    kill("-HUP", &supervisor);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(here.state(&id), JobState::Running);
    kill("-KILL", &supervisor);
    // The script still runs, and so the job does.
    assert_eq!(here.state(&id), JobState::Running);
    block_on(here.local.delete(&id)).unwrap();
    let JobEnd::Other(told) = here.end(&id, 1) else {
        panic!("another end")
    };
    assert!(told.contains("supervisor"), "{told}");
}

#[test]
fn a_local_job_that_cannot_start_says_why() {
    let here = Here::new();
    let mut spec = here.spec("exit 0", 60);
    spec.script = here.folder.path().join("no such script");
    let id = block_on(here.local.submit(&spec)).unwrap();
    let JobEnd::Other(told) = here.end(&id, 1) else {
        panic!("another end")
    };
    assert!(told.contains("no such script"), "{told}");
}

fn walk(folder: &Path, name: &str) -> PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_name() == name {
                return entry.path();
            }
            if entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    panic!("no {name}")
}

fn kill(signal: &str, pid: &str) {
    let program = qdebug::process::Program::new("kill").args([signal, pid]);
    assert_eq!(block_on(program.output()).unwrap().status, 0);
}
