//! Writing answers where callers want them.

use std::ffi::{c_char, c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings as sys;

use crate::machine::Process;
use crate::{Answer, INVALID, TOO_SMALL};

/// Writes one value where the caller wants it.
///
/// # Safety
/// `to` is null or may be written.
pub(crate) unsafe fn put<T>(to: *mut T, value: T) -> Answer {
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
pub(crate) unsafe fn put_text(to: *mut c_char, length: c_uint, text: &str) -> Answer {
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
pub(crate) unsafe fn put_processes(
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

/// Writes made-up addresses of retired pages, and no time. Asked with no room it tells the number
/// and succeeds: the wrapper takes that for the number, and wants no error.
///
/// # Safety
/// `count` is null or may be read and written; the arrays are null or hold `*count` entries.
pub(crate) unsafe fn put_pages(
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
