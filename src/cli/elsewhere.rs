//! Stands in for `here` on systems that no cluster runs: there is no login half to ask, and whatever
//! names no cluster is told to.

use super::args::{Global, Submit};
use super::setting::Setting;
use super::which::known_clusters;
use super::{Exit, Failure};
use crate::laptop::Cluster;
use crate::session::{GpuSupply, Status};

/// The login half, of which there is none.
pub(super) enum Login {}

/// A log of a session of this machine, of which there is none.
pub(super) enum LogTail {}

/// A session that cannot be read, of which there is none.
pub(super) enum Unreadable {}

impl Login {
    pub(super) async fn statuses(
        &self,
        _: bool,
    ) -> Result<(Vec<Status>, Vec<Unreadable>), Failure> {
        match *self {}
    }

    pub(super) async fn status(&self, _: &str) -> Result<Status, Failure> {
        match *self {}
    }

    pub(super) async fn stop(&self, _: &str, _: &str) -> Result<Status, Failure> {
        match *self {}
    }

    pub(super) async fn logs(&self, _: &str) -> Result<[LogTail; 2], Failure> {
        match *self {}
    }
}

impl LogTail {
    pub(super) fn read(&mut self) -> Result<Vec<u8>, Failure> {
        match *self {}
    }
}

/// Says why a session is not listed.
pub(super) fn tell_unreadable(session: Unreadable) {
    match session {}
}

/// What is meant by a command that names no cluster: nothing.
pub(super) fn sessions() -> Result<Option<Cluster>, Failure> {
    cluster().map(Some)
}

/// This machine as the cluster, which it cannot be.
pub(super) fn cluster() -> Result<Cluster, Failure> {
    Err(unnamed())
}

fn unnamed() -> Failure {
    Failure::new(Exit::Config, "of which cluster?")
        .hint("name its login: --on USER@HOST; `qdebug setup USER@HOST` keeps it")
}

/// Whether this qdebug brings the kit: its binary is of no use on a cluster.
pub(super) fn has_kit() -> bool {
    false
}

impl Setting {
    pub(super) async fn login(&self) -> Result<Login, Failure> {
        Err(unnamed().hint(known_clusters(&self.config)))
    }

    pub(super) async fn gpus(&self) -> Result<Vec<GpuSupply>, Failure> {
        Err(unnamed().hint(known_clusters(&self.config)))
    }

    /// Whether this is a login node.
    pub(super) async fn is_login(&self, _: &Global) -> bool {
        false
    }

    /// Whether this machine is of a cluster.
    pub(super) async fn is_cluster(&self) -> Result<bool, Failure> {
        Ok(false)
    }
}

impl Submit {
    pub(super) async fn run(self, _: &Global) -> Result<u8, Failure> {
        let message = "`submit` is for the login node of a cluster, which this machine is not";
        Err(Failure::new(Exit::Usage, message)
            .hint("submit from here, and connect at once: qdebug up"))
    }
}
