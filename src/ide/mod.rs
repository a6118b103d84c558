//! What IDEs on the user's machine are told: the files they read, edited so that everything else in
//! them stays as it is.
//!
//! | file | owns |
//! |---|---|
//! | `launch` | VS Code's `.vscode/launch.json`: a configuration that attaches to debugpy |
//!
//! It knows nothing of sessions and clusters: a name, a port on 127.0.0.1 and folders are what it is
//! given.

pub mod launch;

pub use launch::{Attach, LaunchError, Written};
