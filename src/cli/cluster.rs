//! The commands that only machines of a cluster have, each to who does it.

use super::args::{ClusterCommand, Global};
use super::{Failure, authorize, node, pipe};

impl ClusterCommand {
    /// Whether it is about the machine it runs on, whatever cluster is named.
    pub(super) fn is_of_here(&self) -> bool {
        matches!(
            self,
            Self::Gc(_) | Self::Image(_) | Self::Kit(_) | Self::Hooks(_) | Self::Cleanup(_)
        )
    }

    /// Whether it logs into a session instead of on stderr.
    pub(super) fn has_own_log(&self) -> bool {
        matches!(self, Self::Node { .. })
    }

    pub(super) async fn run(self, global: &Global) -> Result<u8, Failure> {
        match self {
            Self::Gc(gc) => gc.run(global).await,
            Self::Image(image) => image.run(global).await,
            Self::Kit(kit) => kit.run(global).await,
            Self::Hooks(hooks) => hooks.run(global).await,
            Self::Node { session } => node::run(&session).await,
            Self::Pipe(pipe) => pipe.run().await,
            Self::Trunk(trunk) => trunk.run().await,
            Self::Relay { port } => pipe::relay(port).await,
            Self::Authorize(wanted) => authorize::authorize(wanted).await,
            Self::Cleanup(cleanup) => cleanup.run().await,
            Self::LocalRun { job } => node::local_run(&job).await,
        }
    }
}
