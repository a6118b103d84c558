//! Slurm's command lines, as argv.

use super::super::{Error, GpuRequest, JobId, JobName, JobSpec};

/// Flags of sbatch that take no value: getopt lets more letters follow them, so that `-Ha1-4` is
/// `-H -a 1-4`.
const BARE: &str = "bhHIkOQsuvVW";

/// Options after `--` that would break a session, and why. Long ones may be shortened.
const REFUSED: [(&str, Option<char>, &str); 21] = [
    ("--array", Some('a'), "a session is one job, not an array"),
    (
        "--requeue",
        None,
        "a session does not run twice; qdebug always says --no-requeue",
    ),
    ("--wrap", None, "qdebug submits its own script"),
    ("--wait", Some('W'), "use `qdebug submit --wait`"),
    ("--parsable", None, "qdebug sets it"),
    ("--quiet", Some('Q'), "the job's id would not be printed"),
    (
        "--get-user-env",
        None,
        "set variables of the session by `-e NAME=VALUE`",
    ),
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
    check_values(spec)?;
    let output = output_pattern(&spec.output.to_string_lossy());
    let gres = spec.gpus.as_ref().map(gres);
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
    option("gres", gres.clone().filter(|gres| !gres.starts_with("--")));
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
    let whole = gres.iter().filter(|gres| gres.starts_with("--"));
    words.extend(whole.flat_map(|gres| gres.split_whitespace().map(str::to_owned)));
    words.extend(spec.extra.iter().cloned());
    words.push(spec.script.to_string_lossy().into_owned());
    Ok(words)
}

/// The value of `--gres`, or whole options: the catalogue's words, else Slurm's own form.
fn gres(gpus: &GpuRequest) -> String {
    match (&gpus.request, &gpus.kind) {
        (Some(request), _) => request.clone(),
        (None, Some(kind)) => format!("gpu:{kind}:{}", gpus.count),
        (None, None) => format!("gpu:{}", gpus.count),
    }
}

/// Slurm counts time limits in whole minutes.
fn minutes(seconds: u64) -> u64 {
    seconds.div_ceil(60)
}

/// A path as a filename pattern that means just it. A backslash anywhere turns replacement off, so
/// that a `%` then stands for itself (sbatch(1), filename pattern; recorded).
fn output_pattern(path: &str) -> String {
    if path.contains('\\') {
        path.replace('\\', "\\\\")
    } else {
        path.replace('%', "%%")
    }
}

fn bad<T>(option: &str, reason: &str) -> Result<T, Error> {
    Err(Error::BadOption {
        option: option.to_owned(),
        reason: reason.to_owned(),
    })
}

/// Words of the user that become values: one word each, and a GPU type that is only that.
fn check_values(spec: &JobSpec) -> Result<(), Error> {
    let values = [
        ("partition", &spec.queue),
        ("wckey", &spec.project),
        ("account", &spec.account),
        ("qos", &spec.qos),
        ("reservation", &spec.reservation),
    ];
    for (name, value) in values {
        let Some(value) = value else { continue };
        if value.is_empty() || value.chars().any(char::is_control) {
            let option = format!("--{name}={value}");
            return bad(&option, "its value is empty or holds a line break");
        }
    }
    let Some(gpus) = &spec.gpus else {
        return Ok(());
    };
    if let Some(request) = &gpus.request {
        return check_request(request);
    }
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    match &gpus.kind {
        Some(kind) if kind.is_empty() || !kind.chars().all(plain) => {
            let reason = "a GPU type is letters, digits, `-`, `_` and `.`";
            bad(&format!("--gres=gpu:{kind}"), reason)
        }
        _ if gpus.count == 0 => bad("--gres=gpu:0", "ask for one GPU or more, or for none"),
        _ => Ok(()),
    }
}

/// The catalogue's words: a value of `--gres`, or whole options that leave the job a session.
fn check_request(request: &str) -> Result<(), Error> {
    if request.starts_with("--") {
        return request.split_whitespace().try_for_each(check);
    }
    let fits = |c: char| !c.is_whitespace() && !c.is_control();
    if request.is_empty() || !request.chars().all(fits) {
        return bad(
            &format!("--gres={request}"),
            "the catalogue's words are one value such as gpu:V100:2, or options that begin with --",
        );
    }
    Ok(())
}

/// Whether an option after `--` leaves the job a session.
fn check(option: &str) -> Result<(), Error> {
    let bad = |reason| bad(option, reason);
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

/// `squeue` for many jobs of this user, finished ones too: fields that cannot hold a bar, in a
/// fixed order, then the name, which can hold anything. Ids come again: another user's job is none
/// of ours.
pub(super) fn status(ids: &[JobId]) -> Vec<String> {
    let ids: Vec<&str> = ids.iter().map(JobId::as_str).collect();
    let fields = "JobID:|,State:|,Reason:|,EndTime:|,NodeList:|,StartTime:|,exit_code:|,Name:|";
    words(&[
        "--noheader",
        "--me",
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
        "JobID:|,Partition:|,Reason:|",
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
        "--format=JobIDRaw,State,ExitCode,NodeList,JobName",
    ])
}

/// `scancel` of a job that is this user's: an operator may end those of others too.
pub(super) fn delete(id: &JobId, uid: u32) -> Vec<String> {
    words(&[&format!("--user={uid}"), id.as_str()])
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
#[path = "command_tests.rs"]
mod tests;
