//! How sessions are reached: the order in which a laptop tries the ways, and where on a node a
//! session's port is published.

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Deserializer, de};

use crate::text::nearest;

/// The words of `reach`, in the order that is built in.
pub const WAYS: [&str; 4] = ["jump", "nested", "port", "exec"];

/// The longest name of a network interface, in bytes (IFNAMSIZ without its end).
const INTERFACE_LIMIT: usize = 15;

/// `reach`: some of [`WAYS`], each once.
pub(super) fn ways<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    let words = Vec::<String>::deserialize(deserializer)?;
    let known = WAYS.join(", ");
    if words.is_empty() {
        return Err(de::Error::custom(format!(
            "name at least one way of {known}; without the key all are tried"
        )));
    }
    for (at, word) in words.iter().enumerate() {
        if !WAYS.contains(&word.as_str()) {
            let meant = nearest(word, WAYS).map(|way| format!("; did you mean {way}?"));
            return Err(de::Error::custom(format!(
                "{word:?} is no way to a session; known are {known}{}",
                meant.unwrap_or_default()
            )));
        }
        if words[..at].contains(word) {
            return Err(de::Error::custom(format!(
                "{word} stands there twice; name each way once"
            )));
        }
    }
    Ok(Some(words))
}

/// `publish`: on which address of a node a session's port is published beside its loopback.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Publish {
    /// On none.
    #[default]
    Loopback,
    /// On the one from which the node's packets to the host of the submit go.
    Login,
    /// On the node's one in this network.
    Network {
        /// Its first address.
        address: Ipv4Addr,
        /// How many bits of it count, 1 to 32.
        prefix: u8,
    },
    /// On that of this interface.
    Interface(String),
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("loopback"),
            Self::Login => f.write_str("login"),
            Self::Network { address, prefix } => write!(f, "{address}/{prefix}"),
            Self::Interface(name) => f.write_str(name),
        }
    }
}

/// What a text of `publish` means.
fn publish_of(text: &str) -> Result<Publish, String> {
    let write = "write \"login\" (the address that leads to the login node), a network such as \
                 \"10.0.0.0/8\", the name of an interface, or \"loopback\"";
    match text {
        "loopback" => return Ok(Publish::Loopback),
        "login" => return Ok(Publish::Login),
        "*" | "all" | "any" => return Err(format!("never all addresses of a node; {write}")),
        _ => {}
    }
    if text.contains('/') || text.starts_with(|c: char| c.is_ascii_digit()) {
        let bad = || format!("{text:?} is no IPv4 network; {write}");
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let address: Ipv4Addr = address.parse().map_err(|_| bad())?;
        let prefix: u8 = prefix.parse().map_err(|_| bad())?;
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32)));
        return match mask.filter(|_| (1..=32).contains(&prefix)) {
            Some(mask) => Ok(Publish::Network {
                address: (u32::from(address) & mask).into(),
                prefix,
            }),
            None if prefix == 0 => Err(format!("never all addresses of a node; {write}")),
            None => Err(bad()),
        };
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    match (1..=INTERFACE_LIMIT).contains(&text.len()) && text.chars().all(plain) {
        true => Ok(Publish::Interface(text.to_owned())),
        false => Err(format!("{text:?} is no name of an interface; {write}")),
    }
}

/// A value of `publish`.
pub(super) fn publish<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Publish>, D::Error> {
    let text = String::deserialize(deserializer)?;
    publish_of(&text).map(Some).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(address: [u8; 4], prefix: u8) -> Publish {
        let address = address.into();
        Publish::Network { address, prefix }
    }

    #[test]
    fn a_site_names_one_address_and_never_all() {
        for (text, meant) in [
            ("loopback", Publish::Loopback),
            ("login", Publish::Login),
            ("10.0.0.0/8", network([10, 0, 0, 0], 8)),
            ("10.1.2.3/16", network([10, 1, 0, 0], 16)),
            ("10.1.2.3/32", network([10, 1, 2, 3], 32)),
            ("ib0", Publish::Interface("ib0".to_owned())),
            ("eth0.100", Publish::Interface("eth0.100".to_owned())),
        ] {
            assert_eq!(publish_of(text).unwrap(), meant, "{text}");
        }
        for every in ["0.0.0.0/0", "*", "all", "any", "10.0.0.0/0"] {
            let reason = publish_of(every).unwrap_err();
            assert!(reason.starts_with("never all addresses"), "{reason}");
        }
        for odd in [
            "",
            "0.0.0.0",
            "10.0.0.7",
            "10.0.0.0/33",
            "10.0.0/8",
            "fd00::/8",
            "10.0.0.0/-1",
            "a b",
            "eth0\n",
            "a-name-much-too-long",
            "../x",
            "1eth",
        ] {
            let reason = publish_of(odd).unwrap_err();
            assert!(reason.contains("\"login\""), "{odd:?}: {reason}");
        }
    }

    proptest! {
        #[test]
        fn a_network_is_read_as_it_is_written(address: u32, prefix in 1_u8..=32) {
            let text = format!("{}/{prefix}", Ipv4Addr::from(address));
            let read = publish_of(&text).unwrap();
            prop_assert_eq!(publish_of(&read.to_string()).unwrap(), read);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}|[0-9./]{0,20}") {
            let _ = publish_of(&text);
        }
    }
}
