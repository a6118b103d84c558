//! How GPUs are asked for, by what the engine says of itself, and what it lacks when it refuses.
//!
//! Problem: there are four ways to hand GPUs to a container, no engine knows them all, and one that
//! does not know a way ignores it (Podman) or answers with a sentence that names no cure (Docker).
//! Evidence: Docker lists its runtimes, the folders of CDI specs where it has CDI (switched on in 25 to
//! 28.1, always from 28.2 on), and from API 1.50 on the devices that the specs describe; whether
//! NVIDIA's hook was on dockerd's PATH, which `docker run --gpus` needs, it does not tell. Solution:
//! [`Way`] is a pure choice from these words, surest first. Whether the GPUs arrived is asked of the
//! container itself, whatever the way.

use bollard::models::{DeviceRequest, SystemInfo};

use super::error::from_api;
use super::{Engine, Error, Kind};

/// The kind of NVIDIA's devices in CDI.
const CDI_KIND: &str = "nvidia.com/gpu=";
/// The name that NVIDIA's runtime is registered by.
const RUNTIME: &str = "nvidia";
/// What NVIDIA's runtime and hook read.
const VISIBLE: &str = "NVIDIA_VISIBLE_DEVICES";
const CAPABILITIES: &str = "NVIDIA_DRIVER_CAPABILITIES";
/// From this API on Docker tells which devices its CDI specs describe.
const API_THAT_TELLS_DEVICES: (usize, usize) = (1, 50);

/// A way to ask for GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By their names in CDI.
    Cdi,
    /// By NVIDIA's own OCI runtime, which reads the environment.
    Runtime,
    /// By a device request that docker serves through NVIDIA's hook, as `docker run --gpus` does.
    Request,
    /// The same, where CDI specs describe other GPUs of NVIDIA's than these: they may be out of date.
    RequestBesideCdi,
    /// By the environment alone: NVIDIA's hook for OCI runtimes reads it.
    Environment,
}

/// What an engine says of itself, as far as GPUs come from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Says {
    /// The version of its API.
    pub(super) api: (usize, usize),
    /// It has CDI.
    cdi: bool,
    /// The devices of NVIDIA's that CDI specs describe, without their kind.
    devices: Vec<String>,
    /// NVIDIA's runtime is registered.
    runtime: bool,
}

impl Says {
    /// In an answer to `GET /info`.
    pub(super) fn of(info: &SystemInfo, api: (usize, usize)) -> Self {
        let devices = info.discovered_devices.iter().flatten();
        let names = devices.filter_map(|device| device.id.as_deref()?.strip_prefix(CDI_KIND));
        let folders = info.cdi_spec_dirs.as_ref();
        let runtimes = info.runtimes.as_ref();
        Self {
            api,
            cdi: folders.is_some_and(|folders| !folders.is_empty()),
            devices: names.map(str::to_owned).collect(),
            runtime: runtimes.is_some_and(|runtimes| runtimes.contains_key(RUNTIME)),
        }
    }
}

impl Way {
    /// Docker's way to these GPUs.
    ///
    /// CDI first where it is known to have them: it outlives a `systemctl daemon-reload`. NVIDIA's
    /// runtime before the device request, since it is known to be there, and the hook of the latter
    /// refuses where the toolkit is configured for CDI. Then CDI where an admin has switched it on in
    /// a version that does not tell its devices.
    pub(super) fn of_docker(says: &Says, uuids: &[String]) -> Self {
        if !uuids.is_empty() && uuids.iter().all(|uuid| says.devices.contains(uuid)) {
            Self::Cdi
        } else if says.runtime {
            Self::Runtime
        } else if says.cdi && says.api < API_THAT_TELLS_DEVICES {
            Self::Cdi
        } else if says.devices.is_empty() {
            Self::Request
        } else {
            Self::RequestBesideCdi
        }
    }

    /// Podman's, by the first number of its version: CDI came with 5.
    pub(super) fn of_podman(major: u32) -> Self {
        match major {
            ..5 => Self::Environment,
            _ => Self::Cdi,
        }
    }

    /// In words for the user.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Cdi => "by CDI (nvidia.com/gpu)",
            Self::Runtime => "by NVIDIA's container runtime",
            Self::Request | Self::RequestBesideCdi => {
                "by a device request (nvidia), as `docker run --gpus` does"
            }
            Self::Environment => "by NVIDIA's OCI hook",
        }
    }

    /// The words of a request for these GPUs; the environment is made to fit.
    ///
    /// A device request has docker's capability list alone: which driver libraries come along stays
    /// the image's own choice. A runtime is told what it would take for an image that says nothing.
    pub(super) fn ask(self, uuids: &[String], env: &mut Vec<(String, String)>) -> Asked {
        let mut set = |name: &str, value: &str| {
            env.retain(|(known, _)| known != name);
            env.push((name.to_owned(), value.to_owned()));
        };
        match self {
            Self::Cdi => {
                // Where NVIDIA's runtime is the engine's default, it shall not do it once more.
                set(VISIBLE, "void");
                let names = uuids.iter().map(|uuid| format!("{CDI_KIND}{uuid}"));
                Asked::device(DeviceRequest {
                    driver: Some("cdi".to_owned()),
                    device_ids: Some(names.collect()),
                    ..DeviceRequest::default()
                })
            }
            Self::Request | Self::RequestBesideCdi => Asked::device(DeviceRequest {
                driver: Some("nvidia".to_owned()),
                device_ids: Some(uuids.to_vec()),
                capabilities: Some(vec![vec!["gpu".to_owned()]]),
                ..DeviceRequest::default()
            }),
            Self::Runtime => {
                set(VISIBLE, &uuids.join(","));
                if !env.iter().any(|(name, _)| name == CAPABILITIES) {
                    env.push((CAPABILITIES.to_owned(), "compute,utility".to_owned()));
                }
                Asked {
                    runtime: Some(RUNTIME.to_owned()),
                    ..Asked::default()
                }
            }
            Self::Environment => {
                set(VISIBLE, &uuids.join(","));
                Asked::default()
            }
        }
    }
}

impl Engine {
    /// How it was asked for GPUs, in words for the user.
    pub fn gpu_way(&self) -> &'static str {
        self.gpu_way.get().map_or("not at all", |way| way.words())
    }

    /// An error of asking for GPUs, with what the engine said of its CDI before: where specs describe
    /// others, it is not the toolkit that is missing.
    pub(super) fn about_gpus(&self, error: Error) -> Error {
        match (error, self.gpu_way.get()) {
            (
                Error::Devices {
                    lack: GpuLack::Toolkit,
                    detail,
                },
                Some(Way::RequestBesideCdi),
            ) => Error::Devices {
                lack: GpuLack::CdiSpec,
                detail: format!("{detail}; its CDI specs describe other GPUs than the session's"),
            },
            (error, _) => error,
        }
    }

    /// How it is to be asked for these GPUs; it is asked about itself the first time.
    pub(super) async fn way_to(&self, gpus: &[String]) -> Result<Option<Way>, Error> {
        if gpus.is_empty() {
            return Ok(None);
        }
        if let Some(way) = self.gpu_way.get() {
            return Ok(Some(*way));
        }
        let way = match (self.kind(), self.flavour.major) {
            (Kind::Podman, major) => Way::of_podman(major),
            (Kind::Docker, _) => {
                let info = self.docker.info().await;
                let info =
                    info.map_err(|error| from_api("asking the engine about itself", error))?;
                let says = Says::of(&info, self.api);
                tracing::debug!(?says, "the engine, of GPUs");
                Way::of_docker(&says, gpus)
            }
        };
        tracing::info!(?way, "GPUs are asked for");
        Ok(Some(*self.gpu_way.get_or_init(|| way)))
    }
}

/// What a request says of GPUs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Asked {
    pub(super) requests: Option<Vec<DeviceRequest>>,
    pub(super) runtime: Option<String>,
}

impl Asked {
    fn device(request: DeviceRequest) -> Self {
        Self {
            requests: Some(vec![request]),
            runtime: None,
        }
    }
}

/// What an engine lacks to hand out GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GpuLack {
    /// NVIDIA's container toolkit: its hook is not where the engine looks.
    Toolkit,
    /// NVIDIA's runtime is registered and not installed, or not registered any more.
    Runtime,
    /// The toolkit's hook refuses, and wants its runtime to be used.
    RuntimeOnly,
    /// CDI is switched off.
    Cdi,
    /// No CDI spec describes the GPU, or one describes what is not there any more.
    CdiSpec,
    /// The driver does not work.
    Driver,
    /// The toolkit knows no such GPU.
    Gpu,
    /// Something else.
    Other,
}

impl GpuLack {
    /// What a refusal of the engine is about, where it is about GPUs.
    pub(super) fn of(refusal: &str) -> Option<Self> {
        let text = refusal.to_lowercase();
        let has = |word: &str| text.contains(word);
        Some(if has("could not select device driver \"cdi\"") {
            Self::Cdi
        } else if has("could not select device driver") {
            Self::Toolkit
        } else if has("cdi device") || has("unresolvable cdi") || has("cdi host device") {
            Self::CdiSpec
        } else if has("container runtime hook directly") {
            Self::RuntimeOnly
        } else if has("unknown runtime specified nvidia")
            || has("unknown or invalid runtime name: nvidia")
            || (has("nvidia-container-runtime")
                && (has("executable file not found") || has("no such file or directory")))
        {
            Self::Runtime
        } else if has("nvidia-container") && has("unknown device") {
            Self::Gpu
        } else if has("nvidia-container") && (has("nvml error") || has("libnvidia-ml")) {
            Self::Driver
        } else if has("nvidia-container") {
            Self::Other
        } else {
            return None;
        })
    }
}

#[cfg(test)]
#[path = "devices_tests.rs"]
mod tests;
