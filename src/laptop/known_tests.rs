//! Tests of `known.rs`.

use super::*;

pub(in super::super) const HOST_KEY: &str = "ssh-ed25519 \
    AAAAC3NzaC1lZDI1NTE5AAAAIKHEChAr8Nx3Y8gJfZbzL9PUv3sHSGtXFQzQd5GvMfFo";

pub(in super::super) fn status(name: &str, token: char) -> Status {
    let text = serde_json::json!({
        "format": 1, "name": name, "token": token.to_string().repeat(32), "job": "7",
        "cluster": {"scheduler": "slurm", "server": "test"},
        "state": "ready", "reason": null, "hint": null, "code": null, "never": false,
        "position": null, "estimate": null, "progress": null,
        "created": "2026-01-01T00:00:00Z", "began": [], "deadline": null,
        "node": "node1", "gpu": null, "image": {"from": "reference", "reference": "busybox"}, "doubts": [],
        "keys": [],
        "details": {
            "node": "node1", "address": "10.0.0.7", "node_host_keys": [HOST_KEY],
            "port": 40022, "user": "alice", "host_key": HOST_KEY, "container": "c",
            "image": "i", "started": "2026-01-01T00:00:00Z", "project": "/home/alice",
        },
    });
    serde_json::from_value(text).unwrap()
}

fn login(host: &str) -> Place {
    Place::Login {
        login: host.into(),
        qdebug: "/opt/qdebug".into(),
    }
}

#[test]
fn the_same_session_keeps_alias_and_port_and_others_do_not_clash() {
    let status = status("otter", '1');
    let first = Known::new(&status, login("alice@one"), &[]).unwrap();
    assert_eq!(first.alias, "qdebug-otter");
    let others = [first.clone()];
    let again = Known::new(&status, login("alice@one"), &others).unwrap();
    assert_eq!((&again.alias, again.port), (&first.alias, first.port));
    let other = Known::new(&status, login("alice@Two.example:22"), &others).unwrap();
    assert_eq!(other.alias, "qdebug-otter.two.example-22");
    assert_ne!(other.port, first.port);
    assert!(other.alias.parse::<Alias>().is_ok());
    assert_ne!(
        other.node_key_alias().unwrap(),
        first.node_key_alias().unwrap()
    );
}

#[test]
fn what_was_remembered_is_found_by_name_and_alias() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("a b/sessions");
    let known = Known::new(&status("otter", '1'), Place::Here, &[]).unwrap();
    known.write(&dir).unwrap();
    assert_eq!(Known::find(&dir, "otter").unwrap(), known);
    assert_eq!(Known::find(&dir, "qdebug-otter").unwrap(), known);
    assert_eq!(Known::find(&dir, "7").unwrap(), known);
    let mut twin = known.clone();
    twin.alias = "qdebug-twin".into();
    twin.job = Some("7.server".into());
    twin.write(&dir).unwrap();
    // Two clusters may have a job 7.
    assert!(Known::find(&dir, "7").is_err());
    assert_eq!(Known::find(&dir, "7.server").unwrap(), twin);
    twin.forget(&dir);
    assert_eq!(Known::all(&dir), std::slice::from_ref(&known));
    for word in ["other", "../otter", "-x", "", "a\nb", "/etc/passwd"] {
        assert!(
            matches!(Known::find(&dir, word), Err(Error::NotKnown { .. })),
            "{word}"
        );
    }
    let mut later = known.clone();
    later.token = status("otter", '2').token;
    assert!(!later.forget(&dir), "it is another session's");
    assert!(known.forget(&dir) && later.forget(&dir));
    assert_eq!(Known::all(&dir), []);
}

#[test]
fn a_newer_or_broken_memory_is_told_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    for text in ["", "{", r#"{"format": 2}"#, r#"{"format": 1}"#] {
        std::fs::write(dir.path().join("qdebug-otter.json"), text).unwrap();
        let error = Known::find(dir.path(), "otter").unwrap_err();
        assert!(matches!(error, Error::Memory { .. }), "{text}");
        assert_eq!(Known::all(dir.path()), []);
    }
    assert!(dir.path().join("qdebug-otter.json").exists());
}

#[test]
fn ports_are_the_same_every_time() {
    let ports = |alias| super::ports(alias).collect::<Vec<_>>();
    assert_eq!(ports("qdebug-a"), ports("qdebug-a"));
    assert_ne!(ports("qdebug-a")[0], ports("qdebug-b")[0]);
    assert!(
        ports("qdebug-c")
            .iter()
            .all(|port| (20_000..32_000).contains(port))
    );
}
