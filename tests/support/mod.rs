//! What tests do when this machine lacks what they need.

/// Says on stderr why a test is skipped. `tests/run.sh` has installed everything and sets
/// `QDEBUG_TEST_ALL`: there a skip is a failure.
pub(crate) fn skip(reason: &str) {
    assert!(
        std::env::var_os("QDEBUG_TEST_ALL").is_none(),
        "nothing may be skipped here: {reason}"
    );
    eprintln!("skipped: {reason}");
}
