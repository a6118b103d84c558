//! The hook scripts as they are, installed by the real `qdebug hooks` with fake scheduler tools on
//! PATH, and run on odd input with a fake qdebug that writes down what it was called with.
//!
//! Hooks run only what root alone can have written, so these tests need root; without it they say
//! so and end.

#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods)] // A test says what it expects.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A place where root alone may write, with a fake qdebug and fake tools.
struct Bench {
    dir: TempDir,
}

fn executable(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Bench {
    /// `None` for anybody but root.
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can install hooks");
            return None;
        }
        let dir = tempfile::Builder::new()
            .prefix("qdebug-test-hooks-")
            .tempdir_in("/var/lib")
            .unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let bench = Self { dir };
        // One line a call, each word in brackets; then its environment.
        executable(
            &bench.qdebug(),
            "#!/bin/sh\n{ printf '<%s>' \"$@\"; echo; } >>\"$0.calls\"\nenv >\"$0.env\"\n\
             [ ! -e \"$0.rc\" ] || exit 7\n",
        );
        Some(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn qdebug(&self) -> PathBuf {
        self.path("bin/qdebug")
    }

    fn tool(&self, name: &str, text: &str) {
        executable(&self.path("tools").join(name), text);
    }

    /// The calls of the fake qdebug since the last time.
    fn calls(&self) -> Vec<String> {
        let path = self.path("bin/qdebug.calls");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        text.lines().map(str::to_owned).collect()
    }

    /// `qdebug hooks ...` for this place.
    fn hooks(&self, words: &[&str]) -> Output {
        let path = format!("{}:/usr/bin:/bin", self.path("tools").display());
        Command::new(env!("CARGO_BIN_EXE_qdebug"))
            .arg("hooks")
            .args(words)
            .arg("--binary")
            .arg(self.qdebug())
            .env("PATH", path)
            .output()
            .unwrap()
    }

    #[track_caller]
    fn hooks_ok(&self, words: &[&str]) -> String {
        let output = self.hooks(words);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {text}");
        text
    }
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Runs a script with these words and this environment alone; its exit status.
fn run(script: &Path, words: &[&str], env: &[(&str, &str)]) -> i32 {
    let mut command = Command::new(script);
    command.args(words).env_clear();
    command.envs(env.iter().copied());
    command.output().unwrap().status.code().unwrap_or(-1)
}

fn fake_slurm(bench: &Bench, epilog: &str) {
    let text = format!("#!/bin/sh\necho 'Epilog                  = {epilog}'\n");
    bench.tool("scontrol", &text);
}

const SLURM: [&str; 2] = ["--scheduler", "slurm"];

#[test]
fn slurm_installs_looks_and_leaves_nothing() {
    let Some(bench) = Bench::new() else { return };
    let folder = bench.path("epilog.d");
    let glob = format!("{}/*", folder.display());
    fake_slurm(&bench, "(null)");
    let dir = ["--dir", folder.to_str().unwrap()];
    let with = |command: &'static str, more: &[&'static str]| {
        [&[command][..], &SLURM, &dir, more].concat()
    };
    let text = bench.hooks_ok(&with("install", &["--dry-run"]));
    assert!(text.contains("50-qdebug.sh") && !folder.exists(), "{text}");
    assert_eq!(bench.hooks(&with("install", &[])).status.code(), Some(2));
    let text = bench.hooks_ok(&with("install", &["--yes"]));
    assert!(text.contains(&format!("`Epilog={glob}`")), "{text}");
    assert_eq!(bench.hooks(&with("status", &[])).status.code(), Some(1));

    fake_slurm(&bench, &glob);
    bench.hooks_ok(&with("status", &[]));
    let text = bench.hooks_ok(&with("install", &["--yes"]));
    assert!(text.contains("nothing to do"), "{text}");
    // Slurm would drain every node.
    let output = bench.hooks(&with("uninstall", &["--yes"]));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(folder.join("50-qdebug.sh").exists());
    executable(&folder.join("10-theirs"), "#!/bin/sh\n");
    // So would a job that ends in the moment the file goes.
    bench.tool("squeue", "#!/bin/sh\necho 33\n");
    let output = bench.hooks(&with("uninstall", &["--yes"]));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(folder.join("50-qdebug.sh").exists());
    bench.tool(
        "squeue",
        "#!/bin/sh\necho 'Invalid node name specified' >&2; exit 1\n",
    );
    bench.hooks_ok(&with("uninstall", &["--yes"]));
    assert!(folder.join("10-theirs").exists() && !folder.join("50-qdebug.sh").exists());
    bench.hooks_ok(&with("uninstall", &["--yes"]));

    fs::remove_file(folder.join("10-theirs")).unwrap();
    fake_slurm(&bench, "(null)");
    bench.hooks_ok(&with("install", &["--yes"]));
    bench.hooks_ok(&with("uninstall", &["--yes"]));
    assert!(!folder.exists());
}

#[test]
fn slurms_epilog_never_fails_and_hands_on_nothing_odd() {
    let Some(bench) = Bench::new() else { return };
    let folder = bench.path("epilog.d");
    fake_slurm(&bench, "(null)");
    let dir = folder.to_str().unwrap();
    bench.hooks_ok(&[&["install", "--yes", "--dir", dir][..], &SLURM].concat());
    let script = folder.join("50-qdebug.sh");
    let epilog = |job: &str, uid: &str| {
        let env = [
            ("SLURM_JOB_ID", job),
            ("SLURM_JOB_UID", uid),
            ("SLURM_JOB_WORK_DIR", "/tmp/$(touch /tmp/x)"),
            ("LD_PRELOAD", ""),
            ("DOCKER_HOST", "tcp://evil:1"),
        ];
        assert_eq!(run(&script, &[], &env), 0, "{job:?} {uid:?}");
        bench.calls()
    };
    let words = "<cleanup><--scheduler><slurm><--job><33><--uid><2001>";
    assert_eq!(epilog("33", "2001"), [words]);
    let seen = fs::read_to_string(bench.path("bin/qdebug.env")).unwrap();
    assert!(
        !seen.contains("SLURM") && !seen.contains("DOCKER"),
        "{seen}"
    );
    assert_eq!(
        epilog("33", "-1"),
        ["<cleanup><--scheduler><slurm><--job><33>"]
    );
    for odd in ["", "--force", "1 2", "$(id)", "1\n2", "é", "/etc/passwd"] {
        assert!(epilog(odd, "2001").is_empty(), "{odd:?}");
    }
    assert_eq!(run(&script, &["--force"], &[]), 0, "nothing set");

    fs::write(bench.path("bin/qdebug.rc"), "").unwrap();
    assert_eq!(epilog("34", "1").len(), 1, "its failure is not the node's");
    fs::set_permissions(bench.qdebug(), fs::Permissions::from_mode(0o775)).unwrap();
    assert!(epilog("35", "1").is_empty(), "a program others may write");
    fs::set_permissions(bench.qdebug(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(bench.path("bin"), fs::Permissions::from_mode(0o757)).unwrap();
    assert!(epilog("36", "1").is_empty(), "a folder others may write");
    fs::set_permissions(bench.path("bin"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(bench.qdebug()).unwrap();
    assert!(epilog("37", "1").is_empty(), "no program");
}

#[test]
fn what_others_may_write_is_not_installed() {
    let Some(bench) = Bench::new() else { return };
    fake_slurm(&bench, "(null)");
    fs::set_permissions(bench.path("bin"), fs::Permissions::from_mode(0o777)).unwrap();
    let output = bench.hooks(&[&["install", "--yes"][..], &SLURM].concat());
    assert_eq!(output.status.code(), Some(15), "{}", said(&output));
    assert!(
        said(&output).contains("others may write"),
        "{}",
        said(&output)
    );
}

/// mom_priv with jobs in it, as mom leaves it.
fn mom(bench: &Bench) -> PathBuf {
    let mom = bench.path("mom_priv");
    fs::create_dir_all(mom.join("jobs")).unwrap();
    for file in ["7.login.JB", "7.login.SC", "9.login.JB", "6[1].login.JB"] {
        fs::write(mom.join("jobs").join(file), "").unwrap();
    }
    mom
}

const TORQUE: [&str; 2] = ["--scheduler", "torque"];

#[test]
fn torques_epilogue_cleans_sweeps_and_never_fails() {
    let Some(bench) = Bench::new() else { return };
    let mom = mom(&bench);
    let dir = mom.to_str().unwrap();
    bench.hooks_ok(&[&["install", "--yes", "--dir", dir][..], &TORQUE].concat());
    let epilogue = mom.join("epilogue");
    let mode = epilogue.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o500, "mom passes over anything else");
    let env = [("PATH", "/bin:/usr/bin")];
    let epilogue = |words: &[&str]| {
        assert_eq!(run(&epilogue, words, &env), 0, "{words:?}");
        bench.calls()
    };
    // The two together, and what it takes to kill them, are what pbs/README.md says.
    let words = |seconds: u32| format!("<cleanup><--scheduler><torque><--time-limit><{seconds}>");
    let sweep = format!("{}<--sweep><--live>", words(7));
    let clean = |rest: &str| format!("{}<--job><7.login>{rest}", words(15));
    // The list goes over several lines, as one word.
    let calls = epilogue(&["7.login", "root", "root", "a b $(id)", "1", "", "", "batch"]);
    assert_eq!(calls[0], clean("<--uid><0>"));
    assert!(calls[1].starts_with(&sweep), "{calls:?}");
    let live = calls[1..].join(" ");
    assert!(live.contains("7.login") && live.contains("6[1].login") && !live.contains("SC"));
    assert!(live.contains("<--min-age><60>"), "{live}");
    assert_eq!(epilogue(&["7.login", "no such user"])[0], clean(""));
    assert_eq!(epilogue(&["7.login", "--help"])[0], clean(""));
    for odd in ["", "--force", "7;ls", "$(id)", "../7", "7\n8", "6[1].login"] {
        let calls = epilogue(&[odd, "root"]);
        assert!(calls[0].starts_with(&sweep), "{odd:?}: {calls:?}");
    }
    fs::rename(mom.join("jobs"), mom.join("gone")).unwrap();
    assert_eq!(epilogue(&["7.login"]), [clean("")], "no list, no sweep");
    fs::write(bench.path("bin/qdebug.rc"), "").unwrap();
    assert_eq!(epilogue(&["7.login"]).len(), 1);
}

#[test]
fn torques_prologue_sweeps_and_spares_the_job_that_starts() {
    let Some(bench) = Bench::new() else { return };
    let mom = mom(&bench);
    let dir = mom.to_str().unwrap();
    bench.hooks_ok(&[&["install", "--yes", "--dir", dir][..], &TORQUE].concat());
    fs::write(bench.path("bin/qdebug.rc"), "").unwrap();
    for job in ["11.login", "--force", ""] {
        assert_eq!(run(&mom.join("prologue"), &[job, "alice"], &[]), 0, "{job}");
        let calls = bench.calls().join(" ");
        assert!(
            calls.contains("<--sweep>") && calls.contains(job),
            "{calls}"
        );
    }
    // No shell finds its tools without them: still no failure.
    assert_eq!(run(&mom.join("prologue"), &[], &[("PATH", "/nowhere")]), 0);
}

#[test]
fn a_sites_own_scripts_keep_their_work_and_come_back() {
    let Some(bench) = Bench::new() else { return };
    let mom = mom(&bench);
    let theirs = "#!/bin/sh\nprintf '<%s>' \"$@\" >\"$0.calls\"\nexit 3\n";
    executable(&mom.join("prologue"), theirs);
    let dir = mom.to_str().unwrap();
    let with = |command: &'static str| [&[command, "--yes", "--dir", dir][..], &TORQUE].concat();
    for _ in 0..2 {
        bench.hooks_ok(&with("install"));
        let rc = run(&mom.join("prologue"), &["7.login", "a b", "$x"], &[]);
        assert_eq!(rc, 3, "the site's status");
        let calls = fs::read_to_string(mom.join("prologue.site.calls")).unwrap();
        assert_eq!(calls, "<7.login><a b><$x>");
        assert_eq!(bench.calls().len(), 3, "a list of three lines");
    }
    assert_eq!(
        run(&mom.join("epilogue"), &["7.login"], &[]),
        0,
        "none of theirs"
    );
    bench.hooks_ok(&["status", "--dir", dir, "--scheduler", "torque"]);
    bench.hooks_ok(&with("uninstall"));
    bench.hooks_ok(&with("uninstall"));
    assert_eq!(fs::read_to_string(mom.join("prologue")).unwrap(), theirs);
    assert!(!mom.join("epilogue").exists() && !mom.join("prologue.site").exists());

    // Installed, and then the site puts a script of its own over ours: nobody's is lost.
    bench.hooks_ok(&with("install"));
    executable(&mom.join("prologue"), "#!/bin/sh\n# another\n");
    let output = bench.hooks(&with("install"));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}

/// A server's qmgr that keeps one hook in a folder.
const QMGR: &str = r#"#!/bin/bash
at=$(dirname "$0")/hook
[[ $1 == -c ]] || exit 2
echo "$2" >>"$at.log"
read -ra words <<<"$2"
missing() { echo "qmgr obj=qdebug svr=default: hook not found" >&2; exit 1; }
case $2 in
    "create hook qdebug") [[ ! -d $at ]] || exit 1; mkdir "$at"; echo true >"$at/enabled" ;;
    "delete hook qdebug") [[ -d $at ]] || missing; rm -r "$at" ;;
    "import hook qdebug application/x-python default "*) cp "${words[5]}" "$at.text" ;;
    "export hook qdebug application/x-python default") cat "$at.text" ;;
    "list hook qdebug")
        [[ -d $at ]] || missing
        echo "Hook qdebug"
        for file in "$at"/*; do echo "    ${file##*/} = $(tr -d '"' <"$file")"; done ;;
    "set hook qdebug "*) [[ -d $at ]] || missing; echo "${words[5]}" >"$at/${words[3]}" ;;
    *) exit 3 ;;
esac
"#;

const FAKE_PBS: &str = r#"
import json, os
EXECJOB_EPILOGUE, EXECJOB_END, EXECHOST_PERIODIC, EXECHOST_STARTUP, LOG_WARNING = range(5)
class Thing:
    def __init__(self, **known): self.__dict__.update(known)
def event():
    told = json.loads(os.environ["TOLD"])
    if "job" in told: told["job"] = Thing(**told["job"])
    return Thing(**told)
def logmsg(level, text):
    with open(os.environ["LOGGED"], "a") as log: log.write(text + "\n")
"#;

#[test]
fn openpbs_installs_one_hook_that_cleans_and_sweeps() {
    let Some(bench) = Bench::new() else { return };
    bench.tool("qmgr", QMGR);
    let with = |words: &[&'static str]| [words, &["--scheduler", "openpbs"]].concat();
    assert_eq!(bench.hooks(&with(&["status"])).status.code(), Some(1));
    bench.hooks_ok(&with(&["install", "--yes"]));
    bench.hooks_ok(&with(&["status"]));
    let text = bench.hooks_ok(&with(&["install", "--yes"]));
    assert!(text.contains("nothing to do"), "{text}");

    fs::create_dir_all(bench.path("lib")).unwrap();
    fs::write(bench.path("lib/pbs.py"), FAKE_PBS).unwrap();
    let spool = bench.path("spool/mom_priv/jobs");
    fs::create_dir_all(&spool).unwrap();
    fs::write(spool.join("7.server.JB"), "").unwrap();
    let conf = format!(
        "PBS_EXEC=/opt/pbs\nPBS_HOME={}\n",
        bench.path("spool").display()
    );
    fs::write(bench.path("pbs.conf"), conf).unwrap();
    let fire = |told: &str| {
        let output = Command::new("/usr/bin/env")
            .args(["python3", "-B"])
            .arg(bench.path("tools/hook.text"))
            .env("PYTHONPATH", bench.path("lib"))
            .env("PBS_CONF_FILE", bench.path("pbs.conf"))
            .env("LOGGED", bench.path("log"))
            .env("DOCKER_HOST", "tcp://evil:1")
            .env("TOLD", told)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{told}: {}", said(&output));
        let log = fs::read_to_string(bench.path("log")).unwrap_or_default();
        let _ = fs::remove_file(bench.path("log"));
        (bench.calls().join("\n"), log)
    };
    let clean = "<cleanup><--scheduler><openpbs>";
    for kind in [0, 1] {
        let told = format!(r#"{{"type":{kind},"job":{{"id":"7.server","euser":"root"}}}}"#);
        assert_eq!(fire(&told).0, format!("{clean}<--job><7.server><--uid><0>"));
    }
    let seen = fs::read_to_string(bench.path("bin/qdebug.env")).unwrap();
    assert!(!seen.contains("DOCKER") && !seen.contains("TOLD"), "{seen}");
    let odd = r#"{"type":0,"job":{"id":"7; touch /tmp/x --force\n","euser":"no such"}}"#;
    assert!(
        fire(odd)
            .0
            .starts_with(&format!("{clean}<--job><7; touch /tmp/x --force"))
    );
    let live = |ids: &str| format!("{clean}<--sweep><--live><{ids}><--min-age><60>");
    let told = r#"{"type":2,"job_list":{"8.server":{},"7.server":{}}}"#;
    assert_eq!(fire(told).0, live("7.server,8.server"));
    assert_eq!(
        fire(r#"{"type":3}"#).0,
        live("7.server"),
        "startup has files alone"
    );

    // Nothing of it reaches mom: it is logged.
    for bad in [
        r#"{"type":0}"#,
        r#"{"type":2,"job_list":5}"#,
        "{}",
        "nonsense",
    ] {
        let (calls, log) = fire(bad);
        assert!(
            calls.is_empty() && log.contains("nothing is done"),
            "{bad}: {calls} {log}"
        );
    }
    fs::remove_dir_all(&spool).unwrap();
    let (calls, log) = fire(told);
    assert!(
        calls.is_empty() && log.contains("FileNotFoundError"),
        "{log}"
    );
    fs::set_permissions(bench.qdebug(), fs::Permissions::from_mode(0o777)).unwrap();
    let (calls, log) = fire(r#"{"type":0,"job":{"id":"7.server","euser":"root"}}"#);
    assert!(calls.is_empty() && log.contains("may write"), "{log}");

    bench.hooks_ok(&with(&["uninstall", "--yes"]));
    assert!(!bench.path("tools/hook").exists());
    bench.hooks_ok(&with(&["uninstall", "--yes"]));
}
