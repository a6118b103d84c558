//! The connection details of a session that is ready, with what its user should know.

use std::net::IpAddr;
use std::path::Path;

use jiff::Timestamp;

use super::start::Port;
use super::{Launching, Plan};
use crate::gpu::Mode;
use crate::node::end::Made;
use crate::node::host;
use crate::node::server::Server;
use crate::session::{ConnectionDetails, Gpu};

impl Launching<'_> {
    /// What `state.json` says of a session that is ready.
    pub(super) fn details(
        &self,
        made: &Made,
        port: Port,
        mut notices: Vec<String>,
        address: Option<IpAddr>,
    ) -> ConnectionDetails {
        let Plan { request, job, .. } = self.plan;
        let gpus = self.gpus.map_or(&[][..], |selected| &selected.gpus);
        notices.extend_from_slice(self.image_notices);
        if let Some(server) = made
            .server
            .as_ref()
            .filter(|server| !server.dropped.is_empty())
        {
            notices.push(format!(
                "these variables could not be carried into the session: {}",
                server.dropped.join(", ")
            ));
        }
        if made.server.as_ref().is_some_and(Server::is_uploaded) {
            notices.push(format!(
                "the container engine does not see {}, so the kit was copied into the container; \
                 `node_dir` in the site file moves it",
                self.node_dir.shown()
            ));
        }
        if let Some(address) = port.silent {
            notices.push(format!(
                "the session's port does not answer on {address}, where the site's file wants it \
                 published: a firewall of the node may forbid that"
            ));
        }
        let exclusive = gpus.iter().filter(|gpu| gpu.mode == Mode::Exclusive);
        notices.extend(exclusive.map(|gpu| {
            format!(
                "GPU {} takes one process at a time (compute mode \"exclusive\")",
                gpu.uuid
            )
        }));
        let limits = self.limits();
        ConnectionDetails {
            limits: limits.told(request.shm_bytes.or_else(|| limits.default_shm())),
            node: host::node_name(),
            address,
            node_host_keys: host::ssh_host_keys(Path::new("/etc/ssh")),
            port: port.number,
            published: port.published.map(IpAddr::V4),
            user: self.user.name.clone(),
            host_key: made
                .server
                .as_ref()
                .map(|server| server.host_key().to_owned())
                .unwrap_or_default(),
            container: made
                .container
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            image: self.image.id.clone(),
            gpus: gpus
                .iter()
                .map(|gpu| Gpu {
                    uuid: gpu.uuid.clone(),
                    name: gpu.name.clone(),
                    memory_bytes: gpu.memory_bytes,
                    picked: self.gpus.is_some_and(|selected| selected.picked),
                })
                .collect(),
            started: Timestamp::now(),
            deadline: Some(self.plan.clock.told(job.deadline)),
            idle_until: None,
            project: request.project.clone(),
            notices,
        }
    }
}
