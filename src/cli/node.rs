//! The node half's commands: what the job script runs, and what runs anywhere on the cluster.

use std::path::Path;

use serde::Serialize;

use super::args::{Gc, Global, Kit};
use super::setting::Setting;
use super::{Failure, failure, output};
use crate::node;
use crate::scheduler::local;

/// `qdebug node SESSION`: serves the session to its end. A session that ended because its job did
/// has done what it should.
pub(super) async fn run(session: &Path) -> Result<u8, Failure> {
    let setting = Setting::load()?;
    let options = node::Options {
        node_dir: Some(setting.config.node_dir().to_owned()),
        pass_env: setting.config.environment().map(str::to_owned).collect(),
        explain: failure::explain,
    };
    let exit = node::run(session, &options).await?;
    output::talk(&format!("the session ended: {}", exit.reason));
    Ok(0)
}

/// `qdebug local-run DIR`: supervises a job of the scheduler `local`.
pub(super) async fn local_run(job: &Path) -> Result<u8, Failure> {
    local::supervise(job).await?;
    Ok(0)
}

#[derive(Serialize)]
struct Swept {
    format: u32,
    removed: Vec<String>,
    failed: Vec<(String, String)>,
    folders: usize,
}

impl Gc {
    pub(super) async fn run(self, global: &Global) -> Result<u8, Failure> {
        let setting = Setting::load()?;
        let swept = node::gc(Some(setting.config.node_dir()), None).await?;
        if global.json {
            output::json(&Swept {
                format: crate::session::FORMAT,
                removed: swept.containers,
                failed: swept.failed,
                folders: swept.folders,
            });
            return Ok(0);
        }
        for name in &swept.containers {
            output::data(&format!("removed {name}"));
        }
        for (name, reason) in &swept.failed {
            output::talk(&format!("cannot remove {name}: {reason}"));
        }
        if swept.containers.is_empty() && swept.failed.is_empty() {
            output::talk("nothing is left over on this machine");
        }
        Ok(0)
    }
}
