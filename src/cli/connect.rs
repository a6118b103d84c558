//! The laptop half's commands: `connect` and the hidden `proxy`.

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex};

use serde::Serialize;

use super::args::{Connect, Global, Way};
use super::setting::Setting;
use super::values::shown;
use super::{Exit, Failure, here, opening, output, show, wait};
use crate::config::{Config, KeptBy, NewProfile, Profile, keep_profile};
use crate::laptop::{self, Cluster, Event, Outcome, Paths, Ui, Until};
use crate::process::Interrupt;
use crate::session::Status;
use crate::ssh::config_file::IncludePlan;
use crate::ssh::{Client, Destination, NoMasters, Prompt};

/// Asks on the terminal when a person sits there.
pub(super) fn prompt() -> Prompt {
    if std::io::stderr().is_terminal() {
        Prompt::Terminal
    } else {
        Prompt::Never
    }
}

/// The user's OpenSSH, and which clusters it makes no masters to.
pub(super) fn client(config: &Config) -> Result<Client, Failure> {
    let client = Client::of_user()?;
    Ok(client.without_masters(no_masters(config)?))
}

/// `QDEBUG_MASTERS`, `yes` or `no`, over the profiles' `masters`.
fn no_masters(config: &Config) -> Result<NoMasters, Failure> {
    let said = std::env::var_os("QDEBUG_MASTERS").filter(|said| !said.is_empty());
    let Some(said) = said else {
        let logins = config.logins_without_masters().into_iter();
        // One that is no destination is told where it is used.
        let logins = logins.filter_map(|login| login.parse().ok());
        return Ok(NoMasters::At(logins.collect()));
    };
    match said.to_str() {
        Some("no") => Ok(NoMasters::Anywhere),
        Some("yes") => Ok(NoMasters::Nowhere),
        _ => Err(
            Failure::new(Exit::Usage, format!("QDEBUG_MASTERS is {said:?}"))
                .hint("write yes or no, or nothing for what the profiles say"),
        ),
    }
}

impl Setting {
    /// The cluster a laptop's command is about: `--on`, else the default profile, else (`None`)
    /// the sessions of this machine.
    pub(super) async fn cluster(&self, global: &Global) -> Result<Option<Cluster>, Failure> {
        let named = match (&global.on, self.config.default_cluster()) {
            (Some(on), _) => on.as_str(),
            // Where a scheduler is, the sessions are here: a login node needs no profile.
            (None, Some(default)) if !self.is_cluster().await? => default,
            _ => return here::sessions(),
        };
        if named == "here" {
            return here::sessions();
        }
        let (login, profile) = self.login_named(named)?;
        let destination: Destination = login
            .parse()
            .map_err(|error: crate::ssh::WordError| Failure::of(Exit::Usage, &error))?;
        let qdebug = profile.and_then(|profile| profile.qdebug.as_deref()?.to_str());
        Ok(Some(
            Cluster::at(&client(&self.config)?, &destination, qdebug, prompt()).await?,
        ))
    }

    /// The login node that a word of the user's names: a profile's, else the word itself.
    pub(super) fn login_named<'a>(
        &'a self,
        named: &'a str,
    ) -> Result<(&'a str, Option<&'a Profile>), Failure> {
        let profile = self.config.profile(named);
        let profile =
            profile.or_else(|| self.config.profile_of_login(named).map(|(_, found)| found));
        let login = profile.map_or(named, |profile| profile.login.as_str());
        if profile.is_none() && !named.contains('@') {
            return Err(
                Failure::new(Exit::Config, format!("there is no cluster {named:?}"))
                    .hint(known_clusters(&self.config.profiles()))
                    .hint("without a profile, name the login: --on USER@HOST"),
            );
        }
        Ok((login, profile))
    }

    /// Makes sure that the default cluster, where one is set, can be meant.
    pub(super) fn default_login(&self) -> Result<(), Failure> {
        match self.config.default_cluster() {
            None | Some("here") => Ok(()),
            Some(named) => match self.login_named(named)?.0.parse::<Destination>() {
                Ok(_) => Ok(()),
                Err(error) => {
                    Err(Failure::of(Exit::Config, &error).about(&self.place(&["default_cluster"])))
                }
            },
        }
    }

    /// Whether no cluster is meant, and none can be: none is named or configured, and this machine
    /// is of none.
    pub(super) async fn is_alone(&self, global: &Global) -> bool {
        let unnamed = global.on.is_none() && self.config.default_cluster().is_none();
        unnamed && matches!(self.is_cluster().await, Ok(false))
    }

    /// Offers to keep the login of `--on` as a profile, once.
    pub(super) fn keep(
        &self,
        global: &Global,
        cluster: &Cluster,
        yes: bool,
    ) -> Result<(), Failure> {
        let (Some(on), laptop::Place::Login { login, qdebug }) = (&global.on, cluster.place())
        else {
            return Ok(());
        };
        let known = self.config.profile(on).is_some() || self.config.profile_of_login(on).is_some();
        let Some(path) = self.config.user_path().filter(|_| !known) else {
            return Ok(());
        };
        let host = on.rsplit('@').next().unwrap_or(on);
        let name = crate::config::profile_name(host, &self.config.profiles());
        let question = format!("Keep {login} as cluster {name:?} in {}?", path.display());
        if yes || output::confirm(&question) == Some(true) {
            let qdebug = std::path::Path::new(&qdebug);
            let new = NewProfile {
                name: &name,
                login: &login,
                qdebug: Some(qdebug),
                by: KeptBy::Connect,
                becomes_default: self.config.default_cluster().is_none(),
            };
            let is_default = keep_profile(path, new)?;
            output::talk(&match is_default {
                true => format!("kept: from now on `qdebug connect JOB` asks {login}"),
                false => format!("kept: `--on {name}` asks {login}"),
            });
        }
        Ok(())
    }
}

/// A session that is not known on a machine of no cluster is likely one of a cluster's.
pub(super) async fn or_of_a_cluster(failure: Failure, global: &Global) -> Failure {
    if failure.exit() != Exit::NoSuchSession {
        return failure;
    }
    match Setting::load() {
        Ok(setting) if setting.is_alone(global).await => {
            failure.hint("if it is a cluster's, name the login the first time: --on USER@HOST")
        }
        _ => failure,
    }
}

pub(super) fn known_clusters(names: &[&str]) -> String {
    match names {
        [] => "no profile is configured yet".to_owned(),
        names => format!("configured: {}", names.join(", ")),
    }
}

/// What `connect --json` prints when the way is open.
#[derive(Serialize)]
struct Open<'a> {
    format: u32,
    alias: &'a str,
    port: u16,
    status: &'a Status,
}

impl Connect {
    pub(super) async fn run(self, global: &Global) -> Result<u8, Failure> {
        let setting = Setting::load()?;
        let cluster = match setting.cluster(global).await? {
            Some(cluster) => cluster,
            None => here::cluster()?,
        };
        setting.keep(global, &cluster, self.way.yes)?;
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
        Outcome::Ended(status) => {
            let was_ready = status.began.iter().any(|(phase, _)| phase == "ready");
            if status.state == crate::session::Standing::Ended && was_ready {
                let end = show::end(&status);
                output::talk(&format!("{} has ended: {end}", status.name));
                Ok(Ended::Over(0))
            } else {
                if status.state == crate::session::Standing::Failed {
                    tell_log(cluster, &status).await;
                }
                Err(Failure::over(&status))
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

/// Tells on stderr what happens, a line for each change.
fn ui(json: bool, yes: bool, detach: bool) -> Ui {
    let last = Mutex::new(String::new());
    Ui {
        tell: Arc::new(move |event| {
            let line = told(&event, detach);
            let Ok(mut last) = last.lock() else { return };
            if !line.is_empty() && *last != line {
                output::talk(&line);
                *last = line;
            }
            if let (
                true,
                Event::Connected {
                    alias,
                    port,
                    status,
                },
            ) = (json, &event)
            {
                let format = crate::session::FORMAT;
                output::json(&Open {
                    format,
                    alias,
                    port: *port,
                    status,
                });
            }
        }),
        confirm: Box::new(move |plan| yes || include(plan)),
    }
}

/// Asks whether our lines may go into the user's ssh configuration, showing them.
fn include(plan: &IncludePlan) -> bool {
    let path = plan.path.display();
    output::talk(&format!(
        "So that `ssh qdebug-NAME` works, the top of {path} gets:"
    ));
    for line in plan.lines.lines() {
        output::talk(&format!("  + {line}"));
    }
    if let Some(backup) = &plan.backup {
        output::talk(&format!(
            "  (as it is now it stays in {})",
            backup.display()
        ));
    }
    output::confirm("Add it?").unwrap_or(false)
}

/// An event in words; nothing for those that need none.
fn told(event: &Event, detach: bool) -> String {
    match event {
        Event::Status(status) => format!("{}: {}", status.name, show::line(status)),
        Event::Silent(reason) => format!("reconnecting, the cluster does not answer: {reason}"),
        Event::Answers => "the cluster answers again".to_owned(),
        Event::KeyHandedOver => "this laptop's key is let into the session".to_owned(),
        Event::Swept(aliases) => format!("forgotten, since they ended: {}", aliases.join(", ")),
        Event::NotIncluded => {
            "left your ssh configuration as it is: use `qdebug ssh JOB`".to_owned()
        }
        Event::IncludeFailed { reason, lines } => format!(
            "your ssh configuration stays as it is, {reason}: use `qdebug ssh JOB`, or put at its \
             top:\n{}",
            lines.trim_end()
        ),
        Event::Connected {
            alias,
            port,
            status,
        } => {
            let mut lines = vec![format!("connected: ssh {alias} (127.0.0.1:{port})")];
            let notices = status.details.iter().flat_map(|details| &details.notices);
            lines.extend(notices.map(|notice| format!("notice: {notice}")));
            lines.extend(
                status
                    .left()
                    .map(|left| format!("it ends in {}", shown(left))),
            );
            if !detach {
                lines.push("the tunnel stays open until the session ends or Ctrl-C".to_owned());
            }
            lines.join("\n")
        }
        Event::EndsSoon { left } => {
            format!("notice: the session ends in {} (walltime)", shown(*left))
        }
        Event::Moved { left } => format!(
            "notice: the walltime was changed; the session now ends in {}",
            shown(*left)
        ),
        Event::Unused { left } => format!(
            "notice: nobody is connected and no GPU works; the session ends in {} unless somebody \
             connects",
            shown(*left)
        ),
        Event::Notice(text) => format!("notice: {}", output::harmless(text)),
        Event::UsedAgain => "the session is used again and stays".to_owned(),
        Event::Lost(reason) => format!("reconnecting: {reason}"),
        Event::Back => "connected again".to_owned(),
        Event::Ide(event) => opening::told(event),
        Event::ForwardLost(reason) => format!("a forwarded port is tried again: {reason}"),
    }
}

/// `qdebug proxy NAME`.
pub(super) async fn proxy(name: &str) -> Result<u8, Failure> {
    // stdin and stdout are the connection; a person can be asked on stderr's terminal only.
    let client = client(&Config::load()?)?;
    laptop::proxy(&Paths::of_user()?, &client, name, prompt()).await?;
    Ok(0)
}
