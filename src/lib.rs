//! qdebug: an IDE debugging session inside a container on a GPU node that a batch scheduler
//! granted.
//!
//! Three halves on three machines, and one contract between them:
//!
//! | module | runs on | does |
//! |---|---|---|
//! | `login` | the login node | submit, list, status, stop, logs |
//! | `node` | inside the job | GPUs, image, container, port, publish, supervise, undo |
//! | [`laptop`] | the user's machine | waits, tunnel, ssh config |
//! | [`session`] | | the contract: the files by which login and node meet |
//!
//! The halves never import one another, and `session` imports nothing of ours. Below the halves
//! stand the adapters, each alone with its outside world: `scheduler`, `engine`, `gpu`, `kit`,
//! [`ssh`], [`relay`], [`ide`], `cache`; they see neither a session nor a half.
//! [`config`] reads the user's and the site's file. [`process`] is the one place that spawns
//! programs; [`disk`] and [`text`] are what several modules need of small files and of words;
//! [`platform`] is the boundary between Unix and Windows. On systems other than Linux the halves of
//! the cluster and their adapters are left out.
//! [`cli`] stands on top: it alone knows clap, prints, and turns errors into sentences and exit
//! codes. `tests/walls.rs` holds all of this.

#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod disk;
pub mod ide;
pub mod laptop;
pub mod platform;
pub mod process;
pub mod relay;
pub mod session;
pub mod ssh;
pub mod text;

// The cluster's: its machines run Linux.
#[cfg(target_os = "linux")]
pub mod cache;
#[cfg(target_os = "linux")]
pub mod engine;
#[cfg(target_os = "linux")]
pub mod gpu;
#[cfg(target_os = "linux")]
pub mod kit;
#[cfg(target_os = "linux")]
pub mod login;
#[cfg(target_os = "linux")]
pub mod node;
#[cfg(target_os = "linux")]
pub mod scheduler;
