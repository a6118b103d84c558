//! The one address of this node on which a session's port is published beside the loopback, where
//! the site chose so.
//!
//! Problem: where users may not log in to nodes, login reaches a session only by a port of the node
//! itself, and one that is open on all of its interfaces is open to networks nobody thought of.
//! Solution: a single address of this node's own, found out by what the site says; where none or
//! more than one fits, the session stays on the loopback and says why.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// How long resolving the name of the login node may take.
const RESOLVE_LIMIT: Duration = Duration::from_secs(3);

/// Variables in which a scheduler tells a job where it was submitted: of OpenPBS and Torque, and of
/// Slurm.
const SUBMIT_HOST: [&str; 2] = ["PBS_O_HOST", "SLURM_SUBMIT_HOST"];

/// Which address it is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Publish {
    /// None.
    #[default]
    Loopback,
    /// That from which the packets to the host of the submit go.
    Login,
    /// That in this network: its first address, and how many bits of it count.
    Network(Ipv4Addr, u8),
    /// That of the interface of this name.
    Interface(String),
}

/// An IPv4 address of this machine, with its interface.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Own {
    interface: String,
    address: Ipv4Addr,
}

/// The address that is meant; `None` for none.
///
/// # Errors
/// In words for the user, when no single address can be meant.
pub async fn find(
    publish: &Publish,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Option<Ipv4Addr>, String> {
    if *publish == Publish::Loopback {
        return Ok(None);
    }
    let host = SUBMIT_HOST.iter().find_map(|name| lookup(name));
    let to_login = match &host {
        Some(host) => local_address_to(host).await,
        None => Err("the job does not tell from where it was submitted".to_owned()),
    };
    choose(publish, &own_addresses()?, to_login).map(Some)
}

/// The address among the node's own; `to_login` is that of the way to the login node.
fn choose(
    publish: &Publish,
    own: &[Own],
    to_login: Result<Ipv4Addr, String>,
) -> Result<Ipv4Addr, String> {
    let (fits, what): (Vec<&Own>, String) = match publish {
        Publish::Loopback => return Err("it is not to be published".to_owned()),
        Publish::Login => {
            let address = to_login.map_err(|why| format!("no way to login is known: {why}"))?;
            let is_own = own.iter().any(|own| own.address == address);
            return match is_own && is_usable(address) {
                true => Ok(address),
                // A submit on the node itself.
                false => Err(format!("the way to login begins at {address}")),
            };
        }
        Publish::Network(network, prefix) => {
            let bits = 32_u32.saturating_sub(u32::from(*prefix));
            let is_in = |address: Ipv4Addr| {
                let differ = u32::from(address) ^ u32::from(*network);
                differ.checked_shr(bits).unwrap_or(0) == 0
            };
            let fits = own.iter().filter(|own| is_in(own.address));
            (fits.collect(), format!("in {network}/{prefix}"))
        }
        Publish::Interface(name) => {
            let of = own.iter().filter(|own| own.interface == *name);
            // Others of the same interface are its aliases.
            (of.take(1).collect(), format!("of interface {name}"))
        }
    };
    let usable: Vec<&&Own> = fits.iter().filter(|own| is_usable(own.address)).collect();
    match usable.as_slice() {
        [] => Err(format!("this node has no address {what}")),
        [one] => Ok(one.address),
        several => {
            let preferred = to_login.ok();
            let preferred = several.iter().find(|own| Some(own.address) == preferred);
            preferred.map(|own| own.address).ok_or_else(|| {
                let named = several
                    .iter()
                    .map(|own| format!("{} of {}", own.address, own.interface));
                format!(
                    "this node has several addresses {what}: {}",
                    named.collect::<Vec<_>>().join(", ")
                )
            })
        }
    }
}

/// Whether another machine could connect to it, and to no more than it.
fn is_usable(address: Ipv4Addr) -> bool {
    !address.is_loopback()
        && !address.is_unspecified()
        && !address.is_broadcast()
        && !address.is_multicast()
}

/// The IPv4 addresses of this machine's interfaces that are up.
fn own_addresses() -> Result<Vec<Own>, String> {
    use nix::net::if_::InterfaceFlags;
    let all = nix::ifaddrs::getifaddrs()
        .map_err(|error| format!("the node's addresses cannot be listed: {error}"))?;
    let up = all.filter(|one| one.flags.contains(InterfaceFlags::IFF_UP));
    let own = up.filter_map(|one| {
        let address = one.address?.as_sockaddr_in()?.ip();
        Some(Own {
            interface: one.interface_name,
            address,
        })
    });
    Ok(own.collect())
}

/// From which address packets to that host go. Nothing is sent.
async fn local_address_to(host: &str) -> Result<Ipv4Addr, String> {
    let resolving = tokio::net::lookup_host((host, 22));
    let mut found = match tokio::time::timeout(RESOLVE_LIMIT, resolving).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(format!("{host} cannot be resolved: {error}")),
        Err(_) => return Err(format!("{host} cannot be resolved: no answer")),
    };
    let to = found.find(SocketAddr::is_ipv4);
    let to = to.ok_or_else(|| format!("{host} has no IPv4 address"))?;
    let local = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect(to)?;
        socket.local_addr()
    });
    match local {
        Ok(local) => match local.ip() {
            IpAddr::V4(address) => Ok(address),
            IpAddr::V6(address) => Err(format!("{host} is reached from {address}")),
        },
        Err(error) => Err(format!("there is no route to {host}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn own(all: &[(&str, [u8; 4])]) -> Vec<Own> {
        let own = all.iter().map(|(interface, address)| Own {
            interface: (*interface).to_owned(),
            address: (*address).into(),
        });
        own.collect()
    }

    fn node() -> Vec<Own> {
        own(&[
            ("lo", [127, 0, 0, 1]),
            ("eth0", [10, 0, 0, 7]),
            ("eth0", [10, 0, 0, 107]),
            ("ib0", [10, 8, 0, 7]),
            ("docker0", [172, 17, 0, 1]),
        ])
    }

    fn network(address: [u8; 4], prefix: u8) -> Publish {
        Publish::Network(address.into(), prefix)
    }

    #[test]
    fn one_address_is_found_or_the_reason_told() {
        let unknown = || Err("x".to_owned());
        let found = |publish: &Publish, to_login: Result<Ipv4Addr, String>| {
            choose(publish, &node(), to_login).map(|address| address.octets())
        };
        assert_eq!(
            found(&network([10, 8, 0, 0], 16), unknown()),
            Ok([10, 8, 0, 7])
        );
        assert_eq!(
            found(&Publish::Interface("eth0".to_owned()), unknown()),
            Ok([10, 0, 0, 7])
        );
        let to_login = || Ok([10, 8, 0, 7].into());
        assert_eq!(found(&Publish::Login, to_login()), Ok([10, 8, 0, 7]));
        // Of several the one that leads to login is meant.
        assert_eq!(
            found(&network([10, 0, 0, 0], 8), to_login()),
            Ok([10, 8, 0, 7])
        );
        for (publish, to_login, why) in [
            (
                network([10, 0, 0, 0], 8),
                unknown(),
                "several addresses in 10.0.0.0/8: 10.0.0.7",
            ),
            (
                network([192, 168, 0, 0], 16),
                unknown(),
                "no address in 192.168.0.0/16",
            ),
            (
                network([127, 0, 0, 0], 8),
                unknown(),
                "no address in 127.0.0.0/8",
            ),
            (
                Publish::Interface("eth1".to_owned()),
                unknown(),
                "no address of interface eth1",
            ),
            (
                Publish::Interface("lo".to_owned()),
                unknown(),
                "no address of interface lo",
            ),
            (Publish::Login, unknown(), "no way to login is known: x"),
            (
                Publish::Login,
                Ok(Ipv4Addr::LOCALHOST),
                "begins at 127.0.0.1",
            ),
            (
                Publish::Login,
                Ok([10, 0, 0, 9].into()),
                "begins at 10.0.0.9",
            ),
        ] {
            let told = found(&publish, to_login).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }

    proptest! {
        #[test]
        fn it_is_always_an_own_address_and_in_the_network(
            addresses in prop::collection::vec(any::<u32>(), 0..6),
            network: u32, prefix in 1_u8..=32, to_login: Option<u32>,
        ) {
            let own: Vec<Own> = addresses
                .iter()
                .map(|address| Own { interface: "x".to_owned(), address: (*address).into() })
                .collect();
            let to_login = to_login.map(Ipv4Addr::from).ok_or_else(String::new);
            if let Ok(address) = choose(&Publish::Network(network.into(), prefix), &own, to_login) {
                prop_assert!(own.iter().any(|own| own.address == address));
                prop_assert!(is_usable(address));
                let mask = u32::MAX << (32 - u32::from(prefix));
                prop_assert_eq!(u32::from(address) & mask, network & mask);
            }
        }
    }

    #[tokio::test]
    async fn this_machine_has_a_loopback_that_is_never_published() {
        let all = own_addresses().unwrap();
        assert!(
            all.iter().any(|own| own.address == Ipv4Addr::LOCALHOST),
            "{all:?}"
        );
        let here = |name: &str| (name == "PBS_O_HOST").then(|| "127.0.0.1".to_owned());
        let told = find(&Publish::Login, here).await.unwrap_err();
        assert!(told.contains("127.0.0.1"), "{told}");
        assert_eq!(find(&Publish::Loopback, here).await, Ok(None));
        let told = find(&Publish::Login, |_: &str| None).await.unwrap_err();
        assert!(told.contains("from where it was submitted"), "{told}");
    }
}
