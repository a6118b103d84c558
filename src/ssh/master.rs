//! Masters: one authenticated connection per hop, shared by every qdebug of this user.
//!
//! Problem: who opens it, and who may ask for a password? Two commands started at once must not
//! ask twice, a command of an IDE must not ask at all, and a socket that a dead master left makes
//! ssh go on without multiplexing. Solution: the first comer opens it under a lock with the user's
//! terminal, after removing a dead socket; the others find it alive. It lives for ten idle
//! minutes by itself, so nobody has to close it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::error::Error;
use super::files::Lock;
use super::runtime::RuntimeDir;
use super::word::{Alias, Destination, HostName, PlainPath, UserName};
use crate::process::{self, Program};

/// How long ssh may take to connect and, without a person, to authenticate.
const CONNECT: Duration = Duration::from_secs(20);

/// How long a command to a master on this machine may take.
const LOCAL: Duration = Duration::from_secs(10);

/// How long another qdebug that opens the same master is waited for; with a terminal it may be
/// waiting for a person who types.
const PATIENCE: Duration = Duration::from_secs(30);
const PATIENCE_WITH_PERSON: Duration = Duration::from_secs(180);

/// What ssh says when it found no master and would have dialled on its own.
pub(super) const NO_MASTER: &str = "qdebug-no-master";

/// Settings of every master of ours. Forwardings of the user's configuration belong to their own
/// connections; a network that died must be noticed.
const SETTINGS: [&str; 8] = [
    "ControlPersist=600",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "ClearAllForwardings=yes",
    "RemoteCommand=none",
    "RequestTTY=no",
    "PermitLocalCommand=no",
    "ConnectTimeout=20",
];

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
    host: String,
    socket: PlainPath,
    ours: bool,
}

impl Client {
    /// The user's ssh with the user's configuration.
    pub fn new(runtime: RuntimeDir) -> Self {
        Self {
            runtime,
            config: None,
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
        let config = self.config.as_ref().map(ToString::to_string);
        let name = to.to_string();
        let parts = ["login", &name, config.as_deref().unwrap_or_default()];
        let ours = self.at(&name, &parts)?;
        if ours.listens() {
            return Ok(ours);
        }
        if let Some(theirs) = self.of_user(to).await {
            return Ok(theirs);
        }
        self.open(ours, addressed(to), prompt).await
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
        let ours = self.at(&format!("{}@{}", node.user, node.name), &parts)?;
        if ours.listens() {
            return Ok(ours);
        }
        self.open(ours, node.arguments(via), prompt).await
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

    async fn open(&self, master: Master, to: Vec<String>, prompt: Prompt) -> Result<Master, Error> {
        let socket = master.socket.as_path();
        let patience = match prompt {
            Prompt::Terminal => PATIENCE_WITH_PERSON,
            Prompt::Never => PATIENCE,
        };
        let _lock = Lock::take(&socket.with_extension("lock"), patience)
            .await?
            .ok_or_else(|| Error::Busy {
                host: master.host.clone(),
                waited: patience,
            })?;
        if master.is_alive().await {
            return Ok(master);
        }
        remove_dead(socket)?;
        let batch = match prompt {
            Prompt::Terminal => "BatchMode=no",
            Prompt::Never => "BatchMode=yes",
        };
        let program = self.ssh().args(["-M", "-N", "-f", "-S"]).arg(socket);
        let program = SETTINGS
            .iter()
            .chain([&batch])
            .fold(program, |program, setting| program.args(["-o", setting]))
            .args(to);
        let asked = prompt == Prompt::Terminal;
        let (status, stderr) = talk(program, asked).await?;
        if status == 0 && master.is_alive().await {
            tracing::debug!(host = master.host, ?socket, "master opened");
            Ok(master)
        } else {
            Err(Error::of_ssh(&master.host, &stderr, asked))
        }
    }
}

impl Node {
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

fn remove_dead(socket: &Path) -> Result<(), Error> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file("remove the dead socket", PathBuf::from(socket))(error))
        }
        _ => Ok(()),
    }
}

/// Runs ssh until it has gone to the background or given up; its status and what it said. With a
/// person it may take its time, and what it says is shown to them as it comes: it asks on the
/// terminal by itself, and these are its own words to its own user.
async fn talk(program: Program, with_person: bool) -> Result<(i32, String), Error> {
    let command = program.shown();
    let mut child = program.spawn_with(Stdio::null(), Stdio::null(), Stdio::piped())?;
    let mut said = Vec::new();
    let mut stderr = child.stderr.take();
    let status = {
        let listen = async {
            let mut buffer = [0; 4096];
            while let Some(pipe) = &mut stderr
                && let Ok(count) = pipe.read(&mut buffer).await
                && count > 0
            {
                said.extend_from_slice(&buffer[..count]);
                if with_person {
                    let mut ours = tokio::io::stderr();
                    let _ = ours.write_all(&buffer[..count]).await;
                    let _ = ours.flush().await;
                }
            }
        };
        let ended = async {
            let status = child.wait().await;
            // The background master of an old ssh keeps our pipe: its end may never come.
            tokio::time::sleep(Duration::from_millis(50)).await;
            status
        };
        let both = async {
            tokio::pin!(listen, ended);
            tokio::select! {
                status = &mut ended => status,
                () = &mut listen => ended.await,
            }
        };
        if with_person {
            both.await
        } else {
            let limit = CONNECT + LOCAL;
            match tokio::time::timeout(limit, both).await {
                Ok(status) => status,
                Err(_) => return Err(process::Error::TimedOut { command, limit }.into()),
            }
        }
    };
    let status = status.map_err(|source| process::Error::Io { command, source })?;
    let said = String::from_utf8_lossy(&said).into_owned();
    tracing::debug!(%status, stderr = said.trim_end(), "ssh opened a master or gave up");
    Ok((process::code(status), said))
}
