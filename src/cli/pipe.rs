//! The hidden `pipe` and `relay`: the cluster's half of reach `nested` and `exec`. And `trunk`: that
//! of a laptop without masters.
//!
//! The laptop runs `pipe` on the login node. That goes on to the session's node with the login
//! node's own ssh client and keys, or into the job as the scheduler lets one, and there runs
//! `relay`, whose stdin and stdout carry all of the laptop's connections. No sshd on the way has to
//! forward anything. `trunk` stays on the login node: everything that a laptop without masters wants
//! there goes over its stdin and stdout, `pipe` among it.

use clap::{Args, ValueEnum};

use super::args::{Wanted, frame_mark};
use super::here::own_path;
use super::setting::Setting;
use super::{Exit, Failure, output};
use crate::login::Login;
use crate::platform;
use crate::relay;
use crate::session::{ConnectionDetails, Standing, Status};
use crate::ssh::known_hosts::{self, KnownHost};
use crate::ssh::{Alias, Node, PlainPath, on_node};

/// The name of the node's keys, in a file that holds no others.
const KEY_ALIAS: &str = "qdebug-node";

/// Begin a relay on a session's node.
#[derive(Debug, Args)]
pub(super) struct Pipe {
    #[command(flatten)]
    wanted: Wanted,
    /// How it goes on from here
    #[arg(long, value_enum)]
    by: By,
    /// What the relay is to print before its first byte
    #[arg(long, value_name = "HEX", value_parser = frame_mark)]
    mark: String,
}

/// How a node is reached from its login node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// By this machine's own ssh client
    Nested,
    /// As a step of the job
    Exec,
}

impl Pipe {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        let login = Setting::load()?.login().await?;
        let status = login.status(&self.wanted.job).await?;
        let details = ready(&status)?;
        let own = own_path()?;
        let own = own
            .to_str()
            .ok_or_else(|| Failure::new(Exit::Config, format!("{} is not UTF-8", own.display())))?;
        let port = details.port.to_string();
        let words = [own, "--frame", &self.mark, "relay", &port].map(str::to_owned);
        match self.by {
            By::Nested => nested(details, &words).await,
            By::Exec => exec(&login, &status, &words).await,
        }
    }
}

async fn exec(login: &Login, status: &Status, words: &[String]) -> Result<u8, Failure> {
    let message = match login.step(status, words).await? {
        Some(0) => return Ok(0),
        Some(code) => format!("srun from here into the job ended with status {code}"),
        None => format!("there is no way into this job of {}", status.cluster),
    };
    Err(Failure::new(Exit::ClusterUnreachable, message))
}

/// The details of a session that can be reached.
fn ready(status: &Status) -> Result<&ConnectionDetails, Failure> {
    match (&status.details, status.state.is_final()) {
        (_, true) => Err(Failure::over(status)),
        (Some(details), false) if status.state != Standing::Ending => Ok(details),
        _ => {
            let message = format!(
                "{} is not ready: {}",
                status.name,
                super::show::line(status)
            );
            Err(Failure::new(Exit::Failed, message).hint("`qdebug connect` waits until it is"))
        }
    }
}

async fn nested(details: &ConnectionDetails, words: &[String]) -> Result<u8, Failure> {
    let alias: Alias = KEY_ALIAS.parse().map_err(crate::ssh::Error::from)?;
    let mut pins = Vec::new();
    for line in &details.node_host_keys {
        match line.parse() {
            Ok(key) => pins.push(KnownHost {
                alias: alias.clone(),
                key,
            }),
            Err(error) => tracing::warn!(%error, "passed over a host key of the node"),
        }
    }
    // Removed when ssh has ended; it reads it when it connects.
    let file = tempfile::Builder::new()
        .prefix("qdebug-hosts-")
        .tempfile()?;
    std::fs::write(file.path(), known_hosts::render(&pins))?;
    let node = Node::of_session(
        &details.node,
        details.address,
        &details.user,
        alias,
        PlainPath::new(file.path()).map_err(crate::ssh::Error::from)?,
    )?;
    let program = on_node(&node, !pins.is_empty(), words)?;
    match program
        .on_terminal()
        .await
        .map_err(crate::ssh::Error::from)?
    {
        0 => Ok(0),
        code => {
            let message = format!("ssh from here to {} ended with status {code}", node.name);
            Err(Failure::new(Exit::ClusterUnreachable, message))
        }
    }
}

/// Serve a laptop over stdin and stdout.
#[derive(Debug, Args)]
pub(super) struct Trunk {
    /// What is to be printed before the first byte
    #[arg(long, value_name = "HEX", value_parser = frame_mark)]
    mark: String,
    /// The version of the relay that is to be spoken
    #[arg(long)]
    protocol: u32,
}

impl Trunk {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        if self.protocol != relay::PROTOCOL {
            let message = format!(
                "this qdebug speaks version {} of its relay, and not {}",
                relay::PROTOCOL,
                self.protocol
            );
            return Err(Failure::new(Exit::Versions, message));
        }
        output::data(&format!("qdebug-frame-{} begin", self.mark));
        let (from, to) = platform::stdio();
        relay::serve_all(from, to).await;
        Ok(0)
    }
}

/// `qdebug relay PORT`: carries what the laptop opens to a port of this machine, until stdin ends.
pub(super) async fn relay(port: u16) -> Result<u8, Failure> {
    let (from, to) = platform::stdio();
    relay::serve(from, to, port).await;
    Ok(0)
}
