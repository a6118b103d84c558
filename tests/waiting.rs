//! Waits through the binary, against a Slurm made of scripts: what they show, and what becomes of
//! the job when somebody has enough of it, on a terminal and without one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Slurm's tools as far as a session that waits meets them. What the one job says of itself is in
/// the file `job`; without it there is none.
const SLURM: &str = r#"#!/bin/sh
cd "${0%/*}/.." || exit 1
case ${0##*/} in
scontrol) echo 'ClusterName = lab';;
sbatch) [ "$1" != --version ] || { echo 'slurm 22.05.8'; exit; }
    [ ! -f slow ] || sleep 2
    echo sbatch >>log; cp first job; echo 7;;
scancel) echo "scancel $*" >>log; rm -f job; echo '7|CANCELLED|None|N/A||N/A|0|' >job;;
squeue) case "$*" in
    *--states=PENDING*) [ ! -f places ] || cat places;;
    *) [ ! -f job ] || cat job;;
    esac;;
sinfo) ;;
*) exit 1;;
esac
"#;

/// A person at a terminal, to whom the steps are given as JSON.
const PERSON: &str = include_str!("support/person.py");

const CTRL_C: &str = "\u{3}";
const CTRL_D: &str = "\u{4}";
const QUESTION: &str = "[K]eep, [c]ancel:";

/// A login node.
struct Login {
    place: tempfile::TempDir,
}

struct Ran {
    code: i32,
    /// Both streams on a terminal, else stderr.
    said: String,
    out: String,
}

impl Login {
    /// One whose queue tells `reason` of the job, `places` of everybody's.
    fn new(reason: &str, estimate: &str, places: &str) -> Self {
        let place = tempfile::Builder::new().prefix("a b ").tempdir().unwrap();
        let login = Self { place };
        fs::create_dir_all(login.at("bin")).unwrap();
        fs::create_dir_all(login.at("home/.ssh")).unwrap();
        for tool in ["scontrol", "sbatch", "scancel", "squeue", "sinfo", "sacct"] {
            fs::write(login.at("bin").join(tool), SLURM).unwrap();
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(login.at("bin").join(tool), mode).unwrap();
        }
        let job = format!("7|PENDING|{reason}|N/A||{estimate}|0|qdebug-otter|\n");
        fs::write(login.at("first"), job).unwrap();
        fs::write(login.at("places"), places).unwrap();
        login
    }

    fn at(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.at("log")).unwrap_or_default()
    }

    fn dress(&self, command: &mut Command) {
        let tools = format!("{}:/usr/bin:/bin", self.at("bin").display());
        command
            .env_clear()
            .env("PATH", tools)
            .env("HOME", self.at("home"))
            .env("XDG_RUNTIME_DIR", self.at("home"))
            .env("USER", "alice");
    }

    fn start(&self, words: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qdebug"));
        self.dress(command.args(words));
        let piped = Stdio::piped;
        command
            .stdin(Stdio::null())
            .stdout(piped())
            .stderr(piped())
            .spawn()
            .unwrap()
    }

    fn run(&self, words: &[&str]) -> Ran {
        ran(self.start(words))
    }

    /// At a terminal, with what is to be typed when a word appears.
    fn type_at(&self, steps: &[(&str, &str)], words: &[&str]) -> Ran {
        let steps = serde_json::to_string(steps).unwrap();
        let mut person = Command::new(python());
        person.args(["-c", PERSON, &steps, env!("CARGO_BIN_EXE_qdebug")]);
        self.dress(person.args(words));
        let output = person.stdin(Stdio::null()).output().unwrap();
        Ran {
            code: output.status.code().unwrap(),
            said: String::from_utf8_lossy(&output.stdout).into_owned(),
            out: String::new(),
        }
    }

    fn submitted(&self) {
        let ran = self.run(&SUBMIT);
        assert_eq!(ran.code, 0, "{}", ran.said);
    }
}

/// By its path: the person's PATH is another.
fn python() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let mut at = std::env::split_paths(&path).map(|folder| folder.join("python3"));
    at.find(|path| path.exists()).expect("python3 is installed")
}

fn ran(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
    }
}

const SUBMIT: [&str; 9] = [
    "submit", "--name", "otter", "-g", "none", "-w", "1h", "-i", "debian",
];
const CONNECT: [&str; 5] = ["connect", "otter", "--on", "here", "--yes"];

fn submit_and_wait() -> Vec<&'static str> {
    [&SUBMIT[..], &["--wait"]].concat()
}

/// The same in one command, which is its own laptop here.
fn up() -> Vec<&'static str> {
    [&["up"], &SUBMIT[1..], &["--on", "here", "--yes"]].concat()
}

/// Each of the three that wait, all at once: they have a login node of their own, and little to do.
fn at_once(wait: impl Fn(Vec<&'static str>) + Sync) {
    let wait = &wait;
    std::thread::scope(|scope| {
        for words in [submit_and_wait(), CONNECT.to_vec(), up()] {
            scope.spawn(move || wait(words));
        }
    });
}

fn waits() -> Login {
    Login::new(
        "Resources",
        "2031-02-03T04:05:06",
        "3|gpu|Priority|\n7|gpu|Resources|\n",
    )
}

#[track_caller]
fn says(ran: &Ran, words: &[&str]) {
    for word in words {
        assert!(ran.said.contains(word), "no {word:?} in: {}", ran.said);
    }
}

#[track_caller]
fn kept(login: &Login, ran: &Ran) {
    assert_eq!(ran.code, 130, "{}", ran.said);
    says(ran, &["the job is kept; `qdebug stop 7"]);
    assert!(!login.log().contains("scancel"), "{}", login.log());
}

#[test]
fn ctrl_c_in_a_wait_asks_and_keeps_or_cancels() {
    at_once(|words| {
        for (answer, keeps) in [("\n", true), ("keep\n", true), ("c\n", false)] {
            let login = waits();
            if words == CONNECT {
                login.submitted();
            }
            let steps = [("in the queue", CTRL_C), (QUESTION, answer)];
            let ran = login.type_at(&steps, &words);
            says(&ran, &["otter: queued: number 2 in the queue", "job 7"]);
            if keeps {
                kept(&login, &ran);
            } else {
                assert_eq!(ran.code, 130, "{}", ran.said);
                assert!(login.log().contains("scancel"), "{}", login.log());
                says(&ran, &["otter: ended: stopped by alice"]);
            }
        }
    });
}

/// What is just being submitted is known before anybody is asked about it.
#[test]
fn ctrl_c_while_up_submits_loses_no_job() {
    for (answer, keeps) in [("k\n", true), ("cancel\n", false)] {
        let login = waits();
        fs::write(login.at("slow"), "").unwrap();
        let steps = [("submitting to", CTRL_C), (QUESTION, answer)];
        let ran = login.type_at(&steps, &up());
        says(
            &ran,
            &["just being submitted", "submitted to slurm lab as job 7"],
        );
        assert!(login.log().contains("sbatch"), "{}", ran.said);
        if keeps {
            kept(&login, &ran);
        } else {
            assert_eq!(ran.code, 130, "{}", ran.said);
            assert!(login.log().contains("scancel"), "{}", login.log());
        }
    }
}

#[test]
fn whoever_does_not_answer_keeps_the_job() {
    at_once(|words| {
        for silence in [CTRL_C, CTRL_D] {
            let login = waits();
            if words == CONNECT {
                login.submitted();
            }
            let unclear = (QUESTION, "yes\n");
            let steps = [("in the queue", CTRL_C), unclear, (QUESTION, silence)];
            let ran = login.type_at(&steps, &words);
            says(&ran, &["answer `keep` or `cancel`"]);
            kept(&login, &ran);
        }
    });
}

#[test]
fn without_a_terminal_and_by_other_signals_the_job_is_kept() {
    at_once(|words| {
        for signal in ["-INT", "-TERM", "-HUP"] {
            let login = waits();
            if words == CONNECT {
                login.submitted();
            }
            let child = login.start(&words);
            // It must wait first; what it tells is read afterwards.
            let late = Instant::now() + Duration::from_secs(20);
            let session = login.at("home/.qdebug/sessions/otter/job.json");
            while !session.exists() {
                assert!(Instant::now() < late);
                std::thread::sleep(Duration::from_millis(50));
            }
            std::thread::sleep(Duration::from_secs(3));
            let pid = child.id().to_string();
            assert!(
                Command::new("kill")
                    .args([signal, &pid])
                    .status()
                    .unwrap()
                    .success()
            );
            let ran = ran(child);
            kept(&login, &ran);
            assert!(!ran.said.contains(QUESTION), "{}", ran.said);
        }
    });
}

#[test]
fn what_can_never_run_is_told_at_once_with_the_cure() {
    at_once(|words| {
        let login = Login::new("PartitionTimeLimit", "N/A", "");
        if words == CONNECT {
            login.submitted();
        }
        let ran = login.run(&words);
        assert_eq!(ran.code, 4, "{}", ran.said);
        says(
            &ran,
            &["can never run as it is", "the job is kept", "qdebug gpus"],
        );
        let status = login.run(&["status", "otter"]);
        assert!(status.out.contains("can never run"), "{}", status.out);
        assert!(status.out.contains("qdebug gpus"), "{}", status.out);
        let ran = login.type_at(&[(QUESTION, "cancel\n")], &CONNECT);
        assert_eq!(ran.code, 4, "{}", ran.said);
        assert!(login.log().contains("scancel"), "{}", login.log());
    });
}

#[test]
fn a_queue_shows_place_reason_and_estimate_everywhere() {
    let login = waits();
    login.submitted();
    let words = [
        "number 2 in the queue",
        "waits",
        "expected to start on 2031-02-03",
    ];
    for command in [&["status", "7"][..], &["list"]] {
        let ran = login.run(command);
        for word in words {
            assert!(ran.out.contains(word), "no {word:?} in {}", ran.out);
        }
    }
    let told = login.run(&["status", "7", "--json"]).out;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["position"], 2);
    assert_eq!(told["estimate"], "2031-02-03T04:05:06Z");
    assert_eq!(
        (&told["state"], &told["never"]),
        (&"queued".into(), &false.into())
    );
    assert!(told["reason"].is_string());
}

/// Each change of place, reason or state is a line, and nothing is said twice.
#[test]
fn a_wait_tells_each_change_once() {
    let login = waits();
    let child = login.start(&submit_and_wait());
    let change = |name: &str, text: &str| {
        std::thread::sleep(Duration::from_secs(5));
        let aside = login.at("aside");
        fs::write(&aside, text).unwrap();
        fs::rename(&aside, login.at(name)).unwrap();
    };
    change("places", "7|gpu|Resources|\n");
    change("job", "7|PENDING|Priority|N/A||N/A|0|qdebug-otter|\n");
    change("job", "7|CANCELLED|None|N/A||N/A|0|qdebug-otter|\n");
    let ran = ran(child);
    assert_eq!(ran.code, 10, "{}", ran.said);
    let lines: Vec<&str> = lines_about(&ran.said, "otter: queued").collect();
    assert_eq!(lines.len(), 3, "{}", ran.said);
    assert!(
        lines[0].contains("number 2") && lines[1].contains("number 1"),
        "{lines:?}"
    );
    assert_ne!(lines[1], lines[2]);
    says(&ran, &["otter is over: ended: the job was cancelled"]);
}

fn lines_about<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter(move |line| line.starts_with(start))
}

/// Behind an ssh without a terminal its end, and behind `| head` that one's, is all that is seen of
/// somebody's having enough.
#[test]
fn what_nobody_reads_any_more_is_neither_followed_nor_waited_for() {
    let login = waits();
    login.submitted();
    let logs = login.start(&["logs", "--follow", "otter"]);
    let wait = login.start(&[
        "submit", "--name", "heron", "-g", "none", "-w", "1h", "-i", "debian", "--wait",
    ]);
    for (mut child, code) in [(logs, 0), (wait, 130)] {
        std::thread::sleep(Duration::from_secs(3));
        assert!(child.try_wait().unwrap().is_none());
        drop((child.stdout.take(), child.stderr.take()));
        let late = Instant::now() + Duration::from_secs(30);
        let ended = loop {
            if let Some(ended) = child.try_wait().unwrap() {
                break ended;
            }
            assert!(Instant::now() < late, "it goes on");
            std::thread::sleep(Duration::from_millis(50));
        };
        assert_eq!(ended.code(), Some(code));
    }
    assert!(!login.log().contains("scancel"), "{}", login.log());
}
