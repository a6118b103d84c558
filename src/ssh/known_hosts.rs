//! qdebug's own known_hosts file: the pinned keys of nodes and containers, by alias.
//!
//! The keys come through the login hop, which is authenticated. The user's own file is never
//! touched, and ssh is told to look into no other, so a wrong key cannot be talked away.

use super::keys::PublicKey;
use super::word::Alias;

/// One pinned key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownHost {
    /// The `HostKeyAlias` it is looked up by.
    pub alias: Alias,
    /// The key.
    pub key: PublicKey,
}

/// The file's text: sorted, each line once.
pub fn render(hosts: &[KnownHost]) -> String {
    let mut lines: Vec<String> = hosts
        .iter()
        .map(|KnownHost { alias, key }| format!("{alias} {key}\n"))
        .collect();
    lines.sort();
    lines.dedup();
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::super::keys::tests::KEY;
    use super::*;

    #[test]
    fn lines_are_sorted_and_each_once() {
        let host = |alias: &str| KnownHost {
            alias: alias.parse().unwrap(),
            key: KEY.parse().unwrap(),
        };
        let text = render(&[host("qdebug-b"), host("qdebug-a"), host("qdebug-b")]);
        assert_eq!(text, format!("qdebug-a {KEY}\nqdebug-b {KEY}\n"));
    }
}
