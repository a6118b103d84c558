//! Any image works as it is, and is made where there is none.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::host::{Host, Ran, within};
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
fn an_image_that_was_never_looked_into_has_its_users_and_its_shell_at_once() {
    for node in [Host::Node1, Host::Node2] {
        node.sh("rm -rf /var/tmp/qdebug-2001/images").ok();
    }
    let words = ["-g", "none", "-w", "30m", "-i", "qdebug/demo"];
    let session = Session::ready("first", &words);
    session.connect();
    let seen = session.ssh(
        &["echo $SHELL; getent passwd alice nobody | cut -d: -f1,7; \
         getent group games | cut -d: -f1; ls -ld /var/mail | cut -d' ' -f3,4"],
    );
    assert_eq!(
        seen.ok().text(),
        "/bin/bash\nalice:/bin/bash\nnobody:/usr/sbin/nologin\ngames\nroot mail"
    );
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

/// Writes a recipe on the demo image into a folder of alice's home; returns its path. No earlier run
/// of the tests has left an image or an entry of it.
fn recipe(name: &str, lines: &str) -> String {
    let folder = format!("/home/alice/images of tests/{name}");
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("time");
    let text = format!(
        "FROM qdebug/demo\nENV RUN_OF_TESTS={}\n{lines}",
        since.as_nanos()
    );
    let cache = format!("/home/alice/caches of tests/{name}");
    Host::Login.run(&["rm", "-rf", &folder, &cache]).ok();
    Host::Login.run(&["mkdir", "-p", &cache]).ok();
    Host::Login.run(&["mkdir", "-p", &folder]).ok();
    let script = "printf '%s' \"$1\" > \"$2/Dockerfile\"";
    Host::Login
        .run(&["sh", "-c", script, "sh", &text, &folder])
        .ok();
    format!("{folder}/Dockerfile")
}

/// `qdebug image ...` on a node, with a cache on the shared home that is the recipe's own.
fn image(node: Host, cache: &str, words: &[&str]) -> Ran {
    // Both nodes may write theirs at once.
    let config = format!("/home/alice/caches of tests/{cache}/{node:?}.toml");
    let text = format!("cache = '/home/alice/caches of tests/{cache}/cache'\n");
    let script = "export QDEBUG_CONFIG=\"$1\"; printf '%s' \"$2\" > \"$1\"; shift 2; \
                  exec qdebug image \"$@\"";
    let head = ["sh", "-c", script, "sh", &config, &text];
    node.run(&[&head[..], words].concat())
}

/// Removes an image from a node whatever it is called.
fn forget(node: Host, id: &Value) {
    node.run(&["docker", "rmi", "-f", id.as_str().unwrap_or_default()])
        .ok();
}

#[test]
fn a_session_runs_in_an_image_of_its_own_recipe() {
    let path = recipe(
        "session",
        "ARG WORD=none\nCOPY . /in\nRUN echo $WORD > /word\nENV FROM_RECIPE=\"a b\"\n",
    );
    let words = [
        "-g",
        "none",
        "-w",
        "30m",
        "--dockerfile",
        &path,
        "--build-arg",
        "WORD=hello",
    ];
    let session = Session::ready("recipe", &words);
    session.connect();
    let said = session
        .ssh(&["cat /word; ls /in; echo $FROM_RECIPE; id -un"])
        .ok();
    assert_eq!(said.text(), "hello\nDockerfile\na b\nalice");
    let logs = session.logs();
    assert!(logs.contains("building") && logs.contains("step"), "{logs}");
    let id = session.status()["details"]["image"].clone();
    let node = session.node();
    // One that a session uses is never pruned; only told here, since other tests have images too.
    let words = [
        "qdebug",
        "image",
        "prune",
        "--unused-for",
        "0s",
        "--dry-run",
        "--json",
    ];
    let told = node.run(&words).ok().json();
    assert!(
        told["kept"].to_string().contains("a container uses it"),
        "{told:#}"
    );
    drop(session);
    within(Duration::from_secs(10), "it could be pruned", || {
        let told = node.run(&words).ok().json();
        match told["removed"].to_string() {
            removed if removed.contains(id.as_str().unwrap_or("none")) => Ok(()),
            other => Err(other),
        }
    });
    forget(node, &id);
}

#[test]
fn a_recipe_that_fails_ends_the_session_with_its_last_lines() {
    let path = recipe("failing", "RUN echo the compiler said no; exit 7\n");
    let session = Session::submit(
        "bad-recipe",
        &["-g", "none", "-w", "30m", "--dockerfile", &path],
    );
    let status = session.await_state("failed");
    assert_eq!(status["code"], 8, "{status:#}");
    let reason = status["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("the compiler said no"), "{status:#}");
    session.is_gone();
    // What is not there is refused before there is a job.
    let words = [
        "qdebug",
        "submit",
        "--name",
        "no-recipe",
        "-g",
        "none",
        "-w",
    ];
    let more = ["30m", "--dockerfile", "/home/alice/no such file"];
    Host::Login
        .run(&[&words[..], &more[..]].concat())
        .fails(2, &["no such file", "hint:"]);
    Host::Login
        .run(&["qdebug", "status", "no-recipe"])
        .fails(3, &[]);
}

#[test]
fn an_sshd_is_put_on_top_of_an_image() {
    let words = [
        "-g",
        "none",
        "-w",
        "30m",
        "-i",
        "qdebug/sshd",
        "--sshd",
        "layer",
    ];
    let session = Session::ready("layered", &words);
    session.connect();
    assert_eq!(session.ssh(&["id -un"]).ok().text(), "alice");
    let words = [
        "-g",
        "none",
        "-w",
        "30m",
        "-i",
        "qdebug/busybox",
        "--sshd",
        "layer",
    ];
    let session = Session::submit("no-layer", &words);
    let status = session.await_state("failed");
    assert_eq!(status["code"], 8, "{status:#}");
    let reason = status["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("no package manager"), "{status:#}");
}

#[test]
fn two_nodes_that_ask_at_once_do_the_work_once() {
    let path = recipe(
        "once",
        "RUN sleep 5; head -c 1000000 /dev/urandom > /noise\n",
    );
    let words = ["build", "--json", "--dockerfile", &path];
    let ran = std::thread::scope(|scope| {
        let both = Host::NODES.map(|node| scope.spawn(move || image(node, "once", &words)));
        both.map(|one| one.join().expect("a node").ok())
    });
    let built = [0, 1].map(|n| ran[n].json());
    assert_eq!(built[0]["id"], built[1]["id"]);
    assert_eq!(built[0]["cached"], true, "{}", ran[0]);
    let told = format!("{}{}", ran[0].err, ran[1].err);
    assert_eq!(told.matches("step 2 of").count(), 1, "{told}");
    for words in ["waiting for node", "from the shared cache"] {
        assert!(told.contains(words), "no {words:?} in {told}");
    }
    // Damaged on the shared file system: found when it is read, removed, made anew.
    let node = Host::Node2;
    forget(node, &built[0]["id"]);
    node.sh(
        "cd 'caches of tests/once/cache'/qdebug-2001 && f=$(ls *.zst) && \
             printf 12345678 | dd of=\"$f\" bs=1 seek=5000 conv=notrunc status=none",
    )
    .ok();
    let again = image(node, "once", &words).ok();
    let notices = again.json()["notices"].to_string();
    assert!(notices.contains("damaged"), "{again}");
    assert_eq!(again.json()["cached"], true, "{again}");
    let listed = image(Host::Login, "once", &["list", "--json"]).ok().json();
    let of_cache = listed["images"].as_array().expect("images");
    assert_eq!(of_cache.len(), 1, "{listed:#}");
    let prune = ["prune", "--keep-size", "1K", "--json"];
    let pruned = image(Host::Login, "once", &prune).ok().json();
    assert_eq!(pruned["removed"][0]["place"], "cache", "{pruned:#}");
    forget(Host::Node1, &built[0]["id"]);
    forget(node, &again.json()["id"]);
}

#[test]
fn a_node_that_dies_at_its_work_is_followed_by_another() {
    let path = recipe("dies", "RUN sleep 3; echo done > /done\n");
    let words = ["build", "--json", "--dockerfile", &path];
    let slow = recipe("dies-slowly", "RUN sleep 60\n");
    std::thread::scope(|scope| {
        // Both wishes are under way on the first node when its processes are killed.
        let first = [&path, &slow].map(|path| {
            scope.spawn(move || image(Host::Node1, "dies", &["build", "--dockerfile", path]))
        });
        let folder = "'caches of tests/dies/cache'/qdebug-2001/locks";
        within(Duration::from_secs(60), "two locks are held", || {
            let held = Host::Node1.sh(&format!("ls {folder} | grep -c lock$"));
            match held.text() {
                "2" => Ok(()),
                other => Err(other.to_owned()),
            }
        });
        Host::Node1
            .run(&["pkill", "-9", "-f", "qdebug imag[e] build --dockerfile"])
            .ok();
        for one in first {
            assert_ne!(one.join().expect("a node").code, 0);
        }
    });
    let began = Instant::now();
    let built = image(Host::Node2, "dies", &words).ok();
    assert!(built.err.contains("waiting for node1"), "{built}");
    assert!(built.err.contains("step 3 of"), "{built}");
    assert_eq!(built.json()["cached"], true, "{built}");
    // Nothing is heard of an owner for half a minute before it is taken for dead.
    let took = began.elapsed();
    assert!(took > Duration::from_secs(20), "{took:?}");
    forget(Host::Node2, &built.json()["id"]);
}
