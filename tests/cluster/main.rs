//! The whole story on the cluster of containers in `examples/cluster`: real sshd and docker, and the
//! scheduler that `QDEBUG_TEST_SCHEDULER` names, real Slurm by default.
//!
//! `tests/run.sh` brings the cluster up under the name in `QDEBUG_CLUSTER` (`qdebug-test` when it
//! is not set), installs qdebug and the stand-in NVML there, and runs these tests. Each test has
//! sessions of its own; none leaves a container behind, which the last line of `tests/run.sh`
//! checks once more on both nodes.

#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::print_stderr)] // A test.

mod blows;
mod debug;
mod doctor;
mod ends;
mod engine;
mod faults;
mod gc;
mod gpus;
mod hooked;
mod hooks;
mod hops;
mod host;
mod ide;
mod images;
mod inside;
mod job;
mod last;
mod local;
mod many;
mod network;
mod no_masters;
mod podman;
mod reach;
mod refusals;
mod scheduler;
mod session;
mod setup;
mod story;
mod the_cluster;
mod time;
mod trial;
mod trunk;
mod unseen;
mod up;
mod vscode;
mod waits;
mod wheel;
