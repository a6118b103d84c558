//! Whatever a user writes into a field arrives exactly or is refused; nothing of it is run on the
//! submit host. Through the binary, in every dialect, with tools that note their argv.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Each would leave a file `ran` somewhere, or come apart, in the hands of a careless shell.
const HOSTILE: [&str; 17] = [
    "a b",
    " a ",
    "o'neil",
    "say \"hi\"",
    "$(touch ran)",
    "`touch ran`",
    "a;touch ran",
    "a&&touch ran",
    "a|touch ran",
    "a,b=c",
    "a\nb",
    "a\n#PBS -o /tmp/x",
    "größe-€",
    "--help",
    "-x",
    "a\\b",
    "%j*?~#!{}[]",
];

/// A tool of any scheduler: notes each word of its argv with a NUL behind it.
const TOOL: &str = r#"#!/bin/sh
here=${0%/*}
tool=${0##*/}
{ printf '%s\0' "$tool"; for word; do printf '%s\0' "$word"; done; printf '\n\0'; } >>"$here/log"
. "$here/answers"
"#;

const SLURM: &str = r#"case $tool in
sbatch) if [ "$1" = --version ]; then echo 'slurm 22.05.8'; else echo 7; fi;;
scontrol) echo 'ClusterName = lab';;
squeue) ;;
*) exit 1;;
esac
"#;

const PBS: &str = r#"case "$tool $*" in
'qsub --version') echo "$version";;
qsub*) echo "7.$server";;
'qstat '*B*) cat "$fixtures/$about";;
*) exit 153;;
esac
"#;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Dialect {
    Slurm,
    OpenPbs,
    Torque,
}

const DIALECTS: [Dialect; 3] = [Dialect::Slurm, Dialect::OpenPbs, Dialect::Torque];

impl Dialect {
    fn tools(self) -> &'static [&'static str] {
        match self {
            Self::Slurm => &["sbatch", "squeue", "scontrol", "sacct", "sinfo", "scancel"],
            _ => &["qsub", "qstat", "qdel", "qselect", "pbsnodes"],
        }
    }

    fn answers(self) -> String {
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
        let (version, server, about) = match self {
            Self::Slurm => return SLURM.to_owned(),
            Self::OpenPbs => (
                "pbs_version = 23.06.06",
                "lab-opbs-login",
                "openpbs/qstat-B-json.out",
            ),
            Self::Torque => ("Version: 6.1.3.h5", "login", "torque/qstat-B.out"),
        };
        format!("fixtures='{fixtures}'\nversion='{version}'\nserver={server}\nabout={about}\n{PBS}")
    }

    fn submitter(self) -> &'static str {
        self.tools()[0]
    }
}

/// A submit host.
struct Login {
    place: tempfile::TempDir,
    dialect: Dialect,
    home: PathBuf,
    qdebug: PathBuf,
}

impl Login {
    fn new(dialect: Dialect) -> Self {
        let place = tempfile::tempdir().unwrap();
        let bin = place.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for tool in dialect.tools() {
            fs::write(bin.join(tool), TOOL).unwrap();
            fs::set_permissions(bin.join(tool), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(bin.join("answers"), dialect.answers()).unwrap();
        let home = place.path().join("home");
        fs::create_dir(&home).unwrap();
        let qdebug = env!("CARGO_BIN_EXE_qdebug").into();
        Self {
            place,
            dialect,
            home,
            qdebug,
        }
    }

    /// Submits, with these words besides those that are needed.
    fn submit(&self, words: &[&str], qdebug_home: Option<&Path>) -> Output {
        let _ = fs::remove_file(self.place.path().join("bin/log"));
        // The scheduler's own options stand last.
        let mut all = vec!["submit", "--json", "-g", "none", "-w", "1h"];
        if !words.contains(&"-i") && !words.iter().any(|word| word.starts_with("--image")) {
            all.extend(["-i", "debian"]);
        }
        all.extend(words);
        let mut command = Command::new(&self.qdebug);
        let path = format!("{}:/usr/bin:/bin", self.place.path().join("bin").display());
        command.args(all).env_clear().env("PATH", path);
        command.env("HOME", &self.home).env("USER", "alice");
        if let Some(home) = qdebug_home {
            command.env("QDEBUG_HOME", home);
        }
        command.current_dir(&self.home).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// The words of the last submission.
    fn argv(&self) -> Vec<String> {
        let log = fs::read_to_string(self.place.path().join("bin/log")).unwrap_or_default();
        let calls = log
            .split("\n\0")
            .map(|call| call.split('\0').map(str::to_owned));
        let mut of_submit: Vec<Vec<String>> = calls
            .map(|call| call.filter(|word| !word.is_empty()).collect())
            .filter(|call: &Vec<String>| {
                call.first()
                    .is_some_and(|tool| tool == self.dialect.submitter())
                    && !call.contains(&"--version".to_owned())
            })
            .collect();
        of_submit.pop().unwrap_or_default()
    }

    /// Nothing that a value told to do was done.
    #[track_caller]
    fn is_untouched(&self, value: &str) {
        let found = Command::new("find")
            .arg(self.place.path())
            .args(["-name", "ran"])
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&found.stdout),
            "",
            "{value:?} was run"
        );
    }
}

/// A value as the name of a file.
fn name(value: &str) -> String {
    value.replace('/', ":")
}

/// The answer's session: its request, and the script's words.
fn session(output: &Output) -> (serde_json::Value, Vec<String>, PathBuf) {
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let session = PathBuf::from(answer["session"].as_str().unwrap());
    let request = fs::read(session.join("request.json")).unwrap();
    let script = fs::read_to_string(session.join("job.sh")).unwrap();
    let mut lines = script.splitn(2, '\n');
    assert_eq!(lines.next(), Some("#!/bin/sh"));
    let words = shell_words::split(lines.next().unwrap()).unwrap();
    (serde_json::from_slice(&request).unwrap(), words, session)
}

#[track_caller]
fn refused(output: &Output, what: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code().unwrap();
    assert!([2, 14].contains(&code), "{what}: exit {code}: {said}");
    assert!(said.contains("error:"), "{what}: {said}");
    assert!(!said.contains("panicked"), "{what}: {said}");
}

#[test]
fn what_goes_to_the_scheduler_is_one_word_of_its_argv_or_refused() {
    for dialect in DIALECTS {
        for option in [
            "--queue",
            "--project",
            "--account",
            "--qos",
            "--reservation",
        ] {
            let login = Login::new(dialect);
            let mut plain_taken = false;
            for value in ["plain"].iter().chain(&HOSTILE) {
                let word = format!("{option}={value}");
                let output = login.submit(&[&word], None);
                login.is_untouched(value);
                let what = format!("{dialect:?} {option} {value:?}");
                if output.status.success() {
                    plain_taken |= *value == "plain";
                    let argv = login.argv();
                    let whole = |word: &String| {
                        word.split_once(*value).is_some_and(|(before, after)| {
                            after.is_empty() && (before.is_empty() || before.ends_with('='))
                        })
                    };
                    // A word of several values, as PBS' `-W a=b`, holds it as its last.
                    assert!(argv.iter().any(whole), "{what}: {argv:?}");
                    // What stands alone is the argument of an option before it.
                    for pair in argv.windows(2).filter(|pair| pair[1] == *value) {
                        assert!(pair[0].starts_with('-'), "{what}: {argv:?}");
                    }
                } else {
                    refused(&output, &what);
                }
            }
            let offered = plain_taken
                || (dialect != Dialect::Slurm
                    && ["--qos", "--reservation", "--project"].contains(&option));
            assert!(offered, "{dialect:?} never takes {option}");
        }
    }
}

#[test]
fn more_options_arrive_as_they_are_or_are_refused() {
    for dialect in DIALECTS {
        let login = Login::new(dialect);
        let option = match dialect {
            Dialect::Slurm => "--comment",
            _ => "-M",
        };
        for value in HOSTILE {
            let words: &[&str] = &["--", option, value];
            let output = login.submit(words, None);
            login.is_untouched(value);
            let what = format!("{dialect:?} {value:?}");
            if output.status.success() {
                let argv = login.argv();
                let at = argv.iter().position(|word| word == option).expect(&what);
                assert_eq!(argv.get(at + 1).map(String::as_str), Some(value), "{what}");
            } else {
                refused(&output, &what);
            }
        }
    }
}

#[test]
fn environment_workdir_and_mounts_are_kept_to_the_letter() {
    for dialect in DIALECTS {
        let login = Login::new(dialect);
        for value in HOSTILE {
            let what = format!("{dialect:?} {value:?}");
            let output = login.submit(&["-e", &format!("WORD={value}")], None);
            if output.status.success() {
                assert_eq!(session(&output).0["env"]["WORD"], value, "{what}");
            } else {
                refused(&output, &what);
                assert!(value.contains('\n'), "{what}");
            }
            login.is_untouched(value);

            let folder = login.home.join(name(value));
            fs::create_dir(&folder).unwrap();
            let path = folder.to_str().unwrap();
            let output = login.submit(&[&format!("--workdir={path}")], None);
            if output.status.success() {
                assert_eq!(session(&output).0["project"], path, "{what}");
            } else {
                refused(&output, &what);
                assert!(value.contains('\n'), "{what}");
            }
            let output = login.submit(&["-m", &format!("{path}:/data")], None);
            if output.status.success() {
                let request = session(&output).0.to_string();
                let told = serde_json::to_string(path).unwrap();
                assert!(
                    request.contains(&told[1..told.len() - 1]),
                    "{what}: {request}"
                );
            } else {
                refused(&output, &what);
            }
            login.is_untouched(value);
            // Nothing of these is for the scheduler to see.
            assert!(
                login.argv().iter().all(|word| !word.contains("touch ran")),
                "{what}"
            );
        }
    }
}

#[test]
fn names_and_images_are_of_their_alphabet() {
    let login = Login::new(Dialect::Slurm);
    for value in HOSTILE {
        for option in ["--name", "--image"] {
            let output = match option {
                "--name" => login.submit(&[&format!("--name={value}")], None),
                _ => login.submit(&["-i", value], None),
            };
            refused(&output, &format!("{option} {value:?}"));
            login.is_untouched(value);
            assert_eq!(login.argv(), [""; 0], "{option} {value:?}");
        }
    }
}

#[test]
fn homes_and_the_program_may_lie_anywhere() {
    // Beside the program, so that it can be one more name of it.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for dialect in DIALECTS {
        for value in HOSTILE {
            let what = format!("{dialect:?} {value:?}");
            let mut login = Login::new(dialect);
            if dialect != Dialect::Torque {
                login.home = login.place.path().join(name(value));
                fs::create_dir(&login.home).unwrap();
            }
            let other = login.place.path().join("shared").join(name(value));
            let place = tempfile::tempdir_in(target).unwrap();
            let program = place.path().join(name(value));
            fs::hard_link(&login.qdebug, &program).unwrap();
            login.qdebug.clone_from(&program);
            for qdebug_home in [None, Some(other.as_path())] {
                let output = login.submit(&[], qdebug_home);
                login.is_untouched(value);
                if output.status.success() {
                    let (request, words, session) = session(&output);
                    let base = qdebug_home.unwrap_or(&login.home);
                    assert!(session.starts_with(base), "{what}: {session:?}");
                    assert_eq!(request["home"], login.home.to_str().unwrap(), "{what}");
                    let paths = [program.to_str().unwrap(), session.to_str().unwrap()];
                    // The first word is the PATH, which is constant.
                    assert_eq!(words[1..], ["exec", paths[0], "node", paths[1]], "{what}");
                    let script = session.join("job.sh");
                    let argv = login.argv();
                    let script = script.to_str().unwrap();
                    let held = argv.iter().any(|word| word == script);
                    assert!(held || dialect == Dialect::Torque, "{what}: {argv:?}");
                } else {
                    refused(&output, &what);
                    // Torque carries no path of a session that is not plain.
                    let torque = dialect == Dialect::Torque && qdebug_home.is_some();
                    let said = String::from_utf8_lossy(&output.stderr);
                    assert!(value.contains('\n') || torque, "{what}: {said}");
                }
            }
        }
    }
}
