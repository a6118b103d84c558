//! The laptop half: waits for a session, opens the way to it, and keeps it open.
//!
//! | file | owns |
//! |---|---|
//! | `cluster` | qdebug's commands on the cluster, over ssh or on this machine |
//! | `submit` | a submit from here, whose job is not lost sight of |
//! | `waiting` | polling a session until it is ready, and what changed meanwhile |
//! | `reach` | which way leads to a session that is ready, tried in order |
//! | `order` | in which order the ways are tried |
//! | `ways` | which way led to a cluster last |
//! | `known` | what this laptop remembers of a session, one file each |
//! | `whose` | which of them are meant where `--on` names a cluster |
//! | `publish` | those files as ssh configuration and known_hosts, and their sweeping |
//! | `connect` | the story of `qdebug connect` |
//! | `event`, `ui` | what happens meanwhile, and who is told and asked |
//! | `opening` | the session in an IDE: its files, its start, and taking all of it away |
//! | `held` | one connection held open, whose end is the first news of the session's |
//! | `forwards` | `-L` and `-R` |
//! | `shell` | `qdebug ssh` and the hidden `qdebug proxy`, which work without a running connect |
//! | `debug` | `qdebug debug`: a program under a debugger in the session, and the port between it and the IDE |
//! | `setup` | `qdebug setup`: what a cluster needs first, and taking it back |
//! | `departure` | what a cluster leaves here when it is given up |
//! | `paths` | where all that lies on this machine |
//!
//! It reads no session file: what it knows of a session is what `status --json` says. Nothing
//! here prints; what happens is told through [`Ui`].

mod cluster;
mod connect;
mod countdown;
mod debug;
mod departure;
mod error;
mod event;
mod forwards;
mod held;
mod known;
mod opening;
mod order;
mod paths;
mod publish;
mod reach;
pub mod setup;
mod shell;
mod submit;
mod ui;
mod waiting;
mod ways;
mod whose;

pub use cluster::{Answer, Cluster};
pub use connect::{Connect, Outcome, Until, connect};
pub use debug::{CommandError, Debug, Debugger, PythonCommand, Ready, debug};
pub use departure::Departure;
pub use error::Error;
pub use event::Event;
pub use forwards::{Forward, ForwardError};
pub use known::{Known, Place, Reach};
pub use opening::{IdeEvent, OpenError, Opening, clean, written};
pub use order::Order;
pub use paths::Paths;
pub use publish::sweep;
pub use shell::{forward, proxy, shell};
pub use submit::Submitted;
pub use ui::{Confirm, Ui};
pub use waiting::pause;
pub use ways::last_way;
pub use whose::Whose;
