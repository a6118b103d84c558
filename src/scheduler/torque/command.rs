//! Torque's command lines, as argv.

use std::path::Path;

use super::super::{Error, JobId, JobName, JobSpec};
use super::extra;

/// Seconds between SIGTERM and SIGKILL; they are given only to a job whose shell is ours
/// (`pbs/torque/shell`).
const GRACE: &str = "8";

/// Why a queue is refused that names its server.
pub(super) const OTHER_SERVER: &str =
    "the job would go to another server than the one that qdebug asks; set PBS_DEFAULT instead";

/// `qsub` for a job; `exported` are the variables that go along. By `-v NAME` values arrive
/// exactly; a comma within `-v NAME=VALUE` would cut them, and a name that is not set would lose
/// those after it.
pub(super) fn submit(spec: &JobSpec, exported: &[&str]) -> Result<Vec<String>, Error> {
    extra::check(&spec.extra)?;
    let mut words = Vec::new();
    let mut option = |letter: &str, value: String| {
        words.extend([letter.to_owned(), value]);
    };
    option("-N", spec.name.to_string());
    if let Some(shell) = &spec.shell {
        option("-S", path("-S", shell)?);
        option("-K", GRACE.to_owned());
    }
    option("-j", "oe".to_owned());
    option("-o", path("-o", &spec.output)?);
    option("-r", "n".to_owned());
    if !exported.is_empty() {
        option("-v", exported.join(","));
    }
    option("-l", resources(spec)?);
    if let Some(queue) = &spec.queue {
        if queue.contains('@') {
            return bad("--queue", queue, OTHER_SERVER);
        }
        option("-q", plain("--queue", queue)?);
    }
    if let Some(account) = &spec.account {
        option("-A", plain("--account", account)?);
    }
    if let Some(project) = &spec.project {
        return bad(
            "--project",
            project,
            "Torque has no projects (its -P runs the job as another user); try --account",
        );
    }
    // Words of Moab and Maui: pbs_server hands them on, and Torque's own scheduler ignores them.
    if let Some(qos) = &spec.qos {
        option("-l", format!("qos={}", word("--qos", qos)?));
    }
    if let Some(reservation) = &spec.reservation {
        let reservation = word("--reservation", reservation)?;
        option("-l", format!("advres={reservation}"));
    }
    words.extend(spec.extra.iter().cloned());
    words.push(spec.script.to_string_lossy().into_owned());
    Ok(words)
}

/// The same for a qsub that knows no `-K`, which older ones do not.
pub(super) fn without_delay(mut words: Vec<String>) -> Vec<String> {
    if let Some(at) = words.iter().position(|word| word == "-K") {
        words.drain(at..at + 2);
    }
    words
}

/// The value of `-l`: `nodes=1:ppn=2:gpus=1:V100,walltime=..`, the one form that is not ignored.
fn resources(spec: &JobSpec) -> Result<String, Error> {
    let mut list = format!("nodes=1:ppn={}", spec.cpus.unwrap_or(1));
    if let Some(gpus) = &spec.gpus {
        let words = match (&gpus.request, &gpus.kind) {
            (Some(request), _) => request.clone(),
            (None, Some(kind)) => format!("gpus={}:{kind}", gpus.count),
            (None, None) => format!("gpus={}", gpus.count),
        };
        list.push(':');
        list.push_str(&word("--gpu", &words)?);
    }
    let seconds = spec.walltime.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    list.push_str(&format!(
        ",walltime={hours:02}:{minutes:02}:{:02}",
        seconds % 60
    ));
    if let Some(bytes) = spec.memory_bytes {
        list.push_str(&format!(",mem={}kb", bytes.div_ceil(1024)));
    }
    if let Some(epilogue) = &spec.epilogue {
        list.push_str(&format!(",epilogue={}", path("-l epilogue", epilogue)?));
    }
    Ok(list)
}

/// A path as every part of Torque takes it. A comma ends the value of `-l`, `-S` ends at `@` and
/// `#` and takes no blank, `-o` takes only ASCII and is expanded by wordexp(3) on the node.
fn path(option: &str, path: &Path) -> Result<String, Error> {
    let text = path.to_string_lossy();
    let takes = |c: char| c.is_ascii_alphanumeric() || "/._+=%^-".contains(c);
    if let Some(odd) = text.chars().find(|c| !takes(*c)) {
        return bad(
            option,
            &text,
            &format!(
                "Torque cannot carry {odd:?} in a path; set QDEBUG_HOME to a plain one, on \
                 the cluster's shared file system"
            ),
        );
    }
    if !path.is_absolute() {
        return bad(option, &text, "the path is not absolute");
    }
    Ok(text.into_owned())
}

/// A value within `-l`: a comma would begin another resource, a `+` another node.
fn word(option: &str, value: &str) -> Result<String, Error> {
    let takes = |c: char| c.is_ascii_alphanumeric() || "._:=-".contains(c);
    match value.chars().find(|c| !takes(*c)) {
        Some(odd) => {
            let reason = format!("Torque cannot carry {odd:?} in a word of -l");
            bad(option, value, &reason)
        }
        None if value.is_empty() => bad(option, value, "it is empty"),
        None => Ok(value.to_owned()),
    }
}

/// A value of its own.
fn plain(option: &str, value: &str) -> Result<String, Error> {
    if value.chars().any(char::is_control) {
        return bad(option, value, "it holds a line break or control character");
    }
    Ok(value.to_owned())
}

fn bad<T>(option: &str, value: &str, reason: &str) -> Result<T, Error> {
    Err(Error::BadOption {
        option: format!("{option} {value}"),
        reason: reason.to_owned(),
    })
}

/// `qstat` for many jobs, finished ones too as long as the server keeps them.
pub(super) fn status(ids: &[JobId], xml: bool) -> Vec<String> {
    let mut words = vec!["-f".to_owned()];
    words.extend(xml.then(|| "-x".to_owned()));
    words.extend(ids.iter().map(JobId::to_string));
    words
}

/// A user's jobs of a name that are not over.
pub(super) fn find(name: &JobName, user: &str) -> Vec<String> {
    let words = ["-N", name.as_str(), "-u", user, "-s", "EHQRTW"];
    words.map(str::to_owned).to_vec()
}

pub(super) fn delete(id: &JobId) -> Vec<String> {
    vec![id.to_string()]
}

pub(super) fn server() -> Vec<String> {
    ["-B", "-f"].map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::super::tests::spec;
    use super::*;

    fn pair(words: &[String], letter: &str) -> Option<String> {
        let at = words.iter().position(|word| word == letter)?;
        words.get(at + 1).cloned()
    }

    #[test]
    fn a_job_becomes_one_argv() {
        let words = submit(&spec(), &["DOCKER_HOST", "QDEBUG_SITE"]).unwrap();
        let has = |letter, value: &str| {
            assert_eq!(pair(&words, letter).as_deref(), Some(value), "{words:?}");
        };
        has("-N", "qdebug-otter");
        has("-S", "/home/alice/.qdebug/sessions/otter/shell");
        has("-K", "8");
        has("-j", "oe");
        has("-o", "/home/alice/.qdebug/sessions/otter/job.log");
        has("-r", "n");
        has("-v", "DOCKER_HOST,QDEBUG_SITE");
        has(
            "-l",
            "nodes=1:ppn=4:gpus=2:V100,walltime=30:00:01,mem=29360128kb,\
             epilogue=/home/alice/.qdebug/sessions/otter/epilogue",
        );
        has("-q", "a;b $(c)");
        assert_eq!(words.last().unwrap(), "/home/a b/job.sh");
        assert!(words.contains(&"qos=high".to_owned()));
        assert!(words.contains(&"advres=lab.7".to_owned()));
    }

    #[test]
    fn the_catalogue_s_words_win() {
        let mut spec = spec();
        let gpus = spec.gpus.as_mut().unwrap();
        gpus.request = Some("gpus=2:exclusive_process:volta".to_owned());
        let list = pair(&submit(&spec, &[]).unwrap(), "-l").unwrap();
        assert!(list.starts_with("nodes=1:ppn=4:gpus=2:exclusive_process:volta,"));
        spec.gpus = None;
        spec.cpus = None;
        let list = pair(&submit(&spec, &[]).unwrap(), "-l").unwrap();
        assert!(list.starts_with("nodes=1:ppn=1,walltime="), "{list}");
    }

    #[test]
    fn without_the_wrapper_there_is_no_delay() {
        let mut spec = spec();
        (spec.shell, spec.epilogue) = (None, None);
        let words = submit(&spec, &[]).unwrap();
        assert!(!words.iter().any(|word| word == "-S" || word == "-K"));
        assert!(!words.iter().any(|word| word.contains("epilogue")));
    }

    #[test]
    fn what_torque_cannot_carry_is_refused() {
        let refused = |change: &dyn Fn(&mut JobSpec)| {
            let mut spec = spec();
            change(&mut spec);
            let error = submit(&spec, &[]).unwrap_err();
            assert!(matches!(error, Error::BadOption { .. }), "{error}");
            error.to_string()
        };
        for odd in [
            "/home/a b/s",
            "/a,b/s",
            "/ä/s",
            "/a@b",
            "/a$b/s",
            "/a'b",
            "/a[1]",
            "/a*",
            "/a#b",
            "/a~",
            "relative",
            "/a\nb",
            "/a:b",
        ] {
            refused(&|spec| spec.shell = Some(odd.into()));
            refused(&|spec| spec.output = odd.into());
            let told = refused(&|spec| spec.epilogue = Some(odd.into()));
            assert!(told.contains("path"), "{told}");
        }
        for odd in ["a,walltime=1", "V100+1", "a b", "", "a\n"] {
            refused(&|spec| spec.gpus.as_mut().unwrap().kind = Some(odd.to_owned() + ","));
            refused(&|spec| spec.gpus.as_mut().unwrap().request = Some(odd.to_owned()));
            refused(&|spec| spec.qos = Some(odd.to_owned()));
            refused(&|spec| spec.reservation = Some(odd.to_owned()));
        }
        refused(&|spec| spec.queue = Some("batch@other".to_owned()));
        refused(&|spec| spec.account = Some("a\nb".to_owned()));
        assert!(refused(&|spec| spec.project = Some("p".to_owned())).contains("--account"));
        refused(&|spec| spec.extra = vec!["-V".to_owned()]);
    }

    #[test]
    fn many_jobs_are_asked_for_at_once() {
        let ids = ["1.login", "22.login"].map(|id| id.parse().unwrap());
        assert_eq!(status(&ids, true), ["-f", "-x", "1.login", "22.login"]);
        assert_eq!(status(&ids, false), ["-f", "1.login", "22.login"]);
    }
}
