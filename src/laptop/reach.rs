//! Which way leads to a session that is ready.
//!
//! What the cluster said of it is checked here, before any of it comes near ssh.

use std::sync::Arc;

use super::error::Error;
use super::known::{Known, Place, Reach};
use super::paths::Paths;
use crate::ssh::{Client, Destination, HostName, Node, Prompt, Route, Tunnel};

/// sshd's port on a node.
const NODE_PORT: u16 = 22;

/// The ways to try, in order; the one that worked last comes first.
pub(super) fn routes(known: &Known, paths: &Paths) -> Result<Vec<(Reach, Route)>, Error> {
    let login: Option<Destination> = match &known.place {
        Place::Here => None,
        Place::Login { login, .. } => Some(login.parse()?),
    };
    let direct = match &login {
        None => Route::Here,
        Some(login) => Route::Login(login.clone()),
    };
    let jump = Route::Jump {
        login,
        node: node(known, paths)?,
    };
    let is_local = known.scheduler == "local";
    let mut routes = Vec::new();
    if is_local {
        routes.push((Reach::Direct, direct));
    }
    // A local session behind a name that stands for several login nodes may be on another one.
    let elsewhere = !is_local || known.place != Place::Here;
    if elsewhere && !known.details.node_host_keys.is_empty() {
        routes.push((Reach::Jump, jump));
    }
    routes.sort_by_key(|(reach, _)| Some(*reach) != known.reach);
    Ok(routes)
}

fn node(known: &Known, paths: &Paths) -> Result<Node, Error> {
    let details = &known.details;
    let name: HostName = details.node.parse()?;
    // A node may know itself by a loopback address, as Debian's /etc/hosts has it.
    let address = details.address.filter(|ip| !ip.is_loopback());
    Ok(Node {
        address: address.map_or_else(|| name.clone(), HostName::from),
        name,
        port: NODE_PORT,
        user: details.user.parse()?,
        host_key_alias: known.node_key_alias()?,
        known_hosts: paths.known_hosts.clone(),
    })
}

/// Finds a way that the session's sshd answers through.
pub(super) async fn reach(
    client: &Client,
    known: &Known,
    paths: &Paths,
    prompt: Prompt,
) -> Result<(Reach, Arc<Tunnel>), Error> {
    let mut tried = Vec::new();
    let mut last = None;
    for (reach, route) in routes(known, paths)? {
        let tunnel = Tunnel::new(client.clone(), route, known.details.port, prompt);
        match tunnel.probe().await {
            Ok(banner) => {
                tracing::debug!(%reach, banner, "the session answers");
                return Ok((reach, tunnel));
            }
            Err(error) => {
                tried.push(format!("by {reach}: {error}"));
                last = Some(error);
            }
        }
    }
    if tried.is_empty() {
        tried.push("its node told no host key of its own sshd, so it cannot be trusted".to_owned());
    }
    Err(Error::NoReach {
        name: known.name.to_string(),
        tried,
        source: last.map(Box::new),
    })
}

/// The tunnel of a session that was reached before; nothing is dialled yet.
pub(super) fn again(
    client: &Client,
    known: &Known,
    paths: &Paths,
    prompt: Prompt,
) -> Result<Arc<Tunnel>, Error> {
    let route = routes(known, paths)?.into_iter().next();
    let (_, route) = route.ok_or_else(|| Error::NoReach {
        name: known.name.to_string(),
        tried: vec!["nothing is known to try".to_owned()],
        source: None,
    })?;
    let port = known.details.port;
    Ok(Tunnel::new(client.clone(), route, port, prompt))
}

#[cfg(test)]
mod tests {
    use super::super::known::tests::status;
    use super::super::paths::tests::paths;
    use super::*;

    fn known(scheduler: &str, place: Place) -> Known {
        let mut status = status("otter", '1');
        status.cluster.scheduler = scheduler.into();
        Known::new(&status, place, &[]).unwrap()
    }

    fn login() -> Place {
        Place::Login {
            login: "alice@login".into(),
            qdebug: "/q".into(),
        }
    }

    fn ways(known: &Known) -> Vec<Reach> {
        let routes = routes(known, &paths()).unwrap();
        routes.into_iter().map(|(reach, _)| reach).collect()
    }

    #[test]
    fn a_batch_session_is_reached_through_its_node() {
        let mut known = known("slurm", login());
        let routes = routes(&known, &paths()).unwrap();
        let [
            (
                Reach::Jump,
                Route::Jump {
                    login: Some(_),
                    node,
                },
            ),
        ] = routes.as_slice()
        else {
            panic!("{routes:?}");
        };
        assert_eq!(node.address.as_ref(), "10.0.0.7");
        known.details.address = Some("127.0.1.1".parse().unwrap());
        let Ok(node) = node_of(&known) else { panic!() };
        assert_eq!(node.address.as_ref(), "node1");
        known.details.node_host_keys.clear();
        assert_eq!(ways(&known), []);
    }

    fn node_of(known: &Known) -> Result<Node, Error> {
        node(known, &paths())
    }

    #[test]
    fn a_local_session_is_a_port_of_its_machine() {
        assert_eq!(ways(&known("local", Place::Here)), [Reach::Direct]);
        let mut there = known("local", login());
        assert_eq!(ways(&there), [Reach::Direct, Reach::Jump]);
        there.reach = Some(Reach::Jump);
        assert_eq!(ways(&there), [Reach::Jump, Reach::Direct]);
    }

    #[test]
    fn hostile_details_stop_here() {
        for (node, user) in [
            ("-oProxyCommand=x", "alice"),
            ("node1", "-lroot"),
            ("node1\nHost *", "alice"),
            ("node1", "a b"),
            ("$(id)", "alice"),
        ] {
            let mut known = known("slurm", login());
            known.details.node = node.into();
            known.details.user = user.into();
            assert!(routes(&known, &paths()).is_err(), "{node} {user}");
        }
    }
}
