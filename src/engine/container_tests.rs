//! Tests of `container.rs`.

use super::*;

fn json(spec: &ContainerSpec) -> serde_json::Value {
    serde_json::to_value(body(
        spec,
        &Flavour::DOCKER,
        Some(Way::Request).filter(|_| !spec.gpus.is_empty()),
    ))
    .unwrap()
}

#[test]
fn a_session_container_is_hardened_and_on_the_loopback() {
    let spec = ContainerSpec {
        image: "sha256:00".into(),
        argv: vec!["/.qdebug/init".into(), "a b".into(), "$x".into()],
        user: Some((2001, 100)),
        groups: vec![10, 20],
        publish: Some(Publish {
            addresses: vec![Ipv4Addr::LOCALHOST, Ipv4Addr::new(10, 0, 0, 7)],
            port: 22000,
            container_port: 2222,
        }),
        memory_bytes: Some(1 << 30),
        pids: Some(4096),
        unlabelled: true,
        auto_remove: true,
        ..ContainerSpec::default()
    };
    let json = json(&spec);
    assert_eq!(json["User"], "2001:100");
    assert_eq!(json["Entrypoint"], serde_json::json!(["/.qdebug/init"]));
    assert_eq!(json["Cmd"], serde_json::json!(["a b", "$x"]));
    let host = &json["HostConfig"];
    assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
    assert_eq!(
        host["SecurityOpt"],
        serde_json::json!(["no-new-privileges", "label=disable"])
    );
    assert_eq!(host["GroupAdd"], serde_json::json!(["10", "20"]));
    assert_eq!(host["AutoRemove"], true);
    assert_eq!(host["Memory"], host["MemorySwap"]);
    assert_eq!(
        host["PortBindings"]["2222/tcp"],
        serde_json::json!([
            {"HostIp": "127.0.0.1", "HostPort": "22000"},
            {"HostIp": "10.0.0.7", "HostPort": "22000"},
        ])
    );
    assert_eq!(host["RestartPolicy"]["Name"], "no");
    assert!(host.get("Privileged").is_none());
    assert!(host.get("DeviceRequests").is_none());
}

#[test]
fn gpus_are_asked_for_by_uuid_and_never_by_count() {
    let spec = ContainerSpec {
        gpus: vec!["GPU-1".into(), "GPU-2".into()],
        ..ContainerSpec::default()
    };
    assert_eq!(
        json(&spec)["HostConfig"]["DeviceRequests"],
        serde_json::json!([{"Driver": "nvidia", "DeviceIDs": ["GPU-1", "GPU-2"],
                            "Capabilities": [["gpu"]]}])
    );
}

#[test]
fn odd_paths_stay_what_they_are() {
    let spec = ContainerSpec {
        binds: vec![Bind::new("/a b:ro/é'\"", "/c:d").read_only()],
        ..ContainerSpec::default()
    };
    let mount = &json(&spec)["HostConfig"]["Mounts"][0];
    assert_eq!(mount["Source"], "/a b:ro/é'\"");
    assert_eq!(mount["Target"], "/c:d");
    assert_eq!(mount["ReadOnly"], true);
    assert_eq!(mount["Type"], "bind");
}

#[test]
fn an_id_is_hexadecimal() {
    assert!(ContainerId::new("f".repeat(64)).is_some());
    for bad in [
        "",
        "f00",
        "../../../etc/x",
        &"g".repeat(64),
        "ffffffffffff/x",
    ] {
        assert!(ContainerId::new(bad.to_owned()).is_none(), "{bad}");
    }
}

#[test]
fn podman_is_asked_in_its_own_words() {
    let spec = ContainerSpec {
        user: Some((2001, 100)),
        groups: vec![10],
        gpus: vec!["GPU-1".into()],
        memory_bytes: Some(1 << 30),
        pids: Some(4096),
        cpuset: Some("0".into()),
        ..ContainerSpec::default()
    };
    let podman = Flavour {
        kind: Kind::Podman,
        rootless: true,
        major: 4,
        limits: crate::engine::flavour::CanLimit::NONE,
        ..Flavour::DOCKER
    };
    let json = serde_json::to_value(body(&spec, &podman, Some(Way::of_podman(4)))).unwrap();
    assert_eq!(json["User"], "2001:100");
    assert_eq!(
        json["Env"],
        serde_json::json!(["NVIDIA_VISIBLE_DEVICES=GPU-1"])
    );
    let host = &json["HostConfig"];
    assert_eq!(host["UsernsMode"], "keep-id");
    assert_eq!(host["NetworkMode"], "slirp4netns");
    assert_eq!(host["LogConfig"]["Type"], "k8s-file");
    assert_eq!(host["GroupAdd"], serde_json::json!([]));
    for left_out in ["Memory", "CpusetCpus", "PidsLimit", "DeviceRequests"] {
        assert!(host.get(left_out).is_none(), "{left_out}");
    }
}
