//! The ways to a session's port: as they are named, and as they stand once they are dialled.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::client::Prompt;
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
    /// It is a port of a node's own address, which login connects to, or this machine.
    Port {
        /// The login node; `None` when this machine sees the node itself.
        login: Option<Destination>,
        /// The address.
        address: IpAddr,
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
    /// What the last hop connects to for a session's port.
    pub(super) fn target(&self, port: u16) -> SocketAddr {
        let address = match self {
            Self::Port { address, .. } => *address,
            _ => Ipv4Addr::LOCALHOST.into(),
        };
        (address, port).into()
    }

    /// The last hop, for people.
    pub(super) fn end(&self) -> String {
        match self {
            Self::Here | Self::Port { login: None, .. } => "this machine".to_owned(),
            Self::Login(login)
            | Self::Port {
                login: Some(login), ..
            } => login.host.to_string(),
            Self::Jump { node, .. } => node.name.to_string(),
            Self::Pipe { command, .. } => command.node.to_string(),
        }
    }

    /// The login node that it begins with.
    pub(super) fn login(&self) -> Option<&Destination> {
        match self {
            Self::Here => None,
            Self::Login(login) | Self::Pipe { login, .. } => Some(login),
            Self::Jump { login, .. } | Self::Port { login, .. } => login.as_ref(),
        }
    }
}

/// At which hops a person may be asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking {
    pub(super) login: Prompt,
    pub(super) last: Prompt,
}

impl Asking {
    /// At none.
    pub(super) const NOBODY: Self = Self {
        login: Prompt::Never,
        last: Prompt::Never,
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_published_port_is_looked_for_elsewhere_than_on_the_loopback() {
        let login: Destination = "alice@login".parse().unwrap();
        let port = |login: Option<&Destination>, address: &str| Route::Port {
            login: login.cloned(),
            address: address.parse().unwrap(),
        };
        for (route, target, end) in [
            (Route::Here, "127.0.0.1:7", "this machine"),
            (Route::Login(login.clone()), "127.0.0.1:7", "login"),
            (port(Some(&login), "10.0.0.7"), "10.0.0.7:7", "login"),
            (port(None, "10.0.0.7"), "10.0.0.7:7", "this machine"),
            (port(None, "fd00::7"), "[fd00::7]:7", "this machine"),
        ] {
            assert_eq!(route.target(7).to_string(), target);
            assert_eq!(route.end(), end);
        }
    }
}
