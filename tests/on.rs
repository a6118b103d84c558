//! `--on`, through the binary: heeded or refused by every command, and repeated by hints.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::path::Path;
use std::process::Command;

/// Exit code and stderr of `qdebug` with these words in this home.
fn qdebug(home: &Path, words: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_qdebug"))
        .args(words)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", home)
        .env("QDEBUG_SITE", home.join("none"))
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), told)
}

#[test]
fn on_is_heeded_or_refused_and_hints_repeat_it() {
    let home = tempfile::Builder::new().prefix("a b ").tempdir().unwrap();
    let told = |code: i32, words: &[&str], says: &[&str]| {
        let (status, told) = qdebug(home.path(), words);
        assert_eq!(status, Some(code), "{words:?}: {told}");
        for word in says {
            assert!(told.contains(word), "{words:?}: no {word:?} in {told}");
        }
    };
    let elsewhere = "a@b.example";
    let connect = "first: qdebug connect --on a@b.example otter";
    told(3, &["--on", elsewhere, "ssh", "otter"], &[connect]);
    told(
        3,
        &["forward", "otter", "8888", "--on", elsewhere],
        &[connect],
    );
    let debug = ["--on", elsewhere, "debug", "otter", "--", "python", "x.py"];
    told(3, &debug, &[connect]);
    told(3, &["ssh", "otter"], &["first: qdebug connect otter"]);
    // A profile that is not there is no reason to take any session of that name.
    told(
        14,
        &["--on", "lab", "ssh", "otter"],
        &["no cluster \"lab\""],
    );
    for words in [["doctor", "--node"], ["doctor", "--login"]] {
        let words = [&words[..], &["--on", elsewhere]].concat();
        told(
            2,
            &words,
            &["--on: this command is about the machine it runs on"],
        );
    }
    let ide = ["ide", "list", "--on", elsewhere];
    told(
        2,
        &ide,
        &["files of this machine", "without `--on a@b.example`"],
    );
    let setup = ["setup", "c@d.example", "--on", elsewhere];
    told(
        2,
        &setup,
        &["two clusters are named: c@d.example, and --on a@b.example"],
    );
}
