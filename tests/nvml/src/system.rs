//! The driver, and the devices that it finds.

use std::ffi::{CStr, c_char, c_int, c_uint};

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlReturn_t};

use crate::handle::{handle, machine};
use crate::put::{put, put_text};
use crate::{Answer, INVALID, NOT_FOUND, code, failed};

nvml! {
    nvmlInit_v2() { machine().map(drop) }
    nvmlInitWithFlags(_flags: c_uint) { machine().map(drop) }
    nvmlShutdown() { Ok(()) }
    nvmlSystemGetDriverVersion(version: *mut c_char, length: c_uint) {
        // SAFETY: the caller's buffer.
        unsafe { put_text(version, length, &machine()?.driver) }
    }
    nvmlSystemGetNVMLVersion(version: *mut c_char, length: c_uint) {
        // SAFETY: the caller's buffer.
        unsafe { put_text(version, length, &format!("12.{}", machine()?.driver)) }
    }
    nvmlSystemGetCudaDriverVersion_v2(version: *mut c_int) {
        // SAFETY: the caller's pointer.
        unsafe { put(version, machine()?.cuda) }
    }
    nvmlDeviceGetCount_v2(count: *mut c_uint) {
        let gpus = c_uint::try_from(machine()?.gpus.len()).map_err(|_| INVALID)?;
        // SAFETY: the caller's pointer.
        unsafe { put(count, gpus) }
    }
    nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: *mut nvmlDevice_t) {
        let machine = machine()?;
        let gpu = machine.gpus.get(index as usize).ok_or(INVALID)?;
        if let Some(fault) = gpu.fault {
            return Err(failed(fault));
        }
        // SAFETY: the caller's pointer.
        unsafe { put(device, handle(index as usize)) }
    }
    nvmlDeviceGetHandleByUUID(uuid: *const c_char, device: *mut nvmlDevice_t) {
        if uuid.is_null() {
            return Err(INVALID);
        }
        // SAFETY: not null, and NVML's callers pass a string that ends with zero.
        let uuid = unsafe { CStr::from_ptr(uuid) };
        let found = machine()?.gpus.iter().position(|gpu| gpu.uuid.as_bytes() == uuid.to_bytes());
        // SAFETY: the caller's pointer.
        unsafe { put(device, handle(found.ok_or(NOT_FOUND)?)) }
    }
    nvmlDeviceGetHandleByPciBusId_v2(bus: *const c_char, device: *mut nvmlDevice_t) {
        if bus.is_null() {
            return Err(INVALID);
        }
        // SAFETY: not null, and NVML's callers pass a string that ends with zero.
        let bus = unsafe { CStr::from_ptr(bus) }.to_bytes();
        let found =
            machine()?.gpus.iter().position(|gpu| gpu.bus.as_bytes().eq_ignore_ascii_case(bus));
        // SAFETY: the caller's pointer.
        unsafe { put(device, handle(found.ok_or(NOT_FOUND)?)) }
    }
}
