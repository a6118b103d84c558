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
mod tests {
    use super::*;

    fn read(site: &str, user: &str) -> Result<Config, Error> {
        let folder = tempfile::tempdir().unwrap();
        let paths = [
            folder.path().join("site.toml"),
            folder.path().join("user.toml"),
        ];
        std::fs::write(&paths[0], site).unwrap();
        std::fs::write(&paths[1], user).unwrap();
        Config::read(&paths[0], Some(&paths[1]))
    }

    #[test]
    fn a_users_profile_of_the_same_login_takes_what_it_leaves_out_from_the_sites() {
        let site = "[clusters.lab]\nlogin = 'al@host'\nmasters = false\nreach = ['port']\n";
        let user = |login: &str| format!("[clusters.lab]\nlogin = '{login}'\nreach = ['exec']\n");
        let config = read(site, &user("al@host")).unwrap();
        let lab = config.profile("lab").unwrap();
        assert_eq!(lab.masters, Some(false));
        assert_eq!(lab.reach.as_deref(), Some(&["exec".to_owned()][..]));
        assert_eq!(config.logins_without_masters(), ["al@host"]);
        // Another login is another cluster.
        let config = read(site, &user("bob@elsewhere")).unwrap();
        assert_eq!(config.profile("lab").unwrap().masters, None);
    }

    #[test]
    fn the_users_file_beats_the_sites_key_by_key() {
        let config = read(
            "node_dir = '/scratch'\n[submit]\nqueue = 'gpu'\nimage = 'a'\n",
            "[submit]\nimage = 'b'\n[clusters.lab]\nlogin = 'al@host'\n",
        )
        .unwrap();
        assert_eq!(config.node_dir(), Path::new("/scratch"));
        let submit = config.submit();
        assert_eq!(
            (submit.queue.as_deref(), submit.image.as_deref()),
            (Some("gpu"), Some("b"))
        );
        assert_eq!(config.profile_of_login("al@host").unwrap().0, "lab");
        assert!(config.warnings.is_empty());
    }

    #[test]
    fn masters_are_made_unless_a_profile_says_otherwise() {
        let site = "[clusters.a]\nlogin = 'al@a'\n[clusters.b]\nlogin = 'al@b'\nmasters = false\n\
                    [clusters.c]\nlogin = 'al@c'\nmasters = false\n";
        let user = "[clusters.c]\nlogin = 'al@c'\nmasters = true\n";
        let config = read(site, user).unwrap();
        assert_eq!(config.logins_without_masters(), ["al@b"]);
        assert!(read("[clusters.a]\nlogin = 'a'\nmasters = 'no'\n", "").is_err());
    }

    #[test]
    fn the_cache_is_off_until_somebody_switches_it_on() {
        let of = |site: &str, user: &str| {
            let config = read(site, user).unwrap();
            (config.cache().map(Path::to_owned), config.cache_size())
        };
        assert_eq!(of("", ""), (None, 100 << 30));
        let site = "cache = '/scratch/cache'\ncache_size = '2T'\n";
        assert_eq!(of(site, ""), (Some("/scratch/cache".into()), 2 << 40));
        assert_eq!(of(site, "cache = ''\ncache_size = '1G'"), (None, 1 << 30));
        let below_home = of("cache = '~/a b'", "").0.unwrap();
        assert!(below_home.is_absolute() && below_home.ends_with("a b"));
        assert!(read("cache = 'relative'", "").is_err());
        assert!(read("cache_size = '7'", "").is_err());
    }

    #[test]
    fn no_user_lifts_the_sites_word_on_picking() {
        let refuses = |site: &str, user: &str| read(site, user).unwrap().refuses_picked_gpus();
        assert!(!refuses("", ""));
        assert!(!refuses("gpu_pick = 'idle'", ""));
        assert!(refuses("gpu_pick = 'refuse'", "gpu_pick = 'idle'"));
        assert!(refuses("", "gpu_pick = 'refuse'"));
        let error = read("gpu_pick = 'often'\n", "").unwrap_err().to_string();
        assert!(
            error.contains("site.toml:1: gpu_pick: ") && error.contains("refuse"),
            "{error}"
        );
    }

    #[test]
    fn the_order_of_ways_is_the_users_before_the_sites() {
        let of = |site: &str, user: &str| read(site, user).map(|c| c.reach().map(<[_]>::to_vec));
        assert_eq!(of("", "").unwrap(), None);
        let site = "reach = ['port', 'jump']\n";
        assert_eq!(of(site, "").unwrap().unwrap(), ["port", "jump"]);
        assert_eq!(of(site, "reach = ['exec']").unwrap().unwrap(), ["exec"]);
        let config = read(site, "[clusters.x]\nlogin = 'a'\nreach = ['nested']\n").unwrap();
        let profile = config.profile("x").unwrap();
        assert_eq!(profile.reach.as_deref(), Some(&["nested".to_owned()][..]));
        let line = config.origin(&["clusters", "x", "reach"]).to_string();
        assert!(line.ends_with("user.toml:3"), "{line}");
        for (text, cure) in [
            ("reach = ['jumps']", "did you mean jump?"),
            ("reach = ['direct']", "known are jump, nested, port, exec"),
            (
                "reach = ['port', 'jump', 'port']",
                "port stands there twice",
            ),
            ("reach = []", "at least one"),
            ("[clusters.x]\nlogin = 'a'\nreach = ['no']", "is no way"),
        ] {
            for (site, user) in [(text, ""), ("", text)] {
                let told = of(site, user).unwrap_err().to_string();
                assert!(told.contains("reach: ") && told.contains(cure), "{told}");
            }
        }
    }

    #[test]
    fn only_the_site_opens_a_node_to_its_network() {
        let of = |site: &str, user: &str| read(site, user).map(|config| config.publish());
        assert_eq!(of("", "").unwrap(), Publish::Loopback);
        assert_eq!(of("publish = 'login'", "").unwrap(), Publish::Login);
        let closed = of("publish = 'login'", "publish = 'loopback'").unwrap();
        assert_eq!(closed, Publish::Loopback);
        let told = of("", "# mine\npublish = 'login'\n")
            .unwrap_err()
            .to_string();
        assert!(
            told.contains("user.toml:2: publish: only the site"),
            "{told}"
        );
        let told = of("publish = '0.0.0.0/0'", "").unwrap_err().to_string();
        assert!(told.contains("site.toml:1: publish: never all"), "{told}");
    }

    #[test]
    fn files_that_are_not_there_are_empty() {
        let config = Config::read(Path::new("/no/such"), Some(Path::new("/no/such"))).unwrap();
        assert_eq!(config.node_dir(), Path::new("/var/tmp"));
    }

    #[test]
    fn an_unknown_key_is_a_warning_with_the_nearest_known() {
        let config = read(
            "",
            "[submit]\nwaltime = '4h'\n[clusters.x]\nlogin='a'\nfoo=1\n",
        )
        .unwrap();
        let told: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
        assert!(
            told[0].contains(":2: ") && told[0].ends_with("submit.waltime; did you mean walltime?"),
            "{told:?}"
        );
        assert!(
            told[1].contains(":5: there is no key clusters.x.foo"),
            "{told:?}"
        );
    }

    #[test]
    fn an_error_names_file_line_and_key() {
        assert_eq!(read("engine = 'podman'\n", "").unwrap().engine(), "podman");
        let error = read("", "engine = 'lxc'\n").unwrap_err().to_string();
        assert!(error.contains("user.toml:1: engine: "), "{error}");
        let error = read("", "home = '/x'\nnode_dir = 5\n").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("user.toml:2: node_dir: "), "{text}");
        assert!(read("", "node_dir = 'relative'\n").is_err());
        assert!(read("", "[clusters.x]\nlogin = '-oProxyCommand=sh'\n").is_err());
        for odd in ["~/x", "scratch", "/a\\nb"] {
            let text = format!("[clusters.x]\nlogin = 'a'\nscratch = \"{odd}\"\n");
            let error = read("", &text).unwrap_err().to_string();
            assert!(error.contains(":3: clusters.x.scratch: "), "{error}");
        }
    }
}
