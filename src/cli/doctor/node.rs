//! What a session needs of a node: engine, GPUs, its own folder, and the hooks that clean up.

use std::time::Instant;

use super::Ladder;
use super::login::{self, free_rung};
use crate::cli::Failure;
use crate::cli::setting::Setting;
use crate::gpu::{self, Gpu};
use crate::kit::Kit;
use crate::node::hooks::Found;
use crate::node::{
    EngineFound, FolderFound, Publish, engine_found, folder_found, gpus_found, hooks_found,
    published_address,
};
use crate::session::{Rung, Verdict};

pub(super) async fn look(setting: &Setting, ladder: &Ladder) {
    let node_dir = setting.config.node_dir();
    ladder.add(login::kit());
    match folder_found(node_dir, Kit::find().ok().as_ref()) {
        Ok(found) => ladder.add(folder(&found)),
        Err(error) => ladder.add(Failure::from(error).rung("node_dir")),
    }
    let began = Instant::now();
    let found = engine_found(node_dir, setting.engine()).await;
    ladder.add(match found {
        Ok(found) => engine(&found).took(began.elapsed()),
        Err(error) => Failure::from(error).rung("engine").took(began.elapsed()),
    });
    ladder.add(published(setting).await);
    let began = Instant::now();
    ladder.add(match gpus_found().await {
        Some(found) => gpus(found).took(began.elapsed()),
        None => Rung::new("GPUs", Verdict::Fail, "the driver does not answer")
            .cure("the node needs its admin: drain it"),
    });
    for found in hooks_found().await {
        ladder.add(match found {
            Ok(found) => hooks(&found),
            Err(error) => Rung::new("hooks", Verdict::Skipped, error.to_string()),
        });
    }
}

fn folder(found: &FolderFound) -> Rung {
    let path = found.path.display();
    if let Some(network) = found.network {
        return Rung::new(
            "node_dir",
            Verdict::Fail,
            format!("{path} lies on {network}, and must be on the node itself"),
        )
        .cure("node_dir = \"/path/of/a/local/disk\" in the site file");
    }
    let kit = match found.has_kit {
        true => "the kit is unpacked there",
        false => "the first session unpacks the kit there",
    };
    free_rung("node_dir", &format!("{path}; {kit}"), found.free_bytes)
}

fn engine(found: &EngineFound) -> Rung {
    let EngineFound {
        kind,
        version,
        socket,
    } = found;
    let told = format!("{kind} {version} at {}", socket.display());
    Rung::new("engine", Verdict::Ok, told)
}

fn gpus(found: Result<Vec<Gpu>, gpu::Error>) -> Rung {
    let name = "GPUs";
    match found {
        Ok(gpus) => {
            let named: Vec<&str> = gpus.iter().map(|gpu| gpu.name.as_str()).collect();
            let told = format!("{}: {}", gpus.len(), named.join(", "));
            let faulty: Vec<String> = gpus
                .iter()
                .filter(|gpu| !gpu.faults.is_empty())
                .map(|gpu| format!("{} {} ({:?})", gpu.index, gpu.name, gpu.faults))
                .collect();
            match faulty.is_empty() {
                true => Rung::new(name, Verdict::Ok, told),
                false => {
                    let told = format!("{told}; not fit to compute on: {}", faulty.join("; "));
                    Rung::new(name, Verdict::Warn, told).cure("tell the admin")
                }
            }
        }
        // A node may well have none.
        Err(error) => Rung::new(name, Verdict::Warn, error.to_string())
            .cure("only sessions with `-g none` run here"),
    }
}

/// They are a second net: without them nothing outlives a job but a dead record.
fn hooks(found: &Found) -> Rung {
    let name = "hooks";
    match (&found.version, found.problems.first()) {
        (None, _) => Rung::new(name, Verdict::Skipped, "none of qdebug; they are optional"),
        (Some(_), Some(problem)) => {
            Rung::new(name, Verdict::Warn, problem).cure("qdebug hooks status")
        }
        (Some(version), None) => Rung::new(name, Verdict::Ok, format!("of qdebug {version}")),
    }
}

/// On which address of this node sessions are published.
async fn published(setting: &Setting) -> Rung {
    let wanted = setting.publish();
    let lookup = |name: &str| std::env::var(name).ok();
    let found = published_address(&wanted, lookup).await;
    let rung = |verdict, told: String| Rung::new("publish", verdict, told);
    let from = setting.config.origin(&["publish"]);
    match (wanted, found) {
        (_, Ok(None)) => rung(
            Verdict::Ok,
            format!("sessions' ports are on the loopback alone ({from})"),
        ),
        (_, Ok(Some(address))) => rung(
            Verdict::Ok,
            format!("sessions' ports are published on {address} ({from})"),
        ),
        // What a job has, this shell may not have.
        (Publish::Login, Err(why)) => rung(Verdict::Skipped, format!("{why} ({from})"))
            .cure("within a job this tells the address; a network names it without")
            .cure("publish = \"10.0.0.0/8\" (yours) in the site file"),
        (_, Err(why)) => rung(Verdict::Warn, format!("{why} ({from})"))
            .cure("name one network or interface of this node as publish in the site file")
            .cure("of several addresses a job takes the one that leads to its login node"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_must_be_on_the_node() {
        let mut found = FolderFound {
            path: "/var/tmp/qdebug-1".into(),
            network: None,
            free_bytes: Some(9 << 30),
            has_kit: true,
        };
        assert_eq!(folder(&found).verdict, Verdict::Ok);
        found.free_bytes = Some(9 << 20);
        assert_eq!(folder(&found).verdict, Verdict::Warn);
        found.network = Some("NFS");
        let rung = folder(&found);
        assert!(rung.verdict == Verdict::Fail && rung.told.contains("NFS"));
    }

    #[test]
    fn gpus_that_are_not_fit_are_told() {
        let fit = Gpu {
            name: "Tesla V100".to_owned(),
            ..Gpu::default()
        };
        assert_eq!(gpus(Ok(vec![fit])).verdict, Verdict::Ok);
        let none = gpu::Error::NoGpu {
            detail: "x".to_owned(),
        };
        assert_eq!(gpus(Err(none)).verdict, Verdict::Warn);
    }
}
