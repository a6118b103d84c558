//! Starting the session's container: a port that is free in the end, files where the engine mounts
//! none of them, and the wait for sshd's banner.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::{Launching, SSH_PORT};
use crate::engine::{self, ContainerSpec, Publish};
use crate::node::devices::{self, Devices};
use crate::node::end::Made;
use crate::node::pace::Pace;
use crate::node::{Error, folders, look, port};

/// How often a port is picked anew when somebody was faster.
const PORT_TRIES: u32 = 8;
/// How long sshd may take to answer, on a node under load.
const SERVING_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take on the node's other address, when it answers on the loopback.
const PUBLISHED_LIMIT: Duration = Duration::from_secs(10);

/// Where a session's sshd answers: on the loopback, and on what else there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Port {
    pub(super) number: u16,
    /// The node's own address on which it answers, too.
    pub(super) published: Option<Ipv4Addr>,
    /// That on which it should and does not.
    pub(super) silent: Option<Ipv4Addr>,
}

impl Launching<'_> {
    /// Makes and starts the container on a port that is free in the end, and waits for sshd. What is
    /// found in the container can be awaited then.
    pub(super) async fn start(
        &self,
        made: &mut Made,
        mut spec: ContainerSpec,
        published: Option<Ipv4Addr>,
    ) -> Result<(Port, look::Awaited), Error> {
        let request = self.plan.request;
        let mut taken = String::new();
        for attempt in 1..=PORT_TRIES {
            let Some(port) = port::pick() else {
                break;
            };
            spec.publish = Some(Publish {
                // The loopback always: what runs on the node itself goes by it.
                addresses: std::iter::once(Ipv4Addr::LOCALHOST)
                    .chain(published)
                    .collect(),
                port,
                container_port: SSH_PORT,
            });
            made.making = true;
            let id = match self.engine.create(&spec).await {
                Ok(id) => id,
                Err(error) if !spec.stdin && self.is_unseen(&error) => {
                    tracing::warn!(%error, "the engine does not see this node's folder: uploading");
                    spec = self.without_binds(made, spec);
                    continue;
                }
                Err(error) => return Err(folders::explain(error, request)),
            };
            made.container = Some(id.clone());
            made.making = false;
            if self.engine.kind() == engine::Kind::Docker
                && let Some(folder) = &made.folder
                && let Err(error) = folder.note_container(&id)
            {
                tracing::warn!(%error, "cannot note the container for gc");
            }
            if spec.stdin {
                self.hand_over(made, &id).await?;
            }
            let (reports, mut heard) = Devices::listen();
            let (looking, looked) = look::listen();
            let mut pace = Pace::new();
            let log = move |line: &str| {
                match pace.pass(Instant::now()) {
                    Some(0) => tracing::info!(line, "the container says"),
                    Some(held_back) => tracing::info!(line, held_back, "the container says"),
                    None => {}
                }
                looking.hear(line);
                if let Some(report) = devices::parse(line) {
                    // Nobody listens any more at the end.
                    let _ = reports.send(report);
                }
            };
            // Podman takes the port when it is attached to.
            let starting = async {
                let output = self.engine.collect_output(&id, log).await?;
                let exit = self.engine.watch_exit(&id).await?;
                self.engine.start(&id).await?;
                Ok((output, exit))
            };
            let (mut output, exit) = match starting.await {
                Ok(started) => started,
                Err(engine::Error::PortTaken { detail }) => {
                    tracing::info!(port, attempt, detail, "somebody was faster");
                    self.engine.remove(&id).await?;
                    made.container = None;
                    taken = detail;
                    continue;
                }
                Err(error) => return Err(folders::explain(error, request)),
            };
            let exit = made.exit.insert(exit);
            let deadline = Instant::now() + SERVING_LIMIT;
            let banner = tokio::select! {
                banner = port::banner(Ipv4Addr::LOCALHOST, port, deadline) => banner,
                exit = exit.exited() => return Err(Error::Died {
                    exit: exit?,
                    lines: output.tail().await,
                }),
            };
            let Some(banner) = banner else {
                return Err(Error::NotServing {
                    port,
                    waited: SERVING_LIMIT.as_secs(),
                    lines: output.tail().await,
                });
            };
            tracing::info!(port, banner, id = id.short(), "sshd answers");
            let gpus = self.gpus.map_or(&[][..], |selected| &selected.gpus);
            if let Err(source) = heard.arrived(gpus, self.engine.gpu_way()).await {
                let wanted = match &request.gpu {
                    Some(gpu) => format!("{} x {}", gpu.count, gpu.kind),
                    None => "no GPU".to_owned(),
                };
                return Err(Error::Gpu { wanted, source });
            }
            heard.watch(self.gpu_uuids());
            made.devices = Some(heard);
            output.detach();
            let (mut published, mut silent) = (published, None);
            if let Some(address) = published {
                let deadline = Instant::now() + PUBLISHED_LIMIT;
                if port::banner(address, port, deadline).await.is_none() {
                    tracing::warn!(%address, port, "sshd does not answer there");
                    (published, silent) = (None, Some(address));
                }
            }
            let port = Port {
                number: port,
                published,
                silent,
            };
            return Ok((port, looked));
        }
        Err(Error::NoPort {
            tries: PORT_TRIES,
            detail: taken,
        })
    }

    /// Whether the engine was refused, or could not find, what lies in the node's own folder.
    fn is_unseen(&self, error: &engine::Error) -> bool {
        let folder = self.node_dir.shown();
        matches!(error, engine::Error::MountSource { detail, .. } if detail.contains(&folder))
    }

    /// The same container, with everything of ours uploaded and its stdin for a lease.
    fn without_binds(&self, made: &mut Made, mut spec: ContainerSpec) -> ContainerSpec {
        if let Some(server) = &mut made.server {
            server.go_without_binds();
            spec.argv = server.argv();
        }
        spec.binds = folders::binds(self.plan.request);
        spec.stdin = true;
        spec
    }

    /// Gives a container that was made without mounts what it needs, before its start.
    async fn hand_over(&self, made: &mut Made, id: &engine::ContainerId) -> Result<(), Error> {
        let Some(server) = &mut made.server else {
            return Ok(());
        };
        let (archive, lease) = server.hand_over(self.ends_in())?;
        self.engine.upload(id, archive).await?;
        let mut stdin = self.engine.attach_stdin(id).await?;
        let mut lease = tokio::net::unix::pipe::Receiver::from_owned_fd(lease)
            .map_err(Error::io("read", Path::new("the lease")))?;
        // Ends with the lease, which the node half drops or takes along when it dies.
        tokio::spawn(async move {
            if let Err(error) = tokio::io::copy(&mut lease, &mut stdin).await {
                tracing::warn!(%error, "the lease does not reach the container any more");
            }
        });
        Ok(())
    }
}
