//! `setup --remove`: takes back what setup has done on a cluster.

use std::path::Path;

use super::{done, scripts, there};
use crate::laptop::cluster::Cluster;
use crate::laptop::error::Error;
use crate::ssh::{self, Client, Destination, LoginShell, Prompt};

/// What there is to take back.
#[derive(Debug)]
pub struct TakeBack {
    shell: LoginShell,
    login: Destination,
    line: Option<String>,
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
        let mut back = Self {
            shell,
            login: login.clone(),
            binary: there.binary.clone(),
            stays: None,
            line,
        };
        if let Some(binary) = there.binary {
            let others = there.lines.len() - usize::from(back.line.is_some());
            let stays = match others {
                0 => in_use(client, login, prompt, &binary).await?,
                _ => Some("another laptop was set up, which uses it".to_owned()),
            };
            if let Some(why) = stays {
                back.stays = Some(format!("{} stays: {why}", binary));
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
        let answer = self.shell.run(scripts::TAKE_BACK, &[line, binary]).await?;
        let told = done("take back what setup did", &self.login, answer)?;
        Ok(lines(&told))
    }
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
    fn what_was_done_and_left_is_told_and_noise_is_not() {
        let told = "done=a is removed\nnoise\nleft=b, which was changed\nodd=c\n";
        assert_eq!(lines(told), ["a is removed", "left: b, which was changed"]);
    }
}
