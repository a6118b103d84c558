//! The kit: what makes any image reachable by ssh, and keeps its container from outliving the job.
//!
//! Problem: an image has no sshd, no package manager, no libc one could count on, and the user is
//! not root in it. Evidence: of five ways tried on eight images, only a static OpenSSH with a
//! small shell and a small init needed nothing of the image at all. Solution: an archive of
//! these, made by `recipe.sh` from Debian's sources, embedded in the binary, unpacked once per
//! node and bound read-only at [`paths::KIT`]; what is of one session is bound from beside it at
//! [`paths::SESSION`].
//!
//! | file | owns |
//! |---|---|
//! | `archive.rs` | finding the kit and unpacking it |
//! | `lease.rs` | the holder's end of the lease; `init/` is the other |
//! | `passwd.rs` | passwd, group and shell for the container |
//! | `sshd.rs` | sshd's configuration, environment and command line |
//! | `host_key.rs` | the session's host key |
//!
//! It knows neither engine nor session: it makes files and texts, others put them to use.

#[cfg(unix)]
mod archive;
mod error;
#[cfg(unix)]
mod host_key;
#[cfg(unix)]
mod lease;
pub mod passwd;
#[allow(dead_code, unreachable_pub)] // Init uses it too, the reader's half.
#[path = "init/src/protocol.rs"]
mod protocol;
pub mod sshd;

#[cfg(unix)]
pub use archive::{Kit, Manifest, sweep_half_made};
pub use error::Error;
#[cfg(unix)]
pub use host_key::generate as generate_host_key;
#[cfg(unix)]
pub use lease::Lease;
pub use protocol::{LEASE_PROTOCOL, exit, report};

/// The manifest's format that this qdebug reads.
///
/// 1: the first.
pub const FORMAT: u32 = 1;

/// How the kit's archive is made: a script for root in a throw-away Debian container, called with
/// the folder to write `kit.tar.gz` to.
pub const RECIPE: &str = include_str!("recipe.sh");

/// Where things lie inside the container.
pub mod paths {
    /// The kit, bound read-only.
    pub const KIT: &str = super::protocol::KIT;
    /// PID 1.
    pub const INIT: &str = "/.qdebug/init";
    /// The kit's programs, last on PATH.
    pub const BIN: &str = "/.qdebug/bin";
    /// The kit's shell, for images without one.
    pub const SHELL: &str = "/.qdebug/bin/sh";
    /// The kit's sshd.
    pub const SSHD: &str = "/.qdebug/sbin/sshd";
    /// The image's own sshd, where it has one.
    pub const IMAGE_SSHD: &str = "/usr/sbin/sshd";
    /// The session's folder, bound read-only.
    pub const SESSION: &str = "/.qdebug-session";
    /// The lease's FIFO.
    pub const LEASE: &str = "/.qdebug-session/lease";
    /// The lease where that FIFO cannot be seen: the container's stdin.
    pub const LEASE_ON_STDIN: &str = "-";
    /// sshd's configuration.
    pub const SSHD_CONFIG: &str = "/.qdebug-session/sshd_config";
    /// The session's private host key.
    pub const HOST_KEY: &str = "/.qdebug-session/host_key";
    /// Who may come in.
    pub const AUTHORIZED_KEYS: &str = "/.qdebug-session/authorized_keys";
    /// The text of [`super::sshd::profile`].
    pub const PROFILE: &str = "/.qdebug-session/profile.sh";
    /// Where that text has to be bound to for login shells to read it.
    pub const IMAGE_PROFILE: &str = "/etc/profile.d/zz-qdebug.sh";
}
