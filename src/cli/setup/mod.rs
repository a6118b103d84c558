//! `qdebug setup`: looks at a cluster, tells what it would change, asks, changes it and keeps the
//! profile; `--remove` takes that back.
//!
//! `profile` owns what becomes of the profile, `remove` the way back.

mod profile;
mod remove;

use std::cell::RefCell;
use std::path::Path;

use serde::Serialize;

use profile::{Profile, profile_plan};

use super::args::{Global, Setup};
use super::setting::{Setting, user_home, who};
use super::{Exit, Failure, here, ladder, output, which};
use crate::config::{Config, profile_name};
use crate::laptop::setup::{Ask, Change, Left, look};
use crate::laptop::{Cluster, Paths};
use crate::session::{FORMAT, GpuSupply, Rung, Verdict};
use crate::ssh::{Client, Destination};

/// What `setup --json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    format: u32,
    login: String,
    profile: &'a str,
    qdebug: Option<&'a str>,
    /// What was changed, or with `--dry-run` would be.
    changes: Vec<String>,
    rungs: &'a [Rung],
    /// Of `--remove`: what stays, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<Vec<Left>>,
}

/// The cluster that is meant.
struct Wanted {
    login: Destination,
    /// Its profile's name, where it has one.
    known: Option<String>,
    qdebug: Option<String>,
}

impl Setup {
    pub(super) async fn run(self, global: &Global) -> Result<u8, Failure> {
        let setting = Setting::load()?;
        let wanted = self.wanted(&setting.config, global)?;
        let client = which::client(&setting.config)?;
        if self.remove {
            return self
                .take_back(&setting.config, &client, &wanted, global)
                .await;
        }
        self.set_up(&setting.config, &client, wanted, global).await
    }

    fn wanted(&self, config: &Config, global: &Global) -> Result<Wanted, Failure> {
        if let (Some(cluster), Some(on)) = (&self.cluster, &global.on)
            && cluster != on
        {
            let message = format!("two clusters are named: {cluster}, and --on {on}");
            return Err(Failure::new(Exit::Usage, message).hint("name the one to set up"));
        }
        let named = self.cluster.as_deref().or(global.on.as_deref());
        let Some(named) = named.or(config.default_cluster()) else {
            return Err(Failure::new(Exit::Usage, "which cluster?")
                .hint("name its login: qdebug setup USER@HOST"));
        };
        let of_login = config.profile_of_login(named);
        let known = config.profile(named).map(|profile| (named, profile));
        let known = known.or(of_login);
        let login = known.map_or(named, |(_, profile)| profile.login.as_str());
        let login = login
            .parse()
            .map_err(|error: crate::ssh::WordError| Failure::of(Exit::Usage, &error))?;
        let qdebug = known.and_then(|(_, profile)| profile.qdebug.as_deref()?.to_str());
        Ok(Wanted {
            login,
            known: known.map(|(name, _)| name.to_owned()),
            qdebug: qdebug.map(str::to_owned),
        })
    }

    async fn set_up(
        &self,
        config: &Config,
        client: &Client,
        wanted: Wanted,
        global: &Global,
    ) -> Result<u8, Failure> {
        let path = user_file(config)?;
        let name = match (&wanted.known, &self.name) {
            (Some(known), Some(name)) if known != name => {
                let message = format!("{} is kept as cluster {known:?} already", wanted.login);
                return Err(Failure::new(Exit::Usage, message)
                    .hint(format!("rename it in {}", path.display())));
            }
            (None, Some(name)) if config.profile(name).is_some() => {
                let message = format!("there is a cluster {name:?} already");
                return Err(Failure::new(Exit::Usage, message).hint("choose another --name"));
            }
            (Some(name), _) | (None, Some(name)) => name.clone(),
            (None, None) => profile_name(wanted.login.host.as_ref(), &config.profiles()),
        };
        let rungs = RefCell::new(Vec::new());
        let tell = |rung: Rung| {
            ladder::tell(&rung);
            rungs.borrow_mut().push(rung);
        };
        let ask = Ask {
            login: wanted.login.clone(),
            qdebug: wanted.qdebug.clone(),
            prompt: which::prompt(),
            home: user_home()?,
            has_kit: here::has_kit(),
            identity: Paths::of_user()?.identity,
            who: who(),
        };
        let mut setup = look(client, ask, &tell).await?;
        let installs = |change: &Change| matches!(change, Change::Install { .. });
        let profile = profile_plan(
            wanted.known.is_some(),
            wanted.qdebug.as_deref(),
            setup.qdebug(),
            setup.changes().iter().any(installs),
            config.default_cluster().is_none(),
        );
        let mut changes: Vec<String> = setup.changes().iter().map(ToString::to_string).collect();
        changes.extend(profile.change(&name, &wanted.login, path));
        let go_on = self
            .agreed(&changes, "everything is as it should be")
            .await?;
        if go_on && !changes.is_empty() {
            let ask_passphrase = !self.yes && output::is_attended();
            setup.carry_out(client, ask_passphrase, &tell).await?;
            profile.write(path, &name, &wanted.login, setup.qdebug())?;
        }
        if go_on {
            setup.note().await?;
            if profile != Profile::Stays {
                let told = format!("{name} in {}", path.display());
                tell(Rung::new("profile", Verdict::Ok, told));
            }
            tell(scheduler(client, &wanted.login, setup.qdebug()).await);
        }
        let rungs = rungs.into_inner();
        let well = Rung::none_fails(&rungs);
        if global.json {
            output::json(&Shown {
                format: FORMAT,
                login: wanted.login.to_string(),
                profile: &name,
                qdebug: setup.qdebug(),
                changes,
                rungs: &rungs,
                left: None,
            });
        }
        if go_on && well {
            let is_default = match profile {
                Profile::Made { default } => default,
                _ => config.default_cluster() == Some(name.as_str()),
            };
            let on = if is_default {
                String::new()
            } else {
                format!(" --on {name}")
            };
            output::talk(&format!("next: qdebug up -g TYPE -w 1h -i IMAGE{on}"));
        }
        Ok(if well { Exit::Done } else { Exit::Failed }.code())
    }

    /// Tells what is to be changed and asks; whether to go on, which `--dry-run` does not.
    async fn agreed(&self, changes: &[String], idle: &str) -> Result<bool, Failure> {
        match (changes, self.dry_run) {
            ([], _) => output::talk(&format!("nothing to change: {idle}")),
            (_, true) => output::talk("it would change:"),
            (_, false) => output::talk("to be changed:"),
        }
        for change in changes {
            output::talk(&format!("  {change}"));
        }
        if self.dry_run || self.yes || changes.is_empty() {
            return Ok(!self.dry_run);
        }
        match output::confirm("do it?").await {
            Some(true) => Ok(true),
            Some(false) => Err(Failure::new(
                Exit::Interrupted,
                "everything is left as it was",
            )),
            None => Err(Failure::new(Exit::Usage, "nobody is there to ask")
                .hint("--yes does it without asking, --dry-run only shows")),
        }
    }
}

fn user_file(config: &Config) -> Result<&Path, Failure> {
    config
        .user_path()
        .ok_or_else(|| Failure::new(Exit::Config, "cannot tell where your configuration is"))
}

/// Asks the cluster's qdebug, as `connect` will, for its scheduler and GPUs.
async fn scheduler(client: &Client, login: &Destination, qdebug: Option<&str>) -> Rung {
    let began = std::time::Instant::now();
    let Some(qdebug) = qdebug else {
        return Rung::new("scheduler", Verdict::Skipped, "there is no qdebug to ask");
    };
    let supplies = match Cluster::at(client, login, Some(qdebug), which::prompt()).await {
        Ok(cluster) => cluster.gpus().await,
        Err(error) => Err(error),
    };
    let rung = match supplies {
        Ok(supplies) => Rung::new("scheduler", Verdict::Ok, told(&supplies)),
        Err(error) => Rung::new("scheduler", Verdict::Warn, error.to_string())
            .cure("on the login node: qdebug gpus, qdebug config check"),
    };
    rung.took(began.elapsed())
}

fn told(supplies: &[GpuSupply]) -> String {
    let Some(first) = supplies.first() else {
        return "it answers, and its nodes tell of no GPU".to_owned();
    };
    let of_type = |supply: &GpuSupply| {
        let kind = supply.kind.as_deref().unwrap_or("(any)");
        match supply.free {
            Some(free) => format!("{kind} {} ({free} free)", supply.total),
            None => format!("{kind} {}", supply.total),
        }
    };
    let types: Vec<String> = supplies.iter().map(of_type).collect();
    format!("{}: {}", first.cluster, types.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gpus_of_a_cluster_are_told_by_type() {
        let cluster = crate::session::Cluster {
            scheduler: "slurm".to_owned(),
            server: "lab".to_owned(),
        };
        let mut of_type = GpuSupply::none_of(cluster.clone(), Some("V100".to_owned()));
        of_type.total = 4;
        let mut other = GpuSupply::none_of(cluster, None);
        other.free = None;
        assert_eq!(
            told(&[of_type, other]),
            "slurm lab: V100 4 (0 free), (any) 0"
        );
        assert!(told(&[]).contains("no GPU"));
    }
}
