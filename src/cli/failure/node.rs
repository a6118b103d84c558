//! What the node half's errors mean to the user: GPUs, engine, image and kit too.

use super::Failure;
use crate::cli::Exit;
use crate::{engine, gpu, kit, node};

impl From<node::Error> for Failure {
    fn from(error: node::Error) -> Self {
        Self::of_node(&error)
    }
}

/// What `state.json` says beside an error of the node half.
pub(in crate::cli) fn explain(error: &node::Error) -> node::Explanation {
    let failure = Failure::of_node(error);
    node::Explanation {
        hint: (!failure.hints.is_empty()).then(|| failure.hints.join("; ")),
        code: Some(failure.exit.code()),
    }
}

impl Failure {
    fn of_node(error: &node::Error) -> Self {
        use node::Error as E;
        let failure = |exit| Self::of(exit, error);
        match error {
            E::Session(error) => Self::of_session(error),
            E::Engine(error) => Self::of_engine(error),
            E::Kit(error) => Self::of_kit(error),
            E::Reference(_) => failure(Exit::Image).hint("an image is written as for `docker run`"),
            E::Gpu { source, .. } => failure(Exit::Gpu).hint(gpu_hint(source)),
            E::UnknownScheduler { .. } => {
                failure(Exit::Versions).hint("the qdebug that submitted is another one")
            }
            E::NotInJob { .. } | E::OtherJob { .. } | E::OtherCluster { .. } => {
                failure(Exit::Usage).hint("`qdebug node` is run by the job script of a session")
            }
            E::Signalled { .. } => failure(Exit::SessionOver).hint("submit a new session"),
            E::Over { .. } => failure(Exit::SessionOver).hint("submit a new session"),
            E::AlreadyRunning { .. } => failure(Exit::Failed),
            E::KitRecipe { .. } => failure(Exit::Kit)
                .hint("the lines above say which step; it needs apt and the network"),
            E::Mount { .. } => failure(Exit::Failed)
                .hint("the path must be there on the node, not only on the login node"),
            E::ClosedToEngine { closed, .. } => closed_to_engine(failure(Exit::Permission), closed),
            E::NodeDir { .. } => failure(Exit::Permission).hint(
                "it must belong to you, be 0700 and no link; `node_dir` in the site file moves it",
            ),
            E::NoSshd { .. } => failure(Exit::Image)
                .hint("leave `--sshd image` out: the kit's sshd works in any image"),
            E::SshdLayer { .. } => failure(Exit::Image)
                .hint("leave `--sshd layer` out: the kit's sshd works in any image"),
            E::NoPort { .. } => failure(Exit::Failed).hint("submit again"),
            E::Died { .. } | E::NotServing { .. } => failure(Exit::Engine)
                .hint("`qdebug logs` of the session tells more; `--sshd kit` is the safe choice"),
            E::NoFolder { .. } => failure(Exit::Failed)
                .hint("is the shared file system mounted on that node? tell the admin"),
            E::Hanging { .. } => {
                failure(Exit::Failed).hint("the file system of the node hangs; tell the admin")
            }
            E::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => failure(Exit::Permission),
                std::io::ErrorKind::StorageFull => {
                    failure(Exit::Failed).hint("the disk of the node is full")
                }
                _ => failure(Exit::Failed),
            },
        }
    }

    fn of_engine(error: &engine::Error) -> Self {
        use engine::Error as E;
        let failure = |exit| Self::of(exit, error);
        match error {
            E::NoSocket { .. } | E::Refused { .. } => failure(Exit::Engine)
                .hint("is docker installed and running on the node? (systemctl status docker)"),
            E::Permission { group, .. } => failure(Exit::Permission).hint(format!(
                "ask the admin to add you to the group {group} on the nodes"
            )),
            E::Silent { .. } | E::Connect { .. } | E::TimedOut { .. } | E::Gone { .. } => {
                failure(Exit::Engine).hint("the engine of the node is in trouble; tell the admin")
            }
            E::TooOld { .. } => {
                failure(Exit::Engine).hint("the node needs a newer one: tell the admin")
            }
            E::NoPodman => failure(Exit::Engine)
                .hint("ask the admin for podman on the nodes, or leave `--engine podman` out"),
            E::PodmanHome { .. } => {
                failure(Exit::Config).hint("`node_dir` in the configuration moves it")
            }
            E::Podman { trouble, .. } => failure(Exit::Engine).hint(podman_hint(*trouble)),
            E::Remote { .. } | E::Configuration { .. } => failure(Exit::Config)
                .hint("unset DOCKER_HOST or choose a docker context of the node itself"),
            E::NoSuchImage { .. } => failure(Exit::Image)
                .hint("check its spelling; `docker pull` on the node shows the same"),
            E::ImageAccess { .. } => {
                failure(Exit::Image).hint("log in on the cluster: docker login REGISTRY")
            }
            E::Registry { .. } => failure(Exit::Image)
                .hint("the node may have no internet: load the image there first (docker load)"),
            E::Platform { .. } => failure(Exit::Image),
            E::Devices { lack, .. } => failure(Exit::Gpu).hint(devices_hint(*lack)),
            E::MountSource { denied: true, .. } => failure(Exit::Permission).hint(
                "the engine's root may not read it (NFS with root_squash): open the folder to \
                 others by `chmod o+x`, or mount another one",
            ),
            E::MountSource { .. } => {
                failure(Exit::Engine).hint("the path must be there on the node")
            }
            E::NoSpace { .. } => {
                failure(Exit::Engine).hint("the engine's disk on the node is full; tell the admin")
            }
            E::ImageInUse { .. } => failure(Exit::Image).hint("end the session that uses it first"),
            E::Archive { .. } => failure(Exit::Image),
            E::Build(error) => Self::of_build(error),
            E::Interrupted { .. } => failure(Exit::Interrupted),
            E::PortTaken { .. } | E::NameTaken { .. } | E::NoSuchContainer { .. } => {
                failure(Exit::Engine).hint("submit again")
            }
            E::Command { .. } | E::Other { .. } | E::Peek { .. } => failure(Exit::Engine),
        }
    }

    fn of_build(error: &engine::BuildError) -> Self {
        use engine::BuildError as E;
        match error {
            E::Read { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Self::of(Exit::Image, error)
                    .hint("make it readable for you, or name it in .dockerignore")
            }
            E::Read { .. } | E::Unfit { .. } => Self::of(Exit::Image, error)
                .hint("recipe and context must be on a file system that the node has too"),
            E::Failed { buildkit, .. } if !buildkit.is_empty() => Self::of(Exit::Image, error)
                .hint(
                    "qdebug builds by the engine's classic builder: write the recipe without it, or \
                     build it by `docker build` on a node or elsewhere, push it, and take it by `-i`",
                ),
            E::Failed { .. } => Self::of(Exit::Image, error)
                .hint("mend the recipe; `qdebug image build --dockerfile FILE` tries it on a node"),
        }
    }

    pub(in crate::cli) fn of_kit(error: &kit::Error) -> Self {
        match error {
            kit::Error::Missing { .. } => Self::of(Exit::Kit, error)
                .hint("build it once where docker runs: qdebug kit build")
                .hint("then build qdebug again, or put it beside: ../share/qdebug/kit.tar.gz"),
            _ => Self::of(Exit::Kit, error),
        }
    }
}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Self {
        Self::of_engine(&error)
    }
}

impl From<kit::Error> for Failure {
    fn from(error: kit::Error) -> Self {
        Self::of_kit(&error)
    }
}

/// What is to be done on the node about Podman.
fn podman_hint(trouble: engine::Trouble) -> &'static str {
    use engine::Trouble as T;
    match trouble {
        T::NoSubordinateIds => {
            "the admin gives you ranges of ids on the nodes: usermod --add-subuids \
             100000-165535 --add-subgids 100000-165535 USER (another range for each user)"
        }
        T::NoIdMapping => {
            "newuidmap and newgidmap must be on the node, setuid root (Debian: apt install uidmap); \
             tell the admin"
        }
        T::NoUserNamespaces => {
            "the node gives users no namespaces of their own: the admin raises \
             user.max_user_namespaces (and kernel.unprivileged_userns_clone on old Debian)"
        }
        T::NoTun => {
            "/dev/net/tun must be there and open to everybody (modprobe tun; chmod 666 \
             /dev/net/tun); tell the admin"
        }
        T::NoNetwork => "slirp4netns (Podman 4) or pasta (Podman 5) is missing: tell the admin",
        T::NoOverlay => {
            "overlays need Linux 5.13, or fuse-overlayfs and a /dev/fuse that is open to everybody; \
             `node_dir` must be on a disk of the node; tell the admin"
        }
        T::CrunOnOldCgroups => "with cgroup version 1, Podman needs runc: tell the admin",
        T::OtherStore | T::StaleState => {
            "remove the folder `podman` of your node_dir on that node (podman unshare rm -rf) and \
             submit again"
        }
        T::Other => "`podman info` on the node should show the same; tell the admin",
    }
}

/// The engine's root is nobody there: NFS with root_squash, or FUSE without allow_other.
fn closed_to_engine(failure: Failure, closed: &[std::path::PathBuf]) -> Failure {
    let paths = closed.iter().map(|path| path.to_string_lossy());
    let open = shell_words::join(paths);
    let failure = match closed {
        [] => failure.hint(
            "the engine's root is shut out there (FUSE without allow_root, NFS with Kerberos): use \
             another folder",
        ),
        _ => failure.hint(format!(
            "the engine's root is nobody there (NFS with root_squash); let others pass through, \
             which shows them no file: chmod o+x {open}"
        )),
    };
    failure.hint("or use a rootless engine (podman), which sees what you see")
}

/// What the admin of the node is to do, so that its engine hands out GPUs.
fn devices_hint(lack: engine::GpuLack) -> &'static str {
    use engine::GpuLack as L;
    match lack {
        L::Toolkit => {
            "the node needs NVIDIA's container toolkit (nvidia-container-toolkit), and its engine a \
             restart after that; tell the admin"
        }
        L::Runtime => {
            "NVIDIA's container runtime is registered with the engine and not installed, or the other \
             way round: nvidia-ctk runtime configure --runtime=docker, and restart it; tell the admin"
        }
        L::RuntimeOnly => {
            "the node's toolkit is configured for its own runtime, which the engine does not have: \
             nvidia-ctk runtime configure --runtime=docker, and restart it; tell the admin"
        }
        L::Cdi => {
            "the engine's CDI is switched off: {\"features\": {\"cdi\": true}} in its daemon.json \
             switches it on from Docker 25 on; tell the admin"
        }
        L::CdiSpec => {
            "no CDI spec of the node describes this GPU, or one is out of date: nvidia-ctk cdi \
             generate --output=/etc/cdi/nvidia.yaml; tell the admin"
        }
        L::Driver => {
            "the NVIDIA driver of the node does not work; `nvidia-smi` there should show the same; \
             tell the admin"
        }
        L::Gpu => "the toolkit of the node knows no such GPU; tell the admin, or submit again",
        L::Other => {
            "NVIDIA's container toolkit on the node failed; `docker run --gpus all` there should show \
             the same; tell the admin"
        }
    }
}

fn gpu_hint(error: &gpu::Error) -> &'static str {
    match error {
        gpu::Error::NoGpu { .. } => {
            "the scheduler sent the job to a node without a working NVIDIA driver: tell the admin, \
             or submit with `-g none`"
        }
        gpu::Error::Nvml { .. } => "`nvidia-smi` on the node should show the same; tell the admin",
        gpu::Error::Grant(_)
        | gpu::Error::Missing { .. }
        | gpu::Error::NoSuchPart { .. }
        | gpu::Error::NoParts { .. } => {
            "the scheduler's grant does not fit the node; tell the admin"
        }
        gpu::Error::WrongType { .. } => {
            "the type of `-g` is held against the GPU's own name; `qdebug logs` shows both"
        }
        gpu::Error::Pattern { .. } => {
            "mend `pattern` of this type in the configuration; `qdebug config` shows where it is"
        }
        gpu::Error::TooFew { .. } => "ask for fewer by `-n`",
        gpu::Error::Prohibited { .. } => {
            "the admin opens it: nvidia-smi --compute-mode=DEFAULT; submit again for another one"
        }
        gpu::Error::Unhealthy { .. } => {
            "tell the admin, who resets or drains it; submit again for another one"
        }
        gpu::Error::Busy { .. } => {
            "tell the admin, or the owner of these processes; `--allow-busy` takes them all the same"
        }
        gpu::Error::NoneIdle { .. } => {
            "submit again when one is free; `--allow-busy` takes one with others' processes on it"
        }
        gpu::Error::PickRefused => {
            "the scheduler must hand GPUs out (its cgroups hook or GRES), or the site says \
             `gpu_pick = \"idle\"`: tell the admin"
        }
        gpu::Error::Hold { .. } => {
            "it must be a folder open to all, as /tmp is (mode 1777), and no link; the admin makes it \
             for good by a line in /etc/tmpfiles.d: `d PATH 1777 root root -`"
        }
        gpu::Error::NotArrived { .. } => {
            "the engine of the node does not hand out what it is asked for: it needs the NVIDIA \
             container toolkit, and CDI specs made by `nvidia-ctk cdi generate`; tell the admin"
        }
    }
}
