//! Tests of `devices.rs`: what engines say of GPUs, how they are asked, and how they refuse.

use super::*;

/// Docker 20.10.24 of Debian 12, shortened: nothing of NVIDIA's.
const DOCKER_20: &str = r#"{"Runtimes":{"io.containerd.runc.v2":{"path":"runc"},
    "io.containerd.runtime.v1.linux":{"path":"runc"},"runc":{"path":"runc"}},
    "DefaultRuntime":"runc","CgroupDriver":"cgroupfs","CgroupVersion":"1",
    "ServerVersion":"20.10.24+dfsg1","Isolation":""}"#;
/// The same after `nvidia-ctk runtime configure`.
const WITH_RUNTIME: &str = r#"{"Runtimes":{"nvidia":{"path":"nvidia-container-runtime"},
    "runc":{"path":"runc"}},"DefaultRuntime":"runc","ServerVersion":"20.10.24+dfsg1"}"#;
/// With CDI switched on, as 25 to 28.1 tell it.
const CDI_SWITCHED_ON: &str = r#"{"Runtimes":{"runc":{"path":"runc"}},
    "CDISpecDirs":["/etc/cdi","/var/run/cdi"],"ServerVersion":"26.1.5"}"#;
/// With specs, as API 1.50 and later tell them.
const CDI_TOLD: &str = r#"{"Runtimes":{"nvidia":{"path":"nvidia-container-runtime"},
    "runc":{"path":"runc"}},"CDISpecDirs":["/etc/cdi","/var/run/cdi"],
    "DiscoveredDevices":[{"Source":"cdi","ID":"nvidia.com/gpu=0"},
    {"Source":"cdi","ID":"nvidia.com/gpu=GPU-1"},{"Source":"cdi","ID":"nvidia.com/gpu=MIG-2"},
    {"Source":"cdi","ID":"vendor.com/nic=GPU-3"}],"ServerVersion":"28.5.2"}"#;

fn way(info: &str, api: (usize, usize), uuids: &[&str]) -> Way {
    let info: SystemInfo = serde_json::from_str(info).unwrap();
    let uuids: Vec<String> = uuids.iter().map(|&uuid| uuid.to_owned()).collect();
    Way::of_docker(&Says::of(&info, api), &uuids)
}

#[test]
fn the_surest_way_that_the_engine_tells_of_is_taken() {
    assert_eq!(way(DOCKER_20, (1, 41), &["GPU-1"]), Way::Request);
    assert_eq!(way(WITH_RUNTIME, (1, 41), &["GPU-1"]), Way::Runtime);
    assert_eq!(way(CDI_SWITCHED_ON, (1, 45), &["GPU-1"]), Way::Cdi);
    // It would tell the devices, and tells none.
    assert_eq!(way(CDI_SWITCHED_ON, (1, 51), &["GPU-1"]), Way::Request);
    assert_eq!(way(CDI_TOLD, (1, 51), &["GPU-1", "MIG-2"]), Way::Cdi);
    // One that no spec describes spoils it for all: ways are not mixed.
    assert_eq!(way(CDI_TOLD, (1, 51), &["GPU-1", "GPU-3"]), Way::Runtime);
    let others = CDI_TOLD.replace("nvidia\":{", "other\":{");
    assert_eq!(way(&others, (1, 51), &["GPU-9"]), Way::RequestBesideCdi);
    assert_eq!(way("{}", (1, 40), &["GPU-1"]), Way::Request);
    assert_eq!(Way::of_podman(4), Way::Environment);
    assert_eq!(Way::of_podman(5), Way::Cdi);
}

fn ask(way: Way, env: &[(&str, &str)]) -> (Asked, Vec<String>) {
    let pair = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    let mut env: Vec<_> = env.iter().map(pair).collect();
    let asked = way.ask(&["GPU-1".to_owned(), "MIG-2".to_owned()], &mut env);
    let env = env.iter().map(|(name, value)| format!("{name}={value}"));
    (asked, env.collect())
}

#[test]
fn each_way_has_its_words() {
    let all = [(VISIBLE, "all"), ("A", "b")];
    let (asked, env) = ask(Way::Cdi, &all);
    let ids = asked.requests.unwrap().remove(0).device_ids.unwrap();
    assert_eq!(ids, ["nvidia.com/gpu=GPU-1", "nvidia.com/gpu=MIG-2"]);
    assert_eq!(env, ["A=b", "NVIDIA_VISIBLE_DEVICES=void"]);
    let beside = ask(Way::RequestBesideCdi, &[]);
    assert_eq!(beside, ask(Way::Request, &[]));
    let (asked, env) = ask(Way::Request, &[]);
    let request = asked.requests.unwrap().remove(0);
    assert_eq!(request.driver.as_deref(), Some("nvidia"));
    assert_eq!(request.device_ids.unwrap(), ["GPU-1", "MIG-2"]);
    assert_eq!(request.count, None);
    assert!(env.is_empty());
    let (asked, env) = ask(Way::Environment, &all);
    assert_eq!(asked, Asked::default());
    assert_eq!(env, ["A=b", "NVIDIA_VISIBLE_DEVICES=GPU-1,MIG-2"]);
}

#[test]
fn a_runtime_is_told_what_an_image_does_not_say() {
    let (asked, env) = ask(Way::Runtime, &[]);
    assert_eq!(asked.runtime.as_deref(), Some("nvidia"));
    assert_eq!(asked.requests, None);
    let told = [
        "NVIDIA_VISIBLE_DEVICES=GPU-1,MIG-2",
        "NVIDIA_DRIVER_CAPABILITIES=compute,utility",
    ];
    assert_eq!(env, told);
    let (_, env) = ask(Way::Runtime, &[(CAPABILITIES, "all")]);
    assert_eq!(env, ["NVIDIA_DRIVER_CAPABILITIES=all", told[0]]);
}

#[test]
fn refusals_name_what_is_missing() {
    let cases = [
        (
            r#"could not select device driver "nvidia" with capabilities: [[gpu]]"#,
            Some(GpuLack::Toolkit),
        ),
        (
            r#"could not select device driver "cdi" with capabilities: []"#,
            Some(GpuLack::Cdi),
        ),
        (
            "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=99",
            Some(GpuLack::CdiSpec),
        ),
        ("Unknown runtime specified nvidia", Some(GpuLack::Runtime)),
        (
            "unknown or invalid runtime name: nvidia",
            Some(GpuLack::Runtime),
        ),
        (
            "failed to create shim: OCI runtime create failed: unable to retrieve OCI runtime \
             error (open /run/log.json: no such file or directory): exec: \
             \"nvidia-container-runtime\": executable file not found in $PATH: <nil>: unknown",
            Some(GpuLack::Runtime),
        ),
        (
            "nvidia-container-cli.real: initialization error: nvml error: driver not loaded: \
             unknown",
            Some(GpuLack::Driver),
        ),
        (
            "nvidia-container-cli: device error: GPU-1: unknown device: unknown",
            Some(GpuLack::Gpu),
        ),
        (
            "invoking the NVIDIA Container Runtime Hook directly (e.g. specifying the docker \
             --gpus flag) is not supported. Please use the NVIDIA Container Runtime instead.",
            Some(GpuLack::RuntimeOnly),
        ),
        (
            "nvidia-container-cli: mount error: stub library not found",
            Some(GpuLack::Other),
        ),
        ("exec: \"/x\": stat /x: no such file or directory", None),
    ];
    for (refusal, lack) in cases {
        assert_eq!(GpuLack::of(refusal), lack, "{refusal}");
    }
}
