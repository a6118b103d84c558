//! Tests of `command.rs`.

use std::time::Duration;

use super::super::super::GpuRequest;
use super::*;

fn spec() -> JobSpec {
    JobSpec {
        name: "qdebug-otter".parse().unwrap(),
        script: "/home/a b/job.sh".into(),
        output: "/home/100%/a\\b/job.log".into(),
        walltime: Duration::from_secs(3601),
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
        qos: None,
        reservation: None,
        extra: vec!["--constraint=ib".into()],
        shell: None,
        epilogue: None,
    }
}

#[test]
fn a_job_becomes_one_argv() {
    let words = submit(&spec()).unwrap();
    for word in [
        "--no-requeue",
        "--job-name=qdebug-otter",
        "--time=61",
        "--gres=gpu:V100:2",
        "--cpus-per-task=4",
        "--mem=29360128K",
        "--partition=a;b $(c)",
        "--constraint=ib",
        "--output=/home/100%/a\\\\b/job.log",
    ] {
        assert!(
            words.iter().any(|have| have == word),
            "{word} is not in {words:?}"
        );
    }
    assert_eq!(words.last().unwrap(), "/home/a b/job.sh");
}

#[test]
fn options_that_would_break_a_session_are_refused() {
    for bad in [
        "--array=1-4",
        "--arr=1",
        "-a1",
        "--requeue",
        "--requ",
        "-o/x",
        "-Jx",
        "--wrap=ls",
        "--export=ALL",
        "-N2",
        "script.sh",
        "--x\ny",
        "-W",
        "-Ha1-4",
        "-Qvo/x",
        "-HQ",
        "--get-user-env",
        "--j=x",
        "--te",
        "-Mother",
        "--cluster=other",
        "-t5",
        "--time=5",
        "-",
        "--",
    ] {
        let mut spec = spec();
        spec.extra = vec![bad.to_owned()];
        assert!(
            matches!(submit(&spec), Err(Error::BadOption { .. })),
            "{bad}"
        );
    }
    for good in [
        "--exclusive",
        "--begin=now+1hour",
        "-Cib",
        "--nice=5",
        "--nodelist=node1",
        "-Hs",
        "-pa,W",
        "--time-min=10",
        "--ntasks-per-node=1",
    ] {
        let mut spec = spec();
        spec.extra = vec![good.to_owned()];
        assert!(submit(&spec).is_ok(), "{good}");
    }
}

#[test]
fn many_jobs_are_asked_for_at_once() {
    let ids = ["1", "22"].map(|id| id.parse().unwrap());
    assert!(status(&ids).contains(&"--jobs=1,22".to_owned()));
}

#[test]
fn an_output_path_means_itself_whatever_it_holds() {
    for (path, pattern) in [
        ("/a b/100%/l", "/a b/100%%/l"),
        ("/a\\b/l", "/a\\\\b/l"),
        ("/100%j/a\\b/l", "/100%j/a\\\\b/l"),
    ] {
        assert_eq!(output_pattern(path), pattern);
    }
}

#[test]
fn a_gpu_type_cannot_ask_for_more_than_a_type() {
    for (kind, count) in [("V100:2,license", 1), ("", 1), ("a b", 1), ("V100", 0)] {
        let mut spec = spec();
        spec.gpus = Some(GpuRequest {
            kind: Some(kind.to_owned()),
            count,
            request: None,
        });
        assert!(submit(&spec).is_err(), "{kind:?} {count}");
    }
    let mut spec = spec();
    spec.queue = Some("a\nb".to_owned());
    assert!(submit(&spec).is_err());
    spec.queue = None;
    spec.gpus = Some(GpuRequest {
        kind: None,
        count: 2,
        request: None,
    });
    assert!(submit(&spec).unwrap().contains(&"--gres=gpu:2".to_owned()));
}

#[test]
fn the_catalogues_words_are_one_value_or_whole_options() {
    let asked = |request: &str| {
        let mut spec = spec();
        spec.gpus = Some(GpuRequest {
            kind: Some("V100".to_owned()),
            count: 2,
            request: Some(request.to_owned()),
        });
        submit(&spec)
    };
    let words = asked("gpu:tesla:2").unwrap();
    assert!(
        words.contains(&"--gres=gpu:tesla:2".to_owned()),
        "{words:?}"
    );
    let words = asked("--gpus=2 --constraint=v100").unwrap();
    for word in ["--gpus=2", "--constraint=v100"] {
        assert!(words.iter().any(|have| have == word), "{words:?}");
    }
    assert!(!words.iter().any(|word| word.starts_with("--gres")));
    for bad in [
        "",
        "gpu:2 --array=1",
        "--gpus=2 --array=1",
        "--gpus=2 x",
        "a\nb",
    ] {
        assert!(asked(bad).is_err(), "{bad:?}");
    }
}
