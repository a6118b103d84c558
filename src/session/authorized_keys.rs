//! Keys that may enter a session: lines of sshd's AuthorizedKeysFile, parsed as hostile.

use std::fmt;
use std::str::FromStr;

/// The key types OpenSSH 10 still takes for logins (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
const TYPES: [&str; 8] = [
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
    "ssh-ed25519-cert-v01@openssh.com",
];

/// The longest line taken, in bytes: a 16384-bit RSA key and a comment.
const MAX_LEN: usize = 8192;

/// A public key without options: `TYPE BASE64 [COMMENT]` on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: String,
    data: String,
    comment: String,
}

/// Why a line is no key that a session takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// It is not a public key at all.
    #[error("it is no ssh public key (TYPE BASE64 COMMENT on one line)")]
    NotAKey,
    /// It restricts what the key may do, which a session would silently lift.
    #[error("its option {0:?} restricts what the key may do; a session cannot keep that")]
    Restricted(String),
}

/// The keys of an authorized_keys file that a session takes, and what it left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Import {
    /// The keys, once each.
    pub keys: Vec<PublicKey>,
    /// Line number and reason of every line that was left out.
    pub left_out: Vec<(usize, PublicKeyError)>,
}

impl PublicKey {
    /// Whether it is the same key, whatever the comments.
    pub fn is_same_key(&self, other: &Self) -> bool {
        self.kind == other.kind && self.data == other.data
    }

    /// `TYPE BASE64`.
    pub fn without_comment(&self) -> String {
        format!("{} {}", self.kind, self.data)
    }

    /// Reads one line of an authorized_keys file with its options: `from=` is dropped (all clients
    /// of a container come from one bridge address), harmless ones too; `command=` and every other
    /// restriction is refused.
    ///
    /// # Errors
    /// [`PublicKeyError`].
    pub fn from_authorized_line(line: &str) -> Result<Self, PublicKeyError> {
        if let Ok(key) = line.parse() {
            return Ok(key);
        }
        let rest = skip_options(line)?;
        rest.parse()
    }

    /// Reads a whole authorized_keys file.
    pub fn import(text: &str) -> Import {
        let mut import = Import::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match Self::from_authorized_line(line) {
                Ok(key) if import.keys.iter().any(|seen| seen.is_same_key(&key)) => {}
                Ok(key) => import.keys.push(key),
                Err(reason) => import.left_out.push((index + 1, reason)),
            }
        }
        import
    }
}

/// What follows the options of `line`, when none of them restricts.
fn skip_options(line: &str) -> Result<&str, PublicKeyError> {
    const HARMLESS: [&str; 7] = [
        "from",
        "environment",
        "agent-forwarding",
        "port-forwarding",
        "pty",
        "user-rc",
        "x11-forwarding",
    ];
    let (mut quoted, mut escaped, mut start) = (false, false, 0);
    let check = |option: &str| {
        let name = option
            .split('=')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        if HARMLESS.contains(&name.as_str()) {
            Ok(())
        } else if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            Err(PublicKeyError::NotAKey)
        } else {
            Err(PublicKeyError::Restricted(name))
        }
    };
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                check(&line[start..at])?;
                start = at + 1;
            }
            b' ' | b'\t' if !quoted => {
                check(&line[start..at])?;
                return Ok(line[at..].trim_start());
            }
            _ => {}
        }
    }
    Err(PublicKeyError::NotAKey)
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(line: &str) -> Result<Self, PublicKeyError> {
        let line = line.trim();
        let mut words = line.splitn(3, [' ', '\t']);
        let (Some(kind), Some(data)) = (words.next(), words.next()) else {
            return Err(PublicKeyError::NotAKey);
        };
        let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
        // The blob repeats its type: four bytes of length, then the name. Base64 of 00 00 00 is AAAA.
        let well = TYPES.contains(&kind) && data.len() >= 16 && data.starts_with("AAAA");
        if !well || line.len() > MAX_LEN || !data.bytes().all(base64) || line.contains(['\n', '\r'])
        {
            return Err(PublicKeyError::NotAKey);
        }
        let comment = words.next().unwrap_or_default();
        Ok(Self {
            kind: kind.to_owned(),
            data: data.to_owned(),
            comment: comment
                .chars()
                .filter(|c| !c.is_control())
                .take(200)
                .collect(),
        })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.data)?;
        if self.comment.is_empty() {
            Ok(())
        } else {
            write!(f, " {}", self.comment)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE9tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1t";

    #[test]
    fn takes_plain_keys_and_drops_from() {
        for line in [
            KEY.to_owned(),
            format!("{KEY} alice@laptop, home"),
            format!("from=\"10.0.0.0/8,*.example.org\" {KEY}"),
            format!("from=\"a\\\" b\",agent-forwarding,pty {KEY} x"),
        ] {
            let key = PublicKey::from_authorized_line(&line).unwrap();
            assert!(key.to_string().starts_with(KEY), "{line}");
        }
    }

    #[test]
    fn refuses_what_restricts() {
        for (line, option) in [
            (format!("command=\"echo hi, you\" {KEY}"), "command"),
            (format!("from=\"x\",restrict {KEY}"), "restrict"),
            (format!("no-pty {KEY}"), "no-pty"),
            (format!("expiry-time=\"20200101\" {KEY}"), "expiry-time"),
            (format!("cert-authority {KEY}"), "cert-authority"),
        ] {
            let refused = PublicKey::from_authorized_line(&line).unwrap_err();
            assert_eq!(
                refused,
                PublicKeyError::Restricted(option.to_owned()),
                "{line}"
            );
        }
    }

    #[test]
    fn an_import_counts_lines_and_keeps_each_key_once() {
        let text = format!("# mine\n\n{KEY} one\nrubbish\n{KEY} two\ncommand=\"x\" {KEY}\n");
        let import = PublicKey::import(&text);
        assert_eq!(import.keys.len(), 1);
        let lines: Vec<usize> = import.left_out.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [4, 6]);
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_one_clean_line(line in "\\PC{0,80}|(from=\"[^\"]*\" )?ssh-rsa AAAA[A-Za-z0-9+/]{12,40}( .{0,20})?") {
            if let Ok(key) = PublicKey::from_authorized_line(&line) {
                prop_assert!(!key.to_string().contains(['\n', '\r']));
                prop_assert!(key.to_string().parse::<PublicKey>().is_ok());
            }
        }
    }
}
