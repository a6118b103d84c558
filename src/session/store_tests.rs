//! Tests of `store.rs`.

#[cfg(unix)]
use std::time::SystemTime;

use super::super::PublicKey;
use super::super::samples::{self, job};
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
