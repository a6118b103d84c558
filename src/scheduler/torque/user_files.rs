//! The two files that a session brings along, since without an admin Torque neither gives a job
//! time to end nor ends its containers: the job's shell and the job's epilogue.

use std::path::Path;

use super::super::Error;

/// The shell of `qsub -S`, as a file that its owner may execute.
pub fn shell() -> &'static str {
    include_str!("../../../pbs/torque/shell")
}

/// The script of `qsub -l epilogue=`, which runs this qdebug: pbs_mom wants it to belong to the
/// job's owner, readable and executable, and writable by nobody else.
///
/// # Errors
/// [`Error::BadOption`] of a path that no script can hold.
pub fn epilogue(qdebug: &Path) -> Result<String, Error> {
    let bad = |reason: &str| Error::BadOption {
        option: format!("-l epilogue= with qdebug at {}", qdebug.display()),
        reason: reason.to_owned(),
    };
    let path = qdebug.to_str().ok_or_else(|| bad("it is not UTF-8"))?;
    if path.chars().any(char::is_control) {
        return Err(bad("it holds a line break or control character"));
    }
    if !qdebug.is_absolute() {
        return Err(bad("it is not absolute"));
    }
    let quoted = format!("'{}'", path.replace('\'', r"'\''"));
    Ok(include_str!("../../../pbs/torque/job-epilogue").replace("@qdebug@", &quoted))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    use super::super::super::fake::block_on;
    use super::*;
    use crate::process::{Output, Program};

    fn write(folder: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn run(program: Program) -> Output {
        // A file just written may still be open in a child of another test.
        for _ in 0..50 {
            match block_on(program.clone().output()) {
                Err(crate::process::Error::Spawn { source, .. })
                    if source.raw_os_error() == Some(26) =>
                {
                    std::thread::sleep(Duration::from_millis(20));
                }
                output => return output.unwrap(),
            }
        }
        panic!("text file busy");
    }

    /// The epilogue as pbs_mom runs it, with a qdebug made of this script.
    fn clean_up(name: &str, body: &str, job: &str) -> (Output, String) {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let body = format!(
            "#!/bin/sh\nprintf '%s|' \"$@\" >>'{}'\n{body}\n",
            log.display()
        );
        let qdebug = write(folder.path(), name, &body, 0o700);
        let script = write(
            folder.path(),
            "epilogue",
            &epilogue(&qdebug).unwrap(),
            0o500,
        );
        let program = Program::new("env").args(["-i", "PATH=/bin:/usr/bin"]);
        let arguments = [
            job,
            "alice",
            "users",
            "qdebug-otter",
            "77",
            "nodes=1",
            "",
            "batch",
        ];
        let output = run(program.arg(&script).args(arguments));
        (output, fs::read_to_string(log).unwrap_or_default())
    }

    #[test]
    fn the_shell_becomes_the_script() {
        let folder = tempfile::tempdir().unwrap();
        let shell = write(folder.path(), "shell", super::shell(), 0o500);
        let script = "#!/bin/sh\nread -r x; echo \"$$ [$x] $0\"; exit 7\n";
        let script = write(folder.path(), "0.login.SC", script, 0o600);
        for line in [
            format!("{}\n", script.display()),
            format!("exec {}\n", script.display()),
            format!("{}", script.display()),
        ] {
            let output = run(Program::new(&shell).stdin(line.clone()));
            assert_eq!(output.status, 7, "{line} {output:?}");
            assert!(
                output.stdout.contains(" [] /"),
                "stdin is empty: {output:?}"
            );
        }
    }

    #[test]
    fn a_signal_to_the_shell_reaches_the_script() {
        let folder = tempfile::tempdir().unwrap();
        let shell = write(folder.path(), "shell", super::shell(), 0o500);
        // As a job script: it becomes another program, which gets the signal.
        let body =
            "trap \"echo got it; exit 5\" TERM; echo up; for _ in $(seq 200); do sleep 0.05; done";
        let script = format!("exec sh -c '{body}'\n");
        let script = write(folder.path(), "0.login.SC", &script, 0o600);
        // pbs_mom signals the process that it started.
        let mom = "printf '%s\\n' \"$1\" | \"$0\" >out & job=$!
            for _ in $(seq 100); do grep -q up out && break; sleep 0.05; done
            kill -TERM $job; wait $job; echo \"$? $(cat out)\"";
        let mom = format!("cd '{}' || exit 1; {mom}", folder.path().display());
        let output = run(Program::new("sh")
            .args(["-c", &mom])
            .arg(&shell)
            .arg(&script));
        assert_eq!(output.stdout, "5 up\ngot it\n", "{output:?}");
    }

    #[test]
    fn a_shell_without_a_script_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let shell = write(folder.path(), "shell", super::shell(), 0o500);
        for line in ["", "\n", "rm -rf x\n", "exec \n"] {
            let output = run(Program::new(&shell).stdin(line));
            assert_eq!(output.status, 126, "{line:?}");
            assert!(output.stderr.contains("no path"), "{output:?}");
        }
    }

    #[test]
    fn the_epilogue_cleans_up_after_this_job() {
        for name in ["qdebug", "q debug's $(x) \"y\""] {
            let (output, log) = clean_up(name, "", "12.login");
            assert_eq!(log, "cleanup|--scheduler|torque|--job|12.login|");
            assert_eq!((output.status, &*output.stdout), (0, ""), "{output:?}");
        }
    }

    #[test]
    fn the_epilogue_never_fails() {
        let (output, log) = clean_up("qdebug", "exit 7", "12.login");
        assert_eq!(output.status, 0);
        assert!(log.contains("12.login"));
        for odd in [
            "",
            "--force",
            "1; ls",
            "6[1].login",
            "../x",
            "1\n2",
            "$(ls)",
        ] {
            let (output, log) = clean_up("qdebug", "", odd);
            assert_eq!(output.status, 0, "{odd}");
            assert_eq!(log, "", "{odd}");
        }
        let script = epilogue(Path::new("/no/such/qdebug")).unwrap();
        let output = run(Program::new("sh").args(["-c", &script, "epilogue", "12.login"]));
        assert_eq!((output.status, &*output.stderr), (0, ""));
    }

    #[test]
    fn the_epilogue_has_a_time_limit() {
        let text = epilogue(Path::new("/usr/bin/sleeper")).unwrap();
        assert!(text.contains("timeout -k 5 60 \"$qdebug\""));
        let folder = tempfile::tempdir().unwrap();
        let sleeper = write(
            folder.path(),
            "sleeper",
            "#!/bin/sh\nexec sleep 60\n",
            0o700,
        );
        let quick = epilogue(&sleeper).unwrap().replace("-k 5 60", "-k 1 0.2");
        let started = Instant::now();
        let output = run(Program::new("sh").args(["-c", &quick, "epilogue", "12.login"]));
        assert_eq!(output.status, 0);
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_path_that_no_script_can_hold_is_refused() {
        for bad in ["/a\nb", "qdebug", "/a\x1b"] {
            assert!(epilogue(Path::new(bad)).is_err(), "{bad:?}");
        }
    }
}
