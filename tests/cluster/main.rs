//! The whole story on the cluster of containers in `examples/cluster`: real Slurm, sshd, docker.

mod host;
mod the_cluster;
