//! The session: the contract by which the login half and the node half meet.
//!
//! A session is a directory on the cluster's shared file system, by default
//! `~/.qdebug/sessions/<name>/`, mode 0700. The login half writes what was asked, the node half
//! what became of it; the laptop reads no file of it but asks for [`Status`] over ssh.
//!
//! | file | writer | type |
//! |---|---|---|
//! | `request.json` | submit, before the scheduler hears of it | [`Request`] |
//! | `job.sh` | submit | the constant job script |
//! | `job.json` | submit, after the scheduler's answer | [`Job`] |
//! | `job.log` | the scheduler | what the job script printed |
//! | `state.json` | the node half | [`State`] |
//! | `stop.json` | stop | [`Stop`] |
//! | `end.json` | status, when the scheduler said that the job is over; the node half obeys | [`End`] |
//! | `deadline.json` | status, when the scheduler's end of the job is another than told | [`Deadline`] |
//! | `authorized_keys` | submit, then connect | [`PublicKey`] lines |
//! | `node.log` | the node half | its log |
//!
//! These files are a published format. Each has one writer, a `format` number first, is mode 0600
//! from its creation and changes by one atomic rename. Changes are additive; a reader that meets
//! a higher format says which qdebug to install ([`Error::Newer`]). On NFS a missing or stale file
//! is not a verdict: what is promised about states is what [`Status`] says, which joins the files
//! and the scheduler's word.
//!
//! This module depends on nothing else of ours.

mod authorized_keys;
mod checked;
mod directory;
mod file;
mod gpus;
mod keys;
mod name;
mod record;
mod request;
mod rung;
#[cfg(test)]
pub(crate) mod samples;
mod standing;
mod state;
mod status;
mod store;
mod token;

pub use authorized_keys::{Import, PublicKey, PublicKeyError};
pub use checked::Checked;
pub use directory::SessionDir;
pub use file::{Error, FORMAT, open_regular};
pub use gpus::GpuSupply;
pub use keys::read_keys;
pub use name::{NameError, SessionName};
pub use record::Record;
pub use request::{
    Cluster, EngineChoice, EnvName, EnvNameError, GpuRequest, ImageSource, Job, Mount, MountError,
    Qdebug, Request, Sshd, Stop,
};
pub use rung::{Rung, Verdict};
pub use standing::{JobWord, Standing};
pub use state::{ConnectionDetails, Deadline, End, EndReason, Gpu, Limits, Phase, State};
pub use status::{Status, Ways};
pub use store::Store;
pub use token::Token;
