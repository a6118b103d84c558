//! `setup --remove`: takes back what setup has done on a cluster.

use std::path::Path;

use serde::Serialize;

use super::there::{Placed, There};
use super::{done, laptop_id, scripts, there};
use crate::laptop::cluster::Cluster;
use crate::laptop::error::Error;
use crate::ssh::{self, Client, Destination, LoginShell, PlainPath, Prompt};

/// Something of setup's that stays, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// A path of the cluster, or what else it is.
    pub what: String,
    /// Why it stays.
    pub why: String,
}

/// What becomes of the binary that setup has put on the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goes {
    /// It is removed.
    Removed(String),
    /// What was in its place before is there again.
    Replaced {
        /// The place.
        place: String,
        /// Where it was kept meanwhile.
        kept: String,
    },
    /// Somebody has removed it; its record goes.
    Gone,
}

/// What was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TakenBack {
    /// What was done, a sentence each.
    pub done: Vec<String>,
    /// What stays.
    pub left: Vec<Left>,
}

/// What there is to take back.
#[derive(Debug)]
pub struct TakeBack {
    shell: LoginShell,
    login: Destination,
    line: Option<String>,
    /// What tells this laptop from others.
    laptop: Option<String>,
    /// What becomes of the binary; `None` where there is none of setup's, or it stays.
    pub binary: Option<Goes>,
    /// The binary where it stays, and what is kept for its place.
    pub stays: Vec<Left>,
}

impl TakeBack {
    /// Looks what setup has done on a cluster, from this machine, and changes nothing.
    ///
    /// # Errors
    /// [`Error::Ssh`], [`Error::Setup`].
    pub async fn look(
        client: &Client,
        login: &Destination,
        prompt: Prompt,
        home: &Path,
        identity: &PlainPath,
    ) -> Result<Self, Error> {
        let shell = LoginShell::new(client.clone(), login.clone(), prompt)?;
        shell.dial().await?;
        let there = there(&shell, login, None, "").await?;
        let keys = client.keys_for(login, home).await;
        let is_own = |line: &&String| {
            let key: Option<ssh::keys::PublicKey> = line.parse().ok();
            key.is_some_and(|key| keys.iter().any(|own| own.key == key))
        };
        let line = there.lines.iter().find(is_own).cloned();
        // Without a key of its own it has connected to nothing yet.
        let laptop = match identity.as_path().exists() {
            true => Some(laptop_id(identity).await?),
            false => None,
        };
        let mut back = Self {
            shell,
            login: login.clone(),
            binary: None,
            stays: Vec::new(),
            line,
            laptop,
        };
        if let Some(placed) = &there.binary {
            let path = &placed.path;
            let others = others(&there, back.line.as_deref(), back.laptop.as_deref());
            let is_gone = placed.sum_now.is_none();
            let why = match others {
                _ if !is_gone && !placed.is_ours() => {
                    Some("it was changed since setup put it there".to_owned())
                }
                true => Some("another laptop was set up, which uses it".to_owned()),
                false if is_gone => None,
                false => in_use(client, login, prompt, path).await?,
            };
            match why {
                Some(why) => back.stays = stays(&there, placed, why),
                None => back.binary = Some(goes(&there, placed)),
            }
        }
        Ok(back)
    }

    /// The line that goes out of the cluster's authorized_keys.
    pub fn line(&self) -> Option<&str> {
        self.line.as_deref()
    }

    /// Takes it back.
    ///
    /// # Errors
    /// As [`TakeBack::look`].
    pub async fn carry_out(&self) -> Result<TakenBack, Error> {
        let line = self.line.as_deref().unwrap_or_default();
        let binary = if self.binary.is_some() { "yes" } else { "" };
        let laptop = self.laptop.as_deref().unwrap_or_default();
        let words = [line, binary, laptop];
        let answer = self.shell.run(scripts::TAKE_BACK, &words).await?;
        let told = done("take back what setup did", &self.login, answer)?;
        Ok(taken_back(&told))
    }
}

/// Whether setup was run from other laptops: by their keys, and by what tells them apart, since a key
/// that let in already has no line.
fn others(there: &There, line: Option<&str>, laptop: Option<&str>) -> bool {
    let lines = there.lines.iter().any(|other| Some(other.as_str()) != line);
    let mut laptops = there.laptops.iter();
    lines || laptops.any(|other| Some(other.as_str()) != laptop)
}

/// The binary that goes, and what takes its place.
fn goes(there: &There, placed: &Placed) -> Goes {
    let place = placed.path.clone();
    match there.kept.last() {
        Some(kept) => Goes::Replaced {
            place,
            kept: kept.clone(),
        },
        None if placed.sum_now.is_none() => Goes::Gone,
        None => Goes::Removed(place),
    }
}

/// The binary that stays, and what waits for its place.
fn stays(there: &There, placed: &Placed, why: String) -> Vec<Left> {
    let kept = there.kept.iter().map(|kept| Left {
        what: kept.clone(),
        why: format!("it is what was {} before setup", placed.path),
    });
    let binary = Left {
        what: placed.path.clone(),
        why,
    };
    std::iter::once(binary).chain(kept).collect()
}

/// What the script tells of itself; other words are passed over.
fn taken_back(told: &str) -> TakenBack {
    let mut taken = TakenBack::default();
    for line in told.lines() {
        match line.split_once('=') {
            Some(("done", text)) => taken.done.push(text.to_owned()),
            Some(("left", text)) => taken.left.push(Left {
                what: text.to_owned(),
                why: String::new(),
            }),
            Some(("why", text)) => {
                if let Some(last) = taken.left.last_mut() {
                    last.why = text.to_owned();
                }
            }
            _ => {}
        }
    }
    taken
}

/// Why the cluster's qdebug is still needed.
async fn in_use(
    client: &Client,
    login: &Destination,
    prompt: Prompt,
    binary: &str,
) -> Result<Option<String>, Error> {
    let cluster = Cluster::at(client, login, Some(binary), prompt).await?;
    Ok(match cluster.list(false).await {
        Ok(live) if live.is_empty() => None,
        Ok(live) => {
            let names: Vec<String> = live.iter().map(|status| status.name.to_string()).collect();
            Some(format!(
                "sessions of yours live ({}): stop them first",
                names.join(", ")
            ))
        }
        Err(Error::Ssh(ssh::Error::QdebugMissing { .. })) => None,
        Err(error) => Some(format!(
            "whether sessions of it live cannot be told: {error}"
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_laptops_are_seen_by_their_keys_and_by_their_names() {
        let others = |record: &str, line, laptop| others(&There::read(record), line, laptop);
        let own = "mark=line k me\nmark=laptop 1a\n";
        assert!(!others("", None, Some("1a")));
        assert!(!others(own, Some("k me"), Some("1a")));
        assert!(others(own, None, Some("1a")));
        assert!(others(own, Some("k me"), None));
        let two = format!("{own}mark=laptop 2b\n");
        assert!(others(&two, Some("k me"), Some("1a")));
    }

    #[test]
    fn what_was_done_and_left_is_told_and_noise_is_not() {
        let told = "why=x\ndone=a is removed\nnoise\nleft=b=c\nwhy=it was changed\nodd=c\n";
        let taken = taken_back(told);
        assert_eq!(taken.done, ["a is removed"]);
        let left = Left {
            what: "b=c".to_owned(),
            why: "it was changed".to_owned(),
        };
        assert_eq!(taken.left, [left]);
    }

    #[test]
    fn what_was_there_before_setup_comes_back_or_is_told() {
        let there = |record: &str| There::read(&format!("mark=binary 0b /b/qdebug\n{record}"));
        let of = |record: &str| {
            let there = there(record);
            goes(&there, there.binary.as_ref().unwrap())
        };
        let place = "/b/qdebug".to_owned();
        assert_eq!(of("sum=0b\n"), Goes::Removed(place.clone()));
        assert_eq!(of(""), Goes::Gone);
        for sum in ["sum=0b\n", ""] {
            let kept = "/b/2".to_owned();
            let place = place.clone();
            assert_eq!(
                of(&format!("{sum}mark=before /b/1\nmark=before /b/2\n")),
                Goes::Replaced { place, kept }
            );
        }
        let there = there("sum=0c\nmark=before /b/1\n");
        let left = stays(&there, there.binary.as_ref().unwrap(), "why".to_owned());
        let what: Vec<&str> = left.iter().map(|left| left.what.as_str()).collect();
        assert_eq!(what, ["/b/qdebug", "/b/1"]);
    }
}
