//! `setup --remove`: takes back what setup has done on a cluster.

use std::path::Path;

use super::there::There;
use super::{done, laptop_id, scripts, there};
use crate::laptop::cluster::Cluster;
use crate::laptop::error::Error;
use crate::ssh::{self, Client, Destination, LoginShell, PlainPath, Prompt};

/// What there is to take back.
#[derive(Debug)]
pub struct TakeBack {
    shell: LoginShell,
    login: Destination,
    line: Option<String>,
    /// What tells this laptop from others.
    laptop: Option<String>,
    /// The binary that setup has put there and that goes.
    pub binary: Option<String>,
    /// Why a binary that setup has put there stays.
    pub stays: Option<String>,
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
            stays: None,
            line,
            laptop,
        };
        // One that is gone is none.
        if let Some(placed) = there.binary.as_ref().filter(|it| it.sum_now.is_some()) {
            let path = &placed.path;
            let others = others(&there, back.line.as_deref(), back.laptop.as_deref());
            let stays = match others {
                _ if !placed.is_ours() => {
                    Some("it was changed since setup put it there".to_owned())
                }
                false => in_use(client, login, prompt, path).await?,
                true => Some("another laptop was set up, which uses it".to_owned()),
            };
            back.binary = Some(path.clone());
            if let Some(why) = stays {
                back.stays = Some(format!("{path} stays: {why}"));
                back.binary = None;
            }
        }
        Ok(back)
    }

    /// The line that goes out of the cluster's authorized_keys.
    pub fn line(&self) -> Option<&str> {
        self.line.as_deref()
    }

    /// Takes it back; what was done and what was left, a line each.
    ///
    /// # Errors
    /// As [`TakeBack::look`].
    pub async fn carry_out(&self) -> Result<Vec<String>, Error> {
        let line = self.line.as_deref().unwrap_or_default();
        let binary = if self.binary.is_some() { "yes" } else { "" };
        let laptop = self.laptop.as_deref().unwrap_or_default();
        let words = [line, binary, laptop];
        let answer = self.shell.run(scripts::TAKE_BACK, &words).await?;
        let told = done("take back what setup did", &self.login, answer)?;
        Ok(lines(&told))
    }
}

/// Whether setup was run from other laptops: by their keys, and by what tells them apart, since a key
/// that let in already has no line.
fn others(there: &There, line: Option<&str>, laptop: Option<&str>) -> bool {
    let lines = there.lines.iter().any(|other| Some(other.as_str()) != line);
    let mut laptops = there.laptops.iter();
    lines || laptops.any(|other| Some(other.as_str()) != laptop)
}

fn lines(told: &str) -> Vec<String> {
    let line = |line: &str| match line.split_once('=')? {
        ("done", text) => Some(text.to_owned()),
        ("left", text) => Some(format!("left: {text}")),
        _ => None,
    };
    told.lines().filter_map(line).collect()
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
        let told = "done=a is removed\nnoise\nleft=b, which was changed\nodd=c\n";
        assert_eq!(lines(told), ["a is removed", "left: b, which was changed"]);
    }
}
