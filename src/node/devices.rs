//! The GPUs as the container sees them: did these and no others arrive, and are they still there.
//!
//! Problem: some engines ignore a request for devices without a word, a runtime may give more than
//! was asked for, and systemd takes the devices of running containers away at `daemon-reload`.
//! Evidence: whatever way GPUs come into a container (NVIDIA's hook, its runtime, CDI), what is given
//! are device nodes, `/dev/nvidiaN` by the driver's own number; `/proc/driver/nvidia` shows all of
//! the node's under CDI, and the image may have no tool to ask with. Solution: the container's first
//! process, ours, says which nodes it has before it starts sshd, and later whether it may still open
//! the driver's. MIG parts come as their GPU's node and nodes of capabilities, which the driver lists.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

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

/// Whether exactly these GPUs, and as many of their MIG parts, are among the devices; `way` is how the
/// engine was asked.
fn check(
    names: &[String],
    gpus: &[Gpu],
    capabilities: &Capabilities,
    way: &'static str,
) -> Result<(), gpu::Error> {
    let mut seen: Vec<u32> = names
        .iter()
        .filter_map(|name| name.strip_prefix("nvidia")?.parse().ok())
        .collect();
    seen.sort_unstable();
    let mut wanted: Vec<Option<u32>> = gpus.iter().map(|gpu| gpu.minor).collect();
    wanted.sort_unstable();
    // The parts of one GPU share its node.
    wanted.dedup();
    let known: Option<Vec<u32>> = wanted.iter().copied().collect();
    let fits = match &known {
        Some(known) => seen == *known,
        // An old driver does not tell its numbers: then how many there are must do.
        None => seen.len() == gpus.len(),
    };
    let parts = parts_that_do_not_fit(names, gpus, capabilities);
    if fits && parts.is_none() {
        return Ok(());
    }
    let list = |numbers: &[u32]| match numbers {
        [] => "no GPU".to_owned(),
        some => {
            let names: Vec<String> = some.iter().map(|n| format!("/dev/nvidia{n}")).collect();
            names.join(", ")
        }
    };
    let mut lacks = list(&seen);
    if let Some(parts) = parts.filter(|_| fits) {
        lacks.push_str(&parts);
    }
    Err(gpu::Error::NotArrived {
        seen: lacks,
        wanted: known.map_or_else(|| format!("{} GPUs", gpus.len()), |known| list(&known)),
        way,
    })
}

/// What is wrong with the MIG parts among the devices, as it follows the GPUs' names; nothing where
/// they are as many as the session's, GPU by GPU.
fn parts_that_do_not_fit(
    names: &[String],
    gpus: &[Gpu],
    capabilities: &Capabilities,
) -> Option<String> {
    let parts = gpus.iter().filter(|gpu| gpu.mig);
    let minors: Option<Vec<u32>> = parts.map(|part| part.minor).collect();
    let Some(minors) = minors.filter(|_| !capabilities.is_empty()) else {
        // The driver does not tell its numbers: then it must do that there are some.
        let has_some = names.iter().any(|name| name.starts_with("nvidia-caps/"));
        let needs_some = gpus.iter().any(|gpu| gpu.mig);
        return (needs_some && !has_some)
            .then(|| " without the capabilities of its MIG parts (/dev/nvidia-caps)".to_owned());
    };
    let mut wanted = BTreeMap::new();
    for minor in minors {
        *wanted.entry(minor).or_insert(0) += 1;
    }
    let seen = capabilities.parts(names.iter().map(String::as_str));
    let count = |counts: BTreeMap<u32, usize>| counts.into_values().sum::<usize>();
    (seen != wanted).then(|| {
        format!(
            " with {} of MIG parts, of {} that are the session's",
            count(seen),
            count(wanted)
        )
    })
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

    fn gpu(minor: u32) -> Gpu {
        Gpu {
            minor: Some(minor),
            ..Gpu::default()
        }
    }

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn says(text: &str, gpus: &[Gpu]) -> Option<String> {
        says_with("", text, gpus)
    }

    fn says_with(listed: &str, text: &str, gpus: &[Gpu]) -> Option<String> {
        let checked = check(&names(text), gpus, &Capabilities::parse(listed), "x");
        checked.err().map(|error| error.to_string())
    }

    #[test]
    fn these_and_no_others() {
        let gpus = [gpu(3), gpu(0)];
        assert_eq!(says("nvidia0 nvidia3 nvidiactl nvidia-uvm", &gpus), None);
        let few = says("nvidia0 nvidiactl", &gpus).unwrap();
        assert!(few.contains("/dev/nvidia0, /dev/nvidia3"), "{few}");
        assert!(says("", &gpus).unwrap().contains("no GPU"));
        assert!(says("nvidia0 nvidia1 nvidia3", &gpus).is_some());
        assert_eq!(says("nvidiactl", &[]), None);
        assert!(says("nvidia0", &[]).is_some(), "one that nobody granted");
        let silent = [Gpu::default(), Gpu::default()];
        assert!(says("nvidia4 nvidia5", &silent[..1]).is_some());
    }

    #[test]
    fn parts_need_their_capabilities() {
        let part = || Gpu {
            mig: true,
            ..gpu(1)
        };
        let both = [part(), part()];
        assert_eq!(says("nvidia1 nvidia-caps/nvidia-cap3", &both), None);
        let lacks = says("nvidia1", &both).unwrap();
        assert!(lacks.contains("nvidia-caps"), "{lacks}");
    }

    #[test]
    fn parts_are_as_many_as_the_sessions() {
        let part = |minor| Gpu {
            mig: true,
            ..gpu(minor)
        };
        let listed = "gpu0/gi0/access 3\ngpu0/gi0/ci0/access 4\ngpu0/gi1/access 12\n\
                      gpu0/gi1/ci0/access 13\ngpu1/gi0/ci0/access 139\n";
        let says = |text, gpus: &[Gpu]| says_with(listed, text, gpus);
        let one = "nvidia0 nvidia-caps/nvidia-cap3 nvidia-caps/nvidia-cap4";
        assert_eq!(says(one, &[part(0)]), None);
        let few = says(one, &[part(0), part(0)]).unwrap();
        assert!(few.contains("1 of MIG parts, of 2"), "{few}");
        let many = "nvidia0 nvidia-caps/nvidia-cap4 nvidia-caps/nvidia-cap13";
        assert_eq!(says(many, &[part(0), part(0)]), None);
        assert!(says(many, &[part(0)]).is_some(), "one that nobody granted");
        let others = "nvidia0 nvidia-caps/nvidia-cap139";
        assert!(says(others, &[part(0)]).is_some(), "one of another GPU");
        // Whole GPUs beside parts of others.
        let both = "nvidia0 nvidia1 nvidia-caps/nvidia-cap4";
        assert_eq!(says(both, &[part(0), gpu(1)]), None);
        assert!(says(both, &[gpu(0), gpu(1)]).is_some());
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
