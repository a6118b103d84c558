//! Which way leads to a session that is ready.
//!
//! What the cluster said of it is checked here, before any of it comes near ssh.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::error::Error;
use super::known::{Known, Place, Reach};
use super::paths::Paths;
use crate::ssh::{self, Client, Destination, Node, PipeCommand, Prompt, Route, Tunnel};

/// The ways to try, in order; the one that worked last comes first.
#[derive(Debug)]
struct Ways {
    routes: Vec<(Reach, Route)>,
    /// Those that were wanted and cannot be tried, and why.
    shut: Vec<(Reach, &'static str)>,
}

fn ways(known: &Known, paths: &Paths) -> Result<Ways, Error> {
    let login: Option<Destination> = match &known.place {
        Place::Here => None,
        Place::Login { login, .. } => Some(login.parse()?),
    };
    let node = node(known, paths)?;
    let is_local = known.scheduler == "local";
    // Of a local session the machine itself has the port. Behind a name that stands for several
    // login nodes it may be on another one.
    let wanted: &[Reach] = match (is_local, &login) {
        (true, None) => &[Reach::Direct],
        (true, Some(_)) => &[Reach::Direct, Reach::Jump, Reach::Nested],
        (false, _) => &known.order.ways,
    };
    let (mut routes, mut shut) = (Vec::new(), Vec::new());
    for reach in wanted {
        match route(*reach, known, login.as_ref(), &node) {
            Ok(route) => routes.push((*reach, route)),
            Err(why) => shut.push((*reach, why)),
        }
    }
    // What nobody asked for and the cluster does not have needs no word.
    let is_told = |reach: &Reach| *reach == Reach::Jump || known.order.chosen;
    shut.retain(|(reach, _)| !is_local && is_told(reach));
    routes.sort_by_key(|(reach, _)| Some(*reach) != known.reach);
    Ok(Ways { routes, shut })
}

/// One way to a session; else why there is none.
fn route(
    reach: Reach,
    known: &Known,
    login: Option<&Destination>,
    node: &Node,
) -> Result<Route, &'static str> {
    let login = || login.cloned();
    Ok(match reach {
        Reach::Direct => login().map_or(Route::Here, Route::Login),
        Reach::Jump if known.details.node_host_keys.is_empty() => {
            return Err("its node told no host key of its own sshd, so it cannot be trusted");
        }
        Reach::Jump => Route::Jump {
            login: login(),
            node: node.clone(),
        },
        Reach::Port => match known.details.published {
            Some(address) if is_a_nodes(address) => Route::Port {
                login: login(),
                address,
            },
            Some(_) => return Err("the address that its node told is none of a node"),
            None => return Err("its node publishes it on the loopback alone"),
        },
        Reach::Exec if known.scheduler != "slurm" => {
            return Err("its scheduler lets no step into a job from login");
        }
        Reach::Nested | Reach::Exec => {
            let (Some(login), Place::Login { qdebug, .. }) = (login(), &known.place) else {
                return Err("there is no login node in between");
            };
            let by = format!("--by={reach}");
            let words = ["pipe", &by, "--", known.name.as_str()];
            let command = PipeCommand {
                qdebug: qdebug.clone(),
                words: words.map(str::to_owned).into(),
                node: node.name.clone(),
            };
            Route::Pipe { login, command }
        }
    })
}

/// Whether an address can be that of one node. A loopback would be login's own.
fn is_a_nodes(address: IpAddr) -> bool {
    let mapped = address.to_canonical();
    let every = mapped == IpAddr::V4(Ipv4Addr::BROADCAST);
    !mapped.is_loopback() && !mapped.is_unspecified() && !mapped.is_multicast() && !every
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
    let Ways { routes, shut } = ways(known, paths)?;
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
    reasons.extend(shut.iter().map(|(reach, why)| format!("by {reach}: {why}")));
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
    let Ways { routes, shut } = ways(known, paths)?;
    let (_, route) = routes.into_iter().next().ok_or_else(|| Error::NoReach {
        name: known.name.to_string(),
        tried: shut
            .iter()
            .map(|(reach, why)| format!("by {reach}: {why}"))
            .collect(),
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
    use super::super::order::Order;
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

    fn tried(known: &Known) -> Vec<Reach> {
        let Ways { routes, .. } = ways(known, &paths()).unwrap();
        routes.into_iter().map(|(reach, _)| reach).collect()
    }

    fn shut(known: &Known) -> Vec<Reach> {
        let Ways { shut, .. } = ways(known, &paths()).unwrap();
        shut.into_iter().map(|(reach, _)| reach).collect()
    }

    #[test]
    fn a_batch_session_is_reached_through_its_node() {
        let mut known = known("slurm", login());
        let Ways { routes, .. } = ways(&known, &paths()).unwrap();
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
        assert_eq!(tried(&known), [Reach::Nested, Reach::Exec]);
        assert_eq!(shut(&known), [Reach::Jump]);
        known.scheduler = "openpbs".into();
        assert_eq!(tried(&known), [Reach::Nested]);
        assert_eq!(shut(&known), [Reach::Jump]);
    }

    #[test]
    fn the_sites_order_is_kept_and_what_led_there_last_comes_first() {
        let mut known = known("slurm", login());
        known.details.published = Some("10.0.0.7".parse().unwrap());
        let all = [Reach::Jump, Reach::Nested, Reach::Port, Reach::Exec];
        assert_eq!(tried(&known), all);
        known.order = Order::of_words(&["exec", "port", "jump"]);
        assert_eq!(tried(&known), [Reach::Exec, Reach::Port, Reach::Jump]);
        known.reach = Some(Reach::Jump);
        assert_eq!(tried(&known), [Reach::Jump, Reach::Exec, Reach::Port]);
        // What the site no longer wants is not tried for having led there once.
        known.reach = Some(Reach::Nested);
        assert_eq!(tried(&known), [Reach::Exec, Reach::Port, Reach::Jump]);
        known.scheduler = "torque".into();
        known.details.published = None;
        assert_eq!(tried(&known), [Reach::Jump]);
        assert_eq!(shut(&known), [Reach::Exec, Reach::Port]);
    }

    #[cfg(unix)]
    #[test]
    fn where_no_way_can_be_tried_each_says_why() {
        let mut known = known("torque", login());
        known.order = Order::of_words(&["port"]);
        let Err(Error::NoReach { tried, .. }) = again_of(&known) else {
            panic!();
        };
        assert_eq!(
            tried,
            ["by port: its node publishes it on the loopback alone"]
        );
    }

    #[cfg(unix)]
    fn again_of(known: &Known) -> Result<Arc<Tunnel>, Error> {
        let runtime = tempfile::tempdir().unwrap();
        let runtime = ssh::RuntimeDir::at(runtime.path().join("run")).unwrap();
        again(&Client::new(runtime), known, &paths(), Prompt::Never)
    }

    #[test]
    fn a_published_port_is_a_nodes_and_never_logins_own() {
        let mut known = known("openpbs", login());
        known.order = Order::of_words(&["port"]);
        let route = |known: &Known| ways(known, &paths()).unwrap().routes;
        known.details.published = Some("10.0.0.7".parse().unwrap());
        let routes = route(&known);
        let [
            (
                Reach::Port,
                Route::Port {
                    login: Some(_),
                    address,
                },
            ),
        ] = routes.as_slice()
        else {
            panic!("{routes:?}");
        };
        assert_eq!(address.to_string(), "10.0.0.7");
        for odd in [
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            known.details.published = Some(odd.parse().unwrap());
            assert!(tried(&known).is_empty(), "{odd}");
            assert_eq!(shut(&known), [Reach::Port], "{odd}");
        }
    }

    fn node_of(known: &Known) -> Result<Node, Error> {
        node(known, &paths())
    }

    #[test]
    fn a_local_session_is_a_port_of_its_machine() {
        assert_eq!(tried(&known("local", Place::Here)), [Reach::Direct]);
        let mut there = known("local", login());
        assert_eq!(tried(&there), [Reach::Direct, Reach::Jump, Reach::Nested]);
        there.reach = Some(Reach::Nested);
        assert_eq!(tried(&there), [Reach::Nested, Reach::Direct, Reach::Jump]);
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
            assert!(ways(&known, &paths()).is_err(), "{node} {user}");
        }
    }
}
