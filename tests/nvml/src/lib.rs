//! A stand-in for NVIDIA's management library, for tests on machines without a GPU.
//!
//! Installed as `libnvidia-ml.so.1` it answers the questions that qdebug asks through
//! nvml-wrapper 0.13 and beside it, with what the text file of [`machine`] says. No file means no driver. It
//! knows nothing of qdebug. A function that is not here fails in the wrapper as a missing symbol.

// The names are NVML's.
#![allow(non_snake_case)]

mod machine;

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong};

use machine::{Fault, Gpu, Machine, Mode, Process};
use nvml_wrapper_sys::bindings::{self as sys, nvmlDevice_t, nvmlReturn_t};

type Answer = Result<(), nvmlReturn_t>;

const INVALID: nvmlReturn_t = sys::nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT;
const TOO_SMALL: nvmlReturn_t = sys::nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_SIZE;
const NOT_SUPPORTED: nvmlReturn_t = sys::nvmlReturn_enum_NVML_ERROR_NOT_SUPPORTED;
const NOT_FOUND: nvmlReturn_t = sys::nvmlReturn_enum_NVML_ERROR_NOT_FOUND;

fn code(answer: Answer) -> nvmlReturn_t {
    answer.err().unwrap_or(sys::nvmlReturn_enum_NVML_SUCCESS)
}

fn failed(fault: Fault) -> nvmlReturn_t {
    match fault {
        Fault::DriverNotLoaded => sys::nvmlReturn_enum_NVML_ERROR_DRIVER_NOT_LOADED,
        Fault::Unknown => sys::nvmlReturn_enum_NVML_ERROR_UNKNOWN,
        Fault::NoPermission => sys::nvmlReturn_enum_NVML_ERROR_NO_PERMISSION,
        Fault::Lost => sys::nvmlReturn_enum_NVML_ERROR_GPU_IS_LOST,
    }
}

fn machine() -> Result<Machine, nvmlReturn_t> {
    Machine::read().map_err(failed)
}

/// Handles are indices counted from one: never null, never dereferenced. Those of MIG parts have
/// the part's place, counted from one, in higher bits.
fn handle(index: usize) -> nvmlDevice_t {
    std::ptr::without_provenance_mut(index + 1)
}

const PART_SHIFT: u32 = 16;
const WHOLE_MASK: usize = (1 << PART_SHIFT) - 1;

fn gpu(device: nvmlDevice_t) -> Result<Gpu, nvmlReturn_t> {
    let whole = whole(device)?;
    match device.addr() >> PART_SHIFT {
        0 => Ok(whole),
        place => whole.part(place - 1).ok_or(INVALID),
    }
}

fn whole(device: nvmlDevice_t) -> Result<Gpu, nvmlReturn_t> {
    let index = (device.addr() & WHOLE_MASK).checked_sub(1).ok_or(INVALID)?;
    let gpu = machine()?.gpus.into_iter().nth(index);
    // A GPU that the file no longer names has fallen off the bus.
    let gpu = gpu.ok_or(sys::nvmlReturn_enum_NVML_ERROR_GPU_IS_LOST)?;
    gpu.fault.map_or(Ok(gpu), |fault| Err(failed(fault)))
}

/// Writes one value where the caller wants it.
///
/// # Safety
/// `to` is null or may be written.
unsafe fn put<T>(to: *mut T, value: T) -> Answer {
    if to.is_null() {
        return Err(INVALID);
    }
    // SAFETY: not null, and the caller says that it may be written.
    unsafe { to.write(value) };
    Ok(())
}

/// Writes a string and its final zero.
///
/// # Safety
/// `to` is null or `length` bytes may be written there.
unsafe fn put_text(to: *mut c_char, length: c_uint, text: &str) -> Answer {
    if to.is_null() {
        return Err(INVALID);
    }
    if text.len() >= length as usize {
        return Err(TOO_SMALL);
    }
    // SAFETY: the text and a zero fit into the `length` bytes that the caller vouches for.
    unsafe {
        to.copy_from_nonoverlapping(text.as_ptr().cast(), text.len());
        to.add(text.len()).write(0);
    }
    Ok(())
}

/// Writes the processes, or only how many there are when they do not fit: NVML's own manner.
///
/// # Safety
/// `count` is null or may be read and written; `to` is null or holds `*count` entries.
unsafe fn put_processes(
    processes: &[Process],
    count: *mut c_uint,
    to: *mut sys::nvmlProcessInfo_v2_t,
) -> Answer {
    if count.is_null() {
        return Err(INVALID);
    }
    // SAFETY: not null, and the caller says that it may be read.
    let room = unsafe { count.read() } as usize;
    // SAFETY: as above, for writing.
    unsafe {
        put(
            count,
            c_uint::try_from(processes.len()).unwrap_or(c_uint::MAX),
        )
    }?;
    if processes.len() > room {
        return Err(TOO_SMALL);
    }
    for (place, process) in processes.iter().enumerate() {
        let entry = sys::nvmlProcessInfo_v2_t {
            pid: process.pid,
            usedGpuMemory: process.memory,
            gpuInstanceId: u32::MAX,
            computeInstanceId: u32::MAX,
        };
        // SAFETY: `place` is below `room`, the entries that the caller vouches for.
        unsafe { put(to.wrapping_add(place), entry) }?;
    }
    Ok(())
}

/// Pages retired for this cause; all of ours had errors of two bits.
fn retired(gpu: &Gpu, cause: sys::nvmlPageRetirementCause_t) -> c_uint {
    let double = sys::nvmlPageRetirementCause_enum_NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR;
    if cause == double { gpu.retired } else { 0 }
}

/// Writes made-up addresses of retired pages, and no time. Asked with no room it tells the number
/// and succeeds: the wrapper takes that for the number, and wants no error.
///
/// # Safety
/// `count` is null or may be read and written; the arrays are null or hold `*count` entries.
unsafe fn put_pages(
    pages: c_uint,
    count: *mut c_uint,
    addresses: *mut c_ulonglong,
    timestamps: *mut c_ulonglong,
) -> Answer {
    if count.is_null() {
        return Err(INVALID);
    }
    // SAFETY: not null, and the caller says that it may be read.
    let room = unsafe { count.read() };
    // SAFETY: as above, for writing.
    unsafe { put(count, pages) }?;
    if addresses.is_null() || room == 0 {
        return Ok(());
    }
    if room < pages {
        return Err(TOO_SMALL);
    }
    for page in 0..pages as usize {
        // SAFETY: `page` is below `room`, the length of the array.
        unsafe { put(addresses.wrapping_add(page), 0x1000 * page as c_ulonglong) }?;
        if !timestamps.is_null() {
            // SAFETY: as above.
            unsafe { put(timestamps.wrapping_add(page), 0) }?;
        }
    }
    Ok(())
}

/// Defines exported functions: name and arguments are NVML's, the body gives an [`Answer`].
///
/// Their safety is NVML's: every pointer is null or points to what its type says.
macro_rules! nvml {
    ($($name:ident($($argument:ident: $type:ty),*) $body:block)*) => {
        $(
            #[doc = concat!("NVML's `", stringify!($name), "`.")]
            ///
            /// # Safety
            /// Every pointer is null or points to what its type says.
            #[unsafe(no_mangle)]
            // So that `?` and `return` in the body give an answer, not NVML's code.
            #[allow(clippy::redundant_closure_call)]
            pub unsafe extern "C" fn $name($($argument: $type),*) -> nvmlReturn_t {
                code((|| -> Answer { $body })())
            }
        )*
    };
}

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
