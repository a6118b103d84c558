//! What the session's container shall be: its name and labels, its user, folders, limits and GPUs.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Launching, Plan};
use crate::engine::{self, ContainerSpec};
use crate::node::limits::{Asked, Limits};
use crate::node::server::Server;
use crate::node::{folders, label};

impl Launching<'_> {
    /// What the engine is asked for, and what of it this engine cannot do, in words for the user.
    pub(super) fn spec(
        &self,
        labels: &[(String, String)],
        gpus: Vec<String>,
        environment: &BTreeMap<String, String>,
        server: &Server,
    ) -> (ContainerSpec, Vec<String>) {
        let request = self.plan.request;
        let limits = self.limits();
        tracing::debug!(?limits, "limits of the job");
        let mut binds = folders::binds(request);
        binds.extend(server.binds());
        // As root, sshd drops to its own user for a login and needs what that takes.
        let capabilities = match self.user.uid {
            0 => [
                "SETUID",
                "SETGID",
                "SYS_CHROOT",
                "CHOWN",
                "DAC_OVERRIDE",
                "FOWNER",
                "KILL",
            ]
            .map(str::to_owned)
            .to_vec(),
            _ => Vec::new(),
        };
        let spec = ContainerSpec {
            name: format!("qdebug-{}-{}", request.name, request.token.short()),
            image: self.image.id.clone(),
            argv: server.argv(),
            user: Some((self.user.uid, self.user.gid)),
            groups: self.user.groups.iter().map(|(gid, _)| *gid).collect(),
            capabilities,
            labels: labels.to_vec(),
            env: environment
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            binds,
            gpus,
            shm_bytes: request.shm_bytes.or_else(|| limits.default_shm()),
            memory_bytes: limits.memory,
            swap_bytes: limits.swap,
            millicpus: limits.millicpus,
            cpuset: limits.cpuset,
            pids: Some(limits.pids),
            workdir: Some("/".to_owned()),
            hostname: Some(request.name.to_string()),
            unlabelled: engine::selinux_is_on(),
            auto_remove: true,
            ..ContainerSpec::default()
        };
        let mut unmet = self.engine.unmet(&spec);
        unmet.extend(self.engine.groups_left_out(&self.user.groups));
        if self.engine.shares_our_limits() && limits.memory_is_only_asked_for {
            unmet.push(
                "the scheduler does not hold this job to its memory, and Podman without root \
                 cannot either"
                    .to_owned(),
            );
        }
        (spec, unmet)
    }

    pub(super) fn limits(&self) -> Limits {
        let request = self.plan.request;
        let asked = Asked {
            memory: request.memory_bytes,
            cpus: request.cpus,
        };
        Limits::of_this_process(Path::new("/"), asked)
    }

    pub(super) fn labels(&self) -> Vec<(String, String)> {
        let Plan { request, job, .. } = self.plan;
        [
            (label::SESSION, request.name.to_string()),
            (label::TOKEN, request.token.as_str().to_owned()),
            (label::JOB, job.id.clone()),
            (label::CLUSTER, request.cluster.to_string()),
            (label::NODE_DIR, self.node_dir.shown()),
            (label::NODE_FOLDER, self.node_dir.identity().to_owned()),
            (label::UID, self.user.uid.to_string()),
            (label::DEADLINE, job.deadline.as_second().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}
