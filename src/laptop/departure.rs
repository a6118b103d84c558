//! What a cluster leaves on this machine when it is given up: its sessions' entries, and with the
//! last cluster the lines in the user's ssh configuration.

use super::error::Error;
use super::known::{Known, Place};
use super::paths::Paths;
use super::{opening, publish};
use crate::ssh::{Destination, include};

/// What of a cluster is known here.
#[derive(Debug)]
pub struct Departure {
    known: Vec<Known>,
    /// Whether nothing else needs the lines in the user's ssh configuration, and they stand there.
    lines: bool,
}

impl Departure {
    /// Looks what there is. `is_last` says that no other cluster is configured here.
    ///
    /// # Errors
    /// [`Error::Ssh`] when the user's ssh configuration cannot be read.
    pub fn look(login: &Destination, is_last: bool, paths: &Paths) -> Result<Self, Error> {
        let login = login.to_string();
        let is_there =
            |known: &Known| matches!(&known.place, Place::Login { login: at, .. } if *at == login);
        let (known, others): (Vec<_>, Vec<_>) =
            Known::all(&paths.sessions).into_iter().partition(is_there);
        let lines = is_last
            && others.is_empty()
            && include::has_include(&paths.user_config, &paths.ssh_config)?;
        Ok(Self { known, lines })
    }

    /// What would go, a line each.
    pub fn changes(&self, paths: &Paths) -> Vec<String> {
        let entries = self.known.iter().map(|known| {
            let alias = &known.alias;
            format!("here: what `ssh {alias}` goes by, and what was written into IDEs for it")
        });
        let user = paths.user_config.display();
        let lines = self
            .lines
            .then(|| format!("here: the lines of qdebug out of {user}"));
        entries.chain(lines).collect()
    }

    /// Does it.
    ///
    /// # Errors
    /// [`Error::Ssh`] when a file cannot be written.
    pub async fn carry_out(self, paths: &Paths) -> Result<(), Error> {
        let gone: Vec<String> = self
            .known
            .into_iter()
            .filter(|known| known.forget(&paths.sessions))
            .map(|known| known.alias)
            .collect();
        if !gone.is_empty() {
            publish::publish(paths).await?;
            opening::sweep(paths, &gone).await;
        }
        if self.lines {
            let own = &paths.ssh_config;
            include::take_include_back(&paths.user_config, own, &paths.known_hosts).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::known::tests::status;
    use super::super::paths::tests::paths;
    use super::*;
    use crate::ssh::PlainPath;

    fn known(name: &str, login: &str) -> Known {
        let place = Place::Login {
            login: login.to_owned(),
            qdebug: "/opt/qdebug".to_owned(),
        };
        Known::new(&status(name, '1'), place, &[]).unwrap()
    }

    #[tokio::test]
    async fn the_clusters_sessions_go_and_with_the_last_of_all_the_lines() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let own = |name: &str| PlainPath::new(at(name)).unwrap();
        let paths = Paths {
            user_config: at("config"),
            ssh_config: own("qdebug/ssh_config"),
            known_hosts: own("qdebug/known_hosts"),
            sessions: at("sessions"),
            ..paths()
        };
        std::fs::create_dir(&paths.sessions).unwrap();
        std::fs::write(&paths.user_config, "Host a\n").unwrap();
        let plan = include::plan_include(&paths.user_config, &paths.ssh_config);
        let plan = plan.unwrap().unwrap();
        include::apply_include(&plan, &paths.ssh_config)
            .await
            .unwrap();
        let (first, second) = ("alice@first", "alice@second");
        known("otter", first).write(&paths.sessions).unwrap();
        known("heron", second).write(&paths.sessions).unwrap();
        let look = |login: &str| Departure::look(&login.parse().unwrap(), true, &paths).unwrap();

        let departure = look(first);
        assert_eq!(departure.changes(&paths).len(), 1, "{departure:?}");
        departure.carry_out(&paths).await.unwrap();
        let left: Vec<_> = Known::all(&paths.sessions);
        assert!(left.len() == 1 && left[0].name.as_str() == "heron");

        let departure = look(second);
        assert_eq!(departure.changes(&paths).len(), 2, "{departure:?}");
        departure.carry_out(&paths).await.unwrap();
        assert!(Known::all(&paths.sessions).is_empty());
        assert_eq!(std::fs::read(&paths.user_config).unwrap(), b"Host a\n");
        assert!(look(second).changes(&paths).is_empty());
    }
}
