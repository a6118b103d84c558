//! The phases a session goes through, each held long enough to be struck in it.

use crate::host::Host;

/// Where the session is when the blow comes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The driver is asked about the GPUs, and hangs.
    Checking,
    /// An image is pulled from a registry that hangs in the middle of a layer.
    Pulling,
    /// An image is built by a recipe that hangs in a step.
    Building,
    /// The container is made and started.
    Launching,
    /// People could connect.
    Ready,
    /// The end has begun.
    Ending,
}

const REGISTRY: &str = include_str!("registry.py");
const PORT: u16 = 5055;
/// Where the recipe lies that is never done.
const RECIPES: &str = "/home/alice/recipes";
/// And what it hangs in.
pub(super) const STEP: &str = "sleep 86399";

impl Phase {
    pub(super) const ALL: [Self; 6] = [
        Self::Checking,
        Self::Pulling,
        Self::Building,
        Self::Launching,
        Self::Ready,
        Self::Ending,
    ];

    /// The words that give a session, that is to be struck in it, its image.
    pub(super) fn image(self) -> [String; 2] {
        match self {
            Self::Pulling => ["-i".to_owned(), format!("127.0.0.1:{PORT}/qdebug/never")],
            Self::Building => ["--dockerfile".to_owned(), format!("{RECIPES}/held")],
            _ => ["-i".to_owned(), "qdebug/busybox".to_owned()],
        }
    }

    /// A word of `state.json` that is there from its first moment on.
    pub(super) fn in_file(self) -> &'static str {
        match self {
            Self::Checking => "\"checking-gpus\"",
            Self::Pulling => "pulling",
            Self::Building => "RUN sleep",
            Self::Launching => "\"launching\"",
            Self::Ready => "\"ready\"",
            Self::Ending => "\"ending\"",
        }
    }

    /// Whether a session stays in it until the blow, whatever the moment.
    pub(super) fn stays(self) -> bool {
        matches!(
            self,
            Self::Checking | Self::Pulling | Self::Building | Self::Ready
        )
    }

    /// What makes a session stay in it; nothing where that is not needed.
    #[track_caller]
    pub(super) fn hold(self, node: Host) -> Held {
        let (hold, let_go) = match self {
            // Whoever reads the stand-in's file waits for somebody to write it.
            Self::Checking => (
                "cd /etc && mkfifo nvml.hangs && cp -p qdebug-test-nvml.conf nvml.kept &&
                 mv nvml.hangs qdebug-test-nvml.conf"
                    .to_owned(),
                "cd /etc && mv qdebug-test-nvml.conf nvml.hangs && mv nvml.kept qdebug-test-nvml.conf
                 timeout 1 sh -c 'cat qdebug-test-nvml.conf >nvml.hangs'
                 rm -f nvml.hangs"
                    .to_owned(),
            ),
            Self::Pulling => (
                format!(
                    "cat >/tmp/registry.py <<'END'\n{REGISTRY}\nEND\n\
                     setsid python3 /tmp/registry.py {PORT} >/tmp/registry.log 2>&1 </dev/null &\n\
                     for try in $(seq 100); do nc -z 127.0.0.1 {PORT} && exit; sleep 0.1; done; exit 1"
                ),
                format!("pkill -9 -f 'registry.py {PORT}$'; true"),
            ),
            // The other node may be at the same.
            Self::Building => (
                format!(
                    "runuser -u alice -- sh -c 'mkdir -p {RECIPES} && cd {RECIPES} && \
                     printf \"FROM qdebug/busybox\\nRUN {STEP}\\n\" >held.{node:?} && \
                     mv held.{node:?} held'"
                ),
                "true".to_owned(),
            ),
            Self::Launching | Self::Ready | Self::Ending => return Held(None),
        };
        let held = Held(Some((node, let_go)));
        node.root(&hold).ok();
        held
    }
}

/// A phase that holds its sessions until this is dropped.
pub(super) struct Held(Option<(Host, String)>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((node, let_go)) = &self.0 {
            node.root(let_go);
        }
    }
}
