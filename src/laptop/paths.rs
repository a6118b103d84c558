//! Where qdebug keeps its things on this machine.

use std::path::PathBuf;

use etcetera::BaseStrategy as _;

use super::error::Error;
use crate::ide::Home;
use crate::platform;
use crate::ssh::PlainPath;

/// The places.
#[derive(Debug, Clone)]
pub struct Paths {
    /// This qdebug, for `ProxyCommand`.
    pub qdebug: PlainPath,
    /// `~/.ssh/config` of the user.
    pub user_config: PathBuf,
    /// Our own ssh configuration.
    pub ssh_config: PlainPath,
    /// Our own known_hosts.
    pub known_hosts: PlainPath,
    /// The laptop's own private key.
    pub identity: PlainPath,
    /// What is remembered of sessions, one file each.
    pub sessions: PathBuf,
    /// Where IDEs keep their things.
    pub home: Home,
}

impl Paths {
    /// The user's, by the XDG base directories, on Windows below `AppData`.
    ///
    /// # Errors
    /// [`Error::NoHome`]; [`Error::Ssh`] for a path that ssh cannot be told.
    pub fn of_user() -> Result<Self, Error> {
        let base = etcetera::choose_base_strategy().map_err(|_| Error::NoHome)?;
        let (config, data) = (base.config_dir(), platform::data_folder(&base));
        let state = base.state_dir().unwrap_or_else(|| data.clone());
        let qdebug = std::env::current_exe().map_err(|_| Error::NoHome)?;
        Ok(Self {
            qdebug: PlainPath::new(qdebug)?,
            user_config: base.home_dir().join(".ssh").join("config"),
            ssh_config: PlainPath::new(config.join("qdebug").join("ssh_config"))?,
            known_hosts: PlainPath::new(config.join("qdebug").join("known_hosts"))?,
            identity: PlainPath::new(data.join("qdebug").join("id_ed25519"))?,
            sessions: state.join("qdebug").join("sessions"),
            home: Home::of_user().ok_or(Error::NoHome)?,
        })
    }

    /// What is remembered of IDEs' files.
    pub fn ide(&self) -> PathBuf {
        self.sessions.with_file_name("ide")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::platform::DRIVE;

    pub(in super::super) fn paths() -> Paths {
        let plain = |path: &str| PlainPath::new(format!("{DRIVE}{path}")).unwrap();
        Paths {
            qdebug: plain("/opt/a b/qdebug"),
            user_config: "/home/alice/.ssh/config".into(),
            ssh_config: plain("/home/alice/.config/qdebug/ssh_config"),
            known_hosts: plain("/home/alice/.config/qdebug/known_hosts"),
            identity: plain("/home/alice/.local/share/qdebug/id_ed25519"),
            sessions: "/home/alice/.local/state/qdebug/sessions".into(),
            home: Home::below("/home/alice".as_ref()),
        }
    }

    #[test]
    fn every_user_has_their_own_places() {
        let paths = Paths::of_user().unwrap();
        assert!(paths.user_config.ends_with(".ssh/config"));
        assert!(paths.ssh_config.as_path().ends_with("qdebug/ssh_config"));
    }
}
