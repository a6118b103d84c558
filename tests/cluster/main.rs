//! What only a real cluster can show: Slurm, sshd and Docker engines on four hosts made of
//! containers, by `examples/cluster`. `tests/run.sh` brings it up, names it in QDEBUG_CLUSTER, and
//! takes it down; `cargo test` alone leaves these tests out.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod hosts;
mod the_cluster;
