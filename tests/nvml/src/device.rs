//! What one device is, holds and does.

use std::ffi::{c_char, c_uint};

use nvml_wrapper_sys::bindings::{self as sys, nvmlDevice_t, nvmlReturn_t};

use crate::handle::{WHOLE_MASK, gpu};
use crate::machine::Mode;
use crate::put::{put, put_processes, put_text};
use crate::{Answer, INVALID, code};

nvml! {
    nvmlDeviceGetIndex(device: nvmlDevice_t, index: *mut c_uint) {
        gpu(device)?;
        let place = c_uint::try_from((device.addr() & WHOLE_MASK) - 1).map_err(|_| INVALID)?;
        // SAFETY: the caller's pointer.
        unsafe { put(index, place) }
    }
    nvmlDeviceGetMinorNumber(device: nvmlDevice_t, minor: *mut c_uint) {
        gpu(device)?;
        let place = c_uint::try_from((device.addr() & WHOLE_MASK) - 1).map_err(|_| INVALID)?;
        // SAFETY: the caller's pointer.
        unsafe { put(minor, place) }
    }
    nvmlDeviceGetName(device: nvmlDevice_t, name: *mut c_char, length: c_uint) {
        // SAFETY: the caller's buffer.
        unsafe { put_text(name, length, &gpu(device)?.name) }
    }
    nvmlDeviceGetUUID(device: nvmlDevice_t, uuid: *mut c_char, length: c_uint) {
        // SAFETY: the caller's buffer.
        unsafe { put_text(uuid, length, &gpu(device)?.uuid) }
    }
    nvmlDeviceGetPciInfo_v3(device: nvmlDevice_t, pci: *mut sys::nvmlPciInfo_t) {
        let gpu = gpu(device)?;
        let (domain, bus, number) = gpu.address();
        let mut info = sys::nvmlPciInfo_t {
            busIdLegacy: [0; 16],
            domain,
            bus,
            device: number,
            pciDeviceId: 0x1db5_10de,
            pciSubSystemId: 0x1249_10de,
            busId: [0; 32],
        };
        // The old form has four digits of the domain.
        let legacy = format!("{:04x}:{bus:02x}:{number:02x}.0", domain & 0xffff);
        // SAFETY: both are arrays of the length given.
        unsafe {
            put_text(info.busIdLegacy.as_mut_ptr(), 16, &legacy)?;
            put_text(info.busId.as_mut_ptr(), 32, &gpu.bus)?;
        }
        // SAFETY: the caller's pointer.
        unsafe { put(pci, info) }
    }
    nvmlDeviceGetMemoryInfo(device: nvmlDevice_t, memory: *mut sys::nvmlMemory_t) {
        let gpu = gpu(device)?;
        let (total, used) = (gpu.memory, gpu.used());
        // SAFETY: the caller's pointer.
        unsafe { put(memory, sys::nvmlMemory_t { total, free: total - used, used }) }
    }
    nvmlDeviceGetMemoryInfo_v2(device: nvmlDevice_t, memory: *mut sys::nvmlMemory_v2_t) {
        let gpu = gpu(device)?;
        let (total, used) = (gpu.memory, gpu.used());
        let version = (size_of::<sys::nvmlMemory_v2_t>() | 2 << 24) as c_uint;
        let info =
            sys::nvmlMemory_v2_t { version, total, reserved: 0, free: total - used, used };
        // SAFETY: the caller's pointer.
        unsafe { put(memory, info) }
    }
    nvmlDeviceGetUtilizationRates(device: nvmlDevice_t, rates: *mut sys::nvmlUtilization_t) {
        let gpu = gpu(device)?;
        let rate = sys::nvmlUtilization_t { gpu: gpu.utilisation, memory: gpu.utilisation };
        // SAFETY: the caller's pointer.
        unsafe { put(rates, rate) }
    }
    nvmlDeviceGetComputeRunningProcesses_v3(
        device: nvmlDevice_t,
        count: *mut c_uint,
        processes: *mut sys::nvmlProcessInfo_v2_t
    ) {
        // SAFETY: the caller's pointers.
        unsafe { put_processes(&gpu(device)?.compute, count, processes) }
    }
    nvmlDeviceGetComputeRunningProcesses_v2(
        device: nvmlDevice_t,
        count: *mut c_uint,
        processes: *mut sys::nvmlProcessInfo_v2_t
    ) {
        // SAFETY: the caller's pointers.
        unsafe { put_processes(&gpu(device)?.compute, count, processes) }
    }
    nvmlDeviceGetGraphicsRunningProcesses_v3(
        device: nvmlDevice_t,
        count: *mut c_uint,
        processes: *mut sys::nvmlProcessInfo_v2_t
    ) {
        // SAFETY: the caller's pointers.
        unsafe { put_processes(&gpu(device)?.graphics, count, processes) }
    }
    nvmlDeviceGetGraphicsRunningProcesses_v2(
        device: nvmlDevice_t,
        count: *mut c_uint,
        processes: *mut sys::nvmlProcessInfo_v2_t
    ) {
        // SAFETY: the caller's pointers.
        unsafe { put_processes(&gpu(device)?.graphics, count, processes) }
    }
    nvmlDeviceGetComputeMode(device: nvmlDevice_t, mode: *mut sys::nvmlComputeMode_t) {
        let value = match gpu(device)?.mode {
            Mode::Default => sys::nvmlComputeMode_enum_NVML_COMPUTEMODE_DEFAULT,
            Mode::Prohibited => sys::nvmlComputeMode_enum_NVML_COMPUTEMODE_PROHIBITED,
            Mode::Exclusive => sys::nvmlComputeMode_enum_NVML_COMPUTEMODE_EXCLUSIVE_PROCESS,
        };
        // SAFETY: the caller's pointer.
        unsafe { put(mode, value) }
    }
}
