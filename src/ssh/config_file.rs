//! Our own ssh configuration, which `include` puts before the user's: written whole from what qdebug
//! knows, never edited.

use std::fmt::Write as _;
use std::time::Duration;

use super::error::Error;
use super::files::{self, Lock};
use super::word::{Alias, PlainPath, UserName};

/// How long a second qdebug that writes the same file is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// One host of our own file: a session's container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntry {
    /// What the user types after `ssh`.
    pub alias: Alias,
    /// The user to log in as.
    pub user: UserName,
    /// The listener's port on 127.0.0.1, for clients that do not know ProxyCommand.
    pub port: u16,
    /// This qdebug.
    pub qdebug: PlainPath,
    /// What `qdebug proxy` is told.
    pub proxy: Alias,
    /// The laptop's own key.
    pub identity: PlainPath,
    /// Our known_hosts file.
    pub known_hosts: PlainPath,
    /// The name of the pinned key there.
    pub host_key_alias: Alias,
}

/// The text of our own file.
pub fn render(entries: &[HostEntry]) -> String {
    let mut entries: Vec<&HostEntry> = entries.iter().collect();
    entries.sort_by(|a, b| a.alias.cmp(&b.alias));
    entries.dedup_by(|a, b| a.alias == b.alias);
    let mut text = "# Written by qdebug; changes here are lost.\n".to_owned();
    for entry in entries {
        text.push('\n');
        // Writing to a String cannot fail.
        let _ = write!(text, "{}", Rendered(entry));
    }
    text
}

struct Rendered<'a>(&'a HostEntry);

impl std::fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entry = self.0;
        writeln!(f, "Host {}", entry.alias)?;
        let identity = entry.identity.quoted();
        let known_hosts = entry.known_hosts.quoted();
        let proxy = format!("{} proxy {}", entry.qdebug.quoted(), entry.proxy);
        for (setting, value) in [
            ("HostName", "127.0.0.1"),
            ("Port", &entry.port.to_string()),
            ("User", entry.user.as_ref()),
            ("ProxyCommand", &proxy),
            ("IdentityFile", &identity),
            // An agent with many keys would use up the server's tries before ours is offered.
            ("IdentitiesOnly", "yes"),
            ("PreferredAuthentications", "publickey"),
            ("UserKnownHostsFile", &known_hosts),
            ("GlobalKnownHostsFile", "/dev/null"),
            ("HostKeyAlias", entry.host_key_alias.as_ref()),
            ("StrictHostKeyChecking", "yes"),
            ("CheckHostIP", "no"),
            ("UpdateHostKeys", "no"),
            // Many windows over one master run into MaxSessions and leak listeners.
            ("ControlMaster", "no"),
            ("ControlPath", "none"),
            ("ServerAliveInterval", "15"),
            ("ServerAliveCountMax", "4"),
        ] {
            writeln!(f, "    {setting} {value}")?;
        }
        Ok(())
    }
}

/// Writes our own files from what `make` gives while no other qdebug writes them: the
/// configuration and the known_hosts beside it.
///
/// # Errors
/// [`Error::File`], [`Error::Busy`], and what `make` returns.
pub async fn write_own<F, E>(own: &PlainPath, known_hosts: &PlainPath, make: F) -> Result<(), E>
where
    F: FnOnce() -> Result<(String, String), E>,
    E: From<Error>,
{
    if let Some(dir) = own.as_path().parent() {
        files::private_dir(dir)?;
    }
    let _lock = lock(own).await?;
    let (config, hosts) = make()?;
    for (path, text) in [(known_hosts, hosts), (own, config)] {
        if files::read(path.as_path())?.as_deref() != Some(text.as_bytes()) {
            files::replace(path.as_path(), text.as_bytes())?;
        }
    }
    Ok(())
}

/// Held while our configuration, or what includes it, is changed.
pub(super) async fn lock(own: &PlainPath) -> Result<Lock, Error> {
    let path = own.as_path().with_extension("lock");
    if let Some(dir) = path.parent() {
        files::private_dir(dir)?;
    }
    Lock::take(&path, PATIENCE).await?.ok_or(Error::Busy {
        host: own.to_string(),
        waited: PATIENCE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::DRIVE;
    #[cfg(unix)]
    use crate::process::Program;

    fn path(text: &str) -> PlainPath {
        PlainPath::new(format!("{DRIVE}{text}")).unwrap()
    }

    fn entry(alias: &str) -> HostEntry {
        HostEntry {
            alias: alias.parse().unwrap(),
            user: "alice".parse().unwrap(),
            port: 40022,
            qdebug: path("/opt/a b/qdebug"),
            proxy: alias.parse().unwrap(),
            identity: path("/home/ü/id"),
            known_hosts: path("/home/a b/known_hosts"),
            host_key_alias: "qdebug-otter-0123".parse().unwrap(),
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn entries_are_sorted_and_each_once() {
        let text = render(&[entry("qdebug-b"), entry("qdebug-a"), entry("qdebug-b")]);
        let hosts: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("Host "))
            .collect();
        assert_eq!(hosts, ["Host qdebug-a", "Host qdebug-b"]);
        let proxy = format!("    ProxyCommand \"{DRIVE}/opt/a b/qdebug\" proxy qdebug-a\n");
        assert!(text.contains(&proxy), "{text}");
    }

    /// OpenSSH itself reads what is written.
    #[cfg(unix)]
    #[test]
    fn ssh_understands_it() {
        let dir = tempfile::tempdir().unwrap();
        let (own, user) = (dir.path().join("a b.conf"), dir.path().join("config"));
        std::fs::write(&own, render(&[entry("qdebug-otter")])).unwrap();
        let theirs = "ControlMaster auto\nControlPath ~/x\nHost *\n User bob\n ProxyJump x\n";
        let all =
            super::super::include::with_include(theirs.as_bytes(), &PlainPath::new(own).unwrap());
        std::fs::write(&user, all).unwrap();
        let ask = |host: &str| {
            let program = Program::new("ssh").arg("-F").arg(&user).args(["-G", host]);
            block_on(program.output()).unwrap().stdout
        };
        let ours = ask("qdebug-otter");
        for line in [
            "user alice",
            "port 40022",
            "hostname 127.0.0.1",
            "controlmaster false",
            "hostkeyalias qdebug-otter-0123",
            "proxycommand \"/opt/a b/qdebug\" proxy qdebug-otter",
            "identityfile /home/ü/id",
            "userknownhostsfile /home/a b/known_hosts",
        ] {
            assert!(ours.contains(line), "{line} is not in\n{ours}");
        }
        assert!(!ours.contains("controlpath"), "{ours}");
        assert!(!ours.contains("proxyjump"), "{ours}");
        let other = ask("other");
        assert!(
            other.contains("user bob") && other.contains("proxyjump x"),
            "{other}"
        );
    }

    #[test]
    fn own_files_are_written_together() {
        let dir = tempfile::tempdir().unwrap();
        let own = PlainPath::new(dir.path().join("q/ssh_config")).unwrap();
        let hosts = PlainPath::new(dir.path().join("q/known_hosts")).unwrap();
        let make = || Ok::<_, Error>(("c".to_owned(), "h".to_owned()));
        block_on(write_own(&own, &hosts, make)).unwrap();
        assert_eq!(std::fs::read(own.as_path()).unwrap(), b"c");
        assert_eq!(std::fs::read(hosts.as_path()).unwrap(), b"h");
    }
}
