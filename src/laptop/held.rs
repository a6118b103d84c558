//! One connection to the session, held open and unused: the kernel closes it the moment the
//! container goes, so the end is known at once and the cluster need not be asked often. That it
//! broke is no verdict, a network may have changed: it is a reason to ask.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Child;
use tokio::time::Instant;

use super::paths::Paths;
use crate::process::Program;

/// How long after one broke the next is tried: soon, and ever later while none lasts.
const AGAIN: Duration = Duration::from_secs(10);
const AGAIN_AT_MOST: Duration = Duration::from_secs(320);
/// How long one lasts that is worth its name.
const LASTS: Duration = Duration::from_secs(60);

/// The connection.
pub(super) struct Held {
    ssh: Program,
    child: Option<(Child, Instant)>,
    not_before: Instant,
    again: Duration,
}

impl Held {
    /// One that is opened when it is first waited for.
    pub(super) fn new(alias: &str, paths: &Paths) -> Self {
        let ssh = Program::new("ssh")
            .arg("-F")
            .arg(paths.ssh_config.as_path())
            // By the listener: should this process be killed, the connection goes with it.
            .args(["-N", "-T", "-o", "ProxyCommand=none"])
            .args(["-o", "BatchMode=yes", "--", alias]);
        Self {
            ssh,
            child: None,
            not_before: Instant::now(),
            again: AGAIN,
        }
    }

    /// Resolves when it broke. May be dropped and asked again: the connection stays.
    pub(super) async fn broken(&mut self) {
        if self.child.is_none() {
            tokio::time::sleep_until(self.not_before).await;
            let null = Stdio::null;
            match self.ssh.clone().spawn_with(null(), null(), null()) {
                Ok(child) => self.child = Some((child, Instant::now())),
                Err(error) => tracing::debug!(%error, "no connection is held"),
            }
        }
        let mut lasted = Duration::ZERO;
        if let Some((child, since)) = &mut self.child {
            let _ = child.wait().await;
            lasted = since.elapsed();
        }
        self.child = None;
        self.not_before = Instant::now() + self.again;
        self.again = match lasted > LASTS {
            true => AGAIN,
            false => AGAIN_AT_MOST.min(self.again * 2),
        };
    }
}
