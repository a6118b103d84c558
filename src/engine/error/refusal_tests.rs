//! Tests of `refusal.rs`.

use super::*;

/// Sentences of real engines, each with the variant it must become.
#[test]
fn refusals_are_told_apart() {
    type Is = fn(&Error) -> bool;
    let cases: &[(u16, &str, Is)] = &[
        (
            500,
            "driver failed programming external connectivity on endpoint qdebug-otter (f00): \
             Bind for 127.0.0.1:22000 failed: port is already allocated",
            |e| matches!(e, Error::PortTaken { .. }),
        ),
        (
            500,
            "driver failed programming external connectivity on endpoint x (f00): Error \
             starting userland proxy: listen tcp4 127.0.0.1:22: bind: address already in use",
            |e| matches!(e, Error::PortTaken { .. }),
        ),
        (
            500,
            r#"could not select device driver "nvidia" with capabilities: [[gpu]]"#,
            |e| matches!(e, Error::Devices { .. }),
        ),
        (
            500,
            "failed to create shim: OCI runtime create failed: container_linux.go:380: \
             starting container process caused: error during container init: error running \
             hook #0: exit status 1, stdout: , stderr: nvidia-container-cli: device error: \
             GPU-1: unknown device: unknown",
            |e| matches!(e, Error::Devices { .. }),
        ),
        (
            500,
            "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=99",
            |e| matches!(e, Error::Devices { .. }),
        ),
        (
            400,
            "invalid mount config for type \"bind\": bind source path does not exist: /no way",
            |e| matches!(e, Error::MountSource { denied: false, .. }),
        ),
        (
            400,
            "invalid mount config for type \"bind\": stat /home/alice: permission denied",
            |e| matches!(e, Error::MountSource { denied: true, .. }),
        ),
        (404, "No such container: 1234", |e| e.is_no_such_container()),
        (
            404,
            "No such image: sha256:00",
            |e| matches!(e, Error::NoSuchImage { reference, .. } if reference == "sha256:00"),
        ),
        (
            409,
            "Conflict. The container name \"/qdebug-otter\" is already in use by container \"f00\".",
            |e| matches!(e, Error::NameTaken { .. }),
        ),
        (
            500,
            "write /var/lib/docker/tmp/x: no space left on device",
            |e| matches!(e, Error::NoSpace { .. }),
        ),
        (
            400,
            "failed to create shim: OCI runtime create failed: runc create failed: unable to \
             start container process: exec: \"/nope\": stat /nope: no such file or directory: \
             unknown",
            |e| matches!(e, Error::Command { .. }),
        ),
        (500, "the moon is full", |e| {
            matches!(e, Error::Other { status: 500, .. })
        }),
    ];
    for (status, message, is) in cases {
        let error = classify("testing", *status, (*message).to_owned());
        assert!(is(&error), "{message}: {error:?}");
        assert!(
            error.to_string().contains(message),
            "the engine's words are kept"
        );
    }
}

#[test]
fn pulls_fail_for_four_reasons() {
    type Is = fn(&Error) -> bool;
    let cases: &[(u16, &str, Is)] = &[
        (
            404,
            "pull access denied for nope, repository does not exist or may require 'docker \
             login': denied: requested access to the resource is denied",
            |e| matches!(e, Error::ImageAccess { .. }),
        ),
        (
            404,
            "manifest for debian:nope not found: manifest unknown: manifest unknown",
            |e| matches!(e, Error::NoSuchImage { .. }),
        ),
        (
            500,
            "Get \"https://registry.example/v2/\": dial tcp: lookup registry.example: no such host",
            |e| matches!(e, Error::Registry { .. }),
        ),
        (
            500,
            "Get \"https://registry.example/v2/\": net/http: request canceled while waiting for \
             connection (Client.Timeout exceeded while awaiting headers)",
            |e| matches!(e, Error::Registry { .. }),
        ),
        (
            500,
            "Head \"https://registry.example/v2/x/manifests/1\": no basic auth credentials",
            |e| matches!(e, Error::ImageAccess { .. }),
        ),
        (
            0,
            "no matching manifest for linux/arm64/v8 in the manifest list entries",
            |e| matches!(e, Error::Platform { .. }),
        ),
        (
            0,
            "failed to register layer: write /x: no space left on device",
            |e| matches!(e, Error::NoSpace { .. }),
        ),
    ];
    for (status, message, is) in cases {
        let error = classify_image("pulling", "x:1", *status, (*message).to_owned());
        assert!(is(&error), "{message}: {error:?}");
    }
}
