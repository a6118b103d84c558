//! What can go wrong on the way to a cluster.

use std::path::PathBuf;
use std::time::Duration;

use super::word::WordError;
use crate::process;

/// A host key that ssh expected where another came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpectedKey {
    /// The host's name in known_hosts, with the port where it is not 22; where ssh told it.
    pub name: Option<String>,
    /// `FILE:LINE` of the key, where ssh told it.
    pub place: Option<String>,
}

/// A failure of ssh or of what it needs on this machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host did not answer, or the connection broke before it was authenticated.
    #[error("cannot reach {host}: {detail}")]
    Unreachable {
        /// The hop, as the user named it.
        host: String,
        /// ssh's own last words.
        detail: String,
    },
    /// The host refused the user.
    #[error("{host} did not let you in: {detail}")]
    Authentication {
        /// The hop.
        host: String,
        /// ssh's own last words.
        detail: String,
        /// Whether a person could have been asked for a password.
        asked: bool,
    },
    /// The host's key is unknown or not the expected one.
    #[error("the host key of {host} {}: {detail}", if known.is_some() { "does not match" } else { "is not known here" })]
    HostKey {
        /// The hop.
        host: String,
        /// ssh's own last words.
        detail: String,
        /// The key that was expected; none when ssh knows none of this host.
        known: Option<ExpectedKey>,
    },
    /// Another qdebug is opening the same connection and did not finish.
    #[error("another qdebug has been connecting to {host} for {} s", waited.as_secs())]
    Busy {
        /// The hop.
        host: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The connection was lost while it was used.
    #[error("the connection to {host} was lost while `{command}` ran")]
    Lost {
        /// The hop.
        host: String,
        /// What ran.
        command: String,
    },
    /// Dialling failed a moment ago, and it is not tried again at once.
    #[error("{detail}")]
    StillDown {
        /// Why it failed.
        detail: String,
    },
    /// The last hop is there and does not connect to the port.
    #[error("{host} does not connect to port {port} of its own: {detail}")]
    Forward {
        /// The last hop.
        host: String,
        /// The port.
        port: u16,
        /// What was said.
        detail: String,
    },
    /// The last hop does not get through to the session's own port on its node.
    #[error("{host} does not connect to {target}: {detail}")]
    NodePort {
        /// The last hop.
        host: String,
        /// The node's address and the port.
        target: String,
        /// What was said.
        detail: String,
    },
    /// No qdebug on the login node.
    #[error("no qdebug on {host} (looked for {looked})")]
    QdebugMissing {
        /// The login node.
        host: String,
        /// Where it was looked for.
        looked: String,
    },
    /// The qdebug on the login node does not know how to carry what this one needs.
    #[error(
        "the qdebug on {host} ({qdebug}) does not fit this one: it cannot carry everything over one connection"
    )]
    Outdated {
        /// The login node.
        host: String,
        /// Its path there.
        qdebug: String,
    },
    /// A remote command ended without the marks that qdebug puts round its answer.
    #[error("`{command}` on {host} ended with status {status:?} and no answer: {detail}")]
    NoAnswer {
        /// The login node.
        host: String,
        /// The command.
        command: String,
        /// Its status, where ssh told one.
        status: Option<i32>,
        /// The end of what it wrote instead.
        detail: String,
    },
    /// A remote command was not begun.
    #[error("`{command}` was not begun on {host}: {detail}")]
    NotBegun {
        /// The login node.
        host: String,
        /// The command.
        command: String,
        /// Why not.
        detail: String,
    },
    /// A remote command did not answer in time.
    #[error("`{command}` on {host} did not answer within {} s", limit.as_secs())]
    TimedOut {
        /// The login node.
        host: String,
        /// The command.
        command: String,
        /// The limit.
        limit: Duration,
    },
    /// The port on this machine is taken.
    #[error("cannot listen on 127.0.0.1:{port}")]
    Listen {
        /// The port.
        port: u16,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file of ours or of the user could not be read or written.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A key is not one.
    #[error("not an ssh public key: {0}")]
    Key(String),
    /// A word was refused.
    #[error(transparent)]
    Word(#[from] WordError),
    /// A program of OpenSSH could not be run.
    #[error(transparent)]
    Program(#[from] process::Error),
    /// A program of OpenSSH failed.
    #[error("`{command}` failed with status {status}: {stderr}")]
    Failed {
        /// The command.
        command: String,
        /// Its status.
        status: i32,
        /// What it said.
        stderr: String,
    },
}

impl Error {
    /// Whether a command may have done its work all the same: the way broke while it ran.
    pub fn is_of_the_way(&self) -> bool {
        match self {
            Self::Lost { .. } | Self::NoAnswer { .. } | Self::TimedOut { .. } => true,
            Self::Program(error) => matches!(
                error,
                process::Error::TimedOut { .. }
                    | process::Error::TooMuch { .. }
                    | process::Error::Io { .. }
            ),
            _ => false,
        }
    }

    /// The same error of a way that has not begun, over which no command has gone.
    pub(super) fn of_no_beginning(self) -> Self {
        match self {
            Self::Lost { ref host, .. }
            | Self::NoAnswer { ref host, .. }
            | Self::TimedOut { ref host, .. } => Self::Unreachable {
                host: host.clone(),
                detail: self.to_string(),
            },
            error => error,
        }
    }

    pub(super) fn file(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            doing,
            path,
            source,
        }
    }

    /// Sorts what ssh said before it gave up on `host`. ssh has one exit status, 255, for all of
    /// it, so its words must tell; a word that is not known means "unreachable".
    pub(super) fn of_ssh(host: &str, stderr: &str, asked: bool) -> Self {
        let host = host.to_owned();
        let lines: Vec<&str> = stderr
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let says = |words: &[&str]| {
            lines
                .iter()
                .copied()
                .find(|line| words.iter().any(|word| line.contains(word)))
                .map(str::to_owned)
        };
        if let Some(detail) = says(&[
            "REMOTE HOST IDENTIFICATION HAS CHANGED",
            "Host key verification failed",
            "host key is known for",
        ]) {
            let detail = says(&[
                "host key is known for",
                "has changed and you have requested",
            ])
            .unwrap_or(detail);
            let has_changed = says(&["HOST IDENTIFICATION HAS CHANGED", "has changed and you"]);
            // What qdebug names is pinned: there a key of a kind that is not known is a wrong one.
            let known = (has_changed.is_some() || host.starts_with("qdebug-"))
                .then(|| expected_key(&lines));
            Self::HostKey {
                host,
                detail,
                known,
            }
        } else if let Some(detail) = says(&[
            "Permission denied (",
            "Too many authentication failures",
            "No supported authentication methods",
        ]) {
            Self::Authentication {
                host,
                detail,
                asked,
            }
        } else {
            let detail = lines.last().map_or("ssh gave no reason", |line| line);
            let detail = detail.to_owned();
            Self::Unreachable { host, detail }
        }
    }
}

/// What ssh says of the key that it expected, in lines such as
/// `Offending ED25519 key in /home/alice/.ssh/known_hosts:3` and
/// `Host key for [login]:2222 has changed and you have requested strict checking.`
fn expected_key(lines: &[&str]) -> ExpectedKey {
    let between = |before: &str, after: &str| {
        let found = lines.iter().find_map(|line| line.strip_prefix(before));
        found?.split_once(after)
    };
    ExpectedKey {
        name: between("Host key for ", " has changed").map(|(name, _)| name.to_owned()),
        place: between("Offending ", " key in ").map(|(_, place)| place.to_owned()),
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_begun_has_done_nothing() {
        let (host, command) = ("lab".to_owned(), "qdebug trunk".to_owned());
        let limit = std::time::Duration::from_secs(40);
        let error = Error::TimedOut {
            host,
            command,
            limit,
        };
        assert!(error.is_of_the_way());
        let error = error.of_no_beginning();
        assert!(
            matches!(&error, Error::Unreachable { host, .. } if host == "lab"),
            "{error:?}"
        );
        assert!(error.to_string().contains("qdebug trunk") && !error.is_of_the_way());
    }

    #[test]
    fn ssh_is_understood() {
        // Recorded from OpenSSH 9.2.
        let denied = "Warning: Permanently added 'x' (ED25519) to the list of known hosts.\r\n\
                      alice@login: Permission denied (publickey,password).\r\n";
        assert!(matches!(
            Error::of_ssh("login", denied, false),
            Error::Authentication { asked: false, detail, .. } if detail.ends_with("password).")
        ));
        let unknown = "No ED25519 host key is known for qdebug-x and you have requested strict \
                       checking.\r\nHost key verification failed.\r\n";
        assert!(matches!(
            Error::of_ssh("login", unknown, true),
            Error::HostKey { detail, known: None, .. } if detail.starts_with("No ED25519")
        ));
        let changed = "@@@@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n\
                       Offending ED25519 key in /home/al ice/.ssh/known_hosts:3\n\
                       Host key for a has changed and you have requested strict checking.\n\
                       Host key verification failed.\n";
        let expected = ExpectedKey {
            name: Some("a".to_owned()),
            place: Some("/home/al ice/.ssh/known_hosts:3".to_owned()),
        };
        assert!(matches!(
            Error::of_ssh("login", changed, true),
            Error::HostKey { detail, known: Some(known), .. }
                if detail.starts_with("Host key for a has changed") && known == expected
        ));
        let refused = "ssh: connect to host login port 22: Connection refused\r\n";
        assert!(matches!(
            Error::of_ssh("login", refused, true),
            Error::Unreachable { detail, .. } if detail.ends_with("refused")
        ));
        assert!(matches!(
            Error::of_ssh("login", "", true),
            Error::Unreachable { .. }
        ));
    }
}
