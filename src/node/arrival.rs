//! Whether exactly the GPUs of a session, and the MIG parts of it, are among a container's devices. Pure.
//!
//! A whole GPU is its node, `/dev/nvidiaN`. MIG parts come as their GPU's node and nodes of capabilities,
//! which the driver lists by the parts' places, as NVML tells them of the session's own; where it does
//! not, as with an old driver, parts are counted.

use std::collections::BTreeMap;

use crate::gpu::{self, Capabilities, Gpu, Part};

/// Whether exactly these GPUs, and these MIG parts of them, are among the devices; `way` is how the engine
/// was asked.
pub(super) fn check(
    names: &[String],
    gpus: &[Gpu],
    capabilities: &Capabilities,
    way: &'static str,
) -> Result<(), gpu::Error> {
    let mut seen: Vec<u32> = names
        .iter()
        .filter_map(|name| name.strip_prefix("nvidia")?.parse().ok())
        .collect();
    seen.sort_unstable();
    let mut wanted: Vec<Option<u32>> = gpus.iter().map(|gpu| gpu.minor).collect();
    wanted.sort_unstable();
    // The parts of one GPU share its node.
    wanted.dedup();
    let known: Option<Vec<u32>> = wanted.iter().copied().collect();
    let fits = match &known {
        Some(known) => seen == *known,
        // An old driver does not tell its numbers: then how many there are must do.
        None => seen.len() == gpus.len(),
    };
    let parts = parts_that_do_not_fit(names, gpus, capabilities);
    if fits && parts.is_none() {
        return Ok(());
    }
    let list = |numbers: &[u32]| match numbers {
        [] => "no GPU".to_owned(),
        some => {
            let names: Vec<String> = some.iter().map(|n| format!("/dev/nvidia{n}")).collect();
            names.join(", ")
        }
    };
    let wanted = known.map_or_else(|| format!("{} GPUs", gpus.len()), |known| list(&known));
    let (of_seen, of_wanted) = match parts {
        Some(Misfit { seen, wanted }) if fits => (seen, wanted),
        _ => Default::default(),
    };
    Err(gpu::Error::NotArrived {
        seen: list(&seen) + &of_seen,
        wanted: wanted + &of_wanted,
        way,
    })
}

/// What is wrong with the MIG parts, as it follows the GPUs' names.
struct Misfit {
    seen: String,
    wanted: String,
}

/// What is wrong with the MIG parts among the devices: nothing where they are the session's own, or, of
/// a driver that does not tell which those are, as many as the session's, GPU by GPU.
fn parts_that_do_not_fit(
    names: &[String],
    gpus: &[Gpu],
    capabilities: &Capabilities,
) -> Option<Misfit> {
    let misfit = |seen: String, wanted: String| Some(Misfit { seen, wanted });
    let parts = gpus.iter().filter(|gpu| gpu.mig);
    let minors: Option<Vec<u32>> = parts.clone().map(|part| part.minor).collect();
    let Some(minors) = minors.filter(|_| !capabilities.is_empty()) else {
        // The driver does not tell its numbers: then it must do that there are some.
        let has_some = names.iter().any(|name| name.starts_with("nvidia-caps/"));
        let needs_some = gpus.iter().any(|gpu| gpu.mig);
        if has_some || !needs_some {
            return None;
        }
        let lacks = " without the capabilities of its MIG parts (/dev/nvidia-caps)";
        return misfit(lacks.to_owned(), String::new());
    };
    let seen = capabilities.parts(names.iter().map(String::as_str));
    let placed: Option<BTreeMap<Part, &str>> = parts.map(placed).collect();
    if let Some(wanted) = placed {
        if seen.iter().eq(wanted.keys()) {
            return None;
        }
        let wanted = wanted.iter().map(|(part, uuid)| format!("{part} ({uuid})"));
        return misfit(
            with_parts(seen.iter().map(Part::to_string)),
            with_parts(wanted),
        );
    }
    let count = |minors: &mut dyn Iterator<Item = u32>| {
        let mut counts = BTreeMap::new();
        minors.for_each(|minor| *counts.entry(minor).or_insert(0) += 1);
        counts
    };
    let counted = count(&mut seen.iter().map(|part| part.minor));
    if counted == count(&mut minors.iter().copied()) {
        return None;
    }
    let wanted = format!(" with {} MIG parts", minors.len());
    misfit(with_parts(seen.iter().map(Part::to_string)), wanted)
}

/// A MIG part by its place, with its UUID.
fn placed(gpu: &Gpu) -> Option<(Part, &str)> {
    let (minor, instances) = (gpu.minor?, gpu.instances?);
    Some((Part { minor, instances }, &gpu.uuid))
}

fn with_parts(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    match &*parts {
        [] => " with no MIG part".to_owned(),
        [one] => format!(" with the MIG part {one}"),
        more => format!(" with the MIG parts {}", more.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Instances;

    fn gpu(minor: u32) -> Gpu {
        Gpu {
            minor: Some(minor),
            ..Gpu::default()
        }
    }

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn says(text: &str, gpus: &[Gpu]) -> Option<String> {
        says_with("", text, gpus)
    }

    fn says_with(listed: &str, text: &str, gpus: &[Gpu]) -> Option<String> {
        let checked = check(&names(text), gpus, &Capabilities::parse(listed), "x");
        checked.err().map(|error| error.to_string())
    }

    #[test]
    fn these_and_no_others() {
        let gpus = [gpu(3), gpu(0)];
        assert_eq!(says("nvidia0 nvidia3 nvidiactl nvidia-uvm", &gpus), None);
        let few = says("nvidia0 nvidiactl", &gpus).unwrap();
        assert!(few.contains("/dev/nvidia0, /dev/nvidia3"), "{few}");
        assert!(says("", &gpus).unwrap().contains("no GPU"));
        assert!(says("nvidia0 nvidia1 nvidia3", &gpus).is_some());
        assert_eq!(says("nvidiactl", &[]), None);
        assert!(says("nvidia0", &[]).is_some(), "one that nobody granted");
        let silent = [Gpu::default(), Gpu::default()];
        assert!(says("nvidia4 nvidia5", &silent[..1]).is_some());
    }

    #[test]
    fn parts_need_their_capabilities() {
        let part = || Gpu {
            mig: true,
            ..gpu(1)
        };
        let both = [part(), part()];
        assert_eq!(says("nvidia1 nvidia-caps/nvidia-cap3", &both), None);
        let lacks = says("nvidia1", &both).unwrap();
        assert!(lacks.contains("nvidia-caps"), "{lacks}");
    }

    const LISTED: &str = "gpu0/gi0/access 3\ngpu0/gi0/ci0/access 4\ngpu0/gi1/access 12\n\
        gpu0/gi1/ci0/access 13\ngpu1/gi0/ci0/access 139\n";

    #[test]
    fn parts_of_an_old_driver_are_as_many_as_the_sessions() {
        let part = |minor| Gpu {
            mig: true,
            ..gpu(minor)
        };
        let says = |text, gpus: &[Gpu]| says_with(LISTED, text, gpus);
        let one = "nvidia0 nvidia-caps/nvidia-cap3 nvidia-caps/nvidia-cap4";
        assert_eq!(says(one, &[part(0)]), None);
        let few = says(one, &[part(0), part(0)]).unwrap();
        for word in ["the MIG part gi0/ci0 of /dev/nvidia0", "with 2 MIG parts"] {
            assert!(few.contains(word), "{word}: {few}");
        }
        let many = "nvidia0 nvidia-caps/nvidia-cap4 nvidia-caps/nvidia-cap13";
        assert_eq!(says(many, &[part(0), part(0)]), None);
        assert!(says(many, &[part(0)]).is_some(), "one that nobody granted");
        let others = "nvidia0 nvidia-caps/nvidia-cap139";
        assert!(says(others, &[part(0)]).is_some(), "one of another GPU");
        // Whole GPUs beside parts of others.
        let both = "nvidia0 nvidia1 nvidia-caps/nvidia-cap4";
        assert_eq!(says(both, &[part(0), gpu(1)]), None);
        assert!(says(both, &[gpu(0), gpu(1)]).is_some());
    }

    #[test]
    fn a_part_that_is_not_the_sessions_is_named_with_the_one_that_is() {
        let part = |minor, gi, ci| Gpu {
            mig: true,
            uuid: format!("MIG-{gi}{ci}"),
            instances: Some(Instances {
                gpu: gi,
                compute: ci,
            }),
            ..gpu(minor)
        };
        let says = |text, gpus: &[Gpu]| says_with(LISTED, text, gpus);
        let first = "nvidia0 nvidia-caps/nvidia-cap3 nvidia-caps/nvidia-cap4";
        assert_eq!(says(first, &[part(0, 0, 0)]), None);
        // As many, and another.
        let wrong = says(first, &[part(0, 1, 0)]).unwrap();
        assert_eq!(
            wrong,
            "the container has /dev/nvidia0 with the MIG part gi0/ci0 of /dev/nvidia0, and should \
             have /dev/nvidia0 with the MIG part gi1/ci0 of /dev/nvidia0 (MIG-10)"
        );
        let both = "nvidia0 nvidia-caps/nvidia-cap4 nvidia-caps/nvidia-cap13";
        assert_eq!(says(both, &[part(0, 1, 0), part(0, 0, 0)]), None);
        let more = says(both, &[part(0, 1, 0)]).unwrap();
        assert!(more.contains("the MIG parts gi0/ci0 of"), "{more}");
        let none = says("nvidia0", &[part(0, 1, 0)]).unwrap();
        assert!(none.contains("no MIG part"), "{none}");
        // Known of one alone: then both are counted.
        let unknown = Gpu {
            instances: None,
            ..part(0, 0, 0)
        };
        assert_eq!(says(both, &[part(0, 1, 0), unknown]), None);
    }
}
