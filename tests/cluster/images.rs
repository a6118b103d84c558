//! Any image works as it is.

use crate::session::Session;

#[test]
fn an_image_of_busybox_alone_gives_a_shell() {
    let session = Session::ready(
        "busybox",
        &["-g", "none", "-w", "30m", "-i", "qdebug/busybox"],
    );
    session.connect();
    assert_eq!(
        session.ssh(&["echo $((6 * 7)); id -un"]).ok().text(),
        "42\nalice"
    );
    // What an IDE will miss is told.
    let status = session.status();
    let notices = status["details"]["notices"].to_string();
    for word in ["C library", "bash", "python3"] {
        assert!(notices.contains(word), "{word}: {status:#}");
    }
}

#[test]
fn an_image_whose_sshd_is_its_own_serves_too() {
    let words = [
        "-g",
        "none",
        "-w",
        "30m",
        "-i",
        "qdebug/demo",
        "--sshd",
        "image",
    ];
    // The demo image has none: the error says so and what to do.
    let session = Session::submit("own-sshd", &words);
    let status = session.await_state("failed");
    assert_eq!(status["code"], 8, "{status:#}");
    assert!(
        status["hint"]
            .as_str()
            .unwrap_or_default()
            .contains("--sshd"),
        "{status:#}"
    );
    session.is_gone();
    // The hosts' own image has one.
    let words = [
        "-g",
        "none",
        "-w",
        "30m",
        "-i",
        "qdebug/sshd",
        "--sshd",
        "image",
    ];
    let session = Session::ready("own-sshd-2", &words);
    session.connect();
    assert_eq!(session.ssh(&["id -un"]).ok().text(), "alice");
}

#[test]
fn the_container_has_no_rights_it_does_not_need() {
    let session = Session::ready("rights", &["-g", "none", "-w", "30m", "-i", "qdebug/demo"]);
    session.connect();
    let status = session
        .ssh(&["grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status"])
        .ok();
    let words: Vec<&str> = status.out.split_whitespace().collect();
    let none = "0000000000000000";
    assert_eq!(
        words,
        ["CapEff:", none, "CapBnd:", none, "NoNewPrivs:", "1"],
        "{status}"
    );
    // Its port is on the node's loopback alone.
    let port = session.status()["details"]["port"].to_string();
    let node = session.node();
    let listening = node.root(&format!("ss -Htln 'sport = :{port}'")).ok();
    assert!(
        listening.out.contains(&format!("127.0.0.1:{port}")),
        "{listening}"
    );
    assert!(
        !listening.out.contains(&format!("0.0.0.0:{port}")),
        "{listening}"
    );
}

#[test]
fn the_first_process_cannot_be_made_to_let_go_of_the_lease() {
    let session = Session::ready("lease", &["-g", "none", "-w", "30m", "-i", "qdebug/demo"]);
    session.connect();
    // Signals from inside do not reach it, and its memory is closed to the user's processes.
    session.ssh(&["kill -9 1; kill -STOP 1; true"]).ok();
    session
        .ssh(&["ls /proc/1/fd"])
        .fails(2, &["ermission denied"]);
    session.ssh(&["true"]).ok();
}
