//! The GPUs as the container sees them: did these and no others arrive, and are they still there.
//!
//! Problem: some engines ignore a request for devices without a word, a runtime may give more than
//! was asked for, and systemd takes the devices of running containers away at `daemon-reload`.
//! Evidence: whatever way GPUs come into a container (NVIDIA's hook, its runtime, CDI), what is given
//! are device nodes, `/dev/nvidiaN` by the driver's own number; `/proc/driver/nvidia` shows all of
//! the node's under CDI, and the image may have no tool to ask with. Solution: the container's first
//! process, ours, says which nodes it has before it starts sshd, and later whether it may still open
//! the driver's. Whether these are the session's `arrival` judges.

use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::arrival::check;
use crate::gpu::{self, Capabilities, Gpu};
use crate::kit::report;

/// How long the word of the container's first process may take once sshd has answered.
const WORD_LIMIT: Duration = Duration::from_secs(5);
/// How often NVML is asked about the GPUs of a session.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How soon again after something was found.
const LOOK_AGAIN: Duration = Duration::from_secs(3);

/// What the container's first process says of devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Report {
    /// These are there, as named below `/dev`.
    Seen(Vec<String>),
    /// They may not be opened any more.
    Lost(String),
    /// They may again.
    Back,
}

/// Reads a line of the container's output; `None` for any other.
pub(super) fn parse(line: &str) -> Option<Report> {
    let line = line.strip_prefix("qdebug-init: ")?;
    if let Some(names) = line.strip_prefix(report::DEVICES) {
        let names = names.split_whitespace().map(str::to_owned);
        Some(Report::Seen(names.collect()))
    } else if let Some(reason) = line.strip_prefix(report::LOST) {
        Some(Report::Lost(reason.trim().to_owned()))
    } else {
        (line == report::BACK).then_some(Report::Back)
    }
}

/// What is heard of the container's devices.
#[derive(Debug)]
pub(super) struct Devices {
    reports: mpsc::UnboundedReceiver<Report>,
    look: Option<JoinHandle<()>>,
    notices: (
        mpsc::UnboundedSender<String>,
        mpsc::UnboundedReceiver<String>,
    ),
}

/// The sending end, for whoever reads the container's output.
pub(super) type Sender = mpsc::UnboundedSender<Report>;

impl Devices {
    /// Begins to listen.
    pub(super) fn listen() -> (Sender, Self) {
        let (sender, reports) = mpsc::unbounded_channel();
        let own = Self {
            reports,
            look: None,
            notices: mpsc::unbounded_channel(),
        };
        (sender, own)
    }

    /// Waits for the first word and holds it against the session's GPUs.
    pub(super) async fn arrived(
        &mut self,
        gpus: &[Gpu],
        way: &'static str,
    ) -> Result<(), gpu::Error> {
        let heard = tokio::time::timeout(WORD_LIMIT, self.reports.recv()).await;
        match heard {
            Ok(Some(Report::Seen(names))) => {
                tracing::info!(?names, "devices of GPUs in the container");
                check(
                    &names,
                    gpus,
                    &Capabilities::of_this_machine(Path::new("/")),
                    way,
                )
            }
            _ if gpus.is_empty() => Ok(()),
            _ => Err(gpu::Error::NotArrived {
                seen: "said nothing of its devices".to_owned(),
                wanted: format!("{} GPUs", gpus.len()),
                way,
            }),
        }
    }

    /// Begins to ask NVML now and then about these.
    pub(super) fn watch(&mut self, uuids: Vec<String>) {
        if !uuids.is_empty() {
            self.look = Some(tokio::spawn(keep_looking(uuids, self.notices.0.clone())));
        }
    }

    /// The next thing to tell the user. May be dropped and asked again.
    pub(super) async fn next(&mut self) -> String {
        loop {
            tokio::select! {
                Some(text) = self.notices.1.recv() => return text,
                Some(report) = self.reports.recv() => if let Some(text) = told(report) {
                    return text;
                },
                else => std::future::pending().await,
            }
        }
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        if let Some(look) = &self.look {
            look.abort();
        }
    }
}

fn told(report: Report) -> Option<String> {
    match report {
        Report::Seen(_) => None,
        Report::Lost(reason) => Some(format!(
            "the container may not use its GPUs any more ({reason}): the system took its devices \
             away, as `systemctl daemon-reload` does; `Failed to initialize NVML` is this. What runs \
             on them may go on; new programs fail: submit a new session. The cure for the admin is \
             CDI, or the engine's cgroup driver `cgroupfs`"
        )),
        Report::Back => Some("the container may use its GPUs again".to_owned()),
    }
}

async fn keep_looking(uuids: Vec<String>, sender: mpsc::UnboundedSender<String>) {
    let mut watch = gpu::Watch::default();
    loop {
        let pace = if watch.doubts() {
            LOOK_AGAIN
        } else {
            LOOK_EVERY
        };
        tokio::time::sleep(pace).await;
        // NVML blocks, and may hang with its driver; then only this hangs.
        let Ok(inventory) = tokio::task::spawn_blocking(gpu::inventory).await else {
            return;
        };
        let seen = gpu::Watch::judge(&inventory, &uuids);
        if let Some(text) = watch.see(seen)
            && sender.send(text).is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_the_first_process_says_is_understood() {
        let seen = parse("qdebug-init: devices: nvidia0 nvidiactl");
        assert_eq!(seen, Some(Report::Seen(names("nvidia0 nvidiactl"))));
        assert_eq!(
            parse("qdebug-init: devices:"),
            Some(Report::Seen(Vec::new()))
        );
        let lost = parse("qdebug-init: devices lost: not permitted");
        assert_eq!(lost, Some(Report::Lost("not permitted".to_owned())));
        assert_eq!(parse("qdebug-init: devices back"), Some(Report::Back));
        assert_eq!(parse("devices: nvidia0"), None);
        assert_eq!(parse("qdebug-init: got signal 15"), None);
    }
}
