//! The configuration: the user's file over the site's file over what is built in.
//!
//! | file | where | who writes it |
//! |---|---|---|
//! | user | `$QDEBUG_CONFIG`, else `$XDG_CONFIG_HOME/qdebug/config.toml` (`~/.config/...`) | the user, and `connect` when it keeps a profile |
//! | site | `$QDEBUG_SITE`, else `/etc/qdebug/site.toml` | the admin |
//!
//! A flag beats the environment, which beats the user's file, which beats the site's. An error
//! names file, line and key; an unknown key is a warning with the nearest known one, so that an
//! older qdebug can read a newer file. Every value knows where it comes from ([`Config::values`]).

mod catalogue;
mod fields;
mod file;
mod origin;
mod profile;
mod reach;
mod said;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use catalogue::{Catalogue, Dialect, GpuType, Words};
pub use file::{Error, Profile, SubmitDefaults, Warning};
pub use origin::{Origin, Value};
pub use profile::{
    KeptBy, NewProfile, Wrote, forget_profile, keep_profile, point_profile, profile_name,
    setup_wrote,
};
pub use reach::{Publish, WAYS};

use file::{File, GpuPick, Layer};

/// The configuration in force.
#[derive(Debug, Clone, Default)]
pub struct Config {
    site: Layer,
    user: Layer,
    user_path: Option<PathBuf>,
    catalogue: Catalogue,
    /// What was odd in the files, for the user to know.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// Reads the files of this user and machine; a file that is not there is empty.
    ///
    /// # Errors
    /// [`Error`] of a file that cannot be read or says what cannot be.
    pub fn load() -> Result<Self, Error> {
        let site = std::env::var_os("QDEBUG_SITE")
            .filter(|path| !path.is_empty())
            .map_or_else(|| PathBuf::from("/etc/qdebug/site.toml"), PathBuf::from);
        Self::read(&site, user_path().as_deref())
    }

    /// Reads these two files.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn read(site: &Path, user: Option<&Path>) -> Result<Self, Error> {
        let mut warnings = Vec::new();
        let site = file::read(site, &mut warnings)?;
        let user_path = user.map(Path::to_owned);
        let mut user = match user {
            Some(path) => file::read(path, &mut warnings)?,
            None => Layer::default(),
        };
        for (name, profile) in &mut user.file.clusters {
            if let Some(sites) = site.file.clusters.get(name) {
                profile.fill(sites);
            }
        }
        let mut catalogue = Catalogue::built_in();
        if user
            .file
            .publish
            .as_ref()
            .is_some_and(|publish| *publish != Publish::Loopback)
        {
            let reason = "only the site's file opens sessions to its network; here it may say \
                          \"loopback\", which keeps yours off it";
            return Err(user.wrong(&["publish"], reason));
        }
        catalogue.take(&site)?;
        catalogue.take(&user)?;
        Ok(Self {
            site,
            user,
            user_path,
            catalogue,
            warnings,
        })
    }

    /// Where the user's file is, or would be.
    pub fn user_path(&self) -> Option<&Path> {
        self.user_path.as_deref()
    }

    /// The GPU types: `[gpus.TYPE]` over the built-in ones.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// qdebug's directory on the cluster's shared file system, where it is set: `home`.
    pub fn home(&self) -> Option<&Path> {
        self.either(|file| file.home.as_deref())
    }

    /// Where things are kept that must be on the node itself: `node_dir`, else `/var/tmp`.
    pub fn node_dir(&self) -> &Path {
        self.either(|file| file.node_dir.as_deref())
            .unwrap_or(Path::new("/var/tmp"))
    }

    /// The folder of the shared cache of images, where one is switched on: `cache`.
    pub fn cache(&self) -> Option<&Path> {
        self.either(|file| file.cache.as_deref())
            .filter(|path| !path.as_os_str().is_empty())
    }

    /// How much a user's cache may hold, in bytes: `cache_size`, else 100 GiB.
    pub fn cache_size(&self) -> u64 {
        self.user
            .file
            .cache_size
            .or(self.site.file.cache_size)
            .unwrap_or(100 << 30)
    }

    /// Whether no GPUs may be picked where the scheduler shows no grant: `gpu_pick = "refuse"` in
    /// either file, so that no user lifts what the site has decided.
    pub fn refuses_picked_gpus(&self) -> bool {
        let files = [&self.site.file, &self.user.file];
        files
            .iter()
            .any(|file| file.gpu_pick == Some(GpuPick::Refuse))
    }

    /// The order in which the ways to sessions are tried, where a file says one: `reach`, of
    /// [`WAYS`].
    pub fn reach(&self) -> Option<&[String]> {
        self.either(|file| file.reach.as_deref())
    }

    /// Where a session's port is published on a node beside its loopback: `publish` of the site's
    /// file, unless the user's keeps it off.
    pub fn publish(&self) -> Publish {
        let chosen = self.user.file.publish.clone();
        chosen
            .or_else(|| self.site.file.publish.clone())
            .unwrap_or_default()
    }

    /// The container engine of sessions that do not ask for one: `engine`, one of `docker`,
    /// `podman` and `auto`, the default.
    pub fn engine(&self) -> &str {
        self.either(|file| file.engine.as_deref()).unwrap_or("auto")
    }

    /// The scheduler, where it is set and need not be found out: `scheduler`.
    pub fn scheduler(&self) -> Option<&str> {
        self.either(|file| file.scheduler.as_deref())
    }

    /// Variables of the job that sessions get besides the built-in ones: `environment`, of both
    /// files.
    pub fn environment(&self) -> impl Iterator<Item = &str> {
        self.site
            .file
            .environment
            .iter()
            .chain(&self.user.file.environment)
            .map(String::as_str)
    }

    /// The cluster that is asked when none is named: `default_cluster`.
    pub fn default_cluster(&self) -> Option<&str> {
        self.either(|file| file.default_cluster.as_deref())
    }

    /// The profile of a cluster: `[clusters.NAME]`; what the user's says nothing of is the site's, where
    /// both have one of the same login.
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.either(|file| file.clusters.get(name))
    }

    /// The profile of a login, such as `alice@login.example.org`, with its name.
    pub fn profile_of_login(&self, login: &str) -> Option<(&str, &Profile)> {
        let known = self.user.file.clusters.iter();
        let known = known.chain(&self.site.file.clusters);
        let mut of_login = known.filter(|(_, profile)| profile.login == login);
        of_login
            .next()
            .map(|(name, profile)| (name.as_str(), profile))
    }

    /// The names of all profiles.
    pub fn profiles(&self) -> Vec<&str> {
        let all: BTreeMap<&str, ()> = [&self.site.file, &self.user.file]
            .into_iter()
            .flat_map(|file| file.clusters.keys())
            .map(|name| (name.as_str(), ()))
            .collect();
        all.into_keys().collect()
    }

    /// The logins that are reached without ssh masters: `masters = false` of their profiles.
    pub fn logins_without_masters(&self) -> Vec<&str> {
        let names = self.profiles().into_iter();
        let profiles = names.filter_map(|name| self.profile(name));
        let without = profiles.filter(|profile| profile.masters == Some(false));
        without.map(|profile| profile.login.as_str()).collect()
    }

    /// What submit takes where no flag says otherwise: `[submit]`; a key of the user's file beats
    /// the same of the site's.
    pub fn submit(&self) -> SubmitDefaults {
        let (user, site) = (&self.user.file.submit, &self.site.file.submit);
        user.clone().over(site.clone())
    }

    fn either<'a, T: ?Sized>(&'a self, get: impl Fn(&'a File) -> Option<&'a T>) -> Option<&'a T> {
        get(&self.user.file).or_else(|| get(&self.site.file))
    }
}

/// Where the user's file is looked for.
fn user_path() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    let named = std::env::var_os("QDEBUG_CONFIG");
    if let Some(path) = named.filter(|path| !path.is_empty()) {
        return Some(path.into());
    }
    let base = etcetera::choose_base_strategy().ok()?;
    Some(base.config_dir().join("qdebug/config.toml"))
}

#[cfg(test)]
mod tests;
