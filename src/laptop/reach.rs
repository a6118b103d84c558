//! Which way leads to a session that is ready.
//!
//! What the cluster said of it is checked here, before any of it comes near ssh.

use std::sync::Arc;

use super::error::Error;
use super::known::{Known, Place, Reach};
use super::paths::Paths;
use crate::ssh::{self, Client, Destination, Node, PipeCommand, Prompt, Route, Tunnel};

/// The ways to try, in order; the one that worked last comes first.
pub(super) fn routes(known: &Known, paths: &Paths) -> Result<Vec<(Reach, Route)>, Error> {
    let login: Option<Destination> = match &known.place {
        Place::Here => None,
        Place::Login { login, .. } => Some(login.parse()?),
    };
    let node = node(known, paths)?;
    let is_local = known.scheduler == "local";
    let mut routes = Vec::new();
    if is_local {
        let direct = match &login {
            None => Route::Here,
            Some(login) => Route::Login(login.clone()),
        };
        routes.push((Reach::Direct, direct));
    }
    // A local session behind a name that stands for several login nodes may be on another one.
    if (!is_local || login.is_some()) && !known.details.node_host_keys.is_empty() {
        let (login, node) = (login.clone(), node.clone());
        routes.push((Reach::Jump, Route::Jump { login, node }));
    }
    if let (Some(login), Place::Login { qdebug, .. }) = (login, &known.place) {
        let is_slurm = known.scheduler == "slurm";
        let relayed = [Some(Reach::Nested), is_slurm.then_some(Reach::Exec)];
        for reach in relayed.into_iter().flatten() {
            let by = format!("--by={reach}");
            let words = ["pipe", &by, "--", known.name.as_str()];
            let command = PipeCommand {
                qdebug: qdebug.clone(),
                words: words.map(str::to_owned).into(),
                node: node.name.clone(),
            };
            let login = login.clone();
            routes.push((reach, Route::Pipe { login, command }));
        }
    }
    routes.sort_by_key(|(reach, _)| Some(*reach) != known.reach);
    Ok(routes)
}

fn node(known: &Known, paths: &Paths) -> Result<Node, Error> {
    let details = &known.details;
    Ok(Node::of_session(
        &details.node,
        details.address,
        &details.user,
        known.node_key_alias()?,
        paths.known_hosts.clone(),
    )?)
}

/// Finds a way that the session's sshd answers through.
///
/// A person is asked for nothing as long as a way may be found without; then again by those that
/// would have asked.
pub(super) async fn reach(
    client: &Client,
    known: &Known,
    paths: &Paths,
    prompt: Prompt,
) -> Result<(Reach, Arc<Tunnel>), Error> {
    let routes = routes(known, paths)?;
    let (mut tried, mut asking) = (Vec::new(), Vec::new());
    for (reach, route) in &routes {
        let tunnel = tunnel(client, known, route.clone(), prompt);
        tunnel.be_quiet(true);
        match tunnel.probe().await {
            Ok(banner) => {
                tracing::debug!(%reach, banner, "the session answers");
                tunnel.be_quiet(false);
                return Ok((*reach, tunnel));
            }
            Err(error) => {
                let would_ask = matches!(route, Route::Jump { .. })
                    && matches!(error, ssh::Error::Authentication { asked: false, .. });
                if would_ask && prompt == Prompt::Terminal {
                    asking.push((*reach, route.clone()));
                }
                tried.push((*reach, error));
            }
        }
    }
    for (reach, route) in asking {
        let tunnel = tunnel(client, known, route, prompt);
        match tunnel.probe().await {
            Ok(_) => return Ok((reach, tunnel)),
            Err(error) => {
                tried.retain(|(other, _)| *other != reach);
                tried.push((reach, error));
            }
        }
    }
    let mut reasons: Vec<String> = tried
        .iter()
        .map(|(reach, error)| format!("by {reach}: {error}"))
        .collect();
    let is_tried = |wanted: Reach| routes.iter().any(|(reach, _)| *reach == wanted);
    if known.scheduler != "local" && !is_tried(Reach::Jump) {
        let untold = "its node told no host key of its own sshd, so it cannot be trusted";
        reasons.push(format!("by {}: {untold}", Reach::Jump));
    }
    // A key that does not match outweighs whatever else was wrong.
    let is_key = |(_, error): &(Reach, ssh::Error)| matches!(error, ssh::Error::HostKey { .. });
    let at = tried.iter().position(is_key);
    let source = match at {
        Some(at) => Some(tried.swap_remove(at)),
        None => tried.pop(),
    };
    Err(Error::NoReach {
        name: known.name.to_string(),
        tried: reasons,
        source: source.map(|(_, error)| Box::new(error)),
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
    Ok(tunnel(client, known, route, prompt))
}

fn tunnel(client: &Client, known: &Known, route: Route, prompt: Prompt) -> Arc<Tunnel> {
    let qdebug = match &known.place {
        Place::Here => None,
        Place::Login { qdebug, .. } => Some(qdebug.as_str()),
    };
    Tunnel::by(client.clone(), route, known.details.port, prompt, qdebug)
}

#[cfg(unix)]
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
            (Reach::Nested, Route::Pipe { login, command }),
            (Reach::Exec, _),
        ] = routes.as_slice()
        else {
            panic!("{routes:?}");
        };
        assert_eq!(login.to_string(), "alice@login");
        assert_eq!(command.words, ["pipe", "--by=nested", "--", "otter"]);
        assert_eq!(node.address.as_ref(), "10.0.0.7");
        known.details.address = Some("127.0.1.1".parse().unwrap());
        let Ok(node) = node_of(&known) else { panic!() };
        assert_eq!(node.address.as_ref(), "node1");
        known.details.node_host_keys.clear();
        assert_eq!(ways(&known), [Reach::Nested, Reach::Exec]);
        known.scheduler = "openpbs".into();
        assert_eq!(ways(&known), [Reach::Nested]);
    }

    fn node_of(known: &Known) -> Result<Node, Error> {
        node(known, &paths())
    }

    #[test]
    fn a_local_session_is_a_port_of_its_machine() {
        assert_eq!(ways(&known("local", Place::Here)), [Reach::Direct]);
        let mut there = known("local", login());
        assert_eq!(ways(&there), [Reach::Direct, Reach::Jump, Reach::Nested]);
        there.reach = Some(Reach::Nested);
        assert_eq!(ways(&there), [Reach::Nested, Reach::Direct, Reach::Jump]);
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
