//! The user's OpenSSH, and how it is to reach login nodes: by masters, or by a trunk.

use super::error::Error;
#[cfg(unix)]
use super::runtime::RuntimeDir;
use super::seen::Seen;
use super::trunk::Trunks;
use super::word::{Destination, PlainPath};
use crate::process::Program;

/// Whether a person can be asked for a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// On the terminal of this process.
    Terminal,
    /// Not at all.
    Never,
}

/// Which login nodes are reached without masters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NoMasters {
    /// All of them.
    Anywhere,
    /// None of them.
    #[default]
    Nowhere,
    /// These.
    At(Vec<Destination>),
}

/// The user's OpenSSH with the user's configuration, and what this process has opened with it.
#[derive(Debug, Clone)]
pub struct Client {
    #[cfg(unix)]
    pub(super) runtime: RuntimeDir,
    pub(super) seen: Seen,
    pub(super) config: Option<PlainPath>,
    pub(super) trunks: Trunks,
    no_masters: NoMasters,
    qdebug: Option<PlainPath>,
}

impl Client {
    /// The user's ssh with the user's configuration.
    ///
    /// # Errors
    /// Those of [`RuntimeDir::new`], where masters are made.
    #[cfg(unix)]
    pub fn of_user() -> Result<Self, Error> {
        Ok(Self::new(RuntimeDir::new()?))
    }

    /// The user's ssh with the user's configuration.
    ///
    /// # Errors
    /// None where no masters are made.
    #[cfg(not(unix))]
    pub fn of_user() -> Result<Self, Error> {
        Ok(Self {
            seen: Seen::default(),
            config: None,
            trunks: Trunks::default(),
            no_masters: NoMasters::Anywhere,
            qdebug: None,
        })
    }

    /// The same; the sockets of masters are in `runtime`.
    #[cfg(unix)]
    pub fn new(runtime: RuntimeDir) -> Self {
        Self {
            runtime,
            seen: Seen::default(),
            config: None,
            trunks: Trunks::default(),
            no_masters: NoMasters::default(),
            qdebug: None,
        }
    }

    /// Reads this configuration file instead of the user's and the system's.
    #[must_use]
    pub fn with_config(mut self, path: PlainPath) -> Self {
        self.config = Some(path);
        self
    }

    /// Makes no masters to these login nodes, but one long-lived connection for each process.
    #[must_use]
    pub fn without_masters(mut self, logins: NoMasters) -> Self {
        self.no_masters = logins;
        self
    }

    /// Has ssh run this qdebug instead of this very program.
    #[must_use]
    pub fn with_qdebug(mut self, path: PlainPath) -> Self {
        self.qdebug = Some(path);
        self
    }

    /// The qdebug that ssh runs here.
    pub(super) fn own_qdebug(&self) -> Result<PlainPath, Error> {
        match &self.qdebug {
            Some(path) => Ok(path.clone()),
            None => {
                let own = std::env::current_exe().map_err(Error::file("find", "qdebug itself"))?;
                Ok(PlainPath::new(own)?)
            }
        }
    }

    /// Whether a login node is reached by a trunk. ControlMaster does not exist on Windows.
    pub fn has_trunk(&self, login: &Destination) -> bool {
        !cfg!(unix)
            || match &self.no_masters {
                NoMasters::Anywhere => true,
                NoMasters::Nowhere => false,
                NoMasters::At(logins) => logins.contains(login),
            }
    }

    pub(super) fn ssh(&self) -> Program {
        let program = Program::new("ssh");
        match &self.config {
            Some(path) => program.arg("-F").arg(path.as_path()),
            None => program,
        }
    }
}

/// The words that name a destination to ssh.
pub(super) fn addressed(to: &Destination) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(user) = &to.user {
        words.extend(["-l".to_owned(), user.to_string()]);
    }
    if let Some(port) = to.port {
        words.extend(["-p".to_owned(), port.to_string()]);
    }
    words.extend(["--".to_owned(), to.host.to_string()]);
    words
}
