//! What stands in for the hops on Windows, where ssh knows no ControlMaster: the same names, of which
//! there is no value. A [`runtime::RuntimeDir`] comes first on every way to a cluster, and there is
//! none, so everything behind it is compiled for Windows as for Unix, and says plainly where it ends.
//!
//! What the modules are for is told where they are real: `runtime.rs`, `master.rs` and so on.

/// Where hops would be kept.
pub(super) mod runtime {
    use std::convert::Infallible;

    use super::super::Error;

    /// A folder of sockets, which there is none of.
    #[derive(Debug, Clone)]
    pub struct RuntimeDir(pub(super) Infallible);

    impl RuntimeDir {
        /// None.
        ///
        /// # Errors
        /// [`Error::NoWay`], always.
        pub fn new() -> Result<Self, Error> {
            Err(Error::NoWay)
        }
    }
}

/// Whom one would connect to, and by what.
pub(super) mod master {
    use std::net::IpAddr;

    use super::super::word::{Alias, Destination, HostName, PlainPath};
    use super::super::{Error, RuntimeDir};
    use crate::process::Program;

    /// Whether a person can be asked for a password.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Prompt {
        /// On the terminal of this process.
        Terminal,
        /// Not at all.
        Never,
    }

    /// The user's OpenSSH.
    #[derive(Debug, Clone)]
    pub struct Client(RuntimeDir);

    impl Client {
        /// The user's ssh.
        pub fn new(runtime: RuntimeDir) -> Self {
            Self(runtime)
        }

        /// What there is of it.
        pub(super) fn none<T>(&self) -> T {
            match self.0.0 {}
        }

        pub(in super::super) fn ssh(&self) -> Program {
            self.none()
        }
    }

    /// A live connection.
    #[derive(Debug)]
    pub struct Master(std::convert::Infallible);

    /// The words that name a destination to ssh.
    pub(in super::super) fn addressed(to: &Destination) -> Vec<String> {
        vec!["--".to_owned(), to.to_string()]
    }

    /// The node's own sshd.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Node {
        /// Its name.
        pub name: HostName,
    }

    impl Node {
        /// The node of a session.
        ///
        /// # Errors
        /// [`Error::Word`] for words that may not stand in a command of ssh.
        pub fn of_session(
            name: &str,
            _: Option<IpAddr>,
            _: &str,
            _: Alias,
            _: PlainPath,
        ) -> Result<Self, Error> {
            Ok(Self {
                name: name.parse()?,
            })
        }
    }
}

/// The command that begins a relay.
pub(super) mod pipe {
    use super::super::word::HostName;

    /// The command that begins a relay at the far end.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct PipeCommand {
        /// The path of qdebug on the login node.
        pub qdebug: String,
        /// Its words.
        pub words: Vec<String>,
        /// Where it ends.
        pub node: HostName,
    }
}

/// The ways to a session's port.
pub(super) mod link {
    use super::super::word::Destination;
    use super::master::Node;
    use super::pipe::PipeCommand;

    /// How a session's port is reached.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Route {
        /// It is a port of this machine.
        Here,
        /// It is a port of the login node.
        Login(Destination),
        /// It is a port of a node.
        Jump {
            /// The login node.
            login: Option<Destination>,
            /// The node.
            node: Node,
        },
        /// It is behind a command of the login node.
        Pipe {
            /// The login node.
            login: Destination,
            /// The command.
            command: PipeCommand,
        },
    }
}

/// The way to one session's port.
pub(super) mod route {
    use std::sync::Arc;

    use tokio::net::TcpStream;

    use super::super::Error;
    use super::link::Route;
    use super::master::{Client, Prompt};

    /// The way to one session's port.
    #[derive(Debug)]
    pub struct Tunnel(Client);

    impl Tunnel {
        /// A tunnel along `route`.
        pub fn new(client: Client, _: Route, _: u16, _: Prompt) -> Arc<Self> {
            Arc::new(Self(client))
        }

        /// Whether somebody may be asked.
        pub fn be_quiet(&self, _: bool) {
            self.0.none()
        }

        /// Reads the first line of the session's sshd.
        ///
        /// # Errors
        /// None: there is no tunnel.
        pub async fn probe(&self) -> Result<String, Error> {
            self.0.none()
        }

        /// Carries an accepted connection.
        ///
        /// # Errors
        /// None: there is no tunnel.
        pub async fn carry(&self, _: TcpStream) -> Result<(), Error> {
            self.0.none()
        }

        /// Carries this process's own stdin and stdout.
        ///
        /// # Errors
        /// None: there is no tunnel.
        pub async fn carry_stdio(&self) -> Result<(), Error> {
            self.0.none()
        }
    }
}

/// qdebug's own commands on a login node.
pub(super) mod remote {
    use std::time::Duration;

    use super::super::word::Destination;
    use super::super::{Error, Frame};
    use super::master::{Client, Master, Prompt};

    /// What a command answered.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Answer {
        /// qdebug's own exit code.
        pub status: i32,
        /// Its stdout.
        pub stdout: String,
        /// stderr of all that ran.
        pub stderr: String,
    }

    /// The qdebug of a cluster.
    #[derive(Debug, Clone)]
    pub struct Remote(Client);

    impl Remote {
        /// A cluster's qdebug by its path.
        ///
        /// # Errors
        /// None: there is no client.
        pub fn at(client: Client, _: Destination, _: &str, _: Prompt) -> Result<Self, Error> {
            Ok(Self(client))
        }

        /// Looks for qdebug on a cluster.
        ///
        /// # Errors
        /// None: there is no client.
        pub async fn find(client: Client, _: Destination, _: Prompt) -> Result<Self, Error> {
            Ok(Self(client))
        }

        /// The path there.
        pub fn qdebug(&self) -> &str {
            self.0.none()
        }

        /// The login node.
        pub fn login(&self) -> &Destination {
            self.0.none()
        }

        /// Makes sure that login can be reached.
        ///
        /// # Errors
        /// None: there is no client.
        pub async fn dial(&self) -> Result<Master, Error> {
            self.0.none()
        }

        /// Runs a command of qdebug.
        ///
        /// # Errors
        /// None: there is no client.
        pub async fn run<S: AsRef<str>>(
            &self,
            _: &[S],
            _: Option<&[u8]>,
            _: Duration,
        ) -> Result<Answer, Error> {
            self.0.none()
        }

        /// The same, which a Ctrl-C does not cut short.
        ///
        /// # Errors
        /// None: there is no client.
        pub async fn run_whole<S: AsRef<str>>(
            &self,
            _: &[S],
            _: &[u8],
            _: Duration,
        ) -> Result<Answer, Error> {
            self.0.none()
        }

        /// The same without a limit.
        ///
        /// # Errors
        /// None: there is no client.
        pub async fn stream<S: AsRef<str>>(
            &self,
            _: &[S],
            _: impl FnMut(&[u8]),
        ) -> Result<Answer, Error> {
            self.0.none()
        }

        pub(in super::super) async fn exchange_once(
            &self,
            _: Frame,
            _: &[String],
            _: Option<&[u8]>,
            _: Duration,
        ) -> Result<Answer, Error> {
            self.0.none()
        }
    }
}
