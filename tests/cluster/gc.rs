//! What a dead node half left goes, and nothing else: not the living, not another user's, another
//! folder's or a stranger's.

use crate::host::{Host, Ran};
use crate::session::Session;

const HERE: Host = Host::Node1;

/// The gc of node1 alone, in a folder of its own.
struct Place;

impl Place {
    const CONFIG: &str = "/home/alice/gc.toml";
    const NODE_DIR: &str = "/var/tmp/gc-test/qdebug-2001";

    fn new() -> Self {
        HERE.sh("mkdir -p /var/tmp/gc-test && echo 'node_dir = \"/var/tmp/gc-test\"' > gc.toml")
            .ok();
        Self
    }

    fn gc(words: &[&str]) -> Ran {
        let config = format!("QDEBUG_CONFIG={}", Self::CONFIG);
        HERE.run(&[&["env", &config, "qdebug", "gc"], words].concat())
    }

    /// A container with these labels that never starts; its name.
    fn container(name: &str, token: &str, uid: &str, node_dir: &str) {
        let labels = [
            format!("qdebug.token={token}"),
            format!("qdebug.uid={uid}"),
            format!("qdebug.node-dir={node_dir}"),
            "qdebug.cluster=slurm elsewhere".to_owned(),
        ];
        let mut words = vec!["docker", "create", "--name", name];
        for label in &labels {
            words.extend(["--label", label]);
        }
        words.extend(["qdebug/busybox", "true"]);
        HERE.run(&words).ok();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        HERE.sh(
            "docker ps -aq --filter name=gc-test- | xargs -r docker rm -f; \
             chmod -R u+rwX /var/tmp/gc-test; rm -rf /var/tmp/gc-test gc.toml",
        );
    }
}

#[test]
fn what_never_started_goes_and_what_is_not_ours_stays() {
    let _place = Place::new();
    let living = Session::ready(
        "gc-living",
        &["-g", "V100", "-w", "10m", "-i", "qdebug/busybox"],
    );
    let token = "0123456789abcdef0123456789abcdef";
    let (own, other) = (Place::NODE_DIR, "/var/tmp/gc-elsewhere/qdebug-2001");
    Place::container("gc-test-created", token, "2001", own);
    Place::container("gc-test-other-user", token, "2002", own);
    Place::container("gc-test-other-folder", token, "2001", other);
    Place::container("gc-test-no-token", "../../etc", "2001", own);
    // A node half that died before its container was made left a folder.
    HERE.sh(&format!(
        "mkdir -p {own}/sessions/{token}/session && chmod 700 {own} {own}/sessions"
    ))
    .ok();

    let told = Place::gc(&["--dry-run", "--json"]).ok().json();
    assert_eq!(told["dry_run"], true, "{told:#}");
    assert_eq!(
        told["removed"],
        serde_json::json!(["gc-test-created"]),
        "{told:#}"
    );
    assert_eq!(told["folders"], 1, "{told:#}");
    let there = |name: &str| HERE.run(&["docker", "inspect", name]).code == 0;
    assert!(there("gc-test-created"), "it was only told");

    let removed = Place::gc(&[]).ok();
    assert!(removed.out.contains("removed gc-test-created"), "{removed}");
    assert!(removed.out.contains("files of 1 dead session"), "{removed}");
    assert!(!there("gc-test-created"));
    for name in [
        "gc-test-other-user",
        "gc-test-other-folder",
        "gc-test-no-token",
    ] {
        assert!(there(name), "{name}");
    }
    let again = Place::gc(&[]).ok();
    assert!(again.err.contains("nothing is left over"), "{again}");
    // The living is not touched by the gc of its own folder either.
    HERE.run(&["qdebug", "gc"]).ok();
    assert_eq!(living.status()["state"], "ready");
    assert_eq!(living.containers().len(), 1);

    // What cannot be removed is told, and no success.
    HERE.sh(&format!(
        "mkdir -p {own}/sessions/{token}/stuck/x && chmod 500 {own}/sessions/{token}/stuck"
    ))
    .ok();
    let stuck = Place::gc(&[]).fails(1, &["cannot remove the folder of session 0123456"]);
    assert!(!stuck.err.contains("nothing is left"), "{stuck}");
}

#[test]
fn what_is_known_of_an_image_that_is_gone_is_forgotten() {
    let folder = "/var/tmp/gc-images/qdebug-2001/images";
    let gone = "a".repeat(64);
    let line = format!(
        "rm -rf /var/tmp/gc-images && mkdir -p -m 700 /var/tmp/gc-images/qdebug-2001 && \
         mkdir {folder} && cd {folder} && \
         here=$(docker inspect -f '{{{{.Id}}}}' qdebug/busybox) && \
         touch {gone}.json ${{here#sha256:}}.json notes && \
         echo 'node_dir = \"/var/tmp/gc-images\"' >/var/tmp/gc-images/config.toml"
    );
    HERE.sh(&line).ok();
    let gc = |words: &[&str]| {
        let config = "QDEBUG_CONFIG=/var/tmp/gc-images/config.toml";
        HERE.run(&[&["env", config, "qdebug", "gc"], words].concat())
            .ok();
        HERE.run(&["ls", folder]).ok().text().to_owned()
    };
    assert!(gc(&["--dry-run"]).contains(&gone));
    let left = gc(&[]);
    assert!(!left.contains(&gone), "{left}");
    assert_eq!(left.lines().count(), 2, "{left}");
    HERE.run(&["rm", "-rf", "/var/tmp/gc-images"]).ok();
}

/// A dockerd that dies in the middle of a start may leave a process behind and drop its record. The
/// process and its group are made by hand here.
#[test]
fn what_the_engine_forgot_of_a_dead_session_goes() {
    let base = "/var/tmp/gc-forgotten";
    let (dead, other) = ("5a".repeat(32), "5b".repeat(32));
    let group = "group() { d=/sys/fs/cgroup; [ ! -d $d/pids ] || d=$d/pids; echo $d/$1; }";
    for id in [&dead, &other] {
        let lay = format!(
            "{group}; mkdir $(group {id}) && {{
                 setpriv --reuid 2001 --regid 2001 --clear-groups sleep 600 >/dev/null 2>&1 &
                 echo $! >$(group {id})/cgroup.procs
             }}"
        );
        HERE.root(&lay).ok();
    }
    let alive = |id: &str| HERE.root(&format!("{group}; cat $(group {id})/cgroup.procs"));
    let folder = format!("{base}/qdebug-2001/sessions/{}", "e".repeat(32));
    HERE.sh(&format!(
        "umask 077; mkdir -p {folder}; printf {dead} >{folder}/container; \
         echo 'node_dir = \"{base}\"' >{base}/config.toml"
    ))
    .ok();
    let gc = |words: &[&str]| {
        let config = format!("QDEBUG_CONFIG={base}/config.toml");
        HERE.run(&[&["env", &config, "qdebug", "gc"], words].concat())
            .ok()
    };

    gc(&["--dry-run"]);
    assert_ne!(alive(&dead).ok().text(), "");
    gc(&[]);
    // A kill is told at once and done a little later.
    let empty = format!(
        "{group}; for try in $(seq 100); do
             [ -n \"$(cat $(group {dead})/cgroup.procs)\" ] || break; sleep 0.1
         done"
    );
    HERE.root(&empty).ok();
    let left = [&dead, &other].map(|id| alive(id).ok().text().to_owned());
    let gone = HERE.sh(&format!("! test -e {folder}"));
    for id in [&dead, &other] {
        HERE.root(&format!(
            "{group}; g=$(group {id}); kill -9 $(cat $g/cgroup.procs); sleep 0.2; rmdir $g"
        ));
    }
    HERE.run(&["rm", "-rf", base]).ok();
    assert_eq!(left[0], "");
    assert_ne!(left[1], "", "one of a container that no dead session had");
    gone.ok();
}
