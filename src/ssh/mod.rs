//! ssh: the one way from the laptop to a cluster, through the user's own OpenSSH.
//!
//! | file | owns |
//! |---|---|
//! | `word` | what may stand in an ssh command or configuration: newtypes that refuse the rest |
//! | `quote`, `frame` | a remote command line that sh, bash, csh and fish read alike, and the marks that tell its output from the noise of shell start files |
//! | `client` | the user's OpenSSH, and which of the two ways it reaches login nodes by |
//! | `runtime`, `master` | masters: one authenticated connection per hop, shared by all of qdebug |
//! | `trunk` | where there are no masters: one ssh process of each qdebug that carries everything |
//! | `dial` | how a master is opened, or put in another's place |
//! | `node` | a session's node as ssh is told of it |
//! | `link`, `route` | the hops to one session, and the bytes of one connection through them |
//! | `stdio` | a connection that is this process's own stdin and stdout |
//! | `through`, `commands`, `replace` | what goes over masters, and their replacement |
//! | `seen`, `silence` | hops that say nothing any more, and new ones in their place |
//! | `watched` | a relay, and whether its far end still answers |
//! | `why` | why a node behind login cannot be reached |
//! | `pipe` | a relay over one command of the login node, where no sshd forwards; or over a trunk |
//! | `gate` | a trunk's way on to a node, for an ssh of this machine |
//! | `said` | what programs say on stderr |
//! | `pump` | bytes from one end to the other |
//! | `listener` | the port on 127.0.0.1 that outlives ssh processes |
//! | `remote` | qdebug's own commands on the login node |
//! | `script` | scripts for `sh` on the login node, where there may be no qdebug yet |
//! | `access` | which keys of the user's are for a login node, and whether they let in |
//! | `version`, `hand_made` | which ssh this machine has, and what hand-made tunnels have left in its files |
//! | `permissions` | what OpenSSH refuses because others may read or write it |
//! | `config_file`, `include`, `known_hosts`, `keys`, `files` | what is written on the user's disk |
//!
//! Problem: a person may have to type a password and a one-time code for every connection, and a
//! handshake costs 170 ms or more. Evidence: a command over a live master takes 8 ms, and a master
//! that was opened on a terminal can be adopted later without one. Solution: the first comer opens
//! a master under a lock with the user's terminal; everything else runs over it, BatchMode always.
//!
//! The user's ssh settings rule how login is reached. The user's own master is used and never
//! closed, their `known_hosts` never written, their `config` only ever gets one `Include`.
//!
//! ControlMaster does not exist on Windows, and some must not use it: for them a trunk carries
//! everything ([`Client::without_masters`]). What needs masters stands behind `cfg(unix)` here, the
//! rest is portable. This module knows neither sessions nor halves.

mod access;
mod client;
pub mod config_file;
mod error;
pub mod files;
mod frame;
mod gate;
mod hand_made;
pub mod include;
pub mod keys;
pub mod known_hosts;
mod link;
mod listener;
mod node;
pub mod permissions;
mod pipe;
mod pump;
mod quote;
mod remote;
mod route;
mod said;
mod script;
mod seen;
mod silence;
mod stdio;
mod trunk;
mod version;
mod watched;
mod word;

#[cfg(unix)]
mod commands;
#[cfg(unix)]
mod dial;
#[cfg(unix)]
mod master;
#[cfg(unix)]
mod replace;
#[cfg(unix)]
mod runtime;
#[cfg(unix)]
mod through;
#[cfg(unix)]
mod why;

pub use access::UserKey;
pub use client::{Client, NoMasters, Prompt};
pub use error::{Error, ExpectedKey};
pub use frame::Frame;
pub use gate::go_through;
pub use hand_made::HandMade;
pub use link::Route;
pub use listener::{Event, Listener};
pub use node::{Node, on_node};
pub use pipe::PipeCommand;
pub use quote::command_line;
pub use remote::{Answer, Remote};
pub use route::Tunnel;
pub use script::{LoginShell, script_text};
pub use version::Version;
pub use word::{Alias, Destination, HostName, PlainPath, UserName, WordError};

#[cfg(unix)]
pub use {master::Master, runtime::RuntimeDir};
