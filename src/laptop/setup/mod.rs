//! `qdebug setup`: what a cluster needs before `connect` and `up` work, looked at first, changed
//! after a yes, and taken back by `--remove`.
//!
//! | file | owns |
//! |---|---|
//! | `scripts` | what runs on the login node, where there may be no qdebug yet |
//! | `there` | what was found there |
//! | `version`, `install` | which qdebug the cluster is to be asked by |
//! | `back` | taking back what setup has done |
//!
//! Everything goes over the one login hop. The profile is the configuration's and so the command
//! line's business. A site that takes no key alone is no failure: `connect` hands the laptop's own
//! key to each session.

mod back;
mod install;
mod scripts;
mod there;
mod version;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sha2::{Digest as _, Sha256};

pub use back::TakeBack;
use install::{Built, Plan};
use there::There;
pub use version::Version;

use super::error::Error;
use crate::session::{Rung, Verdict};
use crate::ssh::{Answer, Client, Destination, LoginShell, Prompt, UserKey};

/// The cure where this qdebug's binary is of no use on the cluster.
const BUILD_THERE: [&str; 2] = [
    "build it on a Linux like the cluster's, no newer (README, Install): cargo build --release, \
     qdebug kit build, cargo build --release",
    "then copy target/release/qdebug to ~/.local/bin/qdebug of the cluster by scp, and run setup \
     again",
];

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The cluster's login.
    pub login: Destination,
    /// The path of qdebug there, where a profile names it.
    pub qdebug: Option<String>,
    /// Whether a person can be asked for passwords.
    pub prompt: Prompt,
    /// The user's home on this machine.
    pub home: PathBuf,
}

/// One change that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A key pair of the user's own on this machine.
    MakeKey(PathBuf),
    /// Paths of the cluster are closed to others, or sshd takes no key.
    Close(Vec<String>),
    /// A line in the cluster's authorized_keys.
    Authorize(String),
    /// This qdebug's binary on the cluster.
    Install {
        /// Where to, as people write it.
        place: String,
        /// How large it is, in bytes.
        size: usize,
        /// What it takes over from.
        instead: Option<String>,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeKey(path) => write!(
                f,
                "here: a new ssh key, {} (its private half never leaves this machine)",
                path.display()
            ),
            Self::Close(paths) => write!(
                f,
                "cluster: chmod go-w {} (sshd takes no key while others may write there)",
                paths.join(" ")
            ),
            Self::Authorize(key) => write!(f, "cluster: ~/.ssh/authorized_keys gets {key}"),
            Self::Install {
                place,
                size,
                instead,
            } => {
                let (version, megabytes) = (Version::own(), size.div_ceil(1 << 20));
                write!(f, "cluster: qdebug {version} as {place} ({megabytes} MB)")?;
                match instead {
                    Some(other) => write!(f, ", used instead of {other}"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// A cluster that was looked at.
#[derive(Debug)]
pub struct Setup {
    shell: LoginShell,
    ask: Ask,
    there: There,
    key: Option<UserKey>,
    plan: Plan,
    binary: Vec<u8>,
    changes: Vec<Change>,
}

/// Looks at a cluster and this machine and changes nothing, but for the login hop that is then
/// open. Each thing that is as it should be, or cannot be mended from here, is told.
///
/// # Errors
/// [`Error::Ssh`] when the cluster cannot be entered, [`Error::Setup`] when it does not answer as
/// it should.
pub async fn look(client: &Client, ask: Ask, tell: &dyn Fn(Rung)) -> Result<Setup, Error> {
    let began = Instant::now();
    let shell = LoginShell::new(client.clone(), ask.login.clone(), ask.prompt)?;
    shell.dial().await?;
    let told = format!("{} lets you in", ask.login);
    tell(Rung::new("login", Verdict::Ok, told).took(began.elapsed()));

    let began = Instant::now();
    let key = client
        .keys_for(&ask.login, &ask.home)
        .await
        .into_iter()
        .next();
    let by_key = client.lets_in_by_key(&ask.login).await?;
    let named = ask.qdebug.clone().unwrap_or_default();
    let there = there(&shell, &ask.login, key.as_ref(), &named).await?;
    let mut changes = match by_key {
        true => {
            let told = "your key lets you in without a password";
            tell(Rung::new("key", Verdict::Ok, told).took(began.elapsed()));
            Vec::new()
        }
        false => key_changes(&there, key.as_ref(), &ask.home, tell),
    };

    let binary = install::own_binary().map_err(|error| Error::Setup {
        cluster: "this machine".to_owned(),
        doing: "read qdebug itself",
        detail: error.to_string(),
    })?;
    let plan = install::plan(&there, Version::own(), &Built::of(&binary));
    match &plan {
        Plan::Put { place, instead } => changes.push(Change::Install {
            place: there.shown(place),
            size: binary.len(),
            instead: instead.as_ref().map(described),
        }),
        _ => tell(qdebug_rung(&plan)),
    }
    Ok(Setup {
        shell,
        ask,
        there,
        key,
        plan,
        binary,
        changes,
    })
}

/// Runs [`scripts::LOOK`].
async fn there(
    shell: &LoginShell,
    login: &Destination,
    key: Option<&UserKey>,
    named: &str,
) -> Result<There, Error> {
    let key = key.map(|key| key.key.to_string()).unwrap_or_default();
    let answer = shell.run(scripts::LOOK, &[&key, named]).await?;
    let there = There::read(&done("look around", login, answer)?);
    match there.home.is_empty() {
        false => Ok(there),
        true => Err(Error::Setup {
            cluster: login.to_string(),
            doing: "look around",
            detail: "it does not tell where your home is".to_owned(),
        }),
    }
}

/// What a key needs that does not let in yet.
fn key_changes(
    there: &There,
    key: Option<&UserKey>,
    home: &Path,
    tell: &dyn Fn(Rung),
) -> Vec<Change> {
    for path in &there.foreign {
        let told = format!(
            "{} is not yours there: sshd takes no key",
            there.shown(path)
        );
        tell(Rung::new("key", Verdict::Warn, told).cure("ask the admin to give it to you (chown)"));
    }
    let mut changes = Vec::new();
    if !there.loose.is_empty() {
        let loose = there.loose.iter().map(|path| there.shown(path));
        changes.push(Change::Close(loose.collect()));
    }
    let own = home.join(".ssh").join("id_ed25519");
    match key {
        Some(_) if there.has_key && changes.is_empty() => tell(not_by_key_alone(Verdict::Ok)),
        Some(_) if there.has_key => {}
        Some(key) => changes.push(Change::Authorize(key.line.clone())),
        None if own.exists() => {
            let own = own.display();
            let told = format!("{own} has no public half beside it");
            tell(
                Rung::new("key", Verdict::Warn, told)
                    .cure(format!("ssh-keygen -y -f '{own}' > '{own}.pub'")),
            );
        }
        None => {
            changes.push(Change::MakeKey(own));
            changes.push(Change::Authorize("its line".to_owned()));
        }
    }
    changes
}

/// The key is where it should be, and login wants more than a key, or none.
fn not_by_key_alone(verdict: Verdict) -> Rung {
    let told = "its line is in ~/.ssh/authorized_keys; login does not let in by it alone (a second \
                factor, a passphrase, or no keys at all), which qdebug does not need";
    Rung::new("key", verdict, told)
}

fn described(other: &there::Candidate) -> String {
    match other.version {
        Some(version) => format!("{} ({version})", other.path),
        None => format!("{} (which does not run)", other.path),
    }
}

fn qdebug_rung(plan: &Plan) -> Rung {
    let rung = |verdict, told| Rung::new("qdebug", verdict, told);
    match plan {
        Plan::Ready(path) => rung(Verdict::Ok, format!("{path}, {} as here", Version::own())),
        Plan::Put { place, .. } => rung(Verdict::Ok, place.clone()),
        Plan::Keep { other, why } => rung(
            Verdict::Warn,
            format!("{} there, {} here; {why}", described(other), Version::own()),
        ),
        Plan::Impossible(why) => BUILD_THERE.iter().fold(
            rung(Verdict::Fail, format!("none there, and {why}")),
            |rung, cure| rung.cure(*cure),
        ),
    }
}

/// What a script printed, or its own last words.
fn done(doing: &'static str, login: &Destination, answer: Answer) -> Result<String, Error> {
    if answer.status == 0 {
        return Ok(answer.stdout);
    }
    let last = answer
        .stderr
        .trim()
        .lines()
        .last()
        .unwrap_or("it said nothing");
    Err(Error::Setup {
        cluster: login.to_string(),
        doing,
        detail: last.chars().filter(|c| !c.is_control()).collect(),
    })
}

impl Setup {
    /// What is to be changed.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The cluster's login.
    pub fn login(&self) -> &Destination {
        &self.ask.login
    }

    /// The path of the cluster's qdebug once everything is changed; `None` where there is none.
    pub fn qdebug(&self) -> Option<&str> {
        match &self.plan {
            Plan::Ready(path) => Some(path),
            Plan::Put { place, .. } => Some(place),
            Plan::Keep { other, .. } => Some(&other.path),
            Plan::Impossible(_) => None,
        }
    }

    /// Makes the changes and tells of each. A person at the terminal may be asked for the
    /// passphrase of a new key.
    ///
    /// # Errors
    /// As [`look`]; what was changed until then stays and was told.
    pub async fn carry_out(
        &mut self,
        client: &Client,
        ask_passphrase: bool,
        tell: &dyn Fn(Rung),
    ) -> Result<(), Error> {
        let changes = self.changes.clone();
        let has = |wanted: fn(&Change) -> bool| changes.iter().any(wanted);
        for change in &changes {
            if let Change::MakeKey(path) = change {
                let began = Instant::now();
                let comment = "made by qdebug setup";
                let key = client.make_key(path, comment, ask_passphrase).await?;
                self.key = Some(key);
                let told = format!("{} made", path.display());
                tell(Rung::new("new key", Verdict::Ok, told).took(began.elapsed()));
            }
        }
        if has(|change| matches!(change, Change::Close(_) | Change::Authorize(_))) {
            tell(self.authorize(client).await?);
        }
        if let Plan::Put { place, .. } = &self.plan {
            tell(self.install(place).await?);
        }
        Ok(())
    }

    async fn authorize(&self, client: &Client) -> Result<Rung, Error> {
        let began = Instant::now();
        let login = &self.ask.login;
        // Without a key of this machine only the modes are mended.
        let (key, line) = match &self.key {
            Some(key) => (key.key.to_string(), key.line.as_str()),
            None => (String::new(), ""),
        };
        let answer = self.shell.run(scripts::AUTHORIZE, &[&key, line]).await?;
        done("let your key in", login, answer)?;
        let rung = match client.lets_in_by_key(login).await? {
            true => Rung::new(
                "key",
                Verdict::Ok,
                "your key lets you in without a password",
            ),
            false if line.is_empty() => {
                Rung::new("key", Verdict::Ok, "the modes are as sshd wants")
            }
            false => not_by_key_alone(Verdict::Ok),
        };
        Ok(rung.took(began.elapsed()))
    }

    async fn install(&self, place: &str) -> Result<Rung, Error> {
        let began = Instant::now();
        let login = &self.ask.login;
        let sum: String = Sha256::digest(&self.binary)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        // Of the same folder, so that it takes its place by one rename; the digits keep two
        // setups apart.
        let random = crate::ssh::Frame::new();
        let new = format!("{place}.new-{}", &random.hex()[..12]);
        let answer = self.shell.write(&new, &self.binary).await?;
        done("copy qdebug", login, answer)?;
        let answer = self.shell.run(scripts::PLACE, &[&new, place, &sum]).await?;
        let told = done("install qdebug", login, answer)?;
        let said = told.lines().find_map(|line| line.strip_prefix("said="));
        match said.and_then(Version::read) {
            Some(version) if version == Version::own() => {
                let told = format!("{} installed, {version} as here", self.there.shown(place));
                Ok(Rung::new("qdebug", Verdict::Ok, told).took(began.elapsed()))
            }
            _ => Err(Error::Setup {
                cluster: login.to_string(),
                doing: "run the installed qdebug",
                detail: format!("it says {:?}", said.unwrap_or_default()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const LINE: &str = "ssh-ed25519 \
        AAAAC3NzaC1lZDI1NTE5AAAAIKHEChAr8Nx3Y8gJfZbzL9PUv3sHSGtXFQzQd5GvMfFo alice@laptop";

    fn key() -> UserKey {
        UserKey {
            key: LINE.parse().unwrap(),
            line: LINE.to_owned(),
            file: None,
        }
    }

    fn of(found: &str, key: Option<&UserKey>, home: &Path) -> (Vec<Change>, Vec<Rung>) {
        let there = There::read(&format!("home=/home/al\n{found}"));
        let told = RefCell::new(Vec::new());
        let tell = |rung| told.borrow_mut().push(rung);
        let changes = key_changes(&there, key, home, &tell);
        (changes, told.into_inner())
    }

    #[test]
    fn a_key_needs_its_line_and_modes_that_sshd_takes() {
        let home = tempfile::tempdir().unwrap();
        let key = key();
        let (changes, told) = of("loose=/home/al\n", Some(&key), home.path());
        let close = Change::Close(vec!["~".to_owned()]);
        assert_eq!(changes, [close.clone(), Change::Authorize(LINE.to_owned())]);
        assert!(told.is_empty(), "{told:?}");
        let (changes, _) = of("loose=/home/al\nkey=there\n", Some(&key), home.path());
        assert_eq!(changes, [close]);
        let (changes, told) = of("key=there\nforeign=/home/al\n", Some(&key), home.path());
        assert!(changes.is_empty());
        let verdicts: Vec<Verdict> = told.iter().map(|rung| rung.verdict).collect();
        assert_eq!(verdicts, [Verdict::Warn, Verdict::Ok]);
    }

    #[test]
    fn without_a_key_one_is_made_and_none_is_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let own = home.path().join(".ssh/id_ed25519");
        let (changes, _) = of("", None, home.path());
        assert_eq!(changes[0], Change::MakeKey(own.clone()));
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        std::fs::write(&own, "").unwrap();
        let (changes, told) = of("", None, home.path());
        assert!(changes.is_empty() && told[0].cures[0].starts_with("ssh-keygen -y"));
    }

    #[test]
    fn changes_are_told_in_full() {
        let install = Change::Install {
            place: "~/.local/bin/qdebug".to_owned(),
            size: (15 << 20) + 1,
            instead: Some("/opt/qdebug (0.0.9)".to_owned()),
        };
        let told = install.to_string();
        assert!(told.ends_with("~/.local/bin/qdebug (16 MB), used instead of /opt/qdebug (0.0.9)"));
        let close = Change::Close(vec!["~".to_owned(), "~/.ssh".to_owned()]).to_string();
        assert!(
            close.starts_with("cluster: chmod go-w ~ ~/.ssh "),
            "{close}"
        );
    }
}
