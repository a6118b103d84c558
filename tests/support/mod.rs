//! What tests do when this machine lacks what they need.

#![allow(dead_code)] // Each test binary uses its part.

/// Says on stderr why a test is skipped. `tests/run.sh` has installed everything and sets
/// `QDEBUG_TEST_ALL`: there a skip is a failure.
pub(crate) fn skip(reason: &str) {
    assert!(
        std::env::var_os("QDEBUG_TEST_ALL").is_none(),
        "nothing may be skipped here: {reason}"
    );
    eprintln!("skipped: {reason}");
}

/// Whether root runs this, by whom `tests/run.sh` has such tests run; without it the test is skipped for
/// that reason.
pub(crate) fn is_root(reason: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip(reason);
    }
    root
}
