//! An engine that does not see the node's own folder: everything is uploaded, and stdin is the
//! lease. node1 as a workstation, its folder on a file system that root is shut out of.

use std::time::Duration;

use crate::host::{Host, Ran, within};

const HERE: Host = Host::Node1;
const NAME: &str = "unseen";

fn qdebug(words: &[&str]) -> Ran {
    let env = [
        "env",
        "QDEBUG_HOME=/home/alice/.qdebug-unseen",
        "QDEBUG_SITE=/nonexistent",
        "QDEBUG_CONFIG=/home/alice/unseen.toml",
    ];
    HERE.run(&[&env[..], &["qdebug"], words].concat())
}

struct Folder;

impl Folder {
    fn new() -> Self {
        HERE.root("chmod 666 /dev/fuse").ok();
        HERE.sh("mkdir -p /var/tmp/unseen-source /var/tmp/unseen && \
             bindfs --no-allow-other /var/tmp/unseen-source /var/tmp/unseen && \
             echo 'node_dir = \"/var/tmp/unseen\"' > unseen.toml")
            .ok();
        HERE.root("ls /var/tmp/unseen").fails(2, &["denied"]);
        Self
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        qdebug(&["stop", NAME]);
        HERE.sh(
            "fusermount -u /var/tmp/unseen; rm -rf /var/tmp/unseen* unseen.toml .qdebug-unseen",
        );
    }
}

fn containers() -> String {
    let filter = format!("label=qdebug.session={NAME}");
    let ran = HERE.run(&["docker", "ps", "-aq", "--filter", &filter]).ok();
    ran.text().to_owned()
}

#[track_caller]
fn gone() {
    within(
        Duration::from_secs(5),
        "its container is gone",
        || match containers() {
            none if none.is_empty() => Ok(()),
            some => Err(some),
        },
    );
}

fn submit(image: &str) {
    let words = [
        "submit",
        "--scheduler",
        "local",
        "-g",
        "none",
        "-w",
        "10m",
        "-i",
        image,
        "--name",
        NAME,
        "--wait",
    ];
    qdebug(&words).ok();
}

#[test]
fn a_folder_that_the_engine_does_not_see_is_uploaded_and_stdin_is_the_lease() {
    let _folder = Folder::new();
    for (image, shell) in [("qdebug/busybox", "/bin/sh"), ("qdebug/demo", "/bin/bash")] {
        submit(image);
        let status = qdebug(&["status", "--json", NAME]).ok().json();
        let notices = status["details"]["notices"].to_string();
        assert!(
            notices.contains("does not see /var/tmp/unseen"),
            "{status:#}"
        );
        // So is what was found in the image while its container started.
        let filter = format!("label=qdebug.session={NAME}");
        let line = format!(
            "docker cp $(docker ps -q --filter {filter}):/etc/passwd - | tar xO | cut -d: -f1,7"
        );
        let accounts = HERE.sh(&line).ok();
        let first = format!("alice:{shell}\n");
        assert!(accounts.out.starts_with(&first), "{image}: {accounts}");
        // The key is handed over into the running container.
        qdebug(&["connect", NAME, "--yes", "--detach", "--on", "here"]).ok();
        let line = "id -un; echo x 2>/dev/null >> /.qdebug/init || echo closed; \
                    ls -ld /.qdebug-session | cut -c1-10; touch made && rm made && pwd";
        let seen = HERE.run(&["ssh", "qdebug-unseen", line]).ok();
        assert_eq!(seen.text(), "alice\nclosed\ndrwx------\n/home/alice");
        qdebug(&["stop", NAME]).ok();
        gone();
    }
    // The lease: killed, the node half takes its container along.
    submit("qdebug/demo");
    assert!(!containers().is_empty());
    HERE.root(&format!("pkill -9 -f 'qdebug node .*/{NAME}$'"))
        .ok();
    gone();
}
