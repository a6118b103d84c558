//! The binary as an ordinary process: a FIFO, a holder, and `sh` in sshd's place.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Tests; they cannot see qdebug.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A folder with a lease; gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("qdebug init {name} {}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let made = Command::new("mkfifo").arg(folder.join("lease")).status();
        assert!(made.unwrap().success());
        Self(folder)
    }

    fn lease(&self) -> PathBuf {
        self.0.join("lease")
    }

    fn hold(&self) -> File {
        let mut options = OpenOptions::new();
        options.read(true).write(true).open(self.lease()).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn start(lease: &Path, grace: &str, script: &str, args: &[&Path]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_qdebug-init"))
        .arg("--lease")
        .arg(lease)
        .args(["--grace", grace, "--", "sh", "-c", script, "sh"])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn appears(path: &Path) {
    let limit = Instant::now() + Duration::from_secs(10);
    while !path.exists() {
        assert!(Instant::now() < limit, "{} never came", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn talk(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_a_holder_nothing_starts() {
    let folder = Folder::new("unheld");
    let touched = folder.file("touched");
    let init = start(&folder.lease(), "1", "touch \"$1\"", &[&touched]);
    assert_eq!(status(&init.wait_with_output().unwrap()), 71);
    assert!(!touched.exists());
}

#[test]
fn a_silent_holder_starts_nothing_until_it_speaks() {
    let folder = Folder::new("silent");
    let touched = folder.file("touched");
    let mut holder = folder.hold();
    let script = "touch \"$1\"; sleep 60";
    let init = start(&folder.lease(), "1", script, &[&touched]);
    std::thread::sleep(Duration::from_millis(300));
    assert!(!touched.exists());
    holder.write_all(b"deadline 60\n").unwrap();
    appears(&touched);
    drop(holder);
    assert_eq!(status(&init.wait_with_output().unwrap()), 71);
}

#[test]
fn a_lost_lease_ends_it_at_once() {
    let folder = Folder::new("lost");
    let touched = folder.file("touched");
    let mut holder = folder.hold();
    holder.write_all(b"deadline 60\n").unwrap();
    let script = "touch \"$1\"; exec sleep 60";
    let init = start(&folder.lease(), "30", script, &[&touched]);
    appears(&touched);
    let lost = Instant::now();
    drop(holder);
    assert_eq!(status(&init.wait_with_output().unwrap()), 71);
    assert!(lost.elapsed() < Duration::from_secs(5));
}

#[test]
fn stdin_is_a_lease_where_there_is_no_fifo_to_see() {
    let folder = Folder::new("stdin");
    let touched = folder.file("touched");
    let mut init = Command::new(env!("CARGO_BIN_EXE_qdebug-init"))
        .args(["--lease", "-", "--grace", "30", "--", "sh", "-c"])
        .args(["touch \"$1\"; exec sleep 60", "sh"])
        .arg(&touched)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut holder = init.stdin.take().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(!touched.exists(), "nobody has spoken");
    holder.write_all(b"deadline 60\n").unwrap();
    appears(&touched);
    let lost = Instant::now();
    drop(holder);
    assert_eq!(status(&init.wait_with_output().unwrap()), 71);
    assert!(lost.elapsed() < Duration::from_secs(5));
}

const STUBBORN: &str = "trap '' TERM; touch \"$1\"; while :; do sleep 0.1; done";

#[test]
fn the_grace_is_an_upper_bound_and_stubborn_ones_are_killed() {
    let folder = Folder::new("stubborn");
    let touched = folder.file("touched");
    let mut holder = folder.hold();
    holder.write_all(b"deadline 60\n").unwrap();
    let init = start(&folder.lease(), "1", STUBBORN, &[&touched]);
    appears(&touched);
    let ended = Instant::now();
    holder.write_all(b"deadline 0\n").unwrap();
    // Its streams close only when the stubborn one is dead too.
    assert_eq!(status(&init.wait_with_output().unwrap()), 70);
    let took = ended.elapsed();
    assert!((1..10).contains(&took.as_secs()), "{took:?}");
}

#[test]
fn a_lost_lease_leaves_stubborn_ones_little_time() {
    let folder = Folder::new("stubborn and lost");
    let touched = folder.file("touched");
    let mut holder = folder.hold();
    holder.write_all(b"deadline 60\n").unwrap();
    let init = start(&folder.lease(), "30", STUBBORN, &[&touched]);
    appears(&touched);
    let lost = Instant::now();
    drop(holder);
    assert_eq!(status(&init.wait_with_output().unwrap()), 71);
    let took = lost.elapsed();
    assert!((400..5000).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn the_deadline_ends_it_and_a_renewal_moves_it() {
    let folder = Folder::new("deadline");
    let mut holder = folder.hold();
    let began = Instant::now();
    holder.write_all(b"deadline 60\ndeadline 1\n").unwrap();
    let init = start(&folder.lease(), "1", "exec sleep 60", &[]);
    std::thread::sleep(Duration::from_millis(500));
    holder.write_all(b"deadline 2\n").unwrap();
    assert_eq!(status(&init.wait_with_output().unwrap()), 70);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(2400), "{took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn a_program_that_ends_ends_it() {
    let folder = Folder::new("program");
    let mut holder = folder.hold();
    holder.write_all(b"deadline 60\n").unwrap();
    let output = start(&folder.lease(), "1", "exit 3", &[]);
    let output = output.wait_with_output().unwrap();
    assert_eq!(status(&output), 72);
    assert!(
        talk(&output).contains("exit status: 3"),
        "{}",
        talk(&output)
    );
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let folder = Folder::new("missing");
    let mut holder = folder.hold();
    holder.write_all(b"deadline 60\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_qdebug-init"))
        .arg("--lease")
        .arg(folder.lease())
        .args(["--", "/no such program"])
        .output()
        .unwrap();
    assert_eq!(status(&output), 72);
    assert!(talk(&output).contains("/no such program"));
}

#[test]
fn signals_end_it() {
    for signal in ["-TERM", "-INT", "-HUP"] {
        let folder = Folder::new(signal);
        let touched = folder.file("touched");
        let mut holder = folder.hold();
        holder.write_all(b"deadline 60\n").unwrap();
        let script = "touch \"$1\"; exec sleep 60";
        let init = start(&folder.lease(), "5", script, &[&touched]);
        appears(&touched);
        let pid = init.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
        assert_eq!(status(&init.wait_with_output().unwrap()), 143);
    }
}

#[test]
fn strange_lines_are_ignored_and_notices_said() {
    let folder = Folder::new("strange");
    let touched = folder.file("touched");
    let mut holder = folder.hold();
    holder.write_all(&[b'x'; 9000]).unwrap();
    holder.write_all(b"\nexec rm\n\xff\ndeadline 60\n").unwrap();
    let script = "touch \"$1\"; exec sleep 60";
    let init = start(&folder.lease(), "5", script, &[&touched]);
    appears(&touched);
    holder.write_all(b"notice ten \x1b[2Jminutes\n").unwrap();
    std::thread::sleep(Duration::from_millis(300));
    drop(holder);
    let output = init.wait_with_output().unwrap();
    assert_eq!(status(&output), 71);
    let talk = talk(&output);
    assert_eq!(talk.matches("strange").count(), 3, "{talk}");
    assert!(talk.contains("ten  [2Jminutes"), "{talk}");
}

#[test]
fn a_plain_file_is_no_lease() {
    let folder = Folder::new("plain");
    let plain = folder.file("plain");
    std::fs::write(&plain, "deadline 60\n").unwrap();
    let output = start(&plain, "1", "true", &[]).wait_with_output().unwrap();
    assert_eq!(status(&output), 71);
}

#[test]
fn a_wrong_command_line_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_qdebug-init")).output();
    let output = output.unwrap();
    assert_eq!(status(&output), 64);
    assert!(talk(&output).contains("usage: "));
}
