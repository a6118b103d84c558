//! GPUs by a real engine on a machine that has, as the stand-in for NVML says, three of them.

use std::path::Path;

use qdebug::session::Phase;

use crate::cdi::{CdiSpec, api};
use crate::support;
use crate::trial::Trial;

/// A session with a V100, on a machine that has, as the stand-in for NVML says, a P100 and two V100s of
/// these UUIDs; the first V100 is granted to it.
fn with_gpus(uuids: [&str; 3]) -> Option<Trial> {
    let target = std::env::current_exe().unwrap();
    let target = target.parent().and_then(Path::parent).unwrap();
    let library = target.join("libqdebug_test_nvml.so");
    if !library.exists() {
        support::skip(&format!("no {}", library.display()));
        return None;
    }
    let mut trial = Trial::new(|request| {
        request.gpu = Some(qdebug::session::GpuRequest {
            kind: "V100".into(),
            count: 1,
            pattern: None,
            allow_busy: false,
        });
    })?;
    let folder = trial.node_dir.with_file_name("nvml");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(&library, folder.join("libnvidia-ml.so.1")).unwrap();
    let machine = folder.join("machine");
    let names = [
        "Tesla P100-PCIE-16GB",
        "Tesla V100-SXM2-32GB",
        "Tesla V100-SXM2-32GB",
    ];
    let gpus = names.into_iter().zip(uuids).enumerate();
    let gpus = gpus.map(|(n, (name, uuid))| {
        format!("gpu {n}\nname {name}\nuuid {uuid}\nbus 00000000:{n}B:00.0\nmemory 1024\n")
    });
    std::fs::write(&machine, gpus.collect::<String>()).unwrap();
    trial.env = vec![
        ("LD_LIBRARY_PATH", folder),
        ("QDEBUG_TEST_NVML", machine),
        ("CUDA_VISIBLE_DEVICES", "1".into()),
    ];
    Some(trial)
}

#[test]
fn an_engine_that_cannot_hand_out_gpus_says_so_after_the_right_ones_were_chosen() {
    let Some(mut trial) = with_gpus(["GPU-0", "GPU-1", "GPU-2"]) else {
        return;
    };
    trial.start();
    let phase = trial.wait_for(30, Phase::is_final);
    assert!(
        matches!(&phase, Phase::Failed { error, .. } if error.contains("cannot hand out GPUs")),
        "{phase:?}"
    );
    let log = std::fs::read_to_string(trial.session.node_log()).unwrap();
    assert!(log.contains("Selected") && log.contains("GPU-1"), "{log}");
    assert_eq!((trial.containers(), trial.leftovers()), (0, 0));
}

/// UUIDs of this run's own.
fn uuids(test: &str) -> [String; 3] {
    let pid = std::process::id();
    [0, 1, 2].map(|number| format!("GPU-{test}-{pid}-{number}"))
}

#[test]
fn by_cdi_exactly_the_granted_gpu_arrives() {
    let uuids = uuids("arrives");
    let [first, granted, last] = uuids.each_ref().map(|uuid| uuid.as_str());
    let Some(mut trial) = with_gpus([first, granted, last]) else {
        return;
    };
    let gpus = [(first, 0), (granted, 1), (last, 2)];
    let Some(_spec) = CdiSpec::of(&gpus, "/dev/null") else {
        return;
    };
    let details = trial.ready();
    assert_eq!(details.gpus[0].uuid, granted, "{:?}", details.gpus);
    let look = "ls /dev | grep nvidia | tr '\\n' ' '; echo hello >/dev/nvidia1 && echo works";
    let (well, said) = trial.ssh(&details, &trial.key, look);
    assert!(well, "{said}");
    assert_eq!(said, "nvidia1 nvidiactl works\n");
    let log = std::fs::read_to_string(trial.session.node_log()).unwrap();
    assert!(log.contains("way=Cdi"), "{log}");
    trial.signal("TERM");
    trial.wait_for(15, Phase::is_final);
    assert_eq!((trial.containers(), trial.leftovers()), (0, 0));
}

#[test]
fn what_cdi_specs_lack_or_describe_wrong_is_told() {
    // Of which GPU a spec describes which device, and what is told: one that was not granted, a device
    // that is not there, and another GPU's device under the name of the one that was.
    let other = match api() >= [1, 50] {
        true => "its CDI specs describe other GPUs",
        false => "unresolvable CDI devices",
    };
    let cases: [(usize, u32, &str, &[&str]); 3] = [
        (2, 2, "/dev/null", &[other]),
        (
            1,
            1,
            "/dev/qdebug-no-such-device",
            &["CDI", "/dev/qdebug-no-such-device"],
        ),
        (
            1,
            2,
            "/dev/null",
            &["/dev/nvidia2", "should have /dev/nvidia1"],
        ),
    ];
    for (number, (described, minor, device, words)) in cases.into_iter().enumerate() {
        let uuids = uuids(&format!("lacks{number}"));
        let Some(mut trial) = with_gpus(uuids.each_ref().map(|uuid| uuid.as_str())) else {
            return;
        };
        let Some(_spec) = CdiSpec::of(&[(&uuids[described], minor)], device) else {
            return;
        };
        trial.start();
        let phase = trial.wait_for(60, Phase::is_final);
        let Phase::Failed { error, .. } = &phase else {
            panic!("{phase:?}");
        };
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
        assert_eq!((trial.containers(), trial.leftovers()), (0, 0), "{error}");
    }
}
