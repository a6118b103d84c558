//! Whether GPUs work at this moment.

use nvml_wrapper::Nvml;

use super::Error;
use super::inventory::at_init;

/// Whether any of these GPUs, by UUID, computes: its utilisation of the last moment is not zero.
/// A GPU that does not tell (a MIG part) works when a process is on it; one that holds memory and
/// does nothing does not.
///
/// # Errors
/// [`Error::NoGpu`] and [`Error::Nvml`].
pub fn at_work(uuids: &[String]) -> Result<bool, Error> {
    if uuids.is_empty() {
        return Ok(false);
    }
    let nvml = Nvml::init().map_err(|error| at_init(&error))?;
    for uuid in uuids {
        let device = nvml
            .device_by_uuid(uuid.as_str())
            .map_err(|error| Error::Nvml {
                doing: format!("looking for GPU {uuid}"),
                detail: error.to_string(),
            })?;
        let works = match device.utilization_rates() {
            Ok(rates) => rates.gpu > 0,
            Err(_) => device
                .running_compute_processes()
                .map_err(|error| Error::Nvml {
                    doing: format!("asking GPU {uuid} what it does"),
                    detail: error.to_string(),
                })
                .map(|processes| !processes.is_empty())?,
        };
        if works {
            return Ok(true);
        }
    }
    Ok(false)
}
