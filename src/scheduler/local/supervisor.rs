//! The supervisor of one local job: starts its script, waits, and ends it as a scheduler would.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Pid, Signal, test_kill_process_group};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal as listen};
use tokio::time::{Instant, sleep, timeout};

use super::files::{Alive, JobDir, append};
use super::process_id::ProcessId;
use crate::process::{Program, code};
use crate::scheduler::{Error, JobEnd};

/// From SIGTERM to SIGKILL, as OpenPBS's default kill_delay.
pub const GRACE: Duration = Duration::from_secs(10);

/// Runs the job of this directory to its end and writes down how it ended. Leaves the caller's
/// session, where it can, and its directory, which could not be unmounted otherwise.
///
/// # Errors
/// When the job's files cannot be read or written, or its script not be started; that is written
/// down as the job's end too, where possible.
pub async fn supervise(path: &Path) -> Result<(), Error> {
    let path = std::path::absolute(path).map_err(Error::file("find", path))?;
    // Refused to the leader of a process group, which submit has made us; then SIGHUP is ignored.
    if let Err(error) = rustix::process::setsid() {
        tracing::debug!(%error, "still in the caller's session");
    }
    if let Err(error) = rustix::process::chdir("/") {
        tracing::debug!(%error, "still in the caller's directory");
    }
    let job = JobDir::at(&path);
    if job.end()?.is_some() {
        tracing::info!("deleted before it started");
        return Ok(());
    }
    let end = match run(&job).await {
        Ok(end) => end,
        Err(error) => {
            job.write_end(&JobEnd::Other(error.to_string()))?;
            return Err(error);
        }
    };
    tracing::info!(%end, "over");
    job.write_end(&end)
}

async fn run(job: &JobDir) -> Result<JobEnd, Error> {
    let asked = job.asked()?.ok_or_else(|| Error::BadId {
        id: job.path().display().to_string(),
    })?;
    let listen = |kind| listen(kind).map_err(Error::file("listen for signals in", job.path()));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    // Listening is enough to outlive it.
    let _hangup = listen(SignalKind::hangup())?;

    let output = append(&asked.output).map_err(Error::file("write", &asked.output))?;
    let errors = output
        .try_clone()
        .map_err(Error::file("write", &asked.output))?;
    let mut script = Program::new(&asked.script)
        .own_group()
        .spawn_with(Stdio::null(), output.into(), errors.into())
        .map_err(Error::Program)?;
    let group = script.id().unwrap_or(0);
    job.write_alive(&Alive {
        supervisor: ProcessId::of(std::process::id()).ok_or_else(|| Error::BadId {
            id: "no /proc here".to_owned(),
        })?,
        script: ProcessId::of(group),
        started: Timestamp::now(),
    })?;

    let end = tokio::select! {
        status = script.wait() => status.ok().map(|status| match code(status) {
            0 => JobEnd::Completed,
            status if status > 128 => JobEnd::Signalled { signal: status - 128 },
            status => JobEnd::Failed { exit: status },
        }),
        () = sleep(Duration::from_secs(asked.walltime_seconds)) => Some(JobEnd::Walltime),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    finish(&mut script, group).await;
    Ok(end.unwrap_or(JobEnd::Cancelled { by: None }))
}

/// SIGTERM, the grace, SIGKILL: to the whole group, also when its leader has ended by itself and
/// left others behind.
async fn finish(script: &mut Child, group: u32) {
    super::signal(group, Signal::TERM, true);
    let limit = Instant::now() + GRACE;
    // The leader is reaped by its wait; only then can its group be empty.
    let _ = timeout(GRACE, script.wait()).await;
    while is_populated(group) {
        if Instant::now() >= limit {
            tracing::info!("still there after the grace");
            super::signal(group, Signal::KILL, true);
            break;
        }
        sleep(super::PACE).await;
    }
    let _ = script.wait().await;
}

/// Whether a process of this group is left.
fn is_populated(group: u32) -> bool {
    let group = i32::try_from(group).ok().and_then(Pid::from_raw);
    group.is_some_and(|group| test_kill_process_group(group).is_ok())
}
