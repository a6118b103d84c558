//! Which ssh this machine has.

use crate::process::{self, Program};

/// The oldest that will do: `Include` and `ProxyJump` came with OpenSSH 7.3.
const OLDEST: (u32, u32) = (7, 3);

/// What `ssh -V` says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// An OpenSSH that will do.
    Fits(String),
    /// One that is older than 7.3.
    TooOld(String),
    /// Something else.
    Other(String),
}

impl Version {
    /// That of the ssh on PATH.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn of_user() -> Result<Self, process::Error> {
        let output = Program::new("ssh").arg("-V").output().await?;
        Ok(Self::read(&output.stderr))
    }

    fn read(said: &str) -> Self {
        let said = said.lines().next().unwrap_or_default().trim().to_owned();
        let number = said
            .strip_prefix("OpenSSH_")
            .map(|rest| rest.strip_prefix("for_Windows_").unwrap_or(rest))
            .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit() && c != '.').next());
        let mut numbers = number.unwrap_or_default().split('.').map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= OLDEST => Self::Fits(said),
            (Some(Ok(_)), Some(Ok(_))) => Self::TooOld(said),
            _ => Self::Other(said),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_ssh_is_told_from_a_new_one() {
        // Recorded from Debian 12, macOS 13 and Debian 13; as Windows 11 documents its own.
        for said in [
            "OpenSSH_9.2p1 Debian-2+deb12u7, OpenSSL 3.0.17",
            "OpenSSH_9.0p1, LibreSSL 3.3.6",
            "OpenSSH_10.0p2, OpenSSL 3.5.0",
            "OpenSSH_for_Windows_9.5p1, LibreSSL 3.8.2",
        ] {
            let version = Version::read(&format!("{said}\r\n"));
            assert_eq!(version, Version::Fits(said.to_owned()));
        }
        // The last recorded from RHEL 6.
        for said in [
            "OpenSSH_for_Windows_7.1p1, x",
            "OpenSSH_5.3p1, OpenSSL 1.0.1e-fips",
        ] {
            assert_eq!(Version::read(said), Version::TooOld(said.to_owned()));
        }
        for said in ["dropbear", ""] {
            assert_eq!(Version::read(said), Version::Other(said.to_owned()));
        }
    }
}
