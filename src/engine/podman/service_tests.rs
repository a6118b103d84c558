//! Tests of `service.rs`.

use super::*;

#[test]
fn a_folder_with_too_long_a_path_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("x".repeat(40));
    std::fs::create_dir(&long).unwrap();
    let error = Home::below(&long).make().unwrap_err();
    assert!(matches!(error, Error::PodmanHome { .. }), "{error}");
}

#[test]
fn what_an_earlier_boot_left_is_forgotten_and_what_this_one_has_is_kept() {
    let folder = tempfile::Builder::new()
        .prefix("q")
        .tempdir_in("/tmp")
        .unwrap();
    let home = Home::below(folder.path());
    home.make().unwrap();
    assert!(!home.is_used());
    let (pause, note) = (home.runtime().join("pause.pid"), home.path.join("boot-id"));
    std::fs::write(&pause, "1").unwrap();
    home.make().unwrap();
    assert!(pause.exists());
    std::fs::write(&note, "another\n").unwrap();
    home.make().unwrap();
    assert!(!pause.exists());
    assert!(note.exists());
}

#[test]
fn a_known_complaint_is_told_alone() {
    let lines = Mutex::new(VecDeque::from([
        "level=warning msg=\"\\\"/\\\" is not a shared mount\"".to_owned(),
        "other".to_owned(),
        "Error: exec: \"newuidmap\": executable file not found".to_owned(),
    ]));
    assert!(said(&lines, 125).starts_with("Error: exec"));
    let nothing = Mutex::new(VecDeque::new());
    assert!(said(&nothing, 125).contains("125"));
}
