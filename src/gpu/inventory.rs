//! What NVML says of this node.
//!
//! The library is found by the loader (`libnvidia-ml.so.1`). No library, no driver and a driver
//! that is hidden (in a container: `Unknown`) are one case: there is no GPU here.

use nvml_wrapper::enum_wrappers::device::ComputeMode;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper::{Device, Nvml};

use super::Error;
use super::capabilities::{self, Instances};
use super::health::{self, Fault};
use super::process::{self, GpuProcess};

/// How many parts a GPU may be cut into; more is a library gone mad.
const PARTS_LIMIT: u32 = 64;

/// A GPU of this node, or a MIG part of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gpu {
    /// Its place in PCI order, as schedulers and `CUDA_DEVICE_ORDER=PCI_BUS_ID` count; a part's is
    /// its GPU's.
    pub index: u32,
    /// Its UUID, `GPU-...` or `MIG-...`; empty for one that is lost.
    pub uuid: String,
    /// Its name, such as `Tesla V100-SXM2-32GB`.
    pub name: String,
    /// Its memory in bytes; 0 where an old driver does not tell.
    pub memory_bytes: u64,
    /// The number of its device, `/dev/nvidiaN`, where the driver tells; a part's is its GPU's.
    pub minor: Option<u32>,
    /// Whether it is cut into MIG parts.
    pub mig: bool,
    /// Its MIG parts.
    pub parts: Vec<Gpu>,
    /// A part's place in its GPU, where the driver tells.
    pub instances: Option<Instances>,
    /// Who may compute on it.
    pub mode: Mode,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
    /// The processes that compute on it; `None` where the driver does not tell.
    pub processes: Option<Vec<GpuProcess>>,
}

/// Who may compute on a GPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Any number of processes.
    #[default]
    Shared,
    /// One process at a time.
    Exclusive,
    /// Nobody.
    Prohibited,
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
        let found = nvml
            .device_by_index(index)
            .and_then(|device| Ok((bus_of(&device), gpu(&device, index)?)));
        gpus.push(match found {
            Ok((bus, gpu)) => (bus.unwrap_or((u32::MAX, index, 0)), gpu),
            // It still counts, or the numbers behind it would mean other GPUs.
            Err(error) => match health::of_error(&error) {
                Some(fault) => ((u32::MAX, index, 0), lost(fault)),
                None => return Err(failed(format!("asking GPU {index} what it is"))(error)),
            },
        });
    }
    // Where a GPU cannot tell its place, the library's own order is the best there is: NVML counts
    // in PCI order by its own promise.
    let told = gpus.iter().all(|((domain, ..), _)| *domain != u32::MAX);
    Ok(match told {
        true => in_pci_order(gpus),
        false => numbered(gpus.into_iter().map(|(_, gpu)| gpu)),
    })
}

type Bus = (u32, u32, u32);

fn bus_of(device: &Device<'_>) -> Option<Bus> {
    let pci = device.pci_info().ok()?;
    Some((pci.domain, pci.bus, pci.device))
}

fn lost(fault: Fault) -> Gpu {
    Gpu {
        name: "a GPU that does not answer".to_owned(),
        faults: vec![fault],
        ..Gpu::default()
    }
}

fn gpu(device: &Device<'_>, index: u32) -> Result<Gpu, NvmlError> {
    let mig = device.mig_mode().is_ok_and(|mode| mode.current == 1);
    let mut gpu = Gpu {
        index,
        uuid: device.uuid()?,
        name: device.name()?,
        memory_bytes: device.memory_info().map_or(0, |memory| memory.total),
        minor: device.minor_number().ok(),
        mig,
        parts: Vec::new(),
        instances: None,
        mode: match device.compute_mode() {
            Ok(ComputeMode::Prohibited) => Mode::Prohibited,
            Ok(ComputeMode::ExclusiveProcess | ComputeMode::ExclusiveThread) => Mode::Exclusive,
            _ => Mode::Shared,
        },
        faults: health::of_device(device),
        processes: device.running_compute_processes().ok().map(processes),
    };
    if mig {
        gpu.parts = parts(device, &gpu);
    }
    Ok(gpu)
}

/// The MIG parts of a GPU. They share its health, mode and device.
fn parts(device: &Device<'_>, whole: &Gpu) -> Vec<Gpu> {
    let places = device.mig_device_count().unwrap_or(0).min(PARTS_LIMIT);
    let library = qdebug_mig::Library::open();
    let part = |place| {
        // A place without a part says "not found".
        let part = device.mig_device_by_index(place).ok()?;
        let uuid = part.uuid().ok()?;
        let told = library
            .as_ref()
            .and_then(|library| library.instances(&part));
        Some(Gpu {
            instances: told.or_else(|| capabilities::in_uuid(&uuid)),
            uuid,
            name: part.name().unwrap_or_else(|_| whole.name.clone()),
            memory_bytes: part.memory_info().map_or(0, |memory| memory.total),
            mig: true,
            parts: Vec::new(),
            processes: part.running_compute_processes().ok().map(processes),
            ..whole.clone()
        })
    };
    (0..places).filter_map(part).collect()
}

fn processes(list: Vec<ProcessInfo>) -> Vec<GpuProcess> {
    let process = |info: ProcessInfo| {
        let memory = match info.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        };
        process::of_this_node(info.pid, memory)
    };
    list.into_iter().map(process).collect()
}

fn in_pci_order(mut gpus: Vec<(Bus, Gpu)>) -> Vec<Gpu> {
    gpus.sort_by_key(|(bus, _)| *bus);
    numbered(gpus.into_iter().map(|(_, gpu)| gpu))
}

fn numbered(gpus: impl Iterator<Item = Gpu>) -> Vec<Gpu> {
    let number = |(index, mut gpu): (u32, Gpu)| {
        gpu.index = index;
        gpu.parts.iter_mut().for_each(|part| part.index = index);
        gpu
    };
    (0..).zip(gpus).map(number).collect()
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
            ..Gpu::default()
        };
        let sorted = in_pci_order(vec![((0, 8, 0), gpu("b")), ((0, 3, 0), gpu("a"))]);
        let shown: Vec<_> = sorted.iter().map(|g| (g.index, g.uuid.as_str())).collect();
        assert_eq!(shown, [(0, "a"), (1, "b")]);
    }
}
