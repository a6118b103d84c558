//! A session's status for people: one line, a table row, or the whole picture.

use jiff::Timestamp;

use super::output::{harmless, table};
use super::values::shown;
use crate::session::{GpuRequest, Standing, Status};

/// Statuses as a table.
pub(super) fn list(statuses: &[Status], now: Timestamp) -> String {
    let rows: Vec<Vec<String>> = statuses.iter().map(|status| row(status, now)).collect();
    table(
        &["NAME", "JOB", "STATE", "GPU", "NODE", "LEFT", "IMAGE"],
        &rows,
    )
}

fn row(status: &Status, now: Timestamp) -> Vec<String> {
    let dash = || "-".to_owned();
    let left = status.deadline.filter(|_| !status.state.is_final());
    vec![
        status.name.to_string(),
        status.job.as_deref().map_or_else(dash, harmless),
        status.state.name().to_owned(),
        gpus(status.gpu.as_ref()),
        status.node.as_deref().map_or_else(dash, harmless),
        left.map_or_else(dash, |deadline| shown(deadline.duration_since(now))),
        harmless(&status.image.to_string()),
    ]
}

/// The whole picture of one session.
pub(super) fn picture(status: &Status, now: Timestamp) -> String {
    let mut lines = vec![format!("{}: {}", status.name, line(status))];
    let mut add = |label: &str, text: String| {
        lines.push(format!("  {label:<10} {}", harmless(&text)));
    };
    let job = status.job.as_deref().unwrap_or("(none yet)");
    add("job", format!("{job} of {}", status.cluster));
    if let Some(node) = &status.node {
        add("node", node.clone());
    }
    add(
        "asked",
        format!("{}, {}", gpus(status.gpu.as_ref()), status.image),
    );
    if let Some(details) = &status.details {
        for gpu in &details.gpus {
            let picked = if gpu.picked { ", picked" } else { "" };
            let memory = gpu.memory_bytes >> 20;
            add(
                "GPU",
                format!("{} ({}, {memory} MiB{picked})", gpu.name, gpu.uuid),
            );
        }
        add("container", details.container.chars().take(12).collect());
        for notice in &details.notices {
            add("notice", notice.clone());
        }
    }
    if let Some(deadline) = status.deadline {
        add(
            "ends",
            format!("in {}", shown(deadline.duration_since(now))),
        );
    }
    for pair in status.began.windows(2) {
        let [(name, from), (_, to)] = pair else {
            continue;
        };
        add(
            "took",
            format!("{:.1} s for {name}", to.duration_since(*from).as_secs_f64()),
        );
    }
    for doubt in &status.doubts {
        add("doubt", doubt.clone());
    }
    if let Some(hint) = &status.hint {
        add("hint", hint.clone());
    }
    if let Some(next) = next(status) {
        add("next", next);
    }
    lines.join("\n")
}

/// Where it stands and why, in one line.
pub(super) fn line(status: &Status) -> String {
    let mut line = status.state.name().to_owned();
    if let Some(position) = status.position {
        line.push_str(&format!(", number {position} in the queue"));
    }
    let doubt = status.doubts.first();
    let doubt = doubt.filter(|_| status.state == Standing::Unknown);
    if let Some(reason) = status.reason.as_ref().or(doubt) {
        line.push_str(": ");
        line.push_str(&harmless(reason));
    }
    if let Some(progress) = status.progress {
        line.push_str(&format!(" ({:.0} %)", progress.clamp(0.0, 1.0) * 100.0));
    }
    if let Some(estimate) = status.estimate {
        line.push_str(&format!(", expected to start {}", clock(estimate)));
    }
    if status.never {
        line.push_str(" - it can never run as it is");
    }
    line
}

/// The command to type next.
fn next(status: &Status) -> Option<String> {
    let wanted = status.job.as_deref().unwrap_or(status.name.as_str());
    match status.state {
        Standing::Ready => Some(format!("on your laptop: qdebug connect {wanted}")),
        Standing::Ended | Standing::Failed => Some(format!("qdebug logs {}", status.name)),
        _ if status.never => Some(format!("qdebug stop {wanted}")),
        _ => None,
    }
}

/// What was asked for, as `2 x V100`.
pub(super) fn gpus(gpu: Option<&GpuRequest>) -> String {
    match gpu {
        None => "no GPU".to_owned(),
        Some(gpu) if gpu.count == 1 => harmless(&gpu.kind),
        Some(gpu) => format!("{} x {}", gpu.count, harmless(&gpu.kind)),
    }
}

/// A time of day here, with the date when it is not today.
pub(super) fn clock(at: Timestamp) -> String {
    let zone = jiff::tz::TimeZone::system();
    let (at, now) = (
        at.to_zoned_datetime(zone.clone()),
        Timestamp::now().to_zoned_datetime(zone),
    );
    if at.date() == now.date() {
        at.strftime("at %H:%M").to_string()
    } else {
        at.strftime("on %Y-%m-%d at %H:%M").to_string()
    }
}
