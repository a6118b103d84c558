//! What is wrong with the memory of a device.

use std::ffi::{c_int, c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{self as sys, nvmlDevice_t, nvmlReturn_t};

use crate::handle::gpu;
use crate::machine::Gpu;
use crate::put::{put, put_pages};
use crate::{Answer, INVALID, NOT_SUPPORTED, code};

/// Pages retired for this cause; all of ours had errors of two bits.
fn retired(gpu: &Gpu, cause: sys::nvmlPageRetirementCause_t) -> c_uint {
    let double = sys::nvmlPageRetirementCause_enum_NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR;
    if cause == double { gpu.retired } else { 0 }
}

nvml! {
    nvmlDeviceGetFieldValues(
        device: nvmlDevice_t,
        count: c_int,
        values: *mut sys::nvmlFieldValue_t
    ) {
        let remapped = gpu(device)?.remapped;
        for place in 0..usize::try_from(count).map_err(|_| INVALID)? {
            let value = values.wrapping_add(place);
            if values.is_null() {
                return Err(INVALID);
            }
            // SAFETY: `place` is below `count`, the entries that the caller vouches for.
            let value = unsafe { &mut *value };
            let answer = match (remapped, value.fieldId) {
                (Some(rows), sys::field_id::NVML_FI_DEV_REMAPPED_PENDING) => Ok(rows.pending),
                (Some(rows), sys::field_id::NVML_FI_DEV_REMAPPED_FAILURE) => Ok(rows.failed),
                _ => Err(NOT_SUPPORTED),
            };
            value.valueType = sys::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT;
            value.value.uiVal = c_uint::from(answer == Ok(true));
            value.nvmlReturn = code(answer.map(drop));
        }
        Ok(())
    }
    nvmlDeviceGetEccMode(
        device: nvmlDevice_t,
        current: *mut sys::nvmlEnableState_t,
        pending: *mut sys::nvmlEnableState_t
    ) {
        let ecc = sys::nvmlEnableState_t::from(gpu(device)?.ecc.ok_or(NOT_SUPPORTED)?);
        // SAFETY: the caller's pointers.
        unsafe { put(current, ecc).and_then(|()| put(pending, ecc)) }
    }
    nvmlDeviceGetTotalEccErrors(
        device: nvmlDevice_t,
        kind: sys::nvmlMemoryErrorType_t,
        _counter: sys::nvmlEccCounterType_t,
        errors: *mut c_ulonglong
    ) {
        let gpu = gpu(device)?;
        gpu.ecc.ok_or(NOT_SUPPORTED)?;
        let uncorrected =
            kind == sys::nvmlMemoryErrorType_enum_NVML_MEMORY_ERROR_TYPE_UNCORRECTED;
        // SAFETY: the caller's pointer.
        unsafe { put(errors, if uncorrected { gpu.ecc_errors } else { 0 }) }
    }
    nvmlDeviceGetRetiredPages_v2(
        device: nvmlDevice_t,
        cause: sys::nvmlPageRetirementCause_t,
        count: *mut c_uint,
        addresses: *mut c_ulonglong,
        timestamps: *mut c_ulonglong
    ) {
        let pages = retired(&gpu(device)?, cause);
        // SAFETY: the caller's pointers.
        unsafe { put_pages(pages, count, addresses, timestamps) }
    }
    // Asked for the number of pages alone.
    nvmlDeviceGetRetiredPages(
        device: nvmlDevice_t,
        cause: sys::nvmlPageRetirementCause_t,
        count: *mut c_uint,
        addresses: *mut c_ulonglong
    ) {
        let pages = retired(&gpu(device)?, cause);
        // SAFETY: the caller's pointers.
        unsafe { put_pages(pages, count, addresses, std::ptr::null_mut()) }
    }
    nvmlDeviceGetRetiredPagesPendingStatus(
        device: nvmlDevice_t,
        pending: *mut sys::nvmlEnableState_t
    ) {
        let value = sys::nvmlEnableState_t::from(gpu(device)?.retired_pending);
        // SAFETY: the caller's pointer.
        unsafe { put(pending, value) }
    }
    nvmlDeviceGetRemappedRows(
        device: nvmlDevice_t,
        corrected: *mut c_uint,
        uncorrected: *mut c_uint,
        pending: *mut c_uint,
        failure: *mut c_uint
    ) {
        let rows = gpu(device)?.remapped.ok_or(NOT_SUPPORTED)?;
        // SAFETY: the caller's pointers.
        unsafe {
            put(corrected, rows.corrected)?;
            put(uncorrected, rows.uncorrected)?;
            put(pending, rows.pending.into())?;
            put(failure, rows.failed.into())
        }
    }
}
