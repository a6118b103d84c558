//! What an IDE is told of a session: each word checked before it becomes an argument, a link or a
//! line of somebody's settings.

use std::path::{Path, PathBuf};

use super::Error;

/// A session as an IDE knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    alias: String,
    user: String,
    port: u16,
    folder: String,
    identity: PathBuf,
}

impl Target {
    /// Takes what the cluster said.
    ///
    /// # Errors
    /// [`Error::Word`] for an alias or a user that might be an option or another host, and for a
    /// folder that is not absolute or holds control characters.
    pub fn new(
        alias: &str,
        user: &str,
        port: u16,
        folder: &str,
        identity: &Path,
    ) -> Result<Self, Error> {
        let refuse = |what, word: &str| {
            let word = word.to_owned();
            Err(Error::Word { what, word })
        };
        if !is_alias(alias) {
            return refuse("alias", alias);
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
        if user.is_empty() || user.starts_with('-') || !user.chars().all(plain) {
            return refuse("user", user);
        }
        let odd = |c: char| c.is_control();
        if !folder.starts_with('/') || folder.contains(odd) || folder.len() > 4096 {
            return refuse("folder", folder);
        }
        Ok(Self {
            alias: alias.to_owned(),
            user: user.to_owned(),
            port,
            folder: folder.to_owned(),
            identity: identity.to_owned(),
        })
    }

    /// What the ssh configuration calls it.
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// The user there.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The tunnel's port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder to open there.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// The private key of this machine that is let in.
    pub fn identity(&self) -> &Path {
        &self.identity
    }
}

/// Whether it is an alias of qdebug's making.
pub(super) fn is_alias(word: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    word.starts_with("qdebug-") && word.len() <= 255 && word.bytes().all(plain)
}

/// A text as a part of a link: all but letters, digits and `-._~` (and `keep`) as `%XX`.
pub(super) fn percent(text: &str, keep: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "-._~".contains(c) || keep.contains(c) {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn target() -> Target {
        let identity = Path::new("/home/alice/.local/share/qdebug/id_ed25519");
        Target::new(
            "qdebug-otter",
            "alice",
            24_242,
            "/home/alice/my proj ü",
            identity,
        )
        .unwrap()
    }

    #[test]
    fn words_that_could_be_more_than_words_are_refused() {
        let new = |alias: &str, user: &str, folder: &str| {
            Target::new(alias, user, 1, folder, Path::new("/id")).is_ok()
        };
        assert!(new("qdebug-otter.lab", "a.b-c", "/x --y"));
        for alias in [
            "otter",
            "-oProxyCommand=x",
            "qdebug-A",
            "qdebug-a b",
            "qdebug-a/b",
        ] {
            assert!(!new(alias, "alice", "/x"), "{alias}");
        }
        for user in ["", "-l", "a b", "a@b", "a\n"] {
            assert!(!new("qdebug-a", user, "/x"), "{user:?}");
        }
        for folder in ["", "x", "--wait", "/a\nb", "/a\u{1b}[m"] {
            assert!(!new("qdebug-a", "alice", folder), "{folder:?}");
        }
    }

    #[test]
    fn links_hold_nothing_but_letters() {
        assert_eq!(
            percent("/a b/ü&x=#?%", "/"),
            "/a%20b/%C3%BC%26x%3D%23%3F%25"
        );
    }
}
