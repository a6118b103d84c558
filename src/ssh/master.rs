//! Masters: one authenticated connection per hop, shared by every qdebug of this user.
//!
//! Problem: who opens it, and who may ask for a password? Two commands started at once must not
//! ask twice, a command of an IDE must not ask at all, and a socket that a dead master left makes
//! ssh go on without multiplexing. Solution: the first comer opens it under a lock with the user's
//! terminal, after removing a dead socket; the others find it alive. It lives for ten idle
//! minutes by itself, so nobody has to close it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::Error;
use super::files::Lock;
use super::runtime::RuntimeDir;
use super::silence::Seen;
use super::word::{Alias, Destination, HostName, PlainPath, UserName};
use crate::process::Program;

/// How long a command to a master on this machine may take.
pub(super) const LOCAL: Duration = Duration::from_secs(10);

/// What ssh says when it found no master and would have dialled on its own.
pub(super) const NO_MASTER: &str = "qdebug-no-master";

/// Whether a person can be asked for a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// On the terminal of this process.
    Terminal,
    /// Not at all.
    Never,
}

/// The user's OpenSSH, and where its sockets are.
#[derive(Debug, Clone)]
pub struct Client {
    runtime: RuntimeDir,
    config: Option<PlainPath>,
    pub(super) seen: Seen,
}

/// The node's own sshd, the second hop of reach `jump`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name, by which the user's ssh configuration may know it.
    pub name: HostName,
    /// What to connect to.
    pub address: HostName,
    /// Its port.
    pub port: u16,
    /// The user there.
    pub user: UserName,
    /// The name of its pinned keys.
    pub host_key_alias: Alias,
    /// The file that holds them.
    pub known_hosts: PlainPath,
}

/// A live connection that others can share.
#[derive(Debug, Clone)]
pub struct Master {
    pub(super) host: String,
    pub(super) socket: PlainPath,
    pub(super) ours: bool,
}

impl Client {
    /// The user's ssh with the user's configuration.
    pub fn new(runtime: RuntimeDir) -> Self {
        Self {
            runtime,
            config: None,
            seen: Seen::default(),
        }
    }

    /// Reads this configuration file instead of the user's and the system's.
    #[must_use]
    pub fn with_config(mut self, path: PlainPath) -> Self {
        self.config = Some(path);
        self
    }

    pub(super) fn ssh(&self) -> Program {
        let program = Program::new("ssh");
        match &self.config {
            Some(path) => program.arg("-F").arg(path.as_path()),
            None => program,
        }
    }

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
        Ok(self.of_user(to).await)
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
        self.open(ours, node.arguments(via), prompt).await
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
    async fn of_user(&self, to: &Destination) -> Option<Master> {
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

impl Node {
    /// sshd's port on a node.
    const PORT: u16 = 22;

    /// The node of a session, as the cluster tells of it: by its address where it is known, since
    /// another machine's names may differ.
    ///
    /// # Errors
    /// [`Error::Word`] for words that may not stand in a command of ssh.
    pub fn of_session(
        name: &str,
        address: Option<std::net::IpAddr>,
        user: &str,
        host_key_alias: Alias,
        known_hosts: PlainPath,
    ) -> Result<Self, Error> {
        let name: HostName = name.parse()?;
        // A node may know itself by a loopback address, as Debian's /etc/hosts has it.
        let address = address.filter(|ip| !ip.is_loopback());
        Ok(Self {
            address: address.map_or_else(|| name.clone(), HostName::from),
            name,
            port: Self::PORT,
            user: user.parse()?,
            host_key_alias,
            known_hosts,
        })
    }

    pub(super) fn arguments(&self, via: Option<&Master>) -> Vec<String> {
        let mut settings = vec![
            format!("HostName={}", self.address),
            format!("HostKeyAlias={}", self.host_key_alias),
            format!("UserKnownHostsFile={}", self.known_hosts.quoted()),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            "CheckHostIP=no".to_owned(),
            "UpdateHostKeys=no".to_owned(),
            "VerifyHostKeyDNS=no".to_owned(),
        ];
        settings.push(match via {
            // A shell reads this line, and ssh its `%h` and `%p` before.
            Some(via) => format!(
                "ProxyCommand=ssh -F none -S {} -o ProxyCommand=false -W \"[%h]:%p\" none",
                via.socket.quoted()
            ),
            None => "ProxyCommand=none".to_owned(),
        });
        let settings = settings.into_iter().flat_map(|s| ["-o".to_owned(), s]);
        let port = ["-p".to_owned(), self.port.to_string()];
        let user = ["-l".to_owned(), self.user.to_string()];
        let host = ["--".to_owned(), self.name.to_string()];
        settings.chain(port).chain(user).chain(host).collect()
    }
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
