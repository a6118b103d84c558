//! A container that is run to its end, its output handed on line by line, and then removed.

use std::time::Duration;

use super::{Bind, ContainerSpec, Engine, Error};

/// How long the last output may take to arrive after the exit.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct ThrowAway {
    /// The image, by id.
    pub image: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Files and directories of this machine.
    pub binds: Vec<Bind>,
    /// Environment, over the image's.
    pub env: Vec<(String, String)>,
    /// The user and group ids; root when absent.
    pub user: Option<(u32, u32)>,
    /// Where the program starts.
    pub workdir: Option<String>,
    /// The engine's word for the network (`host`, `none`); its default network when absent.
    pub network: Option<String>,
    /// Labels, by which what is left of a killed run can be found.
    pub labels: Vec<(String, String)>,
}

impl Engine {
    /// Runs a container to its end and returns its exit status. Whatever happens it is removed:
    /// also when `called_off` comes first.
    ///
    /// # Errors
    /// [`Error::Interrupted`], and what the engine says.
    pub async fn run_to_end(
        &self,
        run: &ThrowAway,
        on_line: impl FnMut(&str) + Send + 'static,
        called_off: impl Future<Output = ()>,
    ) -> Result<i64, Error> {
        let spec = ContainerSpec {
            image: run.image.clone(),
            argv: run.argv.clone(),
            user: Some(run.user.unwrap_or((0, 0))),
            env: run.env.clone(),
            binds: run.binds.clone(),
            workdir: run.workdir.clone(),
            network: run.network.clone(),
            labels: run.labels.clone(),
            privileged_user: true,
            unlabelled: super::selinux_is_on(),
            // Not auto-remove: the output is read to its end first.
            auto_remove: false,
            ..ContainerSpec::default()
        };
        let id = self.create(&spec).await?;
        let running = async {
            let mut output = self.collect_output(&id, on_line).await?;
            let mut exit = self.watch_exit(&id).await?;
            self.start(&id).await?;
            let exit = exit.exited().await?;
            output.drain(DRAIN_LIMIT).await;
            Ok(exit)
        };
        let ended = tokio::select! {
            ended = running => ended,
            () = called_off => Err(Error::Interrupted {
                doing: "running a container",
            }),
        };
        let removed = self.remove(&id).await;
        let exit = ended?;
        removed?;
        Ok(exit)
    }
}
