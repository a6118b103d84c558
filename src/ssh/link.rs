//! The ways to a session's port: as they are named, and as they stand once they are dialled.

use std::sync::Arc;

#[cfg(unix)]
use super::master::Master;
use super::node::Node;
use super::pipe::{Pipe, PipeCommand};
use super::word::Destination;

/// How a session's port is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// It is a port of this machine.
    Here,
    /// It is a port of the login node.
    Login(Destination),
    /// It is a port of a node, whose own sshd is reached through login, or from here.
    Jump {
        /// The login node; `None` when this machine sees the node itself.
        login: Option<Destination>,
        /// The node.
        node: Node,
    },
    /// It is a port of a machine to which a command of the login node leads, over whose stdin and
    /// stdout all connections go.
    Pipe {
        /// The login node.
        login: Destination,
        /// The command.
        command: PipeCommand,
    },
}

impl Route {
    /// The login node that it begins with.
    pub(super) fn login(&self) -> Option<&Destination> {
        match self {
            Self::Here => None,
            Self::Login(login) | Self::Pipe { login, .. } => Some(login),
            Self::Jump { login, .. } => login.as_ref(),
        }
    }
}

/// What carries connections.
#[derive(Debug, Clone)]
pub(super) enum Link {
    /// This machine itself.
    Here,
    /// The last hop's master.
    #[cfg(unix)]
    Master(Master),
    /// A relay.
    Pipe(Arc<Pipe>),
}

impl Link {
    /// Whether it was up a moment ago; what it costs is next to nothing.
    pub(super) fn is_up(&self) -> bool {
        match self {
            Self::Here => true,
            #[cfg(unix)]
            Self::Master(master) => master.listens(),
            Self::Pipe(pipe) => pipe.is_open(),
        }
    }

    /// Whether what carries it was just heard of, or answers when it is asked.
    pub(super) async fn answers(&self) -> bool {
        match self {
            Self::Here => true,
            #[cfg(unix)]
            Self::Master(master) => master.still_answers().await,
            Self::Pipe(pipe) => pipe.answers().await,
        }
    }
}
