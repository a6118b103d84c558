//! Slurm's command lines, as argv.

use super::super::{Error, JobId, JobName, JobSpec};

/// Flags of sbatch that take no value: getopt lets more letters follow them, so that `-Ha1-4` is
/// `-H -a 1-4`.
const BARE: &str = "bhHIkOQsuvVW";

/// Options after `--` that would break a session, and why. Long ones may be shortened.
const REFUSED: [(&str, Option<char>, &str); 19] = [
    ("--array", Some('a'), "a session is one job, not an array"),
    (
        "--requeue",
        None,
        "a session does not run twice; qdebug always says --no-requeue",
    ),
    ("--wrap", None, "qdebug submits its own script"),
    ("--wait", Some('W'), "use `qdebug submit --wait`"),
    ("--parsable", None, "qdebug sets it"),
    (
        "--export",
        None,
        "set variables of the session by `-e NAME=VALUE`",
    ),
    (
        "--export-file",
        None,
        "set variables of the session by `-e NAME=VALUE`",
    ),
    (
        "--output",
        Some('o'),
        "`qdebug logs` shows what the job prints",
    ),
    (
        "--error",
        Some('e'),
        "`qdebug logs` shows what the job prints",
    ),
    ("--job-name", Some('J'), "name the session by `--name`"),
    (
        "--ntasks",
        Some('n'),
        "a session is one task; ask for cores by `--cpus`",
    ),
    ("--nodes", Some('N'), "a session is on one node"),
    ("--time", Some('t'), "say how long by `-w`"),
    (
        "--clusters",
        Some('M'),
        "qdebug asks for the job where it was submitted; submit on that cluster",
    ),
    (
        "--container",
        None,
        "the job script runs on the node itself",
    ),
    (
        "--test-only",
        None,
        "`qdebug submit --dry-run` submits nothing",
    ),
    ("--help", Some('h'), "nothing would be submitted"),
    ("--usage", Some('u'), "nothing would be submitted"),
    ("--version", Some('V'), "nothing would be submitted"),
];

/// `sbatch` for a job. `ALL` is all of the small environment that the runner gives it; anything
/// else would run the user's login shell on the node before the job.
pub(super) fn submit(spec: &JobSpec) -> Result<Vec<String>, Error> {
    for option in &spec.extra {
        check(option)?;
    }
    let output = spec
        .output
        .to_string_lossy()
        .replace('\\', "\\\\")
        .replace('%', "%%");
    let mut words = vec![
        "--parsable".to_owned(),
        "--no-requeue".to_owned(),
        "--nodes=1".to_owned(),
        "--ntasks=1".to_owned(),
        "--export=ALL".to_owned(),
        "--chdir=/".to_owned(),
        "--open-mode=append".to_owned(),
        format!("--job-name={}", spec.name),
        format!("--output={output}"),
        format!("--time={}", minutes(spec.walltime.as_secs())),
    ];
    let mut option = |name: &str, value: Option<String>| {
        words.extend(value.map(|value| format!("--{name}={value}")));
    };
    option(
        "gres",
        spec.gpus.as_ref().map(|gpus| match &gpus.kind {
            Some(kind) => format!("gpu:{kind}:{}", gpus.count),
            None => format!("gpu:{}", gpus.count),
        }),
    );
    option("cpus-per-task", spec.cpus.map(|cpus| cpus.to_string()));
    option(
        "mem",
        spec.memory_bytes
            .map(|bytes| format!("{}K", bytes.div_ceil(1024))),
    );
    option("partition", spec.queue.clone());
    option("wckey", spec.project.clone());
    option("account", spec.account.clone());
    option("qos", spec.qos.clone());
    option("reservation", spec.reservation.clone());
    words.extend(spec.extra.iter().cloned());
    words.push(spec.script.to_string_lossy().into_owned());
    Ok(words)
}

/// Slurm counts time limits in whole minutes.
fn minutes(seconds: u64) -> u64 {
    seconds.div_ceil(60)
}

fn check(option: &str) -> Result<(), Error> {
    let bad = |reason: &str| {
        Err(Error::BadOption {
            option: option.to_owned(),
            reason: reason.to_owned(),
        })
    };
    if option.chars().any(char::is_control) {
        return bad("it holds a line break or control character");
    }
    if !option.starts_with('-') || matches!(option, "-" | "--") {
        return bad("write option and value as one word, as in --constraint=ib");
    }
    let name = option.split('=').next().unwrap_or_default();
    let letters = letters(option);
    for (long, short, reason) in REFUSED {
        let is_long = name.len() > 2 && name.starts_with("--") && long.starts_with(name);
        if is_long || short.is_some_and(|short| letters.contains(short)) {
            return bad(reason);
        }
    }
    Ok(())
}

/// The flags in a word of short options: up to the first that takes the rest as its value.
fn letters(option: &str) -> &str {
    match option.strip_prefix('-') {
        Some(letters) if !letters.starts_with('-') => {
            let value = letters.char_indices().find(|(_, c)| !BARE.contains(*c));
            let end = value.map_or(letters.len(), |(at, c)| at + c.len_utf8());
            &letters[..end]
        }
        _ => "",
    }
}

/// `squeue` for many jobs, finished ones too: fields that cannot hold a bar, in a fixed order.
pub(super) fn status(ids: &[JobId]) -> Vec<String> {
    let ids: Vec<&str> = ids.iter().map(JobId::as_str).collect();
    let fields = "JobID:|,State:|,Reason:|,EndTime:|,NodeList:|,StartTime:|,exit_code:|";
    words(&[
        "--noheader",
        "--states=all",
        &format!("--jobs={}", ids.join(",")),
        "-O",
        fields,
    ])
}

/// Everybody's waiting jobs, the next to start first.
pub(super) fn pending() -> Vec<String> {
    words(&[
        "--noheader",
        "--states=PENDING",
        "--sort=-p,i",
        "-O",
        "JobID:|,Partition:|",
    ])
}

/// This user's jobs of a name that are not over.
pub(super) fn find(name: &JobName) -> Vec<String> {
    words(&[
        "--noheader",
        "--me",
        &format!("--name={name}"),
        "-O",
        "JobID:|",
    ])
}

/// `sacct` for jobs that squeue has forgotten.
pub(super) fn history(ids: &[JobId]) -> Vec<String> {
    let ids: Vec<&str> = ids.iter().map(JobId::as_str).collect();
    let jobs = format!("--jobs={}", ids.join(","));
    words(&[
        "--allocations",
        "--noheader",
        "--parsable2",
        &jobs,
        "--format=JobIDRaw,State,ExitCode,NodeList",
    ])
}

pub(super) fn delete(id: &JobId) -> Vec<String> {
    words(&[id.as_str()])
}

pub(super) fn show_config() -> Vec<String> {
    words(&["show", "config"])
}

/// What GPUs the nodes have.
pub(super) fn gpu_types() -> Vec<String> {
    words(&["--noheader", "--format=%G"])
}

pub(super) fn partitions() -> Vec<String> {
    words(&["--noheader", "--format=%R"])
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
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
            "--output=/home/100%%/a\\\\b/job.log",
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
            "-HQ",
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
}
