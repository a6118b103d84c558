//! Parts of a GPU that is cut up.

use std::ffi::c_uint;

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlReturn_t};

use crate::handle::{PART_SHIFT, gpu};
use crate::put::put;
use crate::{Answer, INVALID, NOT_FOUND, NOT_SUPPORTED, code};

nvml! {
    nvmlDeviceGetMigMode(device: nvmlDevice_t, current: *mut c_uint, pending: *mut c_uint) {
        let mig = c_uint::from(gpu(device)?.mig.ok_or(NOT_SUPPORTED)?);
        // SAFETY: the caller's pointers.
        unsafe { put(current, mig).and_then(|()| put(pending, mig)) }
    }
    nvmlDeviceGetMaxMigDeviceCount(device: nvmlDevice_t, count: *mut c_uint) {
        // One place is always empty, as on a GPU that is not cut up fully.
        let parts = c_uint::try_from(gpu(device)?.parts.len()).map_err(|_| INVALID)?;
        // SAFETY: the caller's pointer.
        unsafe { put(count, parts + 1) }
    }
    nvmlDeviceGetMigDeviceHandleByIndex(
        device: nvmlDevice_t,
        index: c_uint,
        part: *mut nvmlDevice_t
    ) {
        let place = index as usize;
        gpu(device)?.part(place).ok_or(NOT_FOUND)?;
        let handle = device.addr() | (place + 1) << PART_SHIFT;
        // SAFETY: the caller's pointer.
        unsafe { put(part, std::ptr::without_provenance_mut(handle)) }
    }
    nvmlDeviceGetGpuInstanceId(device: nvmlDevice_t, id: *mut c_uint) {
        let (instance, _) = gpu(device)?.instances.ok_or(NOT_SUPPORTED)?;
        // SAFETY: the caller's pointer.
        unsafe { put(id, instance) }
    }
    nvmlDeviceGetComputeInstanceId(device: nvmlDevice_t, id: *mut c_uint) {
        let (_, instance) = gpu(device)?.instances.ok_or(NOT_SUPPORTED)?;
        // SAFETY: the caller's pointer.
        unsafe { put(id, instance) }
    }
}
