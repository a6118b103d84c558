//! `-L` and `-R`: more ports, by an `ssh -N` of their own into the container.

use std::fmt;
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::error::Error;
use super::event::Event;
use super::paths::Paths;
use super::ui::Ui;
use crate::process::Program;

/// How long to wait before one that ended is started again.
const AGAIN: Duration = Duration::from_secs(5);

/// A port to forward, as ssh writes it; a bare `PORT` is the same port on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    to_container: bool,
    spec: String,
}

/// A text that is no forward.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no forward: write PORT, PORT:HOST:PORT or BIND:PORT:HOST:PORT")]
pub struct ForwardError(String);

impl Forward {
    /// `-L`: from this machine to where the container sees it.
    ///
    /// # Errors
    /// [`ForwardError`].
    pub fn local(text: &str) -> Result<Self, ForwardError> {
        let spec = text.parse::<Spec>()?.0;
        Ok(Self {
            to_container: true,
            spec,
        })
    }

    /// `-R`: from the container to where this machine sees it.
    ///
    /// # Errors
    /// [`ForwardError`].
    pub fn remote(text: &str) -> Result<Self, ForwardError> {
        let spec = text.parse::<Spec>()?.0;
        Ok(Self {
            to_container: false,
            spec,
        })
    }

    pub(super) fn words(&self) -> [&str; 2] {
        [if self.to_container { "-L" } else { "-R" }, &self.spec]
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

struct Spec(String);

impl FromStr for Spec {
    type Err = ForwardError;

    fn from_str(text: &str) -> Result<Self, ForwardError> {
        let refuse = || ForwardError(text.to_owned());
        let port = |word: &str| word.parse::<u16>().is_ok_and(|port| port > 0);
        let host = |word: &str| {
            let inner = word.strip_prefix('[').and_then(|w| w.strip_suffix(']'));
            match inner {
                Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
                None => word == "*" || word.parse::<crate::ssh::HostName>().is_ok(),
            }
        };
        let full = match words(text).as_slice() {
            [one] if port(one) => format!("127.0.0.1:{one}:127.0.0.1:{one}"),
            [here, there] if port(here) && port(there) => {
                format!("127.0.0.1:{here}:127.0.0.1:{there}")
            }
            [here, to, there] if port(here) && host(to) && port(there) => {
                format!("127.0.0.1:{here}:{to}:{there}")
            }
            [bind, here, to, there] if host(bind) && port(here) && host(to) && port(there) => {
                format!("{bind}:{here}:{to}:{there}")
            }
            _ => return Err(refuse()),
        };
        Ok(Self(full))
    }
}

/// Parts between colons that are not in brackets.
fn words(text: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    text.split(|c| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ':' && depth == 0
    })
    .collect()
}

/// Keeps the forwards up until dropped; without any it only waits.
pub(super) async fn keep(forwards: &[Forward], alias: &str, paths: &Paths, ui: &Ui) -> Error {
    if forwards.is_empty() {
        return std::future::pending().await;
    }
    let mut told = String::new();
    loop {
        let program = Program::new("ssh")
            .arg("-F")
            .arg(paths.ssh_config.as_path())
            .args(["-N", "-T", "-o", "BatchMode=yes"])
            .args(["-o", "ExitOnForwardFailure=yes"])
            .args(forwards.iter().flat_map(Forward::words))
            .args(["--", alias]);
        let mut child = match program.spawn_with(Stdio::null(), Stdio::null(), Stdio::piped()) {
            Ok(child) => child,
            Err(error) => return error.into(),
        };
        let mut said = String::new();
        if let Some(stderr) = &mut child.stderr {
            let _ = stderr.take(64 * 1024).read_to_string(&mut said).await;
        }
        let _ = child.wait().await;
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
        let last = last.unwrap_or("ssh ended").to_owned();
        if last != told {
            ui.tell(Event::ForwardLost(last.clone()));
            told = last;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_are_written_as_for_ssh() {
        for (text, spec) in [
            ("8888", "127.0.0.1:8888:127.0.0.1:8888"),
            ("1:2", "127.0.0.1:1:127.0.0.1:2"),
            ("8888:db.example:5432", "127.0.0.1:8888:db.example:5432"),
            ("*:1:h:2", "*:1:h:2"),
            ("[::1]:1:[fe80::1]:2", "[::1]:1:[fe80::1]:2"),
        ] {
            let forward = Forward::local(text).unwrap();
            assert_eq!(forward.to_string(), format!("-L {spec}"));
        }
        assert_eq!(
            Forward::remote("5678").unwrap().to_string(),
            "-R 127.0.0.1:5678:127.0.0.1:5678"
        );
    }

    #[test]
    fn what_is_no_forward_is_refused() {
        for text in [
            "",
            "0",
            "70000",
            "a",
            "1:",
            ":1",
            "1:-x:2",
            "-L1",
            "1:a b:2",
            "1:2:3:4:5",
            "[:1",
        ] {
            assert!(Forward::local(text).is_err(), "{text:?}");
        }
    }
}
