//! Tests of `submit.rs`.

use super::*;

fn submission() -> Submission {
    Submission {
        name: None,
        gpu_words: None,
        gpu: None,
        walltime: Duration::from_secs(60),
        image: ImageSource::Reference {
            reference: "debian".into(),
        },
        sshd: Sshd::Kit,
        engine: EngineChoice::Auto,
        mounts: Vec::new(),
        env: BTreeMap::new(),
        cpus: None,
        memory_bytes: None,
        shm_bytes: None,
        idle_timeout: None,
        queue: None,
        project: None,
        account: None,
        qos: None,
        reservation: None,
        workdir: None,
        extra: Vec::new(),
    }
}

#[test]
fn the_script_is_constant_but_for_two_quoted_paths() {
    let script = job_script(Path::new("/opt/q debug"), Path::new("/home/o'neil/.s")).unwrap();
    assert_eq!(
        script,
        "#!/bin/sh\nPATH=\"$PATH${PBS_O_PATH:+:$PBS_O_PATH}\" \
         exec '/opt/q debug' node '/home/o'\\''neil/.s'\n"
    );
}

#[test]
fn a_job_of_torque_brings_its_shell_and_epilogue() {
    let submission = submission();
    let by = Submitter {
        qdebug: "/opt/q debug".into(),
        home: "/home/alice".into(),
        cwd: "/home/alice".into(),
    };
    let name = "otter".parse().unwrap();
    let spec = |kind| job_spec(&submission, &name, Path::new("/s/otter"), kind).unwrap();
    let torque = spec(Kind::Torque);
    assert_eq!(torque.shell.as_deref(), Some(Path::new("/s/otter/shell")));
    assert_eq!(
        torque.epilogue.as_deref(),
        Some(Path::new("/s/otter/epilogue"))
    );
    let files = job_files(Kind::Torque, &by).unwrap().unwrap();
    assert!(files.epilogue.contains("qdebug='/opt/q debug'\n"));
    let slurm = spec(Kind::Slurm);
    assert_eq!((slurm.shell, slurm.epilogue), (None, None));
    assert!(job_files(Kind::Slurm, &by).unwrap().is_none());
}

#[test]
fn a_path_that_could_break_the_script_is_refused() {
    for bad in ["/a\nb", "relative", "/a\x1b"] {
        assert!(
            job_script(Path::new(bad), Path::new("/s")).is_err(),
            "{bad:?}"
        );
    }
}

/// Submits `otter` to a Slurm of shell scripts whose sbatch takes the session's folder away before
/// it answers.
#[cfg(unix)]
async fn submitted_without_a_folder(answer: &str, scancel: &str) -> (Error, String) {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let sbatch = format!("rm -rf sessions/otter\n{answer}");
    for (tool, body) in [
        ("scontrol", "echo 'ClusterName = cluster'"),
        ("squeue", "exit 0"),
        ("sacct", "exit 1"),
        ("sbatch", sbatch.as_str()),
        ("scancel", scancel),
    ] {
        let path = home.path().join(tool);
        let script = format!("#!/bin/sh\ncd \"${{0%/*}}\" || exit 1\necho {tool} >>log\n{body}\n");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    let slurm = scheduler::Slurm::in_folder(home.path().to_owned());
    let slurm = scheduler::Scheduler::Slurm(slurm);
    let login = Login::new(home.path(), slurm, Vec::new()).await;
    let by = Submitter {
        qdebug: "/opt/qdebug".into(),
        home: home.path().to_owned(),
        cwd: home.path().to_owned(),
    };
    let submission = Submission {
        name: Some("otter".parse().unwrap()),
        ..submission()
    };
    let error = login.submit(&submission, &by).await.unwrap_err();
    let log = std::fs::read_to_string(home.path().join("log")).unwrap();
    (error, log)
}

#[cfg(unix)]
#[tokio::test]
async fn a_refusal_is_told_whatever_becomes_of_its_session() {
    let answer = "echo 'sbatch: error: Invalid account' >&2; exit 1";
    let (error, log) = submitted_without_a_folder(answer, "exit 0").await;
    assert!(
        matches!(&error, Error::Scheduler(scheduler::Error::Refused { said, .. })
            if said.contains("Invalid account")),
        "{error:?}"
    );
    assert!(!log.contains("scancel"), "{log}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_job_that_cannot_be_written_down_is_deleted_or_named() {
    let (error, log) = submitted_without_a_folder("echo 7", "exit 0").await;
    assert!(matches!(error, Error::Session(_)), "{error:?}");
    assert!(log.contains("scancel"), "{log}");
    let denied = "echo 'scancel: error: Kill job error on job id 7: Access denied' >&2; exit 1";
    let (error, _) = submitted_without_a_folder("echo 7", denied).await;
    let Error::JobLeft {
        job, end, source, ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!((job.as_str(), end.as_deref()), ("7", Some("scancel 7")));
    assert!(
        matches!(source, crate::session::Error::Io { .. }),
        "{source:?}"
    );
}
