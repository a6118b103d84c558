//! ssh: the one way from the laptop to a cluster, through the user's own OpenSSH.
//!
//! | file | owns |
//! |---|---|
//! | `word` | what may stand in an ssh command or configuration: newtypes that refuse the rest |
//! | `quote`, `frame` | a remote command line that sh, bash, csh and fish read alike, and the marks that tell its output from the noise of shell start files |
//! | `runtime`, `master` | masters: one authenticated connection per hop, shared by all of qdebug |
//! | `dial` | how a master is opened, or put in another's place |
//! | `link`, `route` | the hops to one session, and the bytes of one connection through them |
//! | `stdio` | a connection that is this process's own stdin and stdout |
//! | `silence` | hops that say nothing any more, and new ones in their place |
//! | `why` | why a node behind login cannot be reached |
//! | `pipe` | a relay over one command of the login node, where no sshd forwards |
//! | `pump` | bytes from one end to the other |
//! | `listener` | the port on 127.0.0.1 that outlives ssh processes |
//! | `remote` | qdebug's own commands on the login node |
//! | `script` | scripts for `sh` on the login node, where there may be no qdebug yet |
//! | `access` | which keys of the user's are for a login node, and whether they let in |
//! | `absent` | on Windows, the names of what is not there |
//! | `config_file`, `known_hosts`, `keys`, `files` | what is written on the user's disk |
//!
//! Problem: a person may have to type a password and a one-time code for every connection, and a
//! handshake costs 170 ms or more. Evidence: a command over a live master takes 8 ms, and a master
//! that was opened on a terminal can be adopted later without one. Solution: the first comer opens
//! a master under a lock with the user's terminal; everything else runs over it, BatchMode always.
//!
//! The user's ssh settings rule how login is reached. The user's own master is used and never
//! closed, their `known_hosts` never written, their `config` only ever gets one `Include`.
//!
//! ControlMaster does not exist on Windows: what needs it is left out there, and `absent` stands in
//! for it. This module knows neither sessions nor halves.

pub mod config_file;
mod error;
pub mod files;
mod frame;
pub mod keys;
pub mod known_hosts;
mod quote;
mod word;

mod access;
mod listener;
mod script;

#[cfg(windows)]
mod absent;
#[cfg(unix)]
mod dial;
#[cfg(unix)]
mod link;
#[cfg(unix)]
mod master;
#[cfg(unix)]
mod pipe;
#[cfg(unix)]
mod pump;
#[cfg(unix)]
mod remote;
#[cfg(unix)]
mod route;
#[cfg(unix)]
mod runtime;
#[cfg(unix)]
mod silence;
#[cfg(unix)]
mod stdio;
#[cfg(unix)]
mod why;

#[cfg(windows)]
use absent::{link, master, pipe, remote, route, runtime};

pub use access::UserKey;
pub use error::Error;
pub use frame::Frame;
pub use quote::command_line;
pub use word::{Alias, Destination, HostName, PlainPath, UserName, WordError};

pub use link::Route;
pub use listener::{Event, Listener};
pub use master::{Client, Master, Node, Prompt};
pub use pipe::PipeCommand;
#[cfg(unix)]
pub use pipe::on_node;
pub use remote::{Answer, Remote};
pub use route::Tunnel;
pub use runtime::RuntimeDir;
pub use script::{LoginShell, script_text};
