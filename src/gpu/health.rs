//! Whether a GPU is fit to compute on, as NVML tells.
//!
//! What counts are the reasons for which NVIDIA's own manuals say "reset" or "replace": a job that
//! computes on such a GPU fails, or computes wrong. Pages or rows that were put aside and are out
//! of use since the last reset are no fault. What a GPU does not tell (no ECC, older than row
//! remapping) is none either.

use std::fmt;

use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::{EccCounter, MemoryError};
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id;

const REMAPPED: [FieldId; 2] = [
    FieldId(field_id::NVML_FI_DEV_REMAPPED_PENDING),
    FieldId(field_id::NVML_FI_DEV_REMAPPED_FAILURE),
];

/// What is wrong with a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It fell off the bus.
    Lost,
    /// It answers nothing before it is reset.
    ResetRequired,
    /// Errors of its memory that could not be corrected, since the driver was loaded.
    Uncorrected(u64),
    /// Rows of its memory wait for a reset to be put aside.
    RemapPending,
    /// There are no spare rows left to put broken ones aside.
    RemapFailed,
    /// Pages of its memory wait for a reset to be retired.
    RetirePending,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost => f.write_str("it has fallen off the bus"),
            Self::ResetRequired => f.write_str("it must be reset"),
            Self::Uncorrected(count) => write!(
                f,
                "{count} uncorrected memory errors (ECC) since the driver was loaded"
            ),
            Self::RemapPending => f.write_str("rows of its memory wait for a reset (remapping)"),
            Self::RemapFailed => {
                f.write_str("its memory has no spare rows left (remapping failed)")
            }
            Self::RetirePending => f.write_str("pages of its memory wait for a reset (retirement)"),
        }
    }
}

/// The fault that an answer of NVML itself is, if it is one.
pub(super) fn of_error(error: &NvmlError) -> Option<Fault> {
    match error {
        NvmlError::GpuLost => Some(Fault::Lost),
        NvmlError::ResetRequired => Some(Fault::ResetRequired),
        _ => None,
    }
}

/// All that is wrong with it.
pub(super) fn of_device(device: &Device<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    match device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile) {
        Ok(0) => {}
        Ok(count) => faults.push(Fault::Uncorrected(count)),
        Err(error) => faults.extend(of_error(&error)),
    }
    if device.are_pages_pending_retired().unwrap_or(false) {
        faults.push(Fault::RetirePending);
    }
    let remapped = device.field_values_for(&REMAPPED).into_iter().flatten();
    for (sample, fault) in remapped.zip([Fault::RemapPending, Fault::RemapFailed]) {
        let is_set = match sample.map(|sample| sample.value) {
            Ok(Ok(SampleValue::U32(value))) => value > 0,
            Ok(Ok(SampleValue::U64(value))) => value > 0,
            _ => false,
        };
        faults.extend(is_set.then_some(fault));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_faults_are_told_from_others() {
        assert_eq!(of_error(&NvmlError::GpuLost), Some(Fault::Lost));
        let reset = of_error(&NvmlError::ResetRequired);
        assert_eq!(reset, Some(Fault::ResetRequired));
        assert_eq!(of_error(&NvmlError::NotSupported), None);
    }
}
