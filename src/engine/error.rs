//! What can go wrong with the container engine, by phase, and how its texts are told apart.
//!
//! Problem: the API answers nearly everything with status 500 and a sentence. Evidence: the
//! sentences of Docker 20.10, 26.1 and 28.5 in the tests below. Solution: [`classify`] is pure,
//! looks for the words that have been stable for years, and keeps the engine's own sentence in
//! every variant, so that a wrong guess still shows the truth.

use std::path::PathBuf;
use std::time::Duration;

use bollard::errors::Error as Api;

use super::devices::GpuLack;
use super::podman::{Trouble, trouble};
use crate::text::chain;

/// Why the engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No socket is there.
    #[error("no container engine: there is no socket {} ({origin})", socket.display())]
    NoSocket {
        /// Where it should be.
        socket: PathBuf,
        /// What named that place.
        origin: String,
    },
    /// The socket is there and this user may not open it.
    #[error(
        "no access to the container engine at {}: it belongs to group {group}, and this process \
         is not in it", socket.display()
    )]
    Permission {
        /// The socket.
        socket: PathBuf,
        /// The group that owns it, by name where it has one.
        group: String,
    },
    /// The socket is there and nobody listens.
    #[error("the container engine at {} does not run: connection refused", socket.display())]
    Refused {
        /// The socket.
        socket: PathBuf,
    },
    /// Connecting failed otherwise.
    #[error("cannot connect to the container engine at {}", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It took the connection and did not answer.
    #[error("the container engine at {} did not answer within {} s", socket.display(), limit.as_secs())]
    Silent {
        /// The socket.
        socket: PathBuf,
        /// How long was waited.
        limit: Duration,
    },
    /// It speaks an API that is too old.
    #[error("the container engine at {} speaks {found}; {needed} or later is needed", socket.display())]
    TooOld {
        /// The socket.
        socket: PathBuf,
        /// What it is.
        found: String,
        /// The oldest that will do.
        needed: &'static str,
    },
    /// Podman is not installed.
    #[error("podman is not installed here (looked for it on PATH)")]
    NoPodman,
    /// The folder in which Podman would keep everything.
    #[error("podman cannot keep its things in {}: {reason}", path.display())]
    PodmanHome {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Podman did not do it, for a reason of this machine's that is known.
    #[error("podman failed while {doing} ({detail})")]
    Podman {
        /// The phase.
        doing: &'static str,
        /// What it is.
        trouble: Trouble,
        /// Its own sentence.
        detail: String,
    },
    /// `DOCKER_HOST` or the context names no socket of this machine.
    #[error("{origin} names the engine {host:?}, which is no socket of this machine")]
    Remote {
        /// The address.
        host: String,
        /// What named it.
        origin: String,
    },
    /// Docker's own configuration cannot be used.
    #[error("cannot use docker's configuration {}: {reason}", path.display())]
    Configuration {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The image is neither here nor in its registry.
    #[error("no such image: {reference} ({detail})")]
    NoSuchImage {
        /// As it was asked for.
        reference: String,
        /// The engine's sentence.
        detail: String,
    },
    /// The registry does not give it to this user.
    #[error("no access to image {reference} ({detail})")]
    ImageAccess {
        /// As it was asked for.
        reference: String,
        /// The engine's sentence.
        detail: String,
    },
    /// The registry could not be reached, or would not answer now.
    #[error("cannot reach the registry of image {reference} ({detail})")]
    Registry {
        /// As it was asked for.
        reference: String,
        /// The engine's sentence.
        detail: String,
    },
    /// The image is not for this machine.
    #[error("image {reference} is not for this machine ({detail})")]
    Platform {
        /// As it was asked for.
        reference: String,
        /// The engine's sentence, or both architectures.
        detail: String,
    },
    /// Somebody else has the port.
    #[error("the port is taken ({detail})")]
    PortTaken {
        /// The engine's sentence.
        detail: String,
    },
    /// The engine cannot hand out GPUs, or not these.
    #[error("the container engine cannot hand out GPUs ({detail})")]
    Devices {
        /// What it lacks.
        lack: GpuLack,
        /// The engine's sentence.
        detail: String,
    },
    /// A mount's source is missing, or closed to the engine's root (NFS with root_squash).
    #[error("the container engine cannot mount a directory ({detail})")]
    MountSource {
        /// The engine's sentence, which names the path.
        detail: String,
        /// Whether the engine was denied, rather than finding nothing.
        denied: bool,
    },
    /// The engine's disk is full.
    #[error("no space left while {doing} ({detail})")]
    NoSpace {
        /// The phase.
        doing: &'static str,
        /// The engine's sentence.
        detail: String,
    },
    /// A container of that name is there.
    #[error("the container's name is taken ({detail})")]
    NameTaken {
        /// The engine's sentence.
        detail: String,
    },
    /// No such container (any more).
    #[error("no such container while {doing} ({detail})")]
    NoSuchContainer {
        /// The phase.
        doing: &'static str,
        /// The engine's sentence.
        detail: String,
    },
    /// What was to be run is not in the image.
    #[error("the container could not run its command ({detail})")]
    Command {
        /// The engine's sentence.
        detail: String,
    },
    /// The connection broke: the engine is gone or restarting.
    #[error("lost the container engine while {doing} ({detail})")]
    Gone {
        /// The phase.
        doing: &'static str,
        /// What was seen.
        detail: String,
    },
    /// A request took longer than it may.
    #[error("the container engine did not finish {doing} within {} s", limit.as_secs())]
    TimedOut {
        /// The phase.
        doing: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The engine refused for a reason that is not known here.
    #[error("the container engine failed while {doing}: {message} (status {status})")]
    Other {
        /// The phase.
        doing: &'static str,
        /// HTTP status, 0 where there was none.
        status: u16,
        /// The engine's sentence.
        message: String,
    },
    /// A file of the image is not what was expected.
    #[error("cannot read {path} of the image: {reason}")]
    Peek {
        /// The path in the image.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The image is some container's.
    #[error("the image is in use ({detail})")]
    ImageInUse {
        /// The engine's sentence.
        detail: String,
    },
    /// An archive could not be read to its end.
    #[error("cannot read the archive of an image")]
    Archive {
        /// What the reader said.
        #[source]
        source: std::io::Error,
    },
    /// What was to be built could not be, by the fault of recipe or context.
    #[error(transparent)]
    Build(#[from] super::BuildError),
    /// A throw-away container was called off.
    #[error("interrupted while {doing}")]
    Interrupted {
        /// The phase.
        doing: &'static str,
    },
}

impl Error {
    /// Whether it says that no engine is here for this user, so that another may be tried.
    pub(super) fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::NoSocket { .. } | Self::Permission { .. } | Self::NoPodman
        )
    }

    /// Whether it says that the container is not there, which an undo takes as success.
    pub fn is_no_such_container(&self) -> bool {
        matches!(self, Self::NoSuchContainer { .. })
    }
}

/// Turns an error of the client into one of ours.
pub(super) fn from_api(doing: &'static str, error: Api) -> Error {
    match error {
        Api::DockerResponseServerError {
            status_code,
            message,
        } => classify(doing, status_code, message),
        Api::DockerStreamError { error } => classify(doing, 0, error),
        Api::RequestTimeoutError => Error::TimedOut {
            doing,
            limit: super::REQUEST_LIMIT,
        },
        error @ (Api::IOError { .. }
        | Api::HyperResponseError { .. }
        | Api::HyperLegacyError { .. }
        | Api::SocketNotFoundError(_)) => Error::Gone {
            doing,
            detail: chain(&error),
        },
        error => Error::Other {
            doing,
            status: 0,
            message: chain(&error),
        },
    }
}

/// The same for requests that are about an image.
pub(super) fn from_image_api(doing: &'static str, reference: &str, error: Api) -> Error {
    let (status, message) = match error {
        Api::DockerResponseServerError {
            status_code,
            message,
        } => (status_code, message),
        Api::DockerStreamError { error } => (0, error),
        error => return from_api(doing, error),
    };
    classify_image(doing, reference, status, message)
}

/// Says what a refusal of the engine means.
pub(super) fn classify(doing: &'static str, status: u16, message: String) -> Error {
    let text = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let detail = message.trim().to_owned();
    if has(&["no space left on device", "disk quota exceeded"]) {
        Error::NoSpace { doing, detail }
    } else if has(&[
        "port is already allocated",
        "address already in use",
        "ports are not available",
    ]) {
        Error::PortTaken { detail }
    } else if let Some(lack) = GpuLack::of(&detail) {
        Error::Devices { lack, detail }
    } else if status == 404 && has(&["no such container"]) {
        Error::NoSuchContainer { doing, detail }
    } else if status == 404 && has(&["no such image"]) {
        // The image went between looking and creating.
        let reference = detail.rsplit(' ').next().unwrap_or_default().to_owned();
        Error::NoSuchImage { reference, detail }
    } else if let Some(trouble) = trouble(&detail) {
        Error::Podman {
            doing,
            trouble,
            detail,
        }
    } else if has(&["already in use by container"]) {
        Error::NameTaken { detail }
    } else if has(&["bind source path does not exist"]) {
        Error::MountSource {
            detail,
            denied: false,
        }
    } else if has(&["permission denied"])
        && has(&["mount", "bind source", "stat /", "lstat /", "statfs /"])
    {
        Error::MountSource {
            detail,
            denied: true,
        }
    } else if has(&["error mounting"]) && has(&["no such file or directory"]) {
        Error::MountSource {
            detail,
            denied: false,
        }
    } else if has(&[
        "oci runtime create failed",
        "failed to create shim",
        "oci runtime attempted",
    ]) && has(&["exec:", "executable file"])
    {
        Error::Command { detail }
    } else {
        Error::Other {
            doing,
            status,
            message: detail,
        }
    }
}

/// Says what a refusal about an image means.
fn classify_image(doing: &'static str, reference: &str, status: u16, message: String) -> Error {
    let text = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let reference = reference.to_owned();
    let detail = message.trim().to_owned();
    if has(&["no space left on device", "disk quota exceeded"]) {
        Error::NoSpace { doing, detail }
    } else if has(&[
        "no matching manifest",
        "does not match the specified platform",
    ]) {
        Error::Platform { reference, detail }
    } else if has(&[
        "manifest unknown",
        "name unknown",
        "no such image",
        "not found: manifest",
        "repository name not known",
    ]) || (status == 404 && has(&["not found"]) && !has(&["denied"]))
    {
        Error::NoSuchImage { reference, detail }
    } else if has(&[
        "pull access denied",
        "unauthorized",
        "authentication required",
        "no basic auth credentials",
        "access denied",
        "access forbidden",
        "incorrect username or password",
        "denied:",
    ]) {
        Error::ImageAccess { reference, detail }
    } else if has(&[
        "no such host",
        "i/o timeout",
        "connection refused",
        "connection reset",
        "network is unreachable",
        "no route to host",
        "tls handshake",
        "x509:",
        "certificate",
        "request canceled",
        "deadline exceeded",
        "toomanyrequests",
        "server misbehaving",
        "temporary failure in name resolution",
        "server gave http response to https client",
        "unexpected eof",
        ": eof",
        "received unexpected http status: 5",
    ]) {
        Error::Registry { reference, detail }
    } else {
        classify(doing, status, message)
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
