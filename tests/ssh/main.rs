//! The ssh adapter against real sshds on the loopback: started as whoever runs the tests, on ports of
//! their own, with keys and configuration of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)] // A test.

mod bench;
mod command;
#[path = "../common/mod.rs"]
mod common;
mod keys;
mod master;
mod prompt;
#[path = "../common/server.rs"]
mod server;
mod silence;
#[path = "../support/mod.rs"]
mod support;
mod trunk;
mod tunnel;
