//! The four hosts: a shell line, or a program, run on one of them.

use std::process::Output;
use std::time::Duration;

use assert_cmd::Command;

/// The longest that anything asked for here may take.
const LIMIT: Duration = Duration::from_secs(180);

/// A program and its arguments, as alice.
pub(crate) fn run(host: &str, arguments: &[&str]) -> Output {
    run_as("alice", host, arguments)
}

/// A program and its arguments; one argument alone is a shell line.
pub(crate) fn run_as(user: &str, host: &str, arguments: &[&str]) -> Output {
    let on = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/cluster/on");
    Command::new(on)
        .args(["--user", user, host])
        .args(arguments)
        .timeout(LIMIT)
        .output()
        .unwrap()
}

/// Runs a shell line as alice; it must succeed. Gives what it wrote to stdout, trimmed.
#[track_caller]
pub(crate) fn said(host: &str, line: &str) -> String {
    let output = run(host, &[line]);
    assert!(
        output.status.success(),
        "{host}$ {line}\n{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Whether a shell line succeeds as alice.
pub(crate) fn succeeds(host: &str, line: &str) -> bool {
    run(host, &[line]).status.success()
}
