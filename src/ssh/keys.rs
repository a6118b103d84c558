//! Key pairs: the laptop's own, and the public keys the user has.
//!
//! The laptop's own pair is made here by ssh-keygen, without a passphrase, for sessions alone.
//! Its private half never leaves this machine. People who enter the cluster by password and
//! one-time code have no other key.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::Error;
use super::files::{self, Lock};
use super::word::PlainPath;
use crate::platform;
use crate::process::Program;

/// A public key as known_hosts and authorized_keys write it: `TYPE BASE64`, no comment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey {
    kind: String,
    blob: String,
}

impl FromStr for PublicKey {
    type Err = Error;

    /// Reads one line; a comment is dropped.
    fn from_str(line: &str) -> Result<Self, Error> {
        let refuse = || Error::Key(line.escape_debug().to_string());
        let mut words = line.split_ascii_whitespace();
        let (Some(kind), Some(blob)) = (words.next(), words.next()) else {
            return Err(refuse());
        };
        let of_a_kind = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-sha2-"]
            .iter()
            .any(|prefix| kind.starts_with(prefix));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-.@".contains(c);
        if !of_a_kind || !kind.chars().all(plain) || line.trim_end().contains(['\n', '\r']) {
            return Err(refuse());
        }
        // The blob begins with the length of the type and the type again (RFC 4253, 6.6).
        let bytes = STANDARD.decode(blob).map_err(|_| refuse())?;
        let length = u32::try_from(kind.len()).map_err(|_| refuse())?;
        let body = bytes.strip_prefix(&length.to_be_bytes());
        match body.and_then(|body| body.strip_prefix(kind.as_bytes())) {
            Some(rest) if rest.len() >= 32 => Ok(Self {
                kind: kind.to_owned(),
                blob: blob.to_owned(),
            }),
            _ => Err(refuse()),
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.blob)
    }
}

/// The laptop's own key pair at `path`, made when missing; gives the public line with its comment.
///
/// # Errors
/// [`Error`] when ssh-keygen is missing or fails, or the files cannot be read.
pub async fn own(path: &PlainPath) -> Result<String, Error> {
    let private = path.as_path();
    let public = public_half(private);
    if !(private.exists() && public.exists()) {
        let dir = private.parent().unwrap_or(Path::new("/"));
        files::private_dir(dir)?;
        let patience = Duration::from_secs(20);
        let lock = Lock::take(&private.with_extension("lock"), patience).await?;
        // A second qdebug may have made it meanwhile.
        if !private.exists() {
            generate(path).await?;
        } else if !public.exists() {
            let line = ran(Program::new("ssh-keygen").arg("-yf").arg(private)).await?;
            files::replace(&public, line.as_bytes())?;
        }
        drop(lock);
    }
    let text = files::read(&public)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let line = text.trim();
    line.parse::<PublicKey>()?;
    Ok(line.to_owned())
}

async fn generate(path: &PlainPath) -> Result<(), Error> {
    let private = path.as_path();
    // Made beside and renamed, so that an interrupted ssh-keygen leaves no half pair.
    let new = private.with_extension("new");
    for leftover in [new.clone(), public_half(&new)] {
        let _ = std::fs::remove_file(leftover);
    }
    let made = Program::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "qdebug", "-f"])
        .arg(&new);
    ran(made).await?;
    if let Some([program, words @ ..]) = platform::closing(&new).as_deref() {
        ran(Program::new(program).args(words)).await?;
    }
    for (from, to) in [
        (public_half(&new), public_half(private)),
        (new, private.to_owned()),
    ] {
        std::fs::rename(from, &to).map_err(Error::file("write", &to))?;
    }
    Ok(())
}

async fn ran(program: Program) -> Result<String, Error> {
    let output = program.output().await?;
    if output.status == 0 {
        Ok(output.stdout)
    } else {
        Err(Error::Failed {
            command: output.command,
            status: output.status,
            stderr: output.stderr.trim().to_owned(),
        })
    }
}

fn public_half(private: &Path) -> PathBuf {
    let mut name = private.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// The public keys below the user's `~/.ssh`, whole lines, each once, sorted; what is not a key
/// is passed over.
pub fn of_user(dot_ssh: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dot_ssh).into_iter().flatten().flatten();
    let public = files.map(|entry| entry.path()).filter(|path| {
        path.extension().is_some_and(|end| end == "pub")
            && !path.to_string_lossy().ends_with("-cert.pub")
    });
    let mut lines: Vec<String> = public
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .map(|text| text.trim().to_owned())
        .filter(|line| line.parse::<PublicKey>().is_ok())
        .collect();
    lines.sort();
    lines.dedup();
    lines
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const KEY: &str = "ssh-ed25519 \
        AAAAC3NzaC1lZDI1NTE5AAAAIKHEChAr8Nx3Y8gJfZbzL9PUv3sHSGtXFQzQd5GvMfFo";

    #[test]
    fn a_key_is_its_type_and_its_blob() {
        let key: PublicKey = format!("{KEY} alice@laptop ü").parse().unwrap();
        assert_eq!(key.to_string(), KEY);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for line in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIKHEChAr8Nx3Y8gJfZbzL9PUv3sHSGtXFQzQd5GvMfFo",
            "* ssh-ed25519 AAAA",
            "@cert-authority * ssh-ed25519 AAAA",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI!!!",
            "ssh-ed25519\nAAAAC3NzaC1lZDI1NTE5AAAAIKHEChAr8Nx3Y8gJfZbzL9PUv3sHSGtXFQzQd5GvMfFo",
            "command=\"x\" ssh-ed25519 AAAA",
        ] {
            assert!(line.parse::<PublicKey>().is_err(), "{line:?}");
        }
        assert!(format!("{KEY}\n{KEY}").parse::<PublicKey>().is_err());
    }

    #[cfg(unix)] // Its ssh-keygen is there to be asked.
    #[test]
    fn the_own_pair_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = PlainPath::new(dir.path().join("a b/id_ed25519")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let first = runtime.block_on(own(&path)).unwrap();
        assert!(first.starts_with("ssh-ed25519 "), "{first}");
        assert_eq!(runtime.block_on(own(&path)).unwrap(), first);
        let key: PublicKey = first.parse().unwrap();
        std::fs::remove_file(public_half(path.as_path())).unwrap();
        let again: PublicKey = runtime.block_on(own(&path)).unwrap().parse().unwrap();
        assert_eq!(again, key);
        assert_eq!(of_user(&dir.path().join("a b")).len(), 1);
    }
}
