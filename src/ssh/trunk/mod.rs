//! Trunks: one ssh process to a login node, over whose stdin and stdout goes everything.
//!
//! | file | owns |
//! |---|---|
//! | `shell` | the process, and what it begins as: a `sh` on the login node |
//! | this one | what it becomes, and who has one |
//!
//! Problem: on Windows, at sites whose sshd takes one session for each connection, and for people
//! whose ssh must not share connections, there is no master to run anything over, and each ssh of
//! its own would ask for the second factor again. Solution: one `ssh -T LOGIN sh`. That shell takes
//! scripts one after the other, which is all that is needed where there may be no qdebug yet
//! (`setup`, and looking for qdebug). Where there is one, the shell becomes it by `exec`, and its
//! stdin and stdout a relay (`relay`), over which commands and connections go side by side.
//!
//! Each process of qdebug has its own, asked for once; ssh, IDEs and whatever else connects go
//! through the port of the `qdebug connect` that runs, and so over its trunk. A trunk that has died
//! is dialled anew by whoever needs it next; one that says nothing is replaced when a new one is up.
//!
//! Nothing here is of Unix alone.

mod shell;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::process::Child;

use super::client::{Client, Prompt, addressed};
use super::error::Error;
use super::gate::Gate;
use super::node::Node;
use super::said::{Said, Taker};
use super::watched::Watched;
use super::word::Destination;
use crate::relay::{self, Wanted};
use shell::Shell;

/// A relay to a login node.
#[derive(Debug)]
pub(super) struct Trunk {
    host: String,
    qdebug: String,
    pub(super) relay: Watched,
    /// Dropping it ends ssh.
    _child: Child,
    said: Arc<Said>,
}

impl Trunk {
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Resolves when it carries nothing any more; why.
    pub(super) async fn ended(&self) -> Error {
        self.relay.ended().await;
        // ssh may still say why.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let said = self.said.text();
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
        Error::Unreachable {
            host: self.host.clone(),
            detail: last.unwrap_or("the connection has ended").to_owned(),
        }
    }

    /// Runs a command on the login node; its status and what it said on stderr.
    async fn run(
        &self,
        words: &[String],
        stdin: &[u8],
        on_stdout: impl FnMut(&[u8]) + Unpin,
    ) -> Result<(i32, String), Error> {
        let (host, command) = (self.host.clone(), words.join(" "));
        let words = words.to_owned();
        let stream = match self.relay.open(&Wanted::Run { words }).await {
            Ok(stream) => stream,
            Err(relay::Error::Refused(detail)) => {
                return Err(Error::NotBegun {
                    host,
                    command,
                    detail,
                });
            }
            // It may have gone before the far side could say that it has begun.
            Err(relay::Error::Ended) => return Err(Error::Lost { host, command }),
        };
        let said = Said::default();
        let on_stderr = Taker(|bytes: &[u8]| said.add(bytes));
        match stream.attend(stdin, Taker(on_stdout), on_stderr).await {
            Ok(status) => {
                self.relay.note();
                Ok((status, said.text()))
            }
            Err(relay::Error::Ended) => Err(Error::Lost { host, command }),
            Err(relay::Error::Refused(detail)) => Err(Error::NoAnswer {
                host,
                command,
                status: None,
                detail,
            }),
        }
    }
}

/// What this process has to each login node.
#[derive(Debug, Clone, Default)]
pub(super) struct Trunks(Arc<Mutex<HashMap<Destination, Arc<Slot>>>>);

/// Who opens it holds the lock, so that a person is asked once.
type Slot = tokio::sync::Mutex<Stage>;

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Down,
    Begun(Box<Shell>),
    Up(Arc<Trunk>),
}

impl Trunks {
    fn slot(&self, login: &Destination) -> Arc<Slot> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(login.clone()).or_default())
    }
}

/// A command for the login node.
pub(super) struct Ask<'a> {
    /// The login node's qdebug, where it is one of its commands; else it runs without.
    pub(super) qdebug: Option<&'a str>,
    /// The command's digits, for marks.
    pub(super) hex: &'a str,
    /// The command.
    pub(super) words: &'a [String],
    /// What it reads.
    pub(super) stdin: Option<&'a [u8]>,
}

impl Client {
    /// Makes sure that a login node lets in.
    pub(super) async fn begin_trunk(
        &self,
        login: &Destination,
        prompt: Prompt,
    ) -> Result<(), Error> {
        let slot = self.trunks.slot(login);
        let mut stage = slot.lock().await;
        let is_there = match &mut *stage {
            Stage::Up(trunk) => trunk.relay.is_up(),
            Stage::Begun(shell) => shell.is_alive(),
            Stage::Down => false,
        };
        if !is_there {
            *stage = Stage::Begun(Box::new(self.shell(login, prompt).await?));
        }
        Ok(())
    }

    /// The trunk to a login node whose qdebug is there.
    pub(super) async fn trunk(
        &self,
        login: &Destination,
        qdebug: &str,
        prompt: Prompt,
    ) -> Result<Arc<Trunk>, Error> {
        let slot = self.trunks.slot(login);
        let mut stage = slot.lock().await;
        let shell = match std::mem::take(&mut *stage) {
            Stage::Up(trunk) if trunk.relay.is_up() => {
                *stage = Stage::Up(Arc::clone(&trunk));
                return Ok(trunk);
            }
            Stage::Begun(shell) => shell.living(),
            _ => None,
        };
        let shell = match shell {
            Some(shell) => shell,
            None => self.shell(login, prompt).await?,
        };
        let trunk = Arc::new(shell.into_trunk(qdebug).await?);
        *stage = Stage::Up(Arc::clone(&trunk));
        Ok(trunk)
    }

    /// Runs a command on a login node, which may ask a person to let it in; its status, where it is
    /// known, and what it said on stderr.
    pub(super) async fn run_by_trunk(
        &self,
        login: &Destination,
        prompt: Prompt,
        ask: &Ask<'_>,
        mut on_stdout: impl FnMut(&[u8]) + Unpin,
    ) -> Result<(Option<i32>, String), Error> {
        let slot = self.trunks.slot(login);
        let trunk = match ask.qdebug {
            Some(qdebug) => self.trunk(login, qdebug, prompt).await?,
            None => {
                let mut stage = slot.lock().await;
                // Whoever is cut short in the middle of a script leaves no shell behind.
                let shell = match std::mem::take(&mut *stage) {
                    Stage::Up(trunk) if trunk.relay.is_up() => Err(trunk),
                    Stage::Begun(shell) => Ok(shell.living()),
                    _ => Ok(None),
                };
                match shell {
                    Err(trunk) => {
                        *stage = Stage::Up(Arc::clone(&trunk));
                        trunk
                    }
                    Ok(shell) => {
                        let mut shell = match shell {
                            Some(shell) => shell,
                            None => self.shell(login, prompt).await?,
                        };
                        let ran = shell.run(ask).await?;
                        *stage = Stage::Begun(Box::new(shell));
                        on_stdout(&ran.stdout);
                        return Ok((ran.status, ran.stderr));
                    }
                }
            }
        };
        let stdin = ask.stdin.unwrap_or_default();
        let (status, said) = trunk.run(ask.words, stdin, on_stdout).await?;
        Ok((Some(status), said))
    }

    /// Puts a new trunk in place of one that does not answer, without a person; whether it did not.
    ///
    /// # Errors
    /// Why there is no new one. The old one stays, since it may only be slow.
    pub(super) async fn renew_trunk(&self, login: &Destination) -> Result<bool, Error> {
        let slot = self.trunks.slot(login);
        let mut stage = slot.lock().await;
        let old = match &*stage {
            Stage::Up(trunk) if trunk.relay.is_up() => Arc::clone(trunk),
            _ => return Ok(false),
        };
        if old.relay.is_there().await {
            return Ok(false);
        }
        tracing::debug!(host = old.host, "does not answer");
        let host = login.to_string();
        let shell = Shell::open(self, host, &addressed(login), Prompt::Never).await?;
        let new = shell.into_trunk(&old.qdebug).await?;
        old.relay.leave();
        *stage = Stage::Up(Arc::new(new));
        Ok(true)
    }

    /// One that was up has its host key and mostly needs nobody: a person is shown no more of it
    /// than that it is tried again.
    async fn shell(&self, login: &Destination, prompt: Prompt) -> Result<Shell, Error> {
        self.shell_at(&login.to_string(), &addressed(login), prompt)
            .await
    }

    async fn shell_at(&self, host: &str, to: &[String], prompt: Prompt) -> Result<Shell, Error> {
        if prompt == Prompt::Terminal && self.seen.knows(Path::new(host)) {
            match Shell::open(self, host.to_owned(), to, Prompt::Never).await {
                Err(Error::Authentication { .. }) => {}
                opened => return opened,
            }
        }
        Shell::open(self, host.to_owned(), to, prompt).await
    }

    /// A trunk to a node, through one to its login node: an ssh of its own here, with the keys and
    /// the agent of here. The same qdebug must be there under the same path.
    ///
    /// # Errors
    /// As of the trunk to a login node.
    pub(super) async fn trunk_beyond(
        &self,
        via: &Arc<Trunk>,
        node: &Node,
        prompt: Prompt,
    ) -> Result<(Arc<Trunk>, Gate), Error> {
        let (gate, entry) = Gate::open(Arc::clone(via), node).await?;
        let to = node.arguments(Some(&entry.proxy(&self.own_qdebug()?)?));
        let host = format!("{}@{}", node.user, node.name);
        let shell = match (self.shell_at(&host, &to, prompt).await, gate.refused()) {
            // All that ssh knows is that its ProxyCommand has ended.
            (Err(Error::Unreachable { host, .. }), Some(why)) => Err(Error::Unreachable {
                host,
                detail: format!("{} does not reach it: {why}", via.host),
            }),
            (shell, _) => shell,
        };
        // It is through, and nobody else is to come.
        drop(entry);
        let trunk = shell?.into_trunk(&via.qdebug).await?;
        Ok((Arc::new(trunk), gate))
    }
}
