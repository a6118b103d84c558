//! What NVML says of this node.
//!
//! The library is found by the loader (`libnvidia-ml.so.1`). No library, no driver and a driver
//! that is hidden (in a container: `Unknown`) are one case: there is no GPU here.

use nvml_wrapper::Nvml;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;

use super::Error;

/// A GPU of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// Its place in PCI order, as schedulers and `CUDA_DEVICE_ORDER=PCI_BUS_ID` count.
    pub index: u32,
    /// Its UUID, `GPU-...`.
    pub uuid: String,
    /// Its name, such as `Tesla V100-SXM2-32GB`.
    pub name: String,
    /// Its memory in bytes; 0 where an old driver does not tell.
    pub memory_bytes: u64,
    /// Whether it is cut into MIG parts.
    pub mig: bool,
    /// The processes on it; `None` where the driver does not tell.
    pub processes: Option<Vec<GpuProcess>>,
}

/// A process that has something on a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuProcess {
    /// Its id on this node.
    pub pid: u32,
    /// Its memory on the GPU in bytes, where the driver tells.
    pub memory_bytes: Option<u64>,
}

/// All GPUs of this node, in PCI order. Loads NVML and lets go of it again.
///
/// # Errors
/// [`Error::NoGpu`] when there is none, [`Error::Nvml`] when NVML fails on the way.
pub fn inventory() -> Result<Vec<Gpu>, Error> {
    let nvml = Nvml::init().map_err(|error| at_init(&error))?;
    let found = look(&nvml);
    if let Err(error) = nvml.shutdown() {
        tracing::debug!(%error, "NVML did not shut down cleanly");
    }
    let gpus = found?;
    if gpus.is_empty() {
        return Err(Error::NoGpu {
            detail: "NVML is there and lists none".to_owned(),
        });
    }
    Ok(gpus)
}

pub(super) fn at_init(error: &NvmlError) -> Error {
    match error {
        NvmlError::LibloadingError(_)
        | NvmlError::DriverNotLoaded
        | NvmlError::LibraryNotFound
        | NvmlError::Unknown => Error::NoGpu {
            detail: error.to_string(),
        },
        error => Error::Nvml {
            doing: "starting".to_owned(),
            detail: error.to_string(),
        },
    }
}

fn look(nvml: &Nvml) -> Result<Vec<Gpu>, Error> {
    let failed = |doing: String| {
        move |error: NvmlError| Error::Nvml {
            doing,
            detail: error.to_string(),
        }
    };
    let count = nvml
        .device_count()
        .map_err(failed("counting GPUs".to_owned()))?;
    let mut gpus = Vec::new();
    for index in 0..count {
        let asking = |what: &str| failed(format!("asking GPU {index} for its {what}"));
        let device = nvml.device_by_index(index).map_err(asking("handle"))?;
        // NVML counts in PCI order by its own promise; an old or stand-in library that lacks the
        // answer keeps its order.
        let bus = device
            .pci_info()
            .map(|pci| (pci.domain, pci.bus, pci.device));
        let processes = device.running_compute_processes().ok();
        gpus.push((
            bus.unwrap_or((u32::MAX, index, 0)),
            Gpu {
                index,
                uuid: device.uuid().map_err(asking("UUID"))?,
                name: device.name().map_err(asking("name"))?,
                memory_bytes: device.memory_info().map_or(0, |memory| memory.total),
                mig: device.mig_mode().is_ok_and(|mode| mode.current == 1),
                processes: processes.map(|list| {
                    let process =
                        |info: nvml_wrapper::struct_wrappers::device::ProcessInfo| GpuProcess {
                            pid: info.pid,
                            memory_bytes: match info.used_gpu_memory {
                                UsedGpuMemory::Used(bytes) => Some(bytes),
                                UsedGpuMemory::Unavailable => None,
                            },
                        };
                    list.into_iter().map(process).collect()
                }),
            },
        ));
    }
    Ok(in_pci_order(gpus))
}

fn in_pci_order(mut gpus: Vec<((u32, u32, u32), Gpu)>) -> Vec<Gpu> {
    gpus.sort_by_key(|(bus, _)| *bus);
    let numbered = (0..).zip(gpus);
    numbered
        .map(|(index, (_, gpu))| Gpu { index, ..gpu })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_ways_of_having_no_gpu_are_one() {
        for error in [
            NvmlError::DriverNotLoaded,
            NvmlError::Unknown,
            NvmlError::LibraryNotFound,
        ] {
            assert!(matches!(at_init(&error), Error::NoGpu { .. }), "{error}");
        }
        assert!(matches!(
            at_init(&NvmlError::NoPermission),
            Error::Nvml { .. }
        ));
    }

    #[test]
    fn indices_are_those_of_pci_order() {
        let gpu = |uuid: &str| Gpu {
            index: 9,
            uuid: uuid.to_owned(),
            name: String::new(),
            memory_bytes: 0,
            mig: false,
            processes: None,
        };
        let sorted = in_pci_order(vec![((0, 8, 0), gpu("b")), ((0, 3, 0), gpu("a"))]);
        let shown: Vec<_> = sorted.iter().map(|g| (g.index, g.uuid.as_str())).collect();
        assert_eq!(shown, [(0, "a"), (1, "b")]);
    }
}
