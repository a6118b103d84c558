//! A real VS Code server in a session: brought there through the tunnel, as
//! `remote.SSH.localServerDownload` has it, started by ssh as the user, and its page fetched on the
//! laptop. `tests/vscode-server` makes the archive of it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::host::Host;
use crate::session::Session;

/// What a browser asks it for.
const PAGE: &str = include_str!("vscode_page.py");

/// The archive that `tests/run.sh` has made; `None` where nobody has, which that script allows not.
fn archive() -> Option<PathBuf> {
    let path = std::env::var_os("QDEBUG_TEST_VSCODE").map(PathBuf::from);
    if path.is_none() {
        assert!(
            std::env::var_os("QDEBUG_TEST_ALL").is_none(),
            "no VS Code server: QDEBUG_TEST_VSCODE names no archive"
        );
        eprintln!("skipped: QDEBUG_TEST_VSCODE names no archive of tests/vscode-server");
    }
    path
}

/// A folder of the test's own on the laptop, gone with the test.
struct Desk;

impl Desk {
    fn with(archive: &PathBuf) -> Self {
        let desk = Self;
        desk.clear();
        Host::Laptop
            .sh(&format!(
                "mkdir vscode-test && cat >vscode-test/page.py <<'END'\n{PAGE}END"
            ))
            .ok();
        let container = Host::Laptop.container();
        let words = ["exec", "-i", "-u", "alice", "-w", "/home/alice/vscode-test"];
        let words = words.into_iter().chain([container.as_str()]);
        let copied = Command::new("docker")
            .args(words.chain(["sh", "-c", "cat >server.tar.gz"]))
            .stdin(std::fs::File::open(archive).expect("the archive"))
            .stdout(Stdio::null())
            .status();
        assert!(copied.expect("docker").success());
        desk
    }

    fn clear(&self) {
        Host::Laptop.sh("cd; kill $(cat vscode-test/*.pid); rm -rf vscode-test");
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.clear();
    }
}

#[test]
fn a_real_server_runs_in_a_session_and_its_page_comes_to_the_laptop() {
    let Some(archive) = archive() else { return };
    let _desk = Desk::with(&archive);
    let words = ["-g", "none", "-w", "30m", "-i", "qdebug/demo"];
    let session = Session::ready("vscode", &words);
    session.connect();
    let brought = "cd vscode-test && ssh qdebug-vscode \
                   'mkdir -m 700 /tmp/vscode && tar -xzf - -C /tmp/vscode' <server.tar.gz";
    Host::Laptop.sh(brought).ok();

    // It runs on the channel of one ssh, as VS Code's own does, and picks its port itself.
    let start = "cd vscode-test || exit
         ssh -T qdebug-vscode 'cd /tmp/vscode && exec ./node lib/vscode/out/server-main.js \
             --host 127.0.0.1 --port 0 --without-connection-token --telemetry-level off \
             --accept-server-license-terms --server-data-dir /tmp/vscode/data' \
             >log 2>&1 </dev/null & echo $! >server.pid
         for try in $(seq 600); do
             port=$(sed -n 's/.*agent listening on \\([0-9]*\\).*/\\1/p' log)
             [ -z \"$port\" ] || break
             kill -0 $! 2>/dev/null || break
             sleep 0.1
         done
         cat log >&2; echo \"$port\"; [ -n \"$port\" ]";
    let started = Host::Laptop.sh(start).ok();
    let port = started.text().to_owned();

    // The same page by ssh's own forwarding and by qdebug's.
    let fetch = format!(
        "cd vscode-test || exit
         ssh -N -o ExitOnForwardFailure=yes -L 127.0.0.1:18681:127.0.0.1:{port} qdebug-vscode \
             </dev/null >ssh.log 2>&1 & echo $! >ssh.pid
         qdebug forward vscode 18682:{port} </dev/null >forward.log 2>&1 & echo $! >forward.pid
         for local in 18681 18682; do
             for try in $(seq 300); do nc -z 127.0.0.1 $local && break; sleep 0.1; done
             python3 page.py $local || {{ cat ssh.log forward.log log >&2; exit 1; }}
         done"
    );
    let fetched = Host::Laptop.sh(&fetch).ok();
    let lines: Vec<&str> = fetched.out.lines().collect();
    assert_eq!(lines.len(), 4, "{fetched}");
    assert_eq!(lines[..2], lines[2..], "{fetched}");
    assert_eq!(lines[1], "upgraded", "{fetched}");
    // What came is what lies there, byte for byte.
    let code = "sha256sum </tmp/vscode/lib/vscode/out/vs/code/browser/workbench/workbench.js";
    let there = session.ssh(&[code]).ok();
    assert_eq!(there.text().split(' ').next(), Some(lines[0]), "{there}");
}
