//! A session's node as ssh is told of it.

use super::error::Error;
use super::quote::command_line;
use super::word::{Alias, HostName, PlainPath, UserName};
use crate::process::Program;

/// The node's own sshd, the second hop of reach `jump`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name, by which the user's ssh configuration may know it.
    pub name: HostName,
    /// What to connect to.
    pub address: HostName,
    /// Its port.
    pub port: u16,
    /// The user there.
    pub user: UserName,
    /// The name of its pinned keys.
    pub host_key_alias: Alias,
    /// The file that holds them.
    pub known_hosts: PlainPath,
}

impl Node {
    /// sshd's port on a node.
    const PORT: u16 = 22;

    /// The node of a session, as the cluster tells of it: by its address where it is known, since
    /// another machine's names may differ.
    ///
    /// # Errors
    /// [`Error::Word`] for words that may not stand in a command of ssh.
    pub fn of_session(
        name: &str,
        address: Option<std::net::IpAddr>,
        user: &str,
        host_key_alias: Alias,
        known_hosts: PlainPath,
    ) -> Result<Self, Error> {
        let name: HostName = name.parse()?;
        // A node may know itself by a loopback address, as Debian's /etc/hosts has it.
        let address = address.filter(|ip| !ip.is_loopback());
        Ok(Self {
            address: address.map_or_else(|| name.clone(), HostName::from),
            name,
            port: Self::PORT,
            user: user.parse()?,
            host_key_alias,
            known_hosts,
        })
    }

    /// The words that name it to ssh: through what the line `proxy` runs, or from here.
    pub(super) fn arguments(&self, proxy: Option<&str>) -> Vec<String> {
        let mut settings = vec![
            format!("HostName={}", self.address),
            format!("HostKeyAlias={}", self.host_key_alias),
            format!("UserKnownHostsFile={}", self.known_hosts.quoted()),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            "CheckHostIP=no".to_owned(),
            "UpdateHostKeys=no".to_owned(),
            "VerifyHostKeyDNS=no".to_owned(),
        ];
        settings.push(format!("ProxyCommand={}", proxy.unwrap_or("none")));
        let settings = settings.into_iter().flat_map(|s| ["-o".to_owned(), s]);
        let port = ["-p".to_owned(), self.port.to_string()];
        let user = ["-l".to_owned(), self.user.to_string()];
        let host = ["--".to_owned(), self.name.to_string()];
        settings.chain(port).chain(user).chain(host).collect()
    }
}

/// What runs `words` on a node by this machine's own ssh client, asking nobody: the way on from a
/// login node. Its keys must be the pinned ones, where any are; else those that the user or the
/// site knows.
///
/// # Errors
/// [`Error::Word`] for words that no shell can be told.
pub fn on_node(node: &Node, is_pinned: bool, words: &[String]) -> Result<Program, Error> {
    let settings = [
        "BatchMode=yes",
        "ClearAllForwardings=yes",
        "ForwardAgent=no",
        "ForwardX11=no",
        "ConnectTimeout=20",
        // What would stay in the background would hold our pipes open.
        "ControlPath=none",
        "PermitLocalCommand=no",
        "RemoteCommand=none",
        "ServerAliveInterval=15",
        "ServerAliveCountMax=3",
    ];
    let ssh = settings
        .iter()
        .fold(Program::new("ssh").arg("-T"), |ssh, setting| {
            ssh.args(["-o", setting])
        });
    let to = match is_pinned {
        true => node.arguments(None),
        false => {
            let user = ["-l".to_owned(), node.user.to_string()];
            let host = ["--".to_owned(), node.name.to_string()];
            [user, host].concat()
        }
    };
    Ok(ssh.args(to).arg(command_line(words)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::DRIVE;

    #[test]
    fn login_goes_on_with_pinned_keys_and_asks_nobody() {
        let node = Node {
            name: "node1".parse().unwrap(),
            address: "10.0.0.7".parse().unwrap(),
            port: 22,
            user: "alice".parse().unwrap(),
            host_key_alias: "qdebug-node-node1".parse().unwrap(),
            known_hosts: PlainPath::new(format!("{DRIVE}/tmp/a b")).unwrap(),
        };
        let words = ["/opt/q d".to_owned(), "relay".to_owned()];
        let shown = |is_pinned| on_node(&node, is_pinned, &words).unwrap().shown();
        let pinned = shown(true);
        for part in [
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "HostKeyAlias=qdebug-node-node1",
            "HostName=10.0.0.7",
            " -- node1 ",
        ] {
            assert!(pinned.contains(part), "no {part:?} in {pinned}");
        }
        assert!(pinned.ends_with("relay'"), "{pinned}");
        assert!(!shown(false).contains("HostKey"), "{}", shown(false));
    }
}
