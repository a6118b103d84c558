//! The ssh configuration: one `Include` in the user's file, the rest in a file of our own.
//!
//! ssh takes the first value it finds for a setting, and an `Include` below a `Host` line counts
//! for that host alone. So the line goes to the very top of `~/.ssh/config`. Everything else there
//! is kept byte for byte. Our own file is written whole from what qdebug knows, never edited.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::Error;
use super::files::{self, Lock};
use super::word::{Alias, PlainPath, UserName};

/// What stands above our line in the user's file.
const COMMENT: &str =
    "# qdebug: sessions of `qdebug connect` (to undo, delete this and the next line)";

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

/// What would be done to the user's own file, to be shown before it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncludePlan {
    /// The user's file.
    pub path: PathBuf,
    /// The lines that would be put at its top.
    pub lines: String,
    /// Where the file as it is now would be kept; `None` when there is none yet.
    pub backup: Option<PathBuf>,
}

/// Whether the user's file includes ours already, else what to add.
///
/// # Errors
/// [`Error::File`] when it cannot be read.
pub fn plan_include(user_file: &Path, own: &PlainPath) -> Result<Option<IncludePlan>, Error> {
    let content = files::read(user_file)?;
    if content.as_deref().is_some_and(|text| includes(text, own)) {
        return Ok(None);
    }
    Ok(Some(IncludePlan {
        path: user_file.to_owned(),
        lines: include_lines(own),
        backup: content.map(|_| backup_of(user_file)),
    }))
}

/// Puts our line at the top of the user's file, after a backup, unless it is there meanwhile.
///
/// # Errors
/// [`Error::File`]; [`Error::Busy`] when another qdebug does not let go of the file.
pub async fn apply_include(plan: &IncludePlan, own: &PlainPath) -> Result<(), Error> {
    if let Some(dir) = plan.path.parent() {
        files::private_dir(dir)?;
    }
    let _lock = lock(own).await?;
    let content = files::read(&plan.path)?;
    let old = content.as_deref().unwrap_or_default();
    if includes(old, own) {
        return Ok(());
    }
    if content.is_some() {
        let backup = backup_of(&plan.path);
        files::replace(&backup, old)?;
    }
    files::replace(&plan.path, &with_include(old, own))
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

async fn lock(own: &PlainPath) -> Result<Lock, Error> {
    let path = own.as_path().with_extension("lock");
    if let Some(dir) = path.parent() {
        files::private_dir(dir)?;
    }
    Lock::take(&path, PATIENCE).await?.ok_or(Error::Busy {
        host: own.to_string(),
        waited: PATIENCE,
    })
}

fn backup_of(user_file: &Path) -> PathBuf {
    let mut name = user_file.as_os_str().to_owned();
    name.push(".before-qdebug");
    name.into()
}

fn include_lines(own: &PlainPath) -> String {
    format!("{COMMENT}\nInclude {}\n", own.quoted())
}

fn with_include(old: &[u8], own: &PlainPath) -> Vec<u8> {
    // A byte order mark must stay first, or ssh would read it as part of a keyword.
    let mark: &[u8] = b"\xef\xbb\xbf";
    let (mark, rest) = match old.strip_prefix(mark) {
        Some(rest) => (mark, rest),
        None => (&old[..0], old),
    };
    let mut lines = include_lines(own);
    if !rest.is_empty() {
        lines.push('\n');
    }
    [mark, lines.as_bytes(), rest].concat()
}

/// Whether `Include` names our file above the first `Host` or `Match`.
fn includes(text: &[u8], own: &PlainPath) -> bool {
    for line in String::from_utf8_lossy(text).lines() {
        let line = line.trim_start_matches('\u{feff}').trim();
        let end = line
            .find(|c: char| c.is_whitespace() || c == '=')
            .unwrap_or(line.len());
        let (keyword, values) = line.split_at(end);
        let keyword = keyword.to_ascii_lowercase();
        match keyword.as_str() {
            "host" | "match" => return false,
            "include" => {
                let ours = own.to_string();
                let values = values.trim_start_matches(|c: char| c.is_whitespace() || c == '=');
                let quoted = values.split('"').any(|value| value == ours);
                if quoted || values.split_whitespace().any(|value| value == ours) {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
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
        let all = with_include(theirs.as_bytes(), &PlainPath::new(own).unwrap());
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
    fn the_include_is_seen_where_it_counts_alone() {
        let own = path("/home/a b/ssh_config");
        for (text, seen) in [
            ("Include \"/home/a b/ssh_config\"\nHost x\n", true),
            ("# x\n\n include = \"/home/a b/ssh_config\"\n", true),
            ("Host x\nInclude \"/home/a b/ssh_config\"\n", false),
            ("Match all\nInclude \"/home/a b/ssh_config\"\n", false),
            ("#Include \"/home/a b/ssh_config\"\n", false),
            ("Include other\n", false),
            ("", false),
        ] {
            let text = text.replace("/home", &format!("{DRIVE}/home"));
            assert_eq!(includes(text.as_bytes(), &own), seen, "{text:?}");
        }
        let written = with_include(b"", &own);
        assert!(includes(&written, &own));
    }

    #[test]
    fn foreign_bytes_stay() {
        let dir = tempfile::tempdir().unwrap();
        let own = PlainPath::new(dir.path().join("qdebug/ssh_config")).unwrap();
        for old in [
            &b"Host a\r\n  User \xff\xfe\r\n# no end"[..],
            b"",
            b"\xef\xbb\xbfHost a\n",
        ] {
            let user = dir.path().join("config");
            std::fs::write(&user, old).unwrap();
            let plan = plan_include(&user, &own).unwrap().unwrap();
            block_on(apply_include(&plan, &own)).unwrap();
            let new = std::fs::read(&user).unwrap();
            assert!(new.ends_with(old.strip_prefix(b"\xef\xbb\xbf").unwrap_or(old)));
            assert_eq!(std::fs::read(plan.backup.unwrap()).unwrap(), old);
            assert_eq!(plan_include(&user, &own).unwrap(), None);
            let again = IncludePlan {
                path: user.clone(),
                lines: String::new(),
                backup: None,
            };
            block_on(apply_include(&again, &own)).unwrap();
            assert_eq!(std::fs::read(&user).unwrap(), new);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_missing_config_is_made_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let own = PlainPath::new(dir.path().join("qdebug/ssh_config")).unwrap();
        let user = dir.path().join(".ssh/config");
        let plan = plan_include(&user, &own).unwrap().unwrap();
        assert_eq!(plan.backup, None);
        block_on(apply_include(&plan, &own)).unwrap();
        assert_eq!(
            std::fs::metadata(&user).unwrap().permissions().mode() & 0o777,
            0o600
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
