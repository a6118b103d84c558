//! GPUs that go in the middle of a session.
//!
//! Problem: a GPU falls off the bus, a driver is reloaded, or systemd takes the devices of running
//! containers away at `daemon-reload` (nvidia-container-toolkit issues 48 and 1227); a program
//! then says `Failed to initialize NVML` or fails in CUDA, and nobody knows why. Solution: NVML is
//! asked now and then about the session's own GPUs. One failed look is no verdict: what two looks in
//! a row agree on is told, once, and so is that it is over.

use super::{Error, Gpu};

/// What one look found of a session's GPUs: nothing, or what is wrong.
pub type Seen = Option<String>;

/// Makes news of looks. Pure.
#[derive(Debug, Default)]
pub struct Watch {
    last: Seen,
    told: Seen,
}

impl Watch {
    /// Takes a look in; what there is to tell, if anything.
    pub fn see(&mut self, seen: Seen) -> Option<String> {
        let agreed = self.last == seen;
        self.last = seen;
        if !agreed || self.told == self.last {
            return None;
        }
        self.told.clone_from(&self.last);
        Some(match &self.last {
            Some(what) => what.clone(),
            None => "the GPUs of this session are well again".to_owned(),
        })
    }

    /// Whether the last look found something that is not told yet: then the next one is soon.
    pub fn doubts(&self) -> bool {
        self.last != self.told
    }

    /// What an inventory says of the GPUs with these UUIDs, which were well when the session began.
    pub fn judge(inventory: &Result<Vec<Gpu>, Error>, uuids: &[String]) -> Seen {
        let gpus = match inventory {
            Ok(gpus) => gpus,
            Err(Error::NoGpu { detail } | Error::Nvml { detail, .. }) => {
                return Some(format!(
                    "the NVIDIA driver of this node does not answer any more ({detail}): it was \
                     unloaded or reloaded, or its devices are gone; submit a new session, and tell \
                     the admin"
                ));
            }
            Err(_) => return None,
        };
        let all = || gpus.iter().flat_map(|gpu| gpu.parts.iter().chain([gpu]));
        let wrong: Vec<String> = uuids
            .iter()
            .filter_map(|uuid| match all().find(|gpu| gpu.uuid == *uuid) {
                None => Some(format!("GPU {uuid} is gone")),
                Some(gpu) if gpu.faults.is_empty() => None,
                Some(gpu) => {
                    let faults: Vec<_> = gpu.faults.iter().map(ToString::to_string).collect();
                    Some(format!("GPU {uuid}: {}", faults.join(", ")))
                }
            })
            .collect();
        (!wrong.is_empty()).then(|| {
            format!(
                "{}; what runs on it fails or computes wrong: save your work, submit a new \
                 session, and tell the admin",
                wrong.join("; ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Fault;

    fn gone() -> Seen {
        Some("gone".to_owned())
    }

    #[test]
    fn what_two_looks_agree_on_is_told_once() {
        let mut watch = Watch::default();
        assert_eq!(watch.see(None), None);
        assert_eq!(watch.see(gone()), None);
        assert!(watch.doubts());
        assert_eq!(watch.see(gone()), gone());
        assert_eq!(watch.see(gone()), None);
        assert!(!watch.doubts());
        assert_eq!(watch.see(None), None);
        assert!(watch.see(None).unwrap().contains("again"));
        // A single bad look is nothing.
        assert_eq!(watch.see(gone()), None);
        assert_eq!(watch.see(None), None);
        assert_eq!(watch.see(None), None);
    }

    #[test]
    fn a_lost_gpu_and_a_lost_driver_are_told_from_others_troubles() {
        let gpu = |uuid: &str, faults: &[Fault]| Gpu {
            uuid: uuid.to_owned(),
            faults: faults.to_vec(),
            ..Gpu::default()
        };
        let node = Ok(vec![gpu("GPU-a", &[]), gpu("GPU-b", &[Fault::Lost])]);
        let judge = |uuid: &str| Watch::judge(&node, &[uuid.to_owned()]);
        assert_eq!(judge("GPU-a"), None);
        assert!(judge("GPU-b").unwrap().contains("fallen off"));
        assert!(judge("GPU-c").unwrap().contains("GPU-c is gone"));
        let none = Err(Error::NoGpu {
            detail: "driver not loaded".to_owned(),
        });
        let told = Watch::judge(&none, &["GPU-a".to_owned()]).unwrap();
        assert!(
            told.contains("driver not loaded") && told.contains("submit"),
            "{told}"
        );
    }
}
