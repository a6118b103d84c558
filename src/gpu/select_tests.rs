//! Tests of [`super`].

use super::*;
use crate::gpu::{Fault, GpuProcess};

fn gpu(index: u32, name: &str) -> Gpu {
    Gpu {
        index,
        uuid: format!("GPU-{index}{index}aa-bb"),
        name: name.to_owned(),
        memory_bytes: 32 << 30,
        minor: Some(index),
        processes: Some(Vec::new()),
        ..Gpu::default()
    }
}

fn node() -> Vec<Gpu> {
    vec![
        gpu(0, "Tesla V100-SXM2-32GB"),
        gpu(1, "Tesla V100-SXM2-32GB"),
        gpu(2, "Tesla P100-PCIE-16GB"),
    ]
}

/// An A100 of two parts.
fn cut() -> Gpu {
    let whole = Gpu {
        mig: true,
        ..gpu(0, "NVIDIA A100-SXM4-40GB")
    };
    let part = |n: u32| Gpu {
        uuid: format!("MIG-{n}"),
        name: "NVIDIA A100-SXM4-40GB MIG 3g.20gb".to_owned(),
        ..whole.clone()
    };
    Gpu {
        parts: vec![part(1), part(2)],
        ..whole
    }
}

fn busy(gpu: Gpu) -> Gpu {
    let process = GpuProcess {
        pid: 4711,
        memory_bytes: Some(1 << 30),
        user: Some("bob".to_owned()),
        program: Some("python".to_owned()),
    };
    Gpu {
        processes: Some(vec![process]),
        ..gpu
    }
}

fn sick(gpu: Gpu) -> Gpu {
    Gpu {
        faults: vec![Fault::Uncorrected(3)],
        ..gpu
    }
}

fn select_of(
    node: &[Gpu],
    granted: Granted,
    kind: &str,
    count: usize,
) -> Result<Option<Vec<String>>, Error> {
    let pattern = TypePattern::of_type(kind);
    let wanted = Wanted {
        pattern: &pattern,
        count,
        allow_busy: false,
    };
    let selected = select(node, &granted, &wanted)?;
    Ok(selected.map(|selected| selected.gpus.into_iter().map(|gpu| gpu.uuid).collect()))
}

fn run(granted: Granted, kind: &str, count: usize) -> Result<Vec<String>, Error> {
    select_of(&node(), granted, kind, count).map(Option::unwrap)
}

fn pick_of(node: &[Gpu], kind: &str, count: usize, taken: &[u32]) -> Result<Vec<u32>, Error> {
    let pattern = TypePattern::of_type(kind);
    let wanted = Wanted {
        pattern: &pattern,
        count,
        allow_busy: false,
    };
    let picked = pick(node, &wanted, |gpu| Ok(!taken.contains(&gpu.index)))?;
    assert!(picked.picked);
    Ok(picked.gpus.iter().map(|gpu| gpu.index).collect())
}

#[test]
fn the_granted_ones_are_taken_in_their_order() {
    let taken = run(Granted::Indices(vec![1, 0]), "V100", 2).unwrap();
    assert_eq!(taken, ["GPU-11aa-bb", "GPU-00aa-bb"]);
    let uuids = Granted::Uuids(vec!["gpu-11".into()]);
    assert_eq!(run(uuids, "V100", 1).unwrap(), ["GPU-11aa-bb"]);
    assert_eq!(
        select_of(&node(), Granted::Unsaid, "V100", 1).unwrap(),
        None
    );
}

#[test]
fn what_does_not_fit_is_named() {
    let missing = run(Granted::Indices(vec![7]), "V100", 1).unwrap_err();
    assert!(missing.to_string().contains("GPU 7"), "{missing}");
    let wrong = run(Granted::Indices(vec![2]), "V100", 1).unwrap_err();
    assert!(wrong.to_string().contains("Tesla P100"), "{wrong}");
    assert!(matches!(wrong, Error::WrongType { .. }));
    let few = run(Granted::Indices(vec![0]), "V100", 2).unwrap_err();
    assert!(matches!(few, Error::TooFew { wanted: 2, .. }), "{few}");
    let none = run(Granted::None, "V100", 1).unwrap_err();
    assert!(none.to_string().contains("has none"), "{none}");
    let unclear = run(Granted::Uuids(vec!["GPU-".into()]), "V100", 1).unwrap_err();
    assert!(matches!(unclear, Error::Missing { .. }), "{unclear}");
}

#[test]
fn a_stranger_on_a_granted_gpu_is_told_with_user_and_memory() {
    let node = [busy(gpu(0, "Tesla V100")), gpu(1, "Tesla V100")];
    let both = Granted::Indices(vec![0, 1]);
    let error = select_of(&node, both.clone(), "V100", 2).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    let text = error.to_string();
    for word in ["4711", "python of bob", "1024 MiB", "Tesla V100 (0)"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    // The other one alone is idle, and whoever says so gets both.
    assert!(select_of(&node, Granted::Indices(vec![1]), "V100", 1).is_ok());
    let pattern = TypePattern::of_type("V100");
    let wanted = Wanted {
        pattern: &pattern,
        count: 2,
        allow_busy: true,
    };
    assert_eq!(
        select(&node, &both, &wanted).unwrap().unwrap().gpus.len(),
        2
    );
}

#[test]
fn an_unfit_gpu_is_refused_where_it_was_granted_and_only_there() {
    let lost = Gpu {
        faults: vec![Fault::Lost],
        index: 1,
        ..Gpu::default()
    };
    let node = [sick(gpu(0, "Tesla V100")), lost, gpu(2, "Tesla V100")];
    let error = select_of(&node, Granted::Indices(vec![0]), "V100", 1).unwrap_err();
    assert!(error.to_string().contains("3 uncorrected"), "{error}");
    let error = select_of(&node, Granted::Indices(vec![1]), "V100", 1).unwrap_err();
    assert!(error.to_string().contains("fallen off the bus"), "{error}");
    assert!(select_of(&node, Granted::Indices(vec![2]), "V100", 1).is_ok());
    let closed = [Gpu {
        mode: Mode::Prohibited,
        ..gpu(0, "Tesla V100")
    }];
    let error = select_of(&closed, Granted::Indices(vec![0]), "V100", 1).unwrap_err();
    assert!(matches!(error, Error::Prohibited { .. }), "{error}");
}

#[test]
fn parts_are_found_by_uuid_and_a_cut_gpu_stands_for_its_parts() {
    let node = [cut(), gpu(1, "NVIDIA A100-SXM4-40GB")];
    let one = Granted::Mig(vec!["MIG-2".into()]);
    assert_eq!(
        select_of(&node, one, "A100", 1).unwrap().unwrap(),
        ["MIG-2"]
    );
    let whole = select_of(&node, Granted::Indices(vec![0]), "A100", 2);
    assert_eq!(whole.unwrap().unwrap(), ["MIG-1", "MIG-2"]);
    let error = select_of(&node, Granted::Mig(vec!["MIG-7".into()]), "A100", 1).unwrap_err();
    assert!(error.to_string().contains("MIG-1, MIG-2"), "{error}");
    let wrong = select_of(&node, Granted::Mig(vec!["MIG-1".into()]), "V100", 1).unwrap_err();
    assert!(matches!(wrong, Error::WrongType { .. }), "{wrong}");
    let uncut = [Gpu {
        parts: Vec::new(),
        ..cut()
    }];
    let error = select_of(&uncut, Granted::Indices(vec![0]), "A100", 1).unwrap_err();
    assert!(matches!(error, Error::NoParts { .. }), "{error}");
}

#[test]
fn behind_device_cgroups_the_nodes_own_numbers_still_mean_the_jobs_gpus() {
    let seen = [gpu(0, "Tesla V100"), gpu(1, "Tesla V100")];
    let taken = select_of(&seen, Granted::Indices(vec![0, 3]), "V100", 2);
    assert_eq!(taken.unwrap().unwrap().len(), 2);
}

#[test]
fn without_a_grant_idle_ones_that_nobody_holds_are_picked() {
    assert_eq!(pick_of(&node(), "V100", 1, &[]).unwrap(), [0]);
    assert_eq!(pick_of(&node(), "V100", 1, &[0]).unwrap(), [1]);
    assert_eq!(pick_of(&node(), "P100", 1, &[]).unwrap(), [2]);
    let wrong = pick_of(&node(), "A100", 1, &[]).unwrap_err();
    assert!(matches!(wrong, Error::WrongType { .. }), "{wrong}");
    let v100 = || gpu(0, "Tesla V100");
    let mixed = [
        busy(v100()),
        sick(gpu(1, "Tesla V100")),
        gpu(2, "Tesla V100"),
    ];
    assert_eq!(pick_of(&mixed, "V100", 1, &[]).unwrap(), [2]);
    let none = pick_of(&mixed, "V100", 1, &[2]).unwrap_err().to_string();
    for word in ["bob", "uncorrected", "another session"] {
        assert!(none.contains(word), "{word}: {none}");
    }
    // Of a cut GPU the parts are picked, never the whole.
    let pattern = TypePattern::of_type("A100");
    let wanted = Wanted {
        pattern: &pattern,
        count: 2,
        allow_busy: false,
    };
    let picked = pick(&[cut()], &wanted, |_| Ok(true)).unwrap();
    assert!(picked.gpus.iter().all(|gpu| gpu.uuid.starts_with("MIG-")));
}
