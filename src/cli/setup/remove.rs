//! `qdebug setup --remove`.

use super::{Shown, Wanted, user_file};
use crate::cli::args::{Global, Setup};
use crate::cli::setting::user_home;
use crate::cli::{Failure, output, which};
use crate::config::{Config, Wrote, forget_profile, setup_wrote};
use crate::laptop::setup::{Goes, Left, TakeBack};
use crate::laptop::{Departure, Paths};
use crate::session::FORMAT;
use crate::ssh::Client;

impl Setup {
    pub(super) async fn take_back(
        &self,
        config: &Config,
        client: &Client,
        wanted: &Wanted,
        global: &Global,
    ) -> Result<u8, Failure> {
        let path = user_file(config)?;
        let paths = Paths::of_user()?;
        let home = user_home()?;
        let prompt = which::prompt();
        let back = TakeBack::look(client, &wanted.login, prompt, &home, &paths.identity).await?;
        let mut changes = Vec::new();
        let mut left = back.stays.clone();
        if let Some(line) = back.line() {
            changes.push(format!("cluster: ~/.ssh/authorized_keys without {line}"));
        }
        changes.extend(back.binary.as_ref().and_then(change));
        if let Some(name) = &wanted.known {
            let file = path.display();
            match setup_wrote(path, name)? {
                Wrote::Profile => changes.push(format!("here: cluster {name:?} out of {file}")),
                Wrote::Path => changes.push(format!(
                    "here: cluster {name:?} names its qdebug as before setup, in {file}"
                )),
                Wrote::Nothing => left.push(Left {
                    what: format!("cluster {name:?} in {file}"),
                    why: format!(
                        "setup has not made it, or it was changed since; delete [clusters.{name}] \
                         there to forget it"
                    ),
                }),
                Wrote::Absent => left.push(Left {
                    what: format!("cluster {name:?}"),
                    why: "it is the site's".to_owned(),
                }),
            }
        }
        let mut others = config.profiles().into_iter();
        let is_last = others.all(|name| Some(name) == wanted.known.as_deref());
        let departure = Departure::look(&wanted.login, is_last, &paths)?;
        changes.extend(departure.changes(&paths));
        left.iter().for_each(tell);
        if self
            .agreed(&changes, "setup has left nothing of this machine's there")
            .await?
        {
            let taken = back.carry_out().await?;
            for done in &taken.done {
                output::talk(done);
            }
            taken.left.iter().for_each(tell);
            left.extend(taken.left);
            departure.carry_out(&paths).await?;
            if let Some(name) = &wanted.known
                && forget_profile(path, name)? == Wrote::Profile
            {
                output::talk(&format!("cluster {name:?} is forgotten"));
            }
        }
        if global.json {
            output::json(&Shown {
                format: FORMAT,
                login: wanted.login.to_string(),
                profile: wanted.known.as_deref().unwrap_or_default(),
                qdebug: None,
                changes,
                rungs: &[],
                left: Some(left),
            });
        }
        Ok(0)
    }
}

fn tell(left: &Left) {
    output::talk(&format!("{} stays: {}", left.what, left.why));
}

/// What becomes of the cluster's binary, as people see it before they say yes.
fn change(goes: &Goes) -> Option<String> {
    match goes {
        Goes::Removed(place) => Some(format!("cluster: {place} is removed")),
        Goes::Replaced { place, kept } => Some(format!(
            "cluster: {place} is again what it was before setup, which is kept as {kept}"
        )),
        Goes::Gone => None,
    }
}
