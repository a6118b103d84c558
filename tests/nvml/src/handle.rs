//! Handles of devices: which GPU, or which part of one, a caller means.

use nvml_wrapper_sys::bindings::{self as sys, nvmlDevice_t, nvmlReturn_t};

use crate::machine::{Gpu, Machine};
use crate::{INVALID, failed};

pub(crate) fn machine() -> Result<Machine, nvmlReturn_t> {
    Machine::read().map_err(failed)
}

/// Handles are indices counted from one: never null, never dereferenced. Those of MIG parts have
/// the part's place, counted from one, in higher bits.
pub(crate) fn handle(index: usize) -> nvmlDevice_t {
    std::ptr::without_provenance_mut(index + 1)
}

pub(crate) const PART_SHIFT: u32 = 16;
pub(crate) const WHOLE_MASK: usize = (1 << PART_SHIFT) - 1;

pub(crate) fn gpu(device: nvmlDevice_t) -> Result<Gpu, nvmlReturn_t> {
    let whole = whole(device)?;
    match device.addr() >> PART_SHIFT {
        0 => Ok(whole),
        place => whole.part(place - 1).ok_or(INVALID),
    }
}

pub(crate) fn whole(device: nvmlDevice_t) -> Result<Gpu, nvmlReturn_t> {
    let index = (device.addr() & WHOLE_MASK).checked_sub(1).ok_or(INVALID)?;
    let gpu = machine()?.gpus.into_iter().nth(index);
    // A GPU that the file no longer names has fallen off the bus.
    let gpu = gpu.ok_or(sys::nvmlReturn_enum_NVML_ERROR_GPU_IS_LOST)?;
    gpu.fault.map_or(Ok(gpu), |fault| Err(failed(fault)))
}
