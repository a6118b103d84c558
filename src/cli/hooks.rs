//! `qdebug hooks`: shows what installing or removing the scheduler's hooks does, asks, does it as
//! root, and looks afterwards whether it worked.

use std::path::Path;

use serde::Serialize;

use super::args::{ChangeHooks, Global, Hooks, HooksPlace};
use super::{Exit, Failure, output};
use crate::node::hooks::{Error, Found, PlainPath, Plan, Target};

/// What `hooks status --json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    format: u32,
    scheduler: &'a str,
    binary: &'a str,
    installed: bool,
    version: Option<&'a str>,
    places: &'a [String],
    problems: &'a [String],
}

impl Hooks {
    pub(super) async fn run(self, global: &Global) -> Result<u8, Failure> {
        match self {
            Self::Status(place) => {
                let target = place.target()?;
                let found = target.look().await?;
                show(&target, &found, global.json);
                let well = found.version.is_some() && found.problems.is_empty();
                Ok(if well { Exit::Done } else { Exit::Failed }.code())
            }
            Self::Install(change) => {
                let target = change.place.target()?;
                let plan = target.install().await?;
                if !change
                    .carry_out(&plan, "the hooks are as they should be")
                    .await?
                {
                    return Ok(0);
                }
                let found = target.look().await?;
                show(&target, &found, global.json);
                // What is left to the admin, such as the line in slurm.conf, was told: not a failure.
                Ok(if found.version.is_some() {
                    Exit::Done
                } else {
                    Exit::Failed
                }
                .code())
            }
            Self::Uninstall(change) => {
                let target = change.place.target()?;
                let plan = target.uninstall().await?;
                if !change
                    .carry_out(&plan, "there are no hooks of qdebug")
                    .await?
                {
                    return Ok(0);
                }
                let found = target.look().await?;
                show(&target, &found, global.json);
                Ok(if found.version.is_none() {
                    Exit::Done
                } else {
                    Exit::Failed
                }
                .code())
            }
        }
    }
}

impl ChangeHooks {
    /// Shows the plan, asks, does it; whether it was done or there was nothing to do.
    async fn carry_out(&self, plan: &Plan, idle: &str) -> Result<bool, Failure> {
        for step in &plan.steps {
            output::talk(&format!("  {}", output::harmless(&step.to_string())));
        }
        if plan.steps.is_empty() {
            output::talk(&format!("nothing to do: {idle}"));
        }
        for line in &plan.then {
            output::talk(&format!("  yours to do: {}", output::harmless(line)));
        }
        if self.dry_run || plan.steps.is_empty() {
            return Ok(!self.dry_run);
        }
        if !rustix::process::geteuid().is_root() {
            return Err(Failure::new(
                Exit::Permission,
                "hooks are installed and removed by root",
            ));
        }
        if !self.yes {
            match output::confirm_surely("do it?").await {
                Some(true) => {}
                Some(false) => {
                    return Err(Failure::new(
                        Exit::Interrupted,
                        "everything is left as it was",
                    ));
                }
                None => {
                    return Err(Failure::new(Exit::Usage, "nobody is there to ask")
                        .hint("--yes does it without asking, --dry-run only shows"));
                }
            }
        }
        for step in &plan.steps {
            step.perform().await?;
        }
        Ok(true)
    }
}

impl HooksPlace {
    fn target(&self) -> Result<Target, Failure> {
        let kind = match (self.scheduler, &Target::kinds_here()[..]) {
            (Some(kind), _) => kind,
            (None, [kind]) => *kind,
            (None, []) => {
                return Err(Failure::new(
                    Exit::Usage,
                    "no scheduler with hooks was found on this machine",
                )
                .hint("--scheduler openpbs, torque or slurm names it"));
            }
            (None, several) => {
                let names: Vec<&str> = several.iter().map(|kind| kind.name()).collect();
                let names = names.join(" and ");
                return Err(Failure::new(
                    Exit::Usage,
                    format!("this machine shows signs of {names}"),
                )
                .hint("--scheduler names the one"));
            }
        };
        Ok(Target {
            kind,
            binary: self.binary()?,
            folder: self.dir.as_deref().map(plain).transpose()?,
        })
    }

    /// Without links, so that root's alone means all of it.
    fn binary(&self) -> Result<PlainPath, Failure> {
        let path = match &self.binary {
            Some(path) => path.clone(),
            None => std::env::current_exe()?,
        };
        let path = path.canonicalize().map_err(|error| {
            Failure::of(Exit::Failed, &error).about(&path.display().to_string())
        })?;
        plain(&path)
    }
}

fn plain(path: &Path) -> Result<PlainPath, Failure> {
    PlainPath::try_from(path).map_err(|error| Error::BadPath(error).into())
}

fn show(target: &Target, found: &Found, json: bool) {
    if json {
        output::json(&Shown {
            format: crate::session::FORMAT,
            scheduler: target.kind.name(),
            binary: target.binary.as_str(),
            installed: found.version.is_some(),
            version: found.version.as_deref(),
            places: &found.places,
            problems: &found.problems,
        });
        return;
    }
    match &found.version {
        None => output::data(&format!("{}: no hooks of qdebug", target.kind)),
        Some(version) => {
            let version = if version.is_empty() {
                "unknown"
            } else {
                version
            };
            output::data(&format!("{}: hooks of qdebug {version}", target.kind));
        }
    }
    for place in &found.places {
        output::data(&format!("  {}", output::harmless(place)));
    }
    for problem in &found.problems {
        output::data(&format!("  problem: {}", output::harmless(problem)));
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = |exit| Self::of(exit, &error);
        match &error {
            Error::Untrusted { .. } => failure(Exit::Permission).hint(
                "put qdebug where root alone may write, such as /usr/local/bin, and name it by \
                 --binary",
            ),
            Error::BadPath(_) => failure(Exit::Usage),
            Error::NoFolder { .. } => failure(Exit::Usage).hint("--dir names it"),
            Error::TwoScripts { .. } => {
                failure(Exit::Failed).hint("make one script of them under the first name")
            }
            Error::LastEpilog { pattern } => failure(Exit::Refused)
                .hint(format!(
                    "take the line Epilog={pattern} out of slurm.conf and run `scontrol \
                     reconfigure`, or put another script there"
                ))
                .hint("then run `qdebug hooks uninstall` again"),
            Error::JobsHere { .. } => failure(Exit::Refused)
                .hint("drain the node, wait until they are over, and try again"),
            Error::Tool { .. } => failure(Exit::Refused)
                .hint("the scheduler's own manager must run here and root must be its manager"),
            Error::Process(_) => failure(Exit::SchedulerUnreachable)
                .hint("run it where the scheduler's tools are, as root"),
            Error::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => failure(Exit::Permission).hint("as root"),
                _ => failure(Exit::Failed),
            },
        }
    }
}
