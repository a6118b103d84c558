//! A stand-in for NVIDIA's management library, for tests on machines without a GPU.
//!
//! Installed as `libnvidia-ml.so.1` it answers the questions that qdebug asks through
//! nvml-wrapper 0.13 and beside it, with what the text file of [`machine`] says. No file means no driver. It
//! knows nothing of qdebug. A function that is not here fails in the wrapper as a missing symbol.

// The names are NVML's.
#![allow(non_snake_case)]

mod handle;
mod machine;
mod put;

use machine::Fault;
use nvml_wrapper_sys::bindings::{self as sys, nvmlReturn_t};

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

// Behind the macro that they use.
pub mod device;
pub mod health;
pub mod mig;
pub mod system;
