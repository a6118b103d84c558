//! What is promised after any blow: no process of the container, no record, no lock, no word that is
//! not true, and a name that is free again.

use std::time::Duration;

use super::blow::NODE_DIR;
use super::phase::STEP;
use crate::engine::engine;
use crate::host::{Host, Ran, within};
use crate::scheduler::here;
use crate::session::Session;

/// After the end of the job, or the engine's coming back.
const PROMISE: Duration = Duration::from_secs(5);
/// How long a scheduler may take to say that a job is over, on a machine that is busy.
const VERDICT: Duration = Duration::from_secs(90);

/// Lists processes whose control group carries the id of a container that the engine does not have: an
/// engine that died in the middle of a start leaves such. The node's own id, as it is a container itself,
/// is none of them.
const FORGOTTEN: &str = "grep -osHE '[0-9a-f]{64}' /proc/[0-9]*/cgroup | sort -u |
     grep -vF -f <(docker ps -aq --no-trunc; grep -oE '[0-9a-f]{64}' /proc/1/cgroup) |
     while IFS=: read -r file id; do
         echo \"$id: $(tr '\\0' ' ' <${file%cgroup}cmdline)\"
     done";

/// The processes of its container on the node, one a line: asked of the kernel, which always answers.
/// What a container of ours runs is the kit's, and carries the session's host name; what a recipe of
/// these tests runs is known by its words, and no other session of the node has one.
fn processes(session: &Session, node: Host) -> String {
    let line = format!(
        "for pid in $(pgrep -f '/[.]qdebug/'); do
             [ \"$(nsenter -u -t $pid hostname 2>/dev/null)\" != {} ] || echo $pid
         done; pgrep -fx '{STEP}'",
        session.name
    );
    node.root(&line).text().to_owned()
}

/// No process of its container is left on the node.
#[track_caller]
pub(super) fn no_process(session: &Session, node: Host, away: Duration) {
    within(
        away + PROMISE,
        "no process of the container",
        || match processes(session, node) {
            none if none.is_empty() => Ok(()),
            some => Err(format!("{some}\n{}", session.logs())),
        },
    );
}

/// Who sees nothing would find every promise kept.
#[test]
fn the_processes_of_a_container_are_seen() {
    let small = ["-g", "none", "-w", "10m", "-i", "qdebug/busybox"];
    let session = Session::ready("fault-seen", &small);
    let node = session.node();
    assert_ne!(processes(&session, node), "");
    here().delete(&session.job).ok();
    no_process(&session, node, Duration::ZERO);
}

/// No container and no file of it is left on the node, once gc was there.
#[track_caller]
pub(super) fn nothing_left(session: &Session, node: Host) {
    let mut last = None;
    within(PROMISE, "gc has its engine", || {
        let gc = node.run(&["qdebug", "gc"]);
        let done = gc.code == 0;
        last = Some(gc);
        if done {
            Ok(())
        } else {
            Err(last.as_ref().map(Ran::to_string).unwrap_or_default())
        }
    });
    // Of this node alone: the other one's engine may be down for another blow.
    let label = format!("qdebug.token={}", session.token);
    within(PROMISE, "no record", || {
        match &engine().records(node, &label)[..] {
            [] => Ok(()),
            some => Err(some.join(" ")),
        }
    });
    within(PROMISE, "no process that the engine forgot", || {
        let forgotten = node.root(FORGOTTEN);
        match forgotten.text() {
            "" => Ok(()),
            some => Err(format!("{some}\n{}", session.logs())),
        }
    });
    // The engine's builder makes its containers without our labels.
    let built = node.root(&format!(
        "docker ps -a --no-trunc --format '{{{{.ID}}}} {{{{.Command}}}}' | grep '{STEP}'"
    ));
    assert_eq!(built.text(), "", "of a build: {}", session.logs());
    let line = format!(
        "find {NODE_DIR}/sessions -mindepth 1 -path '*{}*'",
        session.token
    );
    let files = node.root(&line);
    assert_eq!(files.text(), "", "files of the session: {}", session.logs());
    let half = node.root(&format!(
        "find {NODE_DIR} -maxdepth 2 -name '.tmp*' -mmin +5"
    ));
    assert_eq!(half.text(), "", "half-written files");
}

/// `status` says that it is over, and for this reason where one is known; and the scheduler has no
/// job of it.
#[track_caller]
pub(super) fn verdict(session: &Session, reasons: &[&str]) {
    within(VERDICT, "a verdict", || {
        let status = session.status();
        let state = status["state"].as_str().unwrap_or_default();
        let reason = status["reason"].as_str().unwrap_or_default();
        let over = matches!(state, "ended" | "failed");
        let known = reasons.is_empty() || reasons.iter().any(|word| reason.contains(word));
        assert!(
            !over || known,
            "{reasons:?}: {status:#}\n{}",
            session.logs()
        );
        if over {
            Ok(())
        } else {
            Err(format!("{status:#}\n{}", session.logs()))
        }
    });
    within(VERDICT, "the scheduler has no job of it", || {
        let left = here().jobs_named(&format!("qdebug-{}", session.name));
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

/// Another session can have its name.
#[track_caller]
pub(super) fn name_is_free(session: &Session) {
    let small = ["-g", "none", "-w", "5m", "-i", "qdebug/busybox"];
    let next = Session::submit(&session.name, &[&small[..], &here().waiting()].concat());
    assert_ne!(next.token, session.token);
    here().delete(&next.job).ok();
}
