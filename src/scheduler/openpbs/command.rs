//! OpenPBS' command lines, as argv.
//!
//! `qsub` gets what is asked for as options and nothing else: no `-V`, and no directive, since the
//! script is constant. The job finds what it needs in its session; of the submitter's environment
//! it gets a few variables by `-v NAME,NAME`: names alone, whose values qsub takes from its own
//! environment, so that no value can name another variable (`-v A=a,B=x` would). A name that is
//! not set is refused (`cannot send environment with the job`), and quotes and backslashes of a
//! value arrive changed, as blanks at its end do: such a value stays here.
//!
//! The log: output is spooled on the node until the job ends, unless `-k oed` has it written where
//! `-o` says at once; where a node cannot reach that path by itself, it is spooled all the same.
//! (`-k oe` without `d` would ignore `-o` and write to home under another name.) `-o` takes
//! `[host:]path`; an absolute path may hold colons, commas and blanks, but only printable ASCII.
//! The log of a session elsewhere is dropped: it holds no more than a loader's error.
//! The umask stays the site's (0077 unless set): the session's directory is 0700 and `node.log`,
//! which is live anyway, is 0600 from creation.

use std::ffi::OsStr;
use std::path::Path;

use super::super::{Error, GpuRequest, JobId, JobName, JobSpec};
use super::extra;

/// Whether the value of a variable arrives as it is.
pub(super) fn carries(value: &OsStr) -> bool {
    let plain = |b: &u8| matches!(b, b' '..=b'~') && !matches!(b, b'\'' | b'"' | b'\\' | b',');
    let bytes = value.as_encoded_bytes();
    bytes.iter().all(plain) && !bytes.ends_with(b" ")
}

/// `qsub` for a job; `exported` are the variables that go along.
pub(super) fn submit(spec: &JobSpec, exported: &[&str]) -> Result<Vec<String>, Error> {
    if let Some(qos) = &spec.qos {
        return Err(bad(
            &format!("--qos={qos}"),
            "OpenPBS has no quality of service; a queue may stand for one: --queue",
        ));
    }
    let mut words = words(&[
        // Without a process in the background that keeps our pipes open.
        "-f",
        "-N",
        spec.name.as_str(),
        "-S",
        "/bin/sh",
        "-r",
        "n",
        "-j",
        "oe",
        "-k",
        "oed",
        "-o",
        &output(&spec.output),
        "-l",
        &format!("select={}", chunk(spec)?),
        "-l",
        &format!("walltime={}", walltime(spec.walltime.as_secs())),
    ]);
    if !exported.is_empty() {
        words.extend(["-v".to_owned(), exported.join(",")]);
    }
    let given = [
        ('q', queue(spec)?),
        ('P', spec.project.as_deref()),
        ('A', spec.account.as_deref()),
    ];
    for (flag, value) in given {
        if let Some(value) = value {
            extra::check_value(flag, value)?;
            words.extend([format!("-{flag}"), value.to_owned()]);
        }
    }
    extra::check(&spec.extra)?;
    words.extend(spec.extra.iter().cloned());
    words.push(spec.script.to_string_lossy().into_owned());
    Ok(words)
}

/// An option that cannot be used, and why.
pub(super) fn bad(option: &str, reason: &str) -> Error {
    Error::BadOption {
        option: option.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Where the log goes: see above.
fn output(path: &Path) -> String {
    match path.to_str() {
        Some(text) if text.starts_with('/') && text.bytes().all(|b| matches!(b, b' '..=b'~')) => {
            text.to_owned()
        }
        _ => "/dev/null".to_owned(),
    }
}

/// The one chunk of a session: `1:ncpus=4:mem=..:ngpus=2:gpu_model=V100`.
fn chunk(spec: &JobSpec) -> Result<String, Error> {
    let mut parts = vec!["1".to_owned()];
    parts.extend(spec.cpus.map(|cpus| format!("ncpus={cpus}")));
    let kilobytes = spec.memory_bytes.map(|bytes| bytes.div_ceil(1024));
    parts.extend(kilobytes.map(|kilobytes| format!("mem={kilobytes}kb")));
    if let Some(gpus) = &spec.gpus {
        let asked = gpu_words(gpus)?;
        // What the user asks for stands in place of the catalogue's.
        let ours = |word: &&str| {
            let key = word.split('=').next().unwrap_or_default();
            !(key == "ncpus" && spec.cpus.is_some() || key == "mem" && spec.memory_bytes.is_some())
        };
        parts.extend(asked.split(':').filter(ours).map(str::to_owned));
    }
    Ok(parts.join(":"))
}

/// The words of a chunk that ask for GPUs: the catalogue's, else the commonest custom resource.
fn gpu_words(gpus: &GpuRequest) -> Result<String, Error> {
    if let Some(request) = &gpus.request {
        let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '+' | '\'' | '"' | '\\');
        let whole = request.split(':').all(|word| {
            word.split_once('=')
                .is_some_and(|(key, value)| !key.is_empty() && !value.is_empty())
        });
        if !whole || !request.chars().all(fits) {
            return Err(bad(
                request,
                "words of an OpenPBS chunk look like ngpus=2:gpu_model=V100",
            ));
        }
        return Ok(request.clone());
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    match &gpus.kind {
        None => Ok(format!("ngpus={}", gpus.count)),
        Some(kind) if !kind.is_empty() && kind.chars().all(plain) => {
            Ok(format!("ngpus={}:gpu_model={kind}", gpus.count))
        }
        Some(kind) => Err(bad(
            &format!("--gpu={kind}"),
            "a GPU type is one word of letters, digits, `_`, `-` and `.`",
        )),
    }
}

/// The queue: OpenPBS makes one for each reservation, named by the part before the server.
fn queue(spec: &JobSpec) -> Result<Option<&str>, Error> {
    match (&spec.queue, &spec.reservation) {
        (Some(queue), Some(reservation)) => Err(bad(
            &format!("--queue={queue}"),
            &format!("the reservation {reservation} is a queue of its own; give one of the two"),
        )),
        (None, Some(reservation)) => Ok(reservation.split('.').next()),
        (queue, None) => Ok(queue.as_deref()),
    }
}

fn walltime(seconds: u64) -> String {
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    format!("{:02}:{:02}:{seconds:02}", minutes / 60, minutes % 60)
}

/// `qstat` for many jobs in one call; with history also for those that are over.
pub(super) fn status(ids: &[JobId], history: bool) -> Vec<String> {
    let mut words = words(&["-f", "-F", "json"]);
    words.extend(history.then(|| "-x".to_owned()));
    words.extend(ids.iter().map(|id| id.as_str().to_owned()));
    words
}

/// Everybody's jobs in these queues.
pub(super) fn listing<'a>(queues: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut words = words(&["-f", "-F", "json"]);
    words.extend(queues.into_iter().map(str::to_owned));
    words
}

/// A user's jobs of a name that are not over.
pub(super) fn find(user: &str, name: &JobName) -> Vec<String> {
    words(&["-u", user, "-N", name.as_str()])
}

pub(super) fn delete(id: &JobId) -> Vec<String> {
    words(&[id.as_str()])
}

pub(super) fn server() -> Vec<String> {
    words(&["-B", "-f", "-F", "json"])
}

pub(super) fn queues() -> Vec<String> {
    words(&["-Q", "-f", "-F", "json"])
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    pub(in super::super) fn spec() -> JobSpec {
        JobSpec {
            shell: None,
            epilogue: None,
            name: "qdebug-otter".parse().unwrap(),
            script: "/home/a b/job.sh".into(),
            output: "/home/a b,c:d/job.log".into(),
            walltime: Duration::from_secs(100 * 3600 + 61),
            gpus: Some(GpuRequest {
                kind: Some("V100".into()),
                count: 2,
                request: None,
            }),
            cpus: Some(4),
            memory_bytes: Some((28 << 30) + 1),
            queue: Some("a;b $(c)".into()),
            project: Some("pro ject".into()),
            account: None,
            qos: None,
            reservation: None,
            extra: vec!["-l".into(), "place=excl".into()],
        }
    }

    fn value<'a>(words: &'a [String], flag: &str) -> Vec<&'a str> {
        let pairs = words.windows(2).filter(|pair| pair[0] == flag);
        pairs.map(|pair| pair[1].as_str()).collect()
    }

    #[test]
    fn a_job_becomes_one_argv() {
        let words = submit(&spec(), &[]).unwrap();
        assert_eq!(
            value(&words, "-l"),
            [
                "select=1:ncpus=4:mem=29360129kb:ngpus=2:gpu_model=V100",
                "walltime=100:01:01",
                "place=excl"
            ]
        );
        assert_eq!(value(&words, "-o"), ["/home/a b,c:d/job.log"]);
        assert_eq!(value(&words, "-q"), ["a;b $(c)"]);
        assert_eq!(value(&words, "-P"), ["pro ject"]);
        assert_eq!(value(&words, "-r"), ["n"]);
        assert_eq!(words.last().unwrap(), "/home/a b/job.sh");
        assert!(!words.iter().any(|word| word == "-v" || word == "-V"));
    }

    #[test]
    fn variables_go_along_by_their_names() {
        let words = submit(&spec(), &["DOCKER_HOST", "QDEBUG_SITE"]).unwrap();
        assert_eq!(value(&words, "-v"), ["DOCKER_HOST,QDEBUG_SITE"]);
        assert_eq!(words.last().unwrap(), "/home/a b/job.sh");
        for plain in ["unix:///run/user/1000/docker.sock", "/home/a b/config.toml"] {
            assert!(carries(OsStr::new(plain)), "{plain}");
        }
        for odd in ["it's", "a\"b", "a\\b", "a,b", "a ", "a\nb", "ä"] {
            assert!(!carries(OsStr::new(odd)), "{odd:?}");
        }
    }

    #[test]
    fn the_catalogue_says_how_gpus_are_asked_for() {
        let mut spec = spec();
        let asked = |request: &str| {
            Some(GpuRequest {
                kind: Some("V100".into()),
                count: 2,
                request: Some(request.into()),
            })
        };
        spec.gpus = asked("ncpus=8:ngpus=2:gpu_type=v100");
        assert_eq!(
            chunk(&spec).unwrap(),
            "1:ncpus=4:mem=29360129kb:ngpus=2:gpu_type=v100"
        );
        (spec.cpus, spec.memory_bytes) = (None, None);
        assert_eq!(chunk(&spec).unwrap(), "1:ncpus=8:ngpus=2:gpu_type=v100");
        for bad in ["", "a", "a=", "a=1 -V", "a=1+1:b=2", "a=1\nb", "a=\"b c\""] {
            spec.gpus = asked(bad);
            assert!(
                matches!(chunk(&spec), Err(Error::BadOption { .. })),
                "{bad:?}"
            );
        }
        spec.gpus = None;
        assert_eq!(chunk(&spec).unwrap(), "1");
    }

    #[test]
    fn what_would_ask_for_something_else_is_refused() {
        let mut one = spec();
        for kind in ["", "V100:ncpus=64", "V100 -V", "a+b", "ä"] {
            one.gpus.as_mut().unwrap().kind = Some(kind.to_owned());
            assert!(
                matches!(submit(&one, &[]), Err(Error::BadOption { .. })),
                "{kind:?}"
            );
        }
        let mut one = spec();
        one.qos = Some("high".into());
        assert!(matches!(submit(&one, &[]), Err(Error::BadOption { .. })));
        let mut one = spec();
        one.account = Some("a\nb".into());
        assert!(matches!(submit(&one, &[]), Err(Error::BadOption { .. })));
    }

    #[test]
    fn a_reservation_is_a_queue() {
        let mut one = spec();
        one.reservation = Some("R123.server".into());
        assert!(submit(&one, &[]).is_err(), "queue and reservation");
        one.queue = None;
        assert_eq!(value(&submit(&one, &[]).unwrap(), "-q"), ["R123"]);
    }

    #[test]
    fn a_log_where_openpbs_writes_none_is_dropped() {
        for odd in ["/home/jürgen/job.log", "relative", "host:/x", "/a\tb"] {
            assert_eq!(output(Path::new(odd)), "/dev/null", "{odd}");
        }
    }

    #[test]
    fn many_jobs_are_asked_for_at_once() {
        let ids = ["1.s", "22.s"].map(|id| id.parse().unwrap());
        assert_eq!(
            status(&ids, true),
            ["-f", "-F", "json", "-x", "1.s", "22.s"]
        );
    }
}
