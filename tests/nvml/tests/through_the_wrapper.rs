//! The library, loaded and asked through nvml-wrapper as qdebug asks it.
//!
//! One test: the file is named by the environment, which all threads share.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;

use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::{ComputeMode, EccCounter, MemoryError, RetirementCause};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use qdebug_mig::Instances;

fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let deps = test.parent().unwrap();
    let name = "libqdebug_test_nvml.so";
    [deps.join(name), deps.parent().unwrap().join(name)]
        .into_iter()
        .find(|path| path.exists())
        .expect("the library is built before its tests")
}

fn open() -> Result<Nvml, NvmlError> {
    Nvml::builder().lib_path(library().as_os_str()).init()
}

#[test]
fn the_wrapper_hears_what_the_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gpus with a space.conf");
    // SAFETY: the only test of this program, before anything else runs.
    unsafe { std::env::set_var("QDEBUG_TEST_NVML", &file) };

    let error = open().unwrap_err();
    assert!(matches!(error, NvmlError::DriverNotLoaded), "{error:?}");

    std::fs::write(&file, "init unknown\n").unwrap();
    assert!(matches!(open(), Err(NvmlError::Unknown)));

    std::fs::write(
        &file,
        "driver 555.1\n\
         gpu 0\n name Tesla V100-SXM2-32GB\n uuid GPU-a\n bus 00000000:3B:00.0\n memory 1000\n \
         process 7 30\n process 9 5\n graphics 8 2\n mode exclusive\n mig off\n ecc on\n \
         ecc-errors 3\n retired 2 pending\n utilisation 40\n\
         gpu 1\n name Other\n uuid GPU-b\n memory 1\n",
    )
    .unwrap();
    let nvml = open().unwrap();
    assert_eq!(nvml.sys_driver_version().unwrap(), "555.1");
    assert_eq!(nvml.device_count().unwrap(), 2);
    assert!(matches!(
        nvml.device_by_index(2),
        Err(NvmlError::InvalidArg)
    ));
    assert!(matches!(
        nvml.device_by_uuid("GPU-c"),
        Err(NvmlError::NotFound)
    ));

    let gpu = nvml.device_by_uuid("GPU-a").unwrap();
    assert_eq!(gpu.index().unwrap(), 0);
    assert_eq!(gpu.name().unwrap(), "Tesla V100-SXM2-32GB");
    assert_eq!(gpu.uuid().unwrap(), "GPU-a");
    let pci = gpu.pci_info().unwrap();
    assert_eq!((pci.bus_id.as_str(), pci.bus), ("00000000:3B:00.0", 0x3b));
    let memory = gpu.memory_info().unwrap();
    assert_eq!((memory.total, memory.used, memory.free), (1000, 37, 963));
    assert_eq!(gpu.utilization_rates().unwrap().gpu, 40);
    let processes = gpu.running_compute_processes().unwrap();
    assert_eq!(processes.len(), 2);
    assert_eq!(processes[0].pid, 7);
    assert!(matches!(
        processes[0].used_gpu_memory,
        UsedGpuMemory::Used(30)
    ));
    assert_eq!(gpu.running_graphics_processes().unwrap().len(), 1);
    assert_eq!(gpu.compute_mode().unwrap(), ComputeMode::ExclusiveProcess);
    assert_eq!(gpu.mig_mode().unwrap().current, 0);
    assert!(gpu.is_ecc_enabled().unwrap().currently_enabled);
    let errors = gpu.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile);
    assert_eq!(errors.unwrap(), 3);
    let pages = gpu
        .retired_pages(RetirementCause::DoubleBitEccError)
        .unwrap();
    assert_eq!(pages.len(), 2);
    assert!(gpu.are_pages_pending_retired().unwrap());

    let other = nvml.device_by_index(1).unwrap();
    assert!(other.running_compute_processes().unwrap().is_empty());
    assert!(matches!(other.mig_mode(), Err(NvmlError::NotSupported)));

    instances_of_parts_are_told(&file);

    // A test replaces the file under a running program.
    std::fs::write(&file, "gpu 0\n uuid GPU-a\n fault lost\n").unwrap();
    assert!(matches!(gpu.uuid(), Err(NvmlError::GpuLost)));
    assert!(matches!(other.uuid(), Err(NvmlError::GpuLost)));
}

/// What qdebug asks beside the wrapper.
fn instances_of_parts_are_told(file: &std::path::Path) {
    std::fs::write(
        file,
        "gpu 0\n name A100\n uuid GPU-a\n mig on\n part MIG-1 5 7 0\n part MIG-2 5 9 1\n part MIG-3 5\n",
    )
    .unwrap();
    let nvml = open().unwrap();
    let beside = qdebug_mig::Library::open_at(library().as_os_str()).unwrap();
    let whole = nvml.device_by_index(0).unwrap();
    assert_eq!(beside.instances(&whole), None, "a whole GPU has none");
    let of = |place| beside.instances(&whole.mig_device_by_index(place).unwrap());
    let [first, second] = [(7, 0), (9, 1)].map(|(gpu, compute)| Instances { gpu, compute });
    assert_eq!([of(0), of(1)], [Some(first), Some(second)]);
    assert_eq!(of(2), None, "of a driver that does not tell");
    let gone = whole.mig_device_by_index(1).unwrap();
    std::fs::write(file, "gpu 0\n uuid GPU-a\n mig on\n part MIG-1 5 7 0\n").unwrap();
    assert_eq!(beside.instances(&gone), None, "one that is there no more");
    assert!(qdebug_mig::Library::open_at("no such library.so".as_ref()).is_none());
}
