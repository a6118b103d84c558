//! The container engine: images, containers, devices, behind one client.
//!
//! Owns everything that is said to Docker and to Podman, and is the only place that knows `bollard`.
//! It knows containers, not sessions: what is made, and when it must go, is the node half's business.
//!
//! - `connect`: [`Engine::connect`] finds the socket, or starts Podman's service, and negotiates the
//!   version;
//! - `each`: all of them at once, for those who clean up;
//! - `flavour`: what differs between the engines;
//! - `podman`: its service and its store;
//! - `image`: looking at and pulling images ([`Image`], [`Reference`], [`PullProgress`]);
//! - `build`: building them ([`Build`], [`Context`]);
//! - `store`: saving, loading, naming and removing them;
//! - `container`: making ([`ContainerSpec`]), starting, stopping, removing;
//! - `devices`: how GPUs are asked for ([`GpuLack`]);
//! - `list`: which there are;
//! - `watch`: the exit and the output of a running container;
//! - `memory`: whether its memory ran out;
//! - `stray`: processes of containers that the engine has forgotten;
//! - `peek`: looking into a container that does not run;
//! - `throwaway`: a container that is run to its end and removed.

mod auth;
mod build;
mod connect;
mod container;
mod devices;
mod each;
mod error;
mod flavour;
mod hand_over;
mod image;
mod list;
mod memory;
mod peek;
mod pipe;
mod podman;
mod several;
mod socket;
mod store;
mod stray;
mod throwaway;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bollard::Docker;

pub use crate::text::{Reference, ReferenceError};
pub use build::{Build, BuildError, BuildProgress, Built, Context};
pub use container::{Bind, ContainerId, ContainerSpec, Publish};
pub use devices::GpuLack;
pub use error::Error;
pub use image::{Image, PullProgress};
pub use list::{ContainerState, Listed};
pub use memory::MemoryWatch;
pub use peek::{FileKind, FileStat};
pub use podman::Trouble;
pub use stray::kill_strays;
pub use throwaway::ThrowAway;
pub use watch::{ExitWatch, Output};

use devices::Way;
use flavour::Flavour;
use podman::Service;

/// How long any one request may take until its first answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(120);
/// A connection to the engine of this machine.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    socket: PathBuf,
    flavour: Flavour,
    version: String,
    architecture: String,
    /// The version of the API that is spoken.
    api: (usize, usize),
    /// How it was asked for GPUs.
    gpu_way: Arc<OnceLock<Way>>,
    /// What serves the socket, where that is a child of ours.
    service: Option<Arc<Service>>,
}

/// Which engine answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Docker, rootful or rootless.
    Docker,
    /// Podman; rootless, unless its socket is root's.
    Podman,
}

/// Which engine is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// Docker where it answers this user, else Podman.
    #[default]
    Auto,
    /// What the docker command would talk to.
    Docker,
    /// Podman, started where no service of it runs.
    Podman,
}

impl Engine {
    /// Whether it still answers, within `limit`.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::TimedOut`].
    pub async fn ping(&self, limit: Duration) -> Result<(), Error> {
        let doing = "asking whether it is there";
        match tokio::time::timeout(limit, self.docker.ping()).await {
            Err(_) => Err(Error::TimedOut { doing, limit }),
            Ok(answer) => answer
                .map(|_| ())
                .map_err(|error| error::from_api(doing, error)),
        }
    }

    /// The socket it listens on.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Which engine it is.
    pub fn kind(&self) -> Kind {
        self.flavour.kind
    }

    /// Whether its containers run in this process's own cgroup, and so have its limits: it is a
    /// child of ours.
    pub fn shares_our_limits(&self) -> bool {
        self.flavour.own
    }

    /// Its version, as it tells it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The architecture it runs on, as images write it (`amd64`).
    pub fn architecture(&self) -> &str {
        &self.architecture
    }
}

/// Whether this machine runs SELinux, under which a container may not read what is bound in unless
/// its label is switched off or the files are relabelled (which qdebug never does to a home).
pub fn selinux_is_on() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}
