//! Programs that end, hang or are missing, on Windows.

use super::*;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn cmd(line: &str) -> Program {
    Program::new("cmd").args(["/d", "/c", line])
}

#[test]
fn gives_status_and_both_streams() {
    let output = block_on(cmd("echo out& echo err>&2& exit 3").output()).unwrap();
    let said = (output.stdout.trim(), output.stderr.trim());
    assert_eq!((output.status, said), (3, ("out", "err")));
}

#[test]
fn what_is_given_on_stdin_is_read() {
    let output = block_on(cmd("more").stdin("in\r\n").output()).unwrap();
    assert_eq!(output.stdout.trim(), "in");
}

#[test]
fn a_hanging_program_is_killed_at_its_limit() {
    let program = cmd("for /l %i in (1,0,2) do @rem");
    let limit = Duration::from_millis(300);
    assert!(matches!(
        block_on(program.time_limit(limit).output()),
        Err(Error::TimedOut { .. })
    ));
}

#[test]
fn what_is_launched_tells_of_an_early_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = std::fs::File::create(&path).unwrap();
    let program = cmd("echo no display>&2& exit 4").own_locale();
    let ended = block_on(program.launch(log, Duration::from_secs(60))).unwrap();
    assert_eq!(ended, Some(4));
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), "no display");
}

#[test]
fn a_missing_program_is_named() {
    let error = block_on(Program::new("no such program").output()).unwrap_err();
    assert!(matches!(error, Error::NotFound { program } if program == "no such program"));
}
