//! Masters: one authenticated connection per hop, shared by every qdebug of this user.
//!
//! Problem: who opens it, and who may ask for a password? Two commands started at once must not
//! ask twice, a command of an IDE must not ask at all, and a socket that a dead master left makes
//! ssh go on without multiplexing. Solution: the first comer opens it under a lock with the user's
//! terminal, after removing a dead socket; the others find it alive. It lives for ten idle
//! minutes by itself, so nobody has to close it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::client::{Client, Prompt, addressed};
use super::error::Error;
use super::files::Lock;
use super::node::Node;
use super::word::{Destination, PlainPath};
use crate::process::Program;

/// How long a command to a master on this machine may take.
pub(super) const LOCAL: Duration = Duration::from_secs(10);

/// What ssh says when it found no master and would have dialled on its own.
pub(super) const NO_MASTER: &str = "qdebug-no-master";

/// A live connection that others can share.
#[derive(Debug, Clone)]
pub struct Master {
    pub(super) host: String,
    pub(super) socket: PlainPath,
    pub(super) ours: bool,
}

impl Client {
    /// The master to a login node: a live one of ours, else a live one of the user's own, else a
    /// new one.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Authentication`], [`Error::HostKey`], [`Error::Busy`].
    pub async fn login(&self, to: &Destination, prompt: Prompt) -> Result<Master, Error> {
        match self.standing(to).await? {
            Some(master) => Ok(master),
            None => self.open(self.ours(to)?, addressed(to), prompt).await,
        }
    }

    /// The live master to a login node that [`Client::login`] would give, where there is one.
    pub(super) async fn standing(&self, to: &Destination) -> Result<Option<Master>, Error> {
        let ours = self.ours(to)?;
        if ours.listens() {
            self.seen.up(ours.socket());
            return Ok(Some(ours));
        }
        Ok(self.users_own(to).await)
    }

    /// Our own master to a login node, whether it lives or not.
    pub(super) fn ours(&self, to: &Destination) -> Result<Master, Error> {
        let config = self.config.as_ref().map(ToString::to_string);
        let name = to.to_string();
        self.at(
            &name,
            &["login", &name, config.as_deref().unwrap_or_default()],
        )
    }

    /// The master to a node, through a login master, or from here when there is none.
    ///
    /// # Errors
    /// As [`Client::login`].
    pub async fn node(
        &self,
        via: Option<&Master>,
        node: &Node,
        prompt: Prompt,
    ) -> Result<Master, Error> {
        let ours = self.of_node(via, node)?;
        if ours.listens() {
            return Ok(ours);
        }
        self.open(ours, arguments(via, node), prompt).await
    }

    /// The master to a node, whether it lives or not.
    pub(super) fn of_node(&self, via: Option<&Master>, node: &Node) -> Result<Master, Error> {
        let through = via.map(|via| via.socket.to_string()).unwrap_or_default();
        let (port, known_hosts) = (node.port.to_string(), node.known_hosts.to_string());
        let parts = [
            "node",
            &through,
            node.user.as_ref(),
            node.address.as_ref(),
            &port,
            node.host_key_alias.as_ref(),
            &known_hosts,
        ];
        self.at(&format!("{}@{}", node.user, node.name), &parts)
    }

    fn at(&self, host: &str, parts: &[&str]) -> Result<Master, Error> {
        Ok(Master {
            host: host.to_owned(),
            socket: PlainPath::new(self.runtime.socket(parts))?,
            ours: true,
        })
    }

    /// A live master that the user's own configuration made, if its path can be told to ssh.
    async fn users_own(&self, to: &Destination) -> Option<Master> {
        let shown = self.ssh().arg("-G").args(addressed(to)).time_limit(LOCAL);
        let output = shown.output().await.ok()?;
        let path = output
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix("controlpath "))?;
        let theirs = Master {
            host: to.to_string(),
            socket: PlainPath::new(path).ok()?,
            ours: false,
        };
        theirs.is_alive().await.then_some(theirs)
    }
}

/// The words that name a node to ssh, through a login master, or from here when there is none.
pub(super) fn arguments(via: Option<&Master>, node: &Node) -> Vec<String> {
    // A shell reads this line, and ssh its `%h` and `%p` before.
    let proxy = via.map(|via| {
        format!(
            "ssh -F none -S {} -o ProxyCommand=false -W \"[%h]:%p\" none",
            via.socket.quoted()
        )
    });
    node.arguments(proxy.as_deref())
}

impl Master {
    /// The hop's name, for people.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether it is one that the user opened; such a one is never closed.
    pub fn is_users_own(&self) -> bool {
        !self.ours
    }

    /// The control socket.
    pub fn socket(&self) -> &Path {
        self.socket.as_path()
    }

    /// Whether the master answers.
    pub async fn is_alive(&self) -> bool {
        // A dead one mostly shows without a process.
        self.listens() && {
            let check = self.client(&["-O", "check"]).time_limit(LOCAL);
            matches!(check.output().await, Ok(output) if output.status == 0)
        }
    }

    /// Whether somebody listens on the socket, which is a live master's own process: enough
    /// before each use, without a process of ours.
    pub(super) fn listens(&self) -> bool {
        std::os::unix::net::UnixStream::connect(self.socket.as_path()).is_ok()
    }

    /// Ends it, if it is ours: for one whose network has died.
    pub async fn close(&self) {
        if self.ours {
            let exit = self
                .client(&["-O", "exit"])
                .time_limit(LOCAL)
                .output()
                .await;
            tracing::debug!(host = self.host, ok = exit.is_ok(), "master closed");
        }
    }

    /// Takes no more connections, keeps those it has, and ends with the last of them.
    pub(super) async fn stop_listening(&self) {
        let stop = self.client(&["-O", "stop"]).time_limit(LOCAL).output();
        let stopped = stop.await.is_ok();
        tracing::debug!(host = self.host, stopped, "master left");
    }

    /// The file of that lock; its time is when the master was heard of last.
    pub(super) fn lock_path(&self) -> PathBuf {
        self.socket.as_path().with_extension("lock")
    }

    /// The lock of whoever opens it.
    pub(super) async fn lock(&self, patience: Duration) -> Result<Lock, Error> {
        let taken = Lock::take(&self.lock_path(), patience).await?;
        taken.ok_or_else(|| Error::Busy {
            host: self.host.clone(),
            waited: patience,
        })
    }

    /// ssh as a client of this master and of nothing else: were the master dead, ssh would dial
    /// on its own; the ProxyCommand says so instead, before anything of stdin is read.
    pub(super) fn client(&self, arguments: &[&str]) -> Program {
        let instead = format!("ProxyCommand=sh -c \"echo {NO_MASTER} >&2\"");
        Program::new("ssh")
            .args(["-F", "none", "-o", &instead, "-S"])
            .arg(self.socket.as_path())
            .args(arguments)
            .args(["--", "none"])
    }

    /// The openssh crate's view of it. Dropping that leaves the master as it is.
    pub(super) fn session(&self) -> openssh::Session {
        openssh::Session::resume(self.socket.as_path().into(), None)
    }
}
