//! sshd's configuration, environment and command line.
//!
//! Problem: sshd drops the image's environment, and its configuration is read line by line and
//! word by word, so a value can break out of its place. Evidence: sshd's own splitter of words
//! (since 8.7) knows both quotes and a backslash before a quote or a backslash; before, only
//! double quotes without any escape, and a `#` began a comment even between quotes. Solution: one
//! `SetEnv` line, since a second one is ignored, each pair between double quotes, and what the
//! sshd at hand cannot express is left out and told.
//!
//! Pure: it writes no file and asks no sshd.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use super::paths;

/// The most the `SetEnv` line may hold, in bytes: sshd hands its configuration to its children
/// in messages of at most 256 KiB.
const MAX_ENVIRONMENT: usize = 128 << 10;

/// Whose sshd runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// The kit's.
    Kit,
    /// The image's own, at [`paths::IMAGE_SSHD`].
    Image(Version),
}

/// A version of OpenSSH, major and minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl Version {
    /// Reads it out of what `ssh -V` or a banner says (`OpenSSH_9.2p1 Debian-2+deb12u3`).
    pub fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("OpenSSH_")?;
        let (major, rest) = rest.split_once('.')?;
        let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

/// What varies in sshd's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Whose sshd reads it.
    pub server: Server,
    /// The port inside the container.
    pub port: u16,
    /// The address to listen on; every one when `None`.
    pub listen: Option<IpAddr>,
    /// The only user let in; the one sshd runs as.
    pub user: String,
    /// The environment of every session.
    pub env: BTreeMap<String, String>,
}

impl ServerConfig {
    /// The text of `sshd_config`, and the names of the variables that could not be carried over.
    pub fn render(&self) -> (String, Vec<String>) {
        let mut lines = vec![format!("Port {}", self.port)];
        if let Some(address) = self.listen {
            lines.push(format!("ListenAddress {address}"));
        }
        lines.extend([
            format!("HostKey {}", paths::HOST_KEY),
            format!("AuthorizedKeysFile {}", paths::AUTHORIZED_KEYS),
        ]);
        // A name with other characters would be read as a pattern; sshd without root can let
        // nobody else in anyway.
        if is_plain(&self.user) {
            lines.push(format!("AllowUsers {}", self.user));
        }
        lines.extend(CONSTANT.lines().map(str::to_owned));
        match self.server {
            Server::Kit => lines.push("PerSourcePenalties no".to_owned()),
            Server::Image(version) => {
                // The kit's is built without either and would warn about the words.
                lines.extend(["UsePAM no", "PrintLastLog no"].map(str::to_owned));
                if version >= Version(9, 8) {
                    lines.push("PerSourcePenalties no".to_owned());
                }
            }
        }
        let (environment, dropped) = self.environment();
        lines.extend(environment);
        (lines.join("\n") + "\n", dropped)
    }

    /// The `SetEnv` line, if any variable is left, and those that are not.
    fn environment(&self) -> (Option<String>, Vec<String>) {
        let quote = match self.server {
            Server::Kit => Quoting::Escapes,
            Server::Image(version) if version >= Version(8, 7) => Quoting::Escapes,
            Server::Image(version) if version >= Version(7, 8) => Quoting::Plain,
            Server::Image(_) => Quoting::NoSetEnv,
        };
        let mut line = "SetEnv".to_owned();
        let mut dropped = Vec::new();
        for (name, value) in &self.env {
            let fits = |pair: &String| line.len() + 1 + pair.len() <= MAX_ENVIRONMENT;
            match quote.pair(name, value).filter(fits) {
                Some(pair) => {
                    let _ = write!(line, " {pair}");
                }
                None => dropped.push(name.clone()),
            }
        }
        (Some(line).filter(|line| line != "SetEnv"), dropped)
    }
}

/// What is the same for everybody.
///
/// All clients come from one address, the bridge's: a few idle connections must not lock
/// everybody out.
const CONSTANT: &str = "\
AuthenticationMethods publickey
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
HostbasedAuthentication no
PermitEmptyPasswords no
PermitUserEnvironment no
StrictModes no
PidFile none
UseDNS no
LogLevel INFO
LoginGraceTime 30
MaxStartups 200:30:400
MaxSessions 64
MaxAuthTries 20
ClientAliveInterval 30
ClientAliveCountMax 10
TCPKeepAlive yes
PrintMotd no
X11Forwarding no
AllowTcpForwarding yes
AllowStreamLocalForwarding yes
AllowAgentForwarding yes
GatewayPorts no
PermitTTY yes
PermitTunnel no
StreamLocalBindUnlink yes
AcceptEnv LANG LC_* COLORTERM
Subsystem sftp internal-sftp";

/// How an sshd reads `SetEnv`.
#[derive(Debug, Clone, Copy)]
enum Quoting {
    /// Quotes with backslashes.
    Escapes,
    /// Double quotes only.
    Plain,
    /// It does not know the word.
    NoSetEnv,
}

impl Quoting {
    /// One pair as a word of the line; `None` when it cannot be said, or must not be.
    fn pair(self, name: &str, value: &str) -> Option<String> {
        if !is_variable(name) || is_logins_own(name) || value.contains(['\n', '\0']) {
            return None;
        }
        match self {
            Self::Escapes => {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"");
                Some(format!("\"{name}={value}\""))
            }
            Self::Plain if value.contains(['"', '#']) => None,
            Self::Plain => Some(format!("\"{name}={value}\"")),
            Self::NoSetEnv => None,
        }
    }
}

fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !name.is_empty() && name.chars().all(plain)
}

/// Letters, digits, `_`, and `.` and `-` as some images have them.
fn is_variable(name: &str) -> bool {
    is_plain(name) && !name.starts_with(|c: char| !c.is_ascii_alphabetic() && c != '_')
}

/// Those that sshd sets itself and `SetEnv` would override.
fn is_logins_own(name: &str) -> bool {
    let own = ["HOME", "USER", "LOGNAME", "SHELL", "MAIL", "TERM"];
    own.contains(&name) || name.starts_with("SSH_")
}

/// A text for `/etc/profile.d`: many images' `/etc/profile` sets PATH anew for login shells,
/// which every terminal over ssh is; this sets it back. A terminal opens in the project.
pub fn profile(path: &str, project: &str) -> String {
    let (path, project) = (shell_words::quote(path), shell_words::quote(project));
    format!(
        "PATH={path}\nexport PATH\n\
         if [ -n \"${{SSH_TTY-}}\" ] && [ \"$PWD\" = \"$HOME\" ]; then\n    cd {project} || :\nfi\n"
    )
}

/// The command line of the container's PID 1, with the place of its lease.
pub fn argv(server: Server, lease: &str) -> Vec<String> {
    let sshd = match server {
        Server::Kit => paths::SSHD,
        Server::Image(_) => paths::IMAGE_SSHD,
    };
    let init = [paths::INIT, "--lease", lease, "--"];
    let sshd = [sshd, "-D", "-e", "-f", paths::SSHD_CONFIG];
    init.into_iter().chain(sshd).map(str::to_owned).collect()
}

#[cfg(test)]
#[path = "sshd_tests.rs"]
mod tests;
