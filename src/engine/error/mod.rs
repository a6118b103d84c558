//! What can go wrong with the container engine, by phase.
//!
//! `refusal` tells the engine's own texts apart.

mod refusal;

use std::path::PathBuf;
use std::time::Duration;

use super::devices::GpuLack;
use super::podman::Trouble;

pub(super) use refusal::{classify, from_api, from_image_api};

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
