//! What hand-made tunnels leave in the user's known_hosts: the keys of their containers under
//! 127.0.0.1, where the next container then "has changed". qdebug's own sessions have names of their
//! own.

use std::path::Path;

/// What is in a known_hosts file of this machine's own ports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HandMade {
    /// Each once: `[127.0.0.1]:2222`.
    pub hosts: Vec<String>,
    /// How many names are hashed, so that nobody can tell whose they are.
    pub hashed: usize,
}

impl HandMade {
    /// Of a file; one that cannot be read has nothing.
    pub fn of_file(path: &Path) -> Self {
        let text = std::fs::read(path).unwrap_or_default();
        Self::read(&String::from_utf8_lossy(&text))
    }

    fn read(text: &str) -> Self {
        let of_own_port = |host: &&str| {
            let port = host
                .strip_prefix("[127.0.0.1]:")
                .or_else(|| host.strip_prefix("[localhost]:"));
            port.is_some_and(|port| port.parse::<u16>().is_ok())
        };
        let mut hosts: Vec<String> = text
            .lines()
            .filter_map(|line| line.split_ascii_whitespace().next())
            .flat_map(|names| names.split(','))
            .filter(of_own_port)
            .map(str::to_owned)
            .collect();
        hosts.sort();
        hosts.dedup();
        Self {
            hosts,
            hashed: text.lines().filter(|line| line.starts_with("|1|")).count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_hand_made_tunnels_are_found() {
        let text = "login ssh-ed25519 AAAA\n[127.0.0.1]:2222 ssh-rsa AAAA\n\
                    [localhost]:2222,[127.0.0.1]:2222 ssh-ed25519 AAAA\n\
                    [127.0.0.1]:';id' ssh-rsa A\n[login]:22 ssh-rsa AAAA\n|1|a|b ssh-rsa A\n";
        let found = HandMade::read(text);
        assert_eq!(found.hosts, ["[127.0.0.1]:2222", "[localhost]:2222"]);
        assert_eq!(found.hashed, 1);
        let none = HandMade::of_file(Path::new("/proc/no/such"));
        assert_eq!(none, HandMade::default());
    }
}
