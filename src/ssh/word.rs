//! Words that may stand in an ssh command line or configuration file.
//!
//! ssh reads options, `%` tokens, quotes and environment references out of words, and a line
//! break begins a new setting. So what comes from a person or from the cluster becomes one of
//! these types first, each with one constructor that refuses what it must not hold.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::platform;

/// A word that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not {what}: {rule}", word.escape_debug())]
pub struct WordError {
    /// What it should have been.
    pub what: &'static str,
    /// The rule that it breaks.
    pub rule: &'static str,
    /// The word.
    pub word: String,
}

fn refuse<T>(what: &'static str, rule: &'static str, word: &str) -> Result<T, WordError> {
    Err(WordError {
        what,
        rule,
        word: word.to_owned(),
    })
}

/// Whether all characters are letters and digits of ASCII or in `also`, and the first is one of
/// the former or `_`: nothing that begins like an option.
fn is_plain(word: &str, also: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphanumeric() || c == '_';
    word.starts_with(begins)
        && word.len() <= 255
        && word.chars().all(|c| begins(c) || also.contains(c))
}

macro_rules! displayed_as_its_text {
    ($type:ty) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

/// A user's name on another machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(String);
displayed_as_its_text!(UserName);

impl FromStr for UserName {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        if is_plain(word, ".+-@") {
            Ok(Self(word.to_owned()))
        } else {
            refuse("a user name", "letters, digits and `_.+-@`", word)
        }
    }
}

/// A host's name, an alias of the user's ssh configuration, or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(String);
displayed_as_its_text!(HostName);

impl FromStr for HostName {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        if is_plain(word, ".-") || word.parse::<std::net::Ipv6Addr>().is_ok() {
            Ok(Self(word.to_owned()))
        } else {
            let rule = "letters, digits and `._-`, or an address";
            refuse("a host name", rule, word)
        }
    }
}

impl From<std::net::IpAddr> for HostName {
    fn from(address: std::net::IpAddr) -> Self {
        Self(address.to_string())
    }
}

/// `[USER@]HOST[:PORT]`, an IPv6 address in brackets: where a login node is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    /// The user, where it is not left to the user's ssh configuration.
    pub user: Option<UserName>,
    /// The host.
    pub host: HostName,
    /// The port, likewise.
    pub port: Option<u16>,
}

impl FromStr for Destination {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let (user, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user.parse()?), rest),
            None => (None, text),
        };
        let (host, port) = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            Some((address, "")) => (address, None),
            Some((address, port)) => (address, Some(port.strip_prefix(':').unwrap_or(""))),
            None if rest.matches(':').count() == 1 => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
            None => (rest, None),
        };
        let port = match port.map(str::parse::<u16>) {
            None => None,
            Some(Ok(port)) if port > 0 => Some(port),
            Some(_) => return refuse("a destination", "a port is 1 to 65535", text),
        };
        let host = host.parse()?;
        Ok(Self { user, host, port })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match (&self.host, self.port) {
            (host, Some(port)) if host.0.contains(':') => write!(f, "[{host}]:{port}"),
            (host, Some(port)) => write!(f, "{host}:{port}"),
            (host, None) if host.0.contains(':') => write!(f, "[{host}]"),
            (host, None) => write!(f, "{host}"),
        }
    }
}

/// A name of qdebug's own making in an ssh configuration or known_hosts file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Alias(String);
displayed_as_its_text!(Alias);

impl FromStr for Alias {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        // Lower case alone: VS Code's authority is safest so, and ssh compares without case.
        if is_plain(word, ".-") && !word.bytes().any(|b| b.is_ascii_uppercase()) {
            Ok(Self(word.to_owned()))
        } else {
            refuse(
                "an alias",
                "small letters, digits and `._-`, at most 255",
                word,
            )
        }
    }
}

/// An absolute path that means the same to ssh, to a shell between double quotes, and to us.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlainPath(PathBuf);

impl PlainPath {
    /// Takes a path.
    ///
    /// # Errors
    /// [`WordError`] for one that is not absolute, not UTF-8, or holds a control character or one
    /// of `"'%$*?[]!` or a backquote or backslash.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, WordError> {
        let path = platform::for_ssh(path.into());
        let what = "a path that ssh can be told";
        let Some(text) = path.to_str() else {
            return refuse(what, "it must be UTF-8", &path.to_string_lossy());
        };
        let odd = |c: char| c.is_control() || "\"'%$*?[]!`\\".contains(c);
        if !path.is_absolute() {
            refuse(what, "it must be absolute", text)
        } else if text.contains(odd) {
            let rule = "no quotes, control characters or `%$*?[]!\\`";
            refuse(what, rule, text)
        } else {
            Ok(Self(path))
        }
    }

    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// Between double quotes, for a configuration file or a shell.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0.display())
    }
}

impl fmt::Display for PlainPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::DRIVE;

    #[test]
    fn destinations_are_read_as_ssh_users_write_them() {
        for (text, user, host, port) in [
            ("login", None, "login", None),
            (
                "alice@login.example.org",
                Some("alice"),
                "login.example.org",
                None,
            ),
            ("alice@login:2222", Some("alice"), "login", Some(2222)),
            ("a@REALM@login", Some("a@REALM"), "login", None),
            ("[::1]:22", None, "::1", Some(22)),
            ("fe80::1", None, "fe80::1", None),
            ("alice@[::1]", Some("alice"), "::1", None),
        ] {
            let read: Destination = text.parse().unwrap();
            assert_eq!(read.user.as_ref().map(UserName::as_ref), user, "{text}");
            assert_eq!((read.host.as_ref(), read.port), (host, port), "{text}");
            assert_eq!(read.to_string().parse::<Destination>().unwrap(), read);
        }
    }

    #[test]
    fn what_could_be_an_option_or_a_command_is_refused() {
        for text in [
            "",
            "-oProxyCommand=x",
            "a@-oProxyCommand=x",
            "-l@login",
            "login\nHost *",
            "login;id",
            "$(id)@login",
            "login %h",
            "login:0",
            "login:70000",
            "login:x",
            "[::1]22",
            "[x",
            "alice@",
            "@login",
        ] {
            assert!(text.parse::<Destination>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn paths_may_hold_spaces_and_unicode_and_no_tricks() {
        let new = |path: &str| PlainPath::new(format!("{DRIVE}{path}"));
        assert!(new("/home/Ü b/.qdebug").is_ok());
        assert!(PlainPath::new("rel").is_err());
        for path in [
            "/a\"b", "/a'b", "/a%h", "/a\nb", "/$HOME", "/a*", "/a`b", "/a!",
        ] {
            assert!(new(path).is_err(), "{path:?}");
        }
        // There it parts folders, and becomes a slash.
        assert_eq!(new("/a\\b").is_ok(), cfg!(windows));
    }

    #[test]
    fn aliases_are_small() {
        assert!("qdebug-v100-otter".parse::<Alias>().is_ok());
        for word in ["Qdebug", "-x", "a b", "*", "a,b", "!a", "a\n"] {
            assert!(word.parse::<Alias>().is_err(), "{word:?}");
        }
    }
}
