//! The laptop half's commands: `connect` and the hidden `proxy`.
//!
//! `event` owns what is said meanwhile.

mod event;

use super::args::{Connect, Global, Way};
use super::setting::Setting;
use super::which::{client, prompt};
use super::{Exit, Failure, here, opening, output, show, wait};
use crate::config::Config;
use crate::laptop::{self, Cluster, Outcome, Paths, Until};
use crate::process::Interrupt;
use crate::session::{Standing, Status};
use event::ui;

impl Connect {
    pub(super) async fn run(self, global: &Global) -> Result<u8, Failure> {
        let setting = Setting::load()?;
        let cluster = match setting.cluster(global).await? {
            Some(cluster) => cluster,
            None => here::cluster()?,
        };
        setting.keep(global, &cluster, self.way.yes).await?;
        let job = &self.wanted.job;
        match connect(&cluster, &setting, global, job, self.way).await? {
            Ended::Over(code) => Ok(code),
            Ended::Interrupted { by, until } => {
                let jobs = wait::Jobs::Of(&cluster, global.on.as_deref());
                let Until::Waited(status) = until else {
                    output::talk(&format!(
                        "disconnected; the session goes on (`{}` ends it)",
                        jobs.stop_command(job)
                    ));
                    return Ok(Exit::Interrupted.code());
                };
                wait::interrupted(&jobs, wait::job_of(&status), by).await
            }
        }
    }
}

/// How a connect ended.
pub(super) enum Ended {
    /// With this exit code.
    Over(u8),
    /// By somebody, who may want the job to be cancelled.
    Interrupted { by: Interrupt, until: Until },
}

/// Connects, whoever asked for it: `connect` or `up`.
pub(super) async fn connect(
    cluster: &Cluster,
    setting: &Setting,
    global: &Global,
    job: &str,
    way: Way,
) -> Result<Ended, Failure> {
    let ask = laptop::Connect {
        job: job.to_owned(),
        port: way.port,
        forwards: way.local.into_iter().chain(way.remote).collect(),
        prompt: prompt(),
        detach: way.detach,
        opening: opening::of(way.ide, way.workspace, cluster, &setting.config)?,
        order: match cluster.place() {
            laptop::Place::Here => None,
            laptop::Place::Login { login, .. } => {
                setting.profile_order(&login).map(|(order, _)| order)
            }
        },
    };
    let ui = ui(global.json, way.yes, way.detach);
    // The cluster's own: what it has opened is asked for once.
    let client = match cluster.client() {
        Some(client) => client.clone(),
        None => client(&Config::load()?)?,
    };
    let outcome = laptop::connect(cluster, &client, &Paths::of_user()?, &ask, &ui).await?;
    match outcome {
        Outcome::Over(status) => Err(over(cluster, &status).await),
        Outcome::Ended(status) => {
            if status.state == Standing::Ended {
                let end = show::end(&status);
                output::talk(&format!("{} has ended: {end}", status.name));
                Ok(Ended::Over(0))
            } else {
                Err(over(cluster, &status).await)
            }
        }
        Outcome::Open => {
            if cluster.has_trunk() {
                output::talk(
                    "without masters nothing stays open: each `ssh` logs in anew, unless \
                     `qdebug connect` is left running",
                );
            }
            Ok(Ended::Over(0))
        }
        Outcome::Never(status) => {
            let jobs = wait::Jobs::Of(cluster, global.on.as_deref());
            Err(wait::never(&jobs, &status).await?)
        }
        Outcome::Interrupted { by, until } => Ok(Ended::Interrupted { by, until }),
    }
}

/// How many lines of a log are shown of a session that failed.
const LOG_LINES: usize = 10;

/// A session that nobody gets into any more, with the end of the log of one that failed.
async fn over(cluster: &Cluster, status: &Status) -> Failure {
    if status.state == Standing::Failed {
        tell_log(cluster, status).await;
    }
    Failure::over(status)
}

/// Shows the end of a session's log; without one the reason alone must do.
async fn tell_log(cluster: &Cluster, status: &Status) {
    let args = ["logs", "--", status.name.as_str()];
    let log = match cluster.run(&args, None).await {
        Ok(answer) if answer.status == 0 => answer.stdout,
        _ => return,
    };
    let lines: Vec<&str> = log.lines().filter(|line| !line.is_empty()).collect();
    let end = &lines[lines.len().saturating_sub(LOG_LINES)..];
    if !end.is_empty() {
        output::talk(&format!("the end of the log of {}:", status.name));
        for line in end {
            output::talk(&format!("  {}", output::harmless(line)));
        }
    }
}

/// `qdebug proxy NAME`.
pub(super) async fn proxy(name: &str) -> Result<u8, Failure> {
    // stdin and stdout are the connection; a person can be asked on stderr's terminal only.
    let client = client(&Config::load()?)?;
    laptop::proxy(&Paths::of_user()?, &client, name, prompt()).await?;
    Ok(0)
}
