//! What this laptop knows, as ssh configuration and known_hosts; and the sweeping of both.

use super::cluster::Cluster;
use super::error::Error;
use super::known::Known;
use super::opening;
use super::paths::Paths;
use super::waiting::NO_SUCH_SESSION;
use crate::session::Status;
use crate::ssh::config_file::{self, HostEntry};
use crate::ssh::keys::PublicKey;
use crate::ssh::known_hosts::{self, KnownHost};

/// Writes our own two files from all that is remembered.
pub(super) async fn publish(paths: &Paths) -> Result<(), Error> {
    config_file::write_own(&paths.ssh_config, &paths.known_hosts, || {
        let (mut entries, mut pins) = (Vec::new(), Vec::new());
        for known in Known::all(&paths.sessions) {
            match rendered(&known, paths) {
                Ok((entry, hosts)) => {
                    entries.push(entry);
                    pins.extend(hosts);
                }
                Err(error) => tracing::warn!(alias = known.alias, %error, "passed over"),
            }
        }
        Ok((config_file::render(&entries), known_hosts::render(&pins)))
    })
    .await
}

/// One session's part of both files, each word of the cluster checked.
pub(super) fn rendered(known: &Known, paths: &Paths) -> Result<(HostEntry, Vec<KnownHost>), Error> {
    let alias = known.host_key_alias()?;
    let entry = HostEntry {
        alias: known.alias.parse()?,
        user: known.details.user.parse()?,
        port: known.port,
        qdebug: paths.qdebug.clone(),
        proxy: known.alias.parse()?,
        identity: paths.identity.clone(),
        known_hosts: paths.known_hosts.clone(),
        host_key_alias: alias.clone(),
    };
    let key: PublicKey = known.details.host_key.parse()?;
    let mut pins = vec![KnownHost { alias, key }];
    let node = known.node_key_alias()?;
    for line in &known.details.node_host_keys {
        // Algorithms come and go: one key that is not understood is no reason to trust none.
        match line.parse() {
            Ok(key) => pins.push(KnownHost {
                alias: node.clone(),
                key,
            }),
            Err(error) => tracing::warn!(%error, "passed over a host key of the node"),
        }
    }
    Ok((entry, pins))
}

/// Forgets the sessions of this cluster that are over, what IDEs were told of them too; their aliases.
///
/// # Errors
/// When the cluster cannot be asked, or our files not be written.
pub async fn sweep(cluster: &Cluster, paths: &Paths) -> Result<Vec<String>, Error> {
    let place = cluster.place();
    let here = |known: &Known| known.place.is_same(&place);
    // Read before the cluster is asked: what another connect adds meanwhile is not in the answer, and
    // is not over.
    let known: Vec<Known> = Known::all(&paths.sessions)
        .into_iter()
        .filter(here)
        .collect();
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let listed = cluster.list(false).await?;
    let mut swept = Vec::new();
    for known in known {
        let is_over = match listed.iter().find(|status| status.token == known.token) {
            Some(status) => status.state.is_final(),
            // One whose files cannot be read just now is not listed either.
            None => is_gone(&known, &cluster.status(known.name.as_str()).await),
        };
        if is_over && known.forget(&paths.sessions) {
            swept.push(known.alias);
        }
    }
    if !swept.is_empty() {
        publish(paths).await?;
        opening::sweep(paths, &swept).await;
    }
    Ok(swept)
}

/// Whether this answer about a session's name says that the session is over.
fn is_gone(known: &Known, answer: &Result<Status, Error>) -> bool {
    match answer {
        Ok(status) => status.token != known.token || status.state.is_final(),
        Err(Error::Cluster { code, .. }) => *code == NO_SUCH_SESSION,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::known::Place;
    use super::super::known::tests::{HOST_KEY, status};
    use super::super::paths::tests::paths;
    use super::*;
    use crate::session::Standing;

    fn known() -> Known {
        Known::new(&status("otter", '1'), Place::Here, &[]).unwrap()
    }

    #[test]
    fn a_session_becomes_an_entry_and_its_pins() {
        let (entry, pins) = rendered(&known(), &paths()).unwrap();
        assert_eq!(entry.host_key_alias.as_ref(), "qdebug-otter-11111111");
        let text = known_hosts::render(&pins);
        assert!(
            text.contains(&format!("qdebug-otter-11111111 {HOST_KEY}\n")),
            "{text}"
        );
        assert!(text.contains("qdebug-node-node1-"), "{text}");
    }

    #[test]
    fn a_hostile_key_or_user_is_not_written() {
        let mut known = known();
        known.details.host_key = format!("{HOST_KEY}\n* {HOST_KEY}");
        assert!(rendered(&known, &paths()).is_err());
        known.details.host_key = HOST_KEY.into();
        known.details.user = "alice\n    ProxyCommand rm".into();
        assert!(rendered(&known, &paths()).is_err());
        known.details.user = "alice".into();
        known.details.node_host_keys = vec![format!("x\n* {HOST_KEY}")];
        assert_eq!(rendered(&known, &paths()).unwrap().1.len(), 1);
    }

    #[test]
    fn what_is_over_or_gone_is_swept_and_no_other() {
        let (known, mine, other) = (known(), status("otter", '1'), status("otter", '2'));
        assert!(!is_gone(&known, &Ok(mine.clone())));
        assert!(is_gone(&known, &Ok(other)));
        let ended = Status {
            state: Standing::Ended,
            ..mine.clone()
        };
        assert!(is_gone(&known, &Ok(ended)));
        let unsure = Status {
            state: Standing::Unknown,
            ..mine
        };
        assert!(!is_gone(&known, &Ok(unsure)));
        let answer = |code| {
            let message = String::new();
            Err(Error::Cluster { code, message })
        };
        assert!(is_gone(&known, &answer(NO_SUCH_SESSION)));
        assert!(!is_gone(&known, &answer(1)), "its files cannot be read");
    }
}
