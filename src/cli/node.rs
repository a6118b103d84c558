//! The node half's commands: what the job script runs, and what runs anywhere on the cluster.

use std::path::Path;

use serde::Serialize;

use super::args::{Gc, Global, Kit};
use super::setting::Setting;
use super::{Exit, Failure, failure, output};
use crate::node::Sweep;
use crate::scheduler::local;
use crate::{kit, node};

/// `qdebug node SESSION`: serves the session to its end. A session that ended because its job did
/// has done what it should.
pub(super) async fn run(session: &Path) -> Result<u8, Failure> {
    let setting = Setting::load()?;
    let options = node::Options {
        node_dir: Some(setting.config.node_dir().to_owned()),
        may_pick_gpus: !setting.config.refuses_picked_gpus(),
        engine: setting.engine(),
        pass_env: setting.config.environment().map(str::to_owned).collect(),
        cache: setting.cache(),
        publish: setting.publish(),
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

/// What `gc --json` prints. With `dry_run` nothing has been removed.
#[derive(Serialize)]
struct Swept {
    format: u32,
    dry_run: bool,
    removed: Vec<String>,
    failed: Vec<(String, String)>,
    folders: usize,
}

/// What `kit show` tells.
#[derive(Serialize)]
struct Shown {
    format: u32,
    hash: String,
    lease_protocol: u32,
    manifest: kit::Manifest,
}

impl Kit {
    pub(super) async fn run(self, global: &Global) -> Result<u8, Failure> {
        match self {
            Self::Build { base, output } => {
                let interrupted = async {
                    let _ = tokio::signal::ctrl_c().await;
                };
                let tell = |line: &str| output::talk(line);
                node::kit_build(&base, &output, tell, interrupted).await?;
                output::data(&output.display().to_string());
            }
            Self::Show => {
                let kit = kit::Kit::find()?;
                let shown = Shown {
                    format: crate::session::FORMAT,
                    hash: kit.hash().to_owned(),
                    lease_protocol: kit::LEASE_PROTOCOL,
                    manifest: kit.manifest()?,
                };
                if global.json {
                    output::json(&shown);
                } else {
                    output::data(&format!("kit {} for {}", shown.hash, shown.manifest.arch));
                    for (name, version) in &shown.manifest.versions {
                        output::data(&format!("  {name} {version}"));
                    }
                }
            }
        }
        Ok(0)
    }
}

impl Gc {
    pub(super) async fn run(self, global: &Global) -> Result<u8, Failure> {
        let setting = Setting::load()?;
        let (how, removed) = match self.dry_run {
            true => (Sweep::Tell, "would remove"),
            false => (Sweep::Remove, "removed"),
        };
        let swept = node::gc(Some(setting.config.node_dir()), None, how).await;
        let swept = swept.map_err(|error| {
            Failure::from(error).hint(
                "gc looks on the machine that it runs on: it belongs on a node, in a job there",
            )
        })?;
        if global.json {
            let exit = exit_of(&swept);
            output::json(&Swept {
                format: crate::session::FORMAT,
                dry_run: self.dry_run,
                removed: swept.containers,
                failed: swept.failed,
                folders: swept.folders,
            });
            return Ok(exit);
        }
        for name in &swept.containers {
            output::data(&format!("{removed} {name}"));
        }
        for (name, reason) in &swept.failed {
            output::talk(&format!("cannot remove {name}: {reason}"));
        }
        if swept.folders > 0 {
            output::data(&format!(
                "{removed} the files of {} dead session{}",
                swept.folders,
                if swept.folders == 1 { "" } else { "s" }
            ));
        }
        if swept == node::Swept::default() {
            output::talk("nothing is left over on this machine");
        }
        Ok(exit_of(&swept))
    }
}

/// What could not be removed is no success.
fn exit_of(swept: &node::Swept) -> u8 {
    match swept.failed[..] {
        [] => Exit::Done.code(),
        _ => Exit::Failed.code(),
    }
}
