//! Programs that end, hang, are missing or go on.

use super::*;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn gives_status_and_both_streams() {
    let program = Program::new("sh").args(["-c", "cat; echo err >&2; exit 3"]);
    let output = block_on(program.stdin("in").output()).unwrap();
    assert_eq!(
        (output.status, &*output.stdout, &*output.stderr),
        (3, "in", "err\n")
    );
}

#[test]
fn a_hanging_program_is_killed_at_its_limit() {
    let program = Program::new("sleep")
        .arg("60")
        .time_limit(Duration::from_millis(50));
    assert!(matches!(
        block_on(program.output()),
        Err(Error::TimedOut { .. })
    ));
}

#[test]
fn what_is_launched_goes_on_and_an_early_end_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let launch = |script: &str, patience| {
        let log = std::fs::File::create(&path).unwrap();
        let program = Program::new("sh").args(["-c", script]).own_locale();
        block_on(program.launch(log, Duration::from_millis(patience))).unwrap()
    };
    assert_eq!(launch("echo no display >&2; exit 4", 60_000), Some(4));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "no display\n");
    assert_eq!(launch("sleep 1; echo alive", 50), None);
    for _ in 0..600 {
        if std::fs::read_to_string(&path).unwrap() == "alive\n" {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it did not live on");
}

#[test]
fn a_missing_program_is_named() {
    let error = block_on(Program::new("no such program").output()).unwrap_err();
    assert!(matches!(error, Error::NotFound { program } if program == "no such program"));
}

#[test]
fn a_signal_counts_as_shells_do() {
    let program = Program::new("sh").args(["-c", "kill -9 $$"]);
    assert_eq!(block_on(program.output()).unwrap().status, 137);
}

#[test]
fn shows_words_quoted() {
    assert_eq!(
        Program::new("a").args(["b c", "$d"]).shown(),
        "a 'b c' '$d'"
    );
}

#[test]
fn what_writes_without_an_end_is_stopped() {
    let bounded = |line: &str| {
        let program = Program::new("sh").args(["-c", line]).at_most(100_000);
        block_on(program.output())
    };
    for line in ["yes", "yes >&2", "yes & yes >&2; wait"] {
        let error = bounded(line).unwrap_err();
        assert!(
            matches!(error, Error::TooMuch { most: 100_000, .. }),
            "{error:?}"
        );
    }
    let all = bounded("head -c 100000 /dev/zero").unwrap();
    assert_eq!(all.stdout.len(), 100_000);
}
