//! `qdebug setup`: what a cluster needs before `connect` and `up` work, looked at first, changed
//! after a yes, and taken back by `--remove`.
//!
//! | file | owns |
//! |---|---|
//! | `scripts` | what runs on the login node, where there may be no qdebug yet |
//! | `there` | what was found there |
//! | `version`, `install` | which qdebug the cluster is to be asked by |
//! | `change` | what is to be changed, as it is shown before the yes |
//! | `back` | taking back what setup has done |
//!
//! Everything goes over the one login hop. The profile is the configuration's and so the command
//! line's business. A site that takes no key alone is no failure: `connect` hands the laptop's own
//! key to each session.

mod back;
mod change;
mod install;
mod scripts;
mod there;
mod version;

use std::path::PathBuf;
use std::time::Instant;

use sha2::{Digest as _, Sha256};

pub use back::{Goes, Left, TakeBack};
pub use change::Change;
use change::{key_changes, key_made};
use install::{Built, Plan};
use there::There;
pub use version::Version;

use super::error::Error;
use crate::session::{Rung, Verdict};
use crate::ssh::{Answer, Client, Destination, LoginShell, PlainPath, Prompt, UserKey, keys};

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
    /// Whether this program has its kit inside.
    pub has_kit: bool,
    /// The laptop's own private key, which tells it from others.
    pub identity: PlainPath,
    /// Who makes a key here: `USER@HOST`.
    pub who: String,
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
    built: Built,
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
    let built = Built::of(&binary, ask.has_kit);
    let plan = install::plan(&there, Version::own(), &built);
    match &plan {
        Plan::Put {
            place,
            instead,
            keep,
        } => changes.push(Change::Install {
            place: there.shown(place),
            size: binary.len(),
            instead: instead
                .as_ref()
                .map(|other| match other.path == *place && keep.is_none() {
                    true => "an earlier build of it".to_owned(),
                    false => described(other),
                }),
            keep: keep.as_deref().map(|kept| there.shown(kept)),
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
        built,
        changes,
    })
}

/// What tells this laptop from others in the record of a cluster: of its own key, the half that
/// every session is given.
async fn laptop_id(identity: &PlainPath) -> Result<String, Error> {
    let line = keys::own(identity).await?;
    let key: keys::PublicKey = line.parse()?;
    let sum = Sha256::digest(key.to_string().as_bytes());
    Ok(sum[..8].iter().map(|byte| format!("{byte:02x}")).collect())
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
                let comment = format!("{} (qdebug setup)", self.ask.who);
                let key = client.make_key(path, &comment, ask_passphrase).await?;
                self.key = Some(key);
                let rung = key_made(path, client.is_without_passphrase(path).await?);
                tell(rung.took(began.elapsed()));
            }
        }
        if has(|change| matches!(change, Change::Close(_) | Change::Authorize(_))) {
            tell(self.authorize(client).await?);
        }
        if let Plan::Put { place, keep, .. } = &self.plan {
            tell(self.install(place, keep.as_deref()).await?);
        }
        Ok(())
    }

    /// Notes on the cluster that this laptop uses the binary which setup has put there, so that no
    /// other takes it away.
    ///
    /// # Errors
    /// As [`look`].
    pub async fn note(&self) -> Result<(), Error> {
        let placed = self
            .there
            .binary
            .as_ref()
            .map(|placed| placed.path.as_str());
        let uses = match &self.plan {
            Plan::Put { .. } => true,
            Plan::Ready(path) => placed == Some(path.as_str()),
            Plan::Keep { other, .. } => placed == Some(other.path.as_str()),
            Plan::Impossible(_) => false,
        };
        if uses {
            let laptop = laptop_id(&self.ask.identity).await?;
            let answer = self.shell.run(scripts::NOTE, &[&laptop]).await?;
            done("note this laptop", &self.ask.login, answer)?;
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

    async fn install(&self, place: &str, keep: Option<&str>) -> Result<Rung, Error> {
        let began = Instant::now();
        let login = &self.ask.login;
        let sum = &self.built.sum;
        // Of the same folder, so that it takes its place by one rename; the digits keep two
        // setups apart.
        let random = crate::ssh::Frame::new();
        let new = format!("{place}.new-{}", &random.hex()[..12]);
        let answer = self.shell.write(&new, &self.binary).await?;
        done("copy qdebug", login, answer)?;
        let words = [&new, place, sum, keep.unwrap_or_default()];
        let answer = self.shell.run(scripts::PLACE, &words).await?;
        let answer = done("install qdebug", login, answer)?;
        let word = |word| {
            answer
                .lines()
                .find_map(|line: &str| line.strip_prefix(word))
        };
        let said = word("said=");
        match said.and_then(Version::read) {
            Some(version) if version == Version::own() => {
                let mut told = format!("{} installed, {version} as here", self.there.shown(place));
                if let Some(kept) = word("kept=") {
                    let kept = self.there.shown(kept);
                    told.push_str(&format!("; what was there is kept as {kept}"));
                }
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
