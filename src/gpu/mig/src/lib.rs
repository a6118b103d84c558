//! Which instances of its GPU a MIG part is, asked of NVML.
//!
//! Problem: a MIG part's UUID says nothing of its place, and its devices, `nvidia-capN`, are listed by
//! the numbers of its GPU instance and compute instance. NVML tells these numbers of a part's handle;
//! nvml-wrapper (0.13) has no call for it, and its handle can only be had by unsafe code. Solution:
//! these two calls, and no more, over the bindings that nvml-wrapper has beneath it; in a crate of its
//! own, so that qdebug itself forbids unsafe code.

use std::ffi::{OsStr, c_uint};

use nvml_wrapper::Device;
use nvml_wrapper_sys::bindings::{
    NvmlLib, nvmlDevice_t, nvmlReturn_enum_NVML_SUCCESS, nvmlReturn_t,
};

/// Where nvml-wrapper finds the library, too.
const LIBRARY: &str = if cfg!(windows) {
    "nvml.dll"
} else {
    "libnvidia-ml.so.1"
};

/// The numbers of a MIG part in its GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instances {
    /// Of its GPU instance.
    pub gpu: u32,
    /// Of its compute instance in that.
    pub compute: u32,
}

/// NVML's library, open beside nvml-wrapper's own hold of it.
pub struct Library(NvmlLib);

type Question = unsafe extern "C" fn(nvmlDevice_t, *mut c_uint) -> nvmlReturn_t;

impl Library {
    /// Opens the one that nvml-wrapper opens; `None` where there is none.
    pub fn open() -> Option<Self> {
        Self::open_at(LIBRARY.as_ref())
    }

    /// Opens the one at this path, or of this name.
    pub fn open_at(library: &OsStr) -> Option<Self> {
        // SAFETY: loading a library runs its initialisers. Whoever has a `Device` to ask about has
        // loaded this one already, so that the loader counts one more user of it and runs nothing. It
        // is NVIDIA's own, by the name that nvml-wrapper takes.
        let library = unsafe { NvmlLib::new(library) };
        library.ok().map(Self)
    }

    /// The instances that this MIG part is; `None` for a whole GPU, of a driver that cannot tell, or
    /// that knows the part no more.
    pub fn instances(&self, part: &Device<'_>) -> Option<Instances> {
        let ask = |question: &Question| {
            let mut number: c_uint = 0;
            // SAFETY: `part` lives, so its handle is NVML's own and NVML is not shut down; the function
            // has the type of NVML's header, and writes one number to where `number` is.
            let answer = unsafe { question(part.handle(), &raw mut number) };
            (answer == nvmlReturn_enum_NVML_SUCCESS).then_some(number)
        };
        Some(Instances {
            gpu: ask(self.0.nvmlDeviceGetGpuInstanceId.as_ref().ok()?)?,
            compute: ask(self.0.nvmlDeviceGetComputeInstanceId.as_ref().ok()?)?,
        })
    }
}
