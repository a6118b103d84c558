//! The main job: submit on login, connect on the laptop, work in the session.

use std::time::Duration;

use crate::engine::{Engine, engine};
use crate::host::{Host, within};
use crate::scheduler::here;
use crate::session::Session;

#[test]
fn submit_prints_the_job_id_and_the_next_command() {
    let words = [
        "qdebug",
        "submit",
        "-g",
        "V100",
        "-w",
        "1h",
        "-i",
        "qdebug/demo",
        "--name",
        "first",
    ];
    let ran = Host::Login.run(&words).ok();
    let job = ran.text().to_owned();
    assert!(
        job.starts_with(|c: char| c.is_ascii_digit()) && !job.contains(char::is_whitespace),
        "{ran}"
    );
    assert!(ran.err.contains(&format!("qdebug connect {job}")), "{ran}");
    Host::Login.run(&["qdebug", "stop", &job]).ok();
    // A job id that was given is known for good, by either name.
    for wanted in [job.as_str(), "first"] {
        let status = Host::Login
            .run(&["qdebug", "status", "--json", wanted])
            .ok()
            .json();
        assert_eq!(status["state"], "ended", "{status:#}");
    }
}

#[test]
fn everything_of_ssh_works_with_and_without_a_running_connect() {
    // Debian's Podman hands out no GPU, and a session that lacks its own fails.
    let gpu = match engine() {
        Engine::Docker => "V100",
        Engine::Podman => "none",
    };
    let session = Session::ready("everything", &["-g", gpu, "-w", "30m", "-i", "qdebug/demo"]);
    let connect = [
        "qdebug",
        "connect",
        &session.job,
        "--on",
        "alice@login",
        "--yes",
    ];
    let running = Host::Laptop.start(&connect);
    within(
        Duration::from_secs(30),
        "ssh works while connect runs",
        || {
            let ran = session.ssh(&["true"]);
            if ran.code == 0 {
                Ok(())
            } else {
                Err(ran.to_string())
            }
        },
    );
    work_in(&session);
    drop(running);
    work_in(&session);
}

/// What people do in a session.
fn work_in(session: &Session) {
    let alias = format!("qdebug-{}", session.name);
    assert_eq!(session.ssh(&["id -un; id -u"]).ok().text(), "alice\n2001");
    assert_eq!(session.ssh(&["exit 7"]).code, 7);
    let tty = Host::Laptop
        .sh(&format!("ssh -tt {alias} tty </dev/null"))
        .ok();
    assert!(tty.out.contains("/dev/pts/"), "{tty}");

    let laptop = |line: String| {
        Host::Laptop
            .sh(&format!("set -e -o pipefail; cd; {line}"))
            .ok()
    };
    laptop("head -c 200000000 /dev/urandom > big".to_owned());
    laptop(format!("echo 'put big put-big' | sftp -q -b - {alias}"));
    laptop(format!(
        "scp -q {alias}:put-big back && cmp big back && rm back"
    ));
    laptop(format!(
        "scp -q -O {alias}:put-big back && cmp big back && rm back"
    ));
    laptop(format!(
        "test \"$(sha256sum < big)\" = \"$(ssh {alias} sha256sum put-big | sed 's/put-big/-/')\""
    ));
    laptop("mkdir -p tree/sub; echo \"it's \\\"odd\\\" \\$HOME ünï\" > 'tree/sub/a b'".to_owned());
    laptop(format!(
        "rsync -a --delete tree/ {alias}:tree/ && rsync -ac --dry-run --itemize-changes tree/ {alias}:tree/ | (! grep -v '^\\.d')"
    ));
    laptop(format!(
        "ssh {alias} 'rm -rf put-big tree'; rm -rf big tree"
    ));

    forwards(&alias);
}

/// -L, -R and -D, each carrying a page of a web server.
fn forwards(alias: &str) {
    let script = format!(
        "set -e; cd \"$(mktemp -d)\"; echo laptop > here
         python3 -m http.server 18200 --bind 127.0.0.1 >/dev/null 2>&1 & web=$!
         trap 'kill $web $tunnel 2>/dev/null || true' EXIT
         ssh {alias} 'mkdir -p /tmp/w; cd /tmp/w; echo session > there;
                      nohup python3 -m http.server 18300 --bind 127.0.0.1 >/dev/null 2>&1 & echo $! > /tmp/w/pid'
         ssh -N -o ExitOnForwardFailure=yes -L 18301:127.0.0.1:18300 -R 18201:127.0.0.1:18200 -D 18400 {alias} & tunnel=$!
         for try in $(seq 100); do curl -sf http://127.0.0.1:18301/there >/dev/null && break; sleep 0.1; done
         test \"$(curl -sf http://127.0.0.1:18301/there)\" = session
         test \"$(curl -sf --socks5-hostname 127.0.0.1:18400 http://127.0.0.1:18300/there)\" = session
         test \"$(ssh {alias} 'python3 -c \"import urllib.request as u; print(u.urlopen(\\\"http://127.0.0.1:18201/here\\\").read().decode().strip())\"')\" = laptop
         ssh {alias} 'kill $(cat /tmp/w/pid); rm -rf /tmp/w'"
    );
    Host::Laptop.sh(&script).ok();
}

#[test]
fn the_session_has_the_images_environment_and_the_jobs_gpus() {
    let words = [
        "-g",
        "P100",
        "-n",
        "2",
        "-w",
        "30m",
        "-i",
        "qdebug/demo",
        "-e",
        "ODD=a 'b' \"c\" $d \\ ü",
    ];
    let session = Session::ready("environment", &words);
    session.connect();
    assert_eq!(
        session
            .ssh(&["printf %s \"$CUDA_VISIBLE_DEVICES\""])
            .ok()
            .out,
        "0,1"
    );
    assert_eq!(
        session.ssh(&["printf %s \"$ODD\""]).ok().out,
        "a 'b' \"c\" $d \\ ü"
    );
    assert_eq!(
        session
            .ssh(&[&format!("printf %s \"${}\"", here().id_variable())])
            .ok()
            .out,
        session.job
    );
    let image = Host::Node2
        .sh("docker inspect -f '{{json .Config.Env}}' qdebug/demo")
        .ok()
        .json();
    let mut seen = 0;
    for pair in image.as_array().expect("an image's ENV") {
        let (name, value) = pair
            .as_str()
            .and_then(|pair| pair.split_once('='))
            .expect("a pair");
        if name != "PATH" {
            assert_eq!(
                session.ssh(&[&format!("printf %s \"${name}\"")]).ok().out,
                value,
                "{name}"
            );
            seen += 1;
        }
    }
    assert!(seen > 0, "the image sets nothing: {image}");
    let details = session.status()["details"].clone();
    let gpus = details["gpus"].as_array().expect("gpus").clone();
    assert_eq!(gpus.len(), 2, "{details:#}");
    assert!(
        gpus.iter()
            .all(|gpu| gpu["name"].as_str().unwrap_or_default().contains("P100"))
    );
}

#[test]
fn files_written_under_home_are_alices_on_the_cluster() {
    let session = Session::ready("files", &["-g", "none", "-w", "30m", "-i", "qdebug/demo"]);
    session.connect();
    session
        .ssh(&["mkdir -p 'odd dir' && echo hi > 'odd dir/ü'"])
        .ok();
    let seen = Host::Login
        .sh("stat -c %U:%G 'odd dir/ü' && cat 'odd dir/ü' && rm -r 'odd dir'")
        .ok();
    assert_eq!(seen.text(), "alice:alice\nhi");
}

#[test]
fn the_laptop_asks_for_everything_over_the_hop() {
    let session = Session::ready("hop", &["-g", "none", "-w", "30m", "-i", "qdebug/demo"]);
    let on = ["--on", "alice@login"];
    let ask = |words: &[&str]| Host::Laptop.run(&[&["qdebug"], words, &on].concat());
    let status = ask(&["status", "--json", &session.job]).ok().json();
    assert_eq!(status["state"], "ready", "{status:#}");
    let listed = ask(&["list", "--json"]).ok().json();
    let names: Vec<&str> = listed
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert!(names.contains(&"hop"), "{names:?}");
    assert!(ask(&["list"]).ok().out.contains("hop"));
    assert!(
        ask(&["logs", "hop"])
            .ok()
            .out
            .contains("the node half begins")
    );
    ask(&["status", "never-was"]).fails(3, &["never-was"]);
    // The default of the configuration holds where a scheduler's tools are and no server answers.
    let by_default = "export QDEBUG_CONFIG=$(mktemp); \
         printf 'default_cluster = \"lab\"\n[clusters.lab]\nlogin = \"alice@login\"\n' \
             > $QDEBUG_CONFIG; qdebug list; rm $QDEBUG_CONFIG";
    assert!(Host::Laptop.sh(by_default).ok().out.contains("hop"));
    let stopped = ask(&["stop", "hop", "--json"]).ok().json();
    assert_eq!(stopped["state"], "ended", "{stopped:#}");
    let by = stopped["reason"].as_str().unwrap_or_default().to_owned();
    assert!(by.contains("alice@laptop"), "{by}");
    session.is_gone();
}

#[test]
fn connect_tells_how_the_session_ended() {
    let session = Session::ready("told", &["-g", "none", "-w", "30m", "-i", "qdebug/demo"]);
    let line = "qdebug connect told --on alice@login --yes & connect=$!
         for try in $(seq 100); do ssh qdebug-told true 2>/dev/null && break; sleep 0.2; done
         qdebug stop told --on alice@login; wait $connect";
    let ran = Host::Laptop.sh(line);
    assert!(
        ran.err.contains("told has ended: stopped by alice@laptop"),
        "{ran}"
    );
    session.is_gone();
    // Its entry went with it.
    let config = Host::Laptop.sh("cat .config/qdebug/ssh_config").ok();
    assert!(!config.out.contains("qdebug-told"), "{config}");
}

#[test]
fn a_connect_that_waits_shows_the_queue() {
    // Both P100s are taken, so the second waits.
    let holder = Session::ready(
        "holder",
        &["-g", "V100", "-n", "2", "-w", "30m", "-i", "qdebug/busybox"],
    );
    let waiting = Session::submit(
        "waiting",
        &["-g", "V100", "-w", "30m", "-i", "qdebug/busybox"],
    );
    within(
        Duration::from_secs(20),
        "the queue's reason is told",
        || {
            let status = waiting.status();
            let told = status["state"] == "queued" && status["reason"].is_string();
            if told {
                Ok(())
            } else {
                Err(format!("{status:#}"))
            }
        },
    );
    drop(holder);
    waiting.await_state("ready");
}
