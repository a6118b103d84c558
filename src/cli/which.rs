//! Which cluster a command is about, by the command line and the configuration, and the ssh that
//! leads there.

use std::io::IsTerminal as _;

use super::args::Global;
use super::setting::Setting;
use super::{Exit, Failure, here, output};
use crate::config::{Config, KeptBy, NewProfile, Profile, keep_profile};
use crate::laptop::{self, Cluster};
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
                    .hint(known_clusters(&self.config))
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
    pub(super) async fn keep(
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
        if yes || output::confirm(&question).await == Some(true) {
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

pub(super) fn known_clusters(config: &Config) -> String {
    match (&*config.profiles(), config.user_path()) {
        ([], Some(path)) if !path.exists() => {
            format!(
                "no profile is configured yet: there is no {}",
                path.display()
            )
        }
        ([], _) => "no profile is configured yet".to_owned(),
        (names, _) => format!("configured: {}", names.join(", ")),
    }
}
