//! The whole story on the cluster of containers in `examples/cluster`: real Slurm, sshd, docker.
//!
//! `tests/run.sh` brings the cluster up under the name in `QDEBUG_CLUSTER` (`qdebug-test` when it
//! is not set), installs qdebug and the stand-in NVML there, and runs these tests. Each test has
//! sessions of its own; none leaves a container behind, which the last line of `tests/run.sh`
//! checks once more on both nodes.

mod ends;
mod engine;
mod gc;
mod hooks;
mod host;
mod images;
mod inside;
mod local;
mod podman;
mod refusals;
mod scheduler;
mod session;
mod story;
mod the_cluster;
mod time;
mod unseen;
