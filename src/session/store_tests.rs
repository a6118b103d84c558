//! Tests of `store.rs`.

#[cfg(unix)]
use std::time::SystemTime;

use super::super::PublicKey;
use super::super::samples::{self, job};
#[cfg(unix)]
use super::super::{Clock, End, EndReason, Phase, Presumed, State};
use super::*;

/// With odd texts in it.
fn request(name: &str) -> Request {
    Request {
        mounts: vec!["/a b:/c:ro".parse().unwrap()],
        env: [("A".parse().unwrap(), "'\"$x\n🦀".to_owned())].into(),
        ..samples::request(name)
    }
}

#[cfg(unix)]
#[test]
fn nobody_may_change_what_the_node_runs() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let session = Store::below(home.path()).create(&request("otter")).unwrap();
    for text in ["first", "second"] {
        session.write_job_files(text, "epilogue").unwrap();
        assert_eq!(std::fs::read_to_string(session.job_shell()).unwrap(), text);
    }
    for path in [session.job_shell(), session.job_epilogue()] {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o500, "{}", path.display());
    }
}

#[test]
fn a_session_is_found_by_name_and_by_either_job_id() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::below(home.path());
    let asked = request("otter");
    let session = store.create(&asked).unwrap();
    session.write_job(&job(&asked, "33.server")).unwrap();
    assert_eq!(
        store.by_name(&asked.name).unwrap().request().unwrap(),
        asked
    );
    for id in ["33", "33.server"] {
        assert_eq!(
            store.by_job(id).unwrap(),
            std::slice::from_ref(&session),
            "{id}"
        );
    }
    assert!(store.by_job("3").unwrap().is_empty());
    assert!(store.by_name(&"newt".parse().unwrap()).is_err());
}

#[cfg(unix)] // A rename does not take a folder's place elsewhere.
#[test]
fn a_name_is_taken_until_its_session_is_retired() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::below(home.path());
    let first = request("otter");
    let session = store.create(&first).unwrap();
    assert!(matches!(store.create(&first), Err(Error::Exists { .. })));
    let retired = store.retire(&session, &first.token).unwrap();
    assert_eq!(retired.shown_name(), Some("otter"));
    let second = request("otter");
    store.create(&second).unwrap();
    assert_eq!(store.all().unwrap().len(), 2);
    assert_eq!(
        store
            .by_name(&second.name)
            .unwrap()
            .request()
            .unwrap()
            .token,
        second.token
    );
}

#[cfg(unix)]
#[test]
fn an_empty_directory_takes_no_name_and_a_full_one_does() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::below(home.path());
    let asked = request("otter");
    fs::create_dir_all(store.place(&asked.name)).unwrap();
    store.create(&asked).unwrap();
    let damaged = request("newt");
    fs::create_dir_all(store.place(&damaged.name).join("x")).unwrap();
    fs::write(store.root.join("toad"), "").unwrap();
    for taken in [damaged, request("toad")] {
        assert!(matches!(store.create(&taken), Err(Error::Exists { .. })));
    }
    let names = fs::read_dir(&store.root).unwrap().count();
    assert_eq!(names, 3, "nothing half-made stays");
    let (young, old) = (store.root.join(".new-1"), store.root.join(".new-2"));
    fs::create_dir(&young).unwrap();
    fs::create_dir(&old).unwrap();
    let times = fs::FileTimes::new().set_modified(SystemTime::now() - 2 * HALF_MADE_FOR);
    fs::File::open(&old).unwrap().set_times(times).unwrap();
    store.create(&request("adder")).unwrap();
    assert!(young.exists() && !old.exists());
}

#[cfg(unix)]
#[test]
fn everything_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let store = Store::below(home.path());
    let session = store.create(&request("otter")).unwrap();
    session.write_script("#!/bin/sh\n").unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(session.path()), 0o700);
    assert_eq!(mode(&session.path().join("request.json")), 0o600);
    assert_eq!(mode(&session.path().join("job.sh")), 0o700);
}

#[test]
fn what_is_no_session_is_passed_over() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::below(home.path());
    for odd in ["..x", "UPPER", "a.tok", "a b", ".new-x"] {
        fs::create_dir_all(store.root.join(odd)).unwrap();
    }
    assert_eq!(store.all().unwrap(), []);
}

#[test]
fn a_laptop_key_is_remembered_once() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::below(home.path());
    let key: PublicKey = format!("ssh-ed25519 AAAA{} me", "b".repeat(60))
        .parse()
        .unwrap();
    store.remember_key(&key).unwrap();
    store.remember_key(&key).unwrap();
    assert_eq!(store.known_keys().unwrap().keys, [key]);
}

/// Written two months ago.
#[cfg(unix)]
fn aged(session: &SessionDir, name: &str) {
    let written = SystemTime::now() - Duration::from_secs(60 * 24 * 3600);
    let times = fs::FileTimes::new().set_modified(written);
    let file = fs::File::open(session.path().join(name)).unwrap();
    file.set_times(times).unwrap();
}

#[cfg(unix)]
fn state(request: &Request, phase: Phase) -> State {
    State {
        token: request.token.clone(),
        job: None,
        node: None,
        phase,
        at: request.created,
        began: std::collections::BTreeMap::new(),
        details: None,
    }
}

#[cfg(unix)]
fn ended() -> Phase {
    let reason = EndReason::Walltime;
    Phase::Ended { reason, exit: None }
}

#[cfg(unix)]
#[test]
fn sessions_that_ended_long_ago_are_removed_and_no_others() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::below(home.path());
    let made = |name: &str, phase: Option<Phase>| {
        let request = samples::request(name);
        let session = store.create(&request).unwrap();
        if let Some(phase) = phase {
            session.write_state(&state(&request, phase)).unwrap();
        }
        (session, request.token)
    };
    let (recent, _) = made("recent", Some(ended()));
    let (live, _) = made("live", Some(Phase::Ready));
    let (silent, _) = made("silent", None);
    let (damaged, _) = made("damaged", Some(ended()));
    fs::write(damaged.path().join("stop.json"), "{").unwrap();
    let (concluded, token) = made("concluded", None);
    let presumed = Presumed {
        token,
        failed: true,
        reason: None,
        hint: None,
        at: samples::request("x").created,
    };
    concluded.write_presumed(&presumed).unwrap();
    let (named, _) = made("old", Some(ended()));
    let (nameless, token) = made("older", Some(ended()));
    let nameless = store.retire(&nameless, &token).unwrap();
    for session in [&live, &silent, &damaged, &concluded, &named, &nameless] {
        aged(session, ".");
    }
    made("another", None);
    for kept in [recent, live, silent, damaged, concluded] {
        assert!(kept.path().join("request.json").exists(), "{kept:?}");
    }
    let names = || store.all().unwrap().into_iter().map(|session| session.path);
    assert!(!names().any(|path| path == named.path || path == nameless.path));
    assert_eq!(fs::read_dir(&store.root).unwrap().count(), names().count());
}

#[cfg(unix)]
#[test]
fn the_clock_is_asked_once_and_not_for_what_is_over() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::below(home.path());
    let session = |name: &str, phase: Phase| {
        let request = samples::request(name);
        let session = store.create(&request).unwrap();
        session.write_state(&state(&request, phase)).unwrap();
        aged(&session, "state.json");
        (session, request.token)
    };
    let (over, _) = session("otter", ended());
    let (killed, token) = session("newt", Phase::Ready);
    let end = End {
        token,
        detail: "killed".to_owned(),
        walltime: false,
        at: "2026-01-01T00:00:00Z".parse().unwrap(),
    };
    killed.write_end(&end).unwrap();
    let clock = Clock::default();
    for session in [over, killed] {
        assert_eq!(session.record_by(&clock).unwrap().silence, None);
    }
    assert!(!clock.is_asked());
    let (live, _) = session("toad", Phase::Ready);
    for _ in 0..2 {
        let silence = live.record_by(&clock).unwrap().silence.unwrap();
        assert!(silence > HALF_MADE_FOR, "{silence:?}");
        assert!(clock.is_asked());
    }
}

#[cfg(unix)]
#[test]
fn what_was_concluded_holds_until_something_is_heard() {
    let home = tempfile::tempdir().unwrap();
    let request = samples::request("otter");
    let session = Store::below(home.path()).create(&request).unwrap();
    session.write_job(&job(&request, "33")).unwrap();
    aged(&session, "job.json");
    let is_over = || session.record_by(&Clock::default()).unwrap().is_over();
    let presumed = |token: &Token| Presumed {
        token: token.clone(),
        failed: false,
        reason: None,
        hint: None,
        at: request.created,
    };
    session
        .write_presumed(&presumed(&Token::random().unwrap()))
        .unwrap();
    assert!(!is_over(), "another session's");
    session.write_presumed(&presumed(&request.token)).unwrap();
    assert!(is_over());
    assert!(
        !session.record().unwrap().is_over(),
        "one alone is judged anew"
    );
    aged(&session, "presumed.json");
    session.write_job(&job(&request, "33")).unwrap();
    assert!(!is_over());
}
