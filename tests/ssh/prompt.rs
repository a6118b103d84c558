//! A person at a terminal whom ssh asks, as they meet qdebug.

use std::fs;

use qdebug::process::Program;

use crate::bench::{LIMIT, QDEBUG, sshs, within};
use crate::common::{Bench, block_on};

/// Starts a program on a terminal of its own and types there.
const PERSON: &str = include_str!("../support/person.py");

/// A Ctrl-C there is no wrong password: a cluster counts those, and shuts out who has too many.
#[test]
fn ctrl_c_at_a_password_prompt_ends_all_and_counts_as_no_password() {
    block_on(async {
        let mut bench = Bench::new().await;
        let (port, key) = bench.sshd("login", "PasswordAuthentication yes").await;
        let _ = bench.config(&[("login", port, &key)], "PubkeyAuthentication no");
        let config = bench.path("config").display().to_string();
        let real = where_is("ssh");
        bench.script("bin/ssh", &format!("exec '{real}' -F '{config}' \"$@\"\n"));
        let profile =
            format!("[clusters.lab]\nlogin = \"login\"\nqdebug = \"{QDEBUG}\"\nmasters = false\n");
        fs::write(bench.path("lab.toml"), profile).unwrap();
        let steps = r#"[["password:", "\u0003"]]"#;
        let words = ["status", "otter", "--on", "lab"];
        let person = Program::new("python3").args(["-c", PERSON, steps, QDEBUG]);
        let path = std::env::var("PATH").unwrap();
        let person = person
            .args(words)
            .env("PATH", format!("{}:{path}", bench.path("bin").display()))
            .env("HOME", bench.dir())
            .env("QDEBUG_SITE", bench.path("none"))
            .env("QDEBUG_CONFIG", bench.path("lab.toml"))
            .time_limit(LIMIT * 2);
        let ran = person.output().await.unwrap();
        assert!(ran.stdout.contains("password:"), "{ran:?}");
        assert!(
            ran.status != 0 && !ran.stderr.contains("too late"),
            "{ran:?}"
        );
        within("ssh's end", async || sshs(&bench).await.is_empty()).await;
        let log = fs::read_to_string(bench.path("login.log")).unwrap();
        assert!(!log.contains("Failed password"), "{log}");
        assert!(log.contains("closed by"), "{log}");
    });
}

/// Where a program is, by the PATH of here.
fn where_is(program: &str) -> String {
    let path = std::env::var_os("PATH").unwrap();
    let mut at = std::env::split_paths(&path).map(|folder| folder.join(program));
    let found = at.find(|path| path.exists()).expect("ssh is installed");
    found.to_str().unwrap().to_owned()
}
