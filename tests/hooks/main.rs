//! The hook scripts as they are, installed by the real `qdebug hooks` with fake scheduler tools on
//! PATH, and run on odd input with a fake qdebug that writes down what it was called with.
//!
//! Hooks run only what root alone can have written, so these tests need root; without it they say
//! so and end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods
)] // A test.

mod bench;
mod openpbs;
mod slurm;
#[path = "../support/mod.rs"]
mod support;
mod torque;
