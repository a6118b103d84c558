//! A session's status for people: one line, a table row, or the whole picture.

use jiff::Timestamp;

use super::output::{harmless, table};
use super::values::shown;
use crate::session::{GpuRequest, Limits, Standing, Status};

/// What to do about a job that can never run.
pub(super) const NEVER_CURE: &str =
    "`qdebug gpus` tells what this cluster has: stop the session and submit one that fits";

/// Statuses as a table.
pub(super) fn list(statuses: &[Status], now: Timestamp) -> String {
    let mut headings = vec!["NAME", "JOB", "STATE", "GPU", "NODE", "LEFT", "IMAGE"];
    let mut rows: Vec<Vec<String>> = statuses.iter().map(|status| row(status, now)).collect();
    // Why, where somebody asks himself that.
    let whys: Vec<String> = statuses.iter().map(why).collect();
    if whys.iter().any(|why| !why.is_empty()) {
        headings.push("WHY");
        for (row, why) in rows.iter_mut().zip(whys) {
            row.push(why);
        }
    }
    table(&headings, &rows)
}

/// Why one waits or is in doubt, and for how long; nothing of one that just goes on.
fn why(status: &Status) -> String {
    match status.state {
        Standing::Queued | Standing::Held | Standing::Unknown => words(status).join(", "),
        // It stands there by its own word alone.
        state if !state.is_final() => {
            let doubt = status.doubts.first();
            doubt.map_or_else(String::new, |doubt| harmless(doubt).replace('\n', " "))
        }
        _ => String::new(),
    }
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
        left.map_or_else(dash, |deadline| {
            shown(
                status
                    .left()
                    .unwrap_or_else(|| deadline.duration_since(now)),
            )
        }),
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
        let limits = limits(&details.limits);
        if !limits.is_empty() {
            add("limits", limits);
        }
        add("container", details.container.chars().take(12).collect());
        for notice in &details.notices {
            add("notice", notice.clone());
        }
    }
    if let Some(deadline) = status.deadline {
        add(
            "ends",
            format!(
                "in {}",
                shown(
                    status
                        .left()
                        .unwrap_or_else(|| deadline.duration_since(now))
                )
            ),
        );
    }
    let idle = status.details.as_ref();
    if let Some(until) = idle.and_then(|details| details.idle_until) {
        let left = shown(until.duration_since(status.now.unwrap_or(now)));
        add(
            "idle",
            format!("nobody is connected and no GPU works: it ends in {left}"),
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
    if status.never {
        add("hint", NEVER_CURE.to_owned());
    }
    if let Some(next) = next(status) {
        add("next", next);
    }
    lines.join("\n")
}

/// Where it stands and why, in one line.
pub(super) fn line(status: &Status) -> String {
    let words = words(status);
    if words.is_empty() {
        return status.state.name().to_owned();
    }
    format!("{}: {}", status.state.name(), words.join(", "))
}

/// Why it has ended, as a part of a sentence; its state where nothing is known of that.
pub(super) fn end(status: &Status) -> String {
    let words = words(status);
    match words.is_empty() {
        true => status.state.name().to_owned(),
        false => words.join(", "),
    }
}

/// Why it stands where it stands, and what is known of how long.
fn words(status: &Status) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(position) = status.position {
        words.push(format!("number {position} in the queue"));
    }
    let doubt = status.doubts.first();
    let doubt = doubt.filter(|_| status.state == Standing::Unknown);
    if let Some(reason) = status.reason.as_ref().or(doubt) {
        // One line, whatever the scheduler wrote.
        words.push(harmless(reason).replace('\n', " "));
    }
    if let (Some(progress), Some(last)) = (status.progress, words.last_mut()) {
        last.push_str(&format!(" ({:.0} %)", progress.clamp(0.0, 1.0) * 100.0));
    }
    if let Some(estimate) = status.estimate {
        words.push(format!("expected to start {}", clock(estimate)));
    }
    if status.never {
        words.push("it can never run as it is".to_owned());
    }
    words
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

/// What it may use, in words.
fn limits(limits: &Limits) -> String {
    let mut words = Vec::new();
    if let Some(cpuset) = &limits.cpuset {
        words.push(format!("CPUs {cpuset}"));
    }
    if let Some(share) = limits.millicpus {
        words.push(format!(
            "CPU time of {}.{}",
            share / 1000,
            share % 1000 / 100
        ));
    }
    if let Some(bytes) = limits.memory_bytes {
        words.push(format!("{} MiB memory", bytes >> 20));
    }
    if let Some(bytes) = limits.shm_bytes {
        words.push(format!("{} MiB /dev/shm", bytes >> 20));
    }
    if let Some(pids) = limits.pids {
        words.push(format!("{pids} processes"));
    }
    words.join(", ")
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
