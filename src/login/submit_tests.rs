//! Tests of `submit.rs`.

use super::*;

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
    let submission = Submission {
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
    };
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
