//! What the scheduler's hooks run on a node: containers of a job that is over, and a sweep for
//! those of jobs that the local daemon no longer has.
//!
//! Problem: it runs as root and acts on labels, which are claims of whoever may talk to the engine.
//! Evidence: a label may be another user's job, a path, a line break, an option. Solution: a label
//! is only ever compared. [`judge`], pure, reads all of them strictly and leaves alone what is not
//! exactly as a node half writes it; what goes to the engine is the engine's own id.
//!
//! A job's hook takes the job as over, whatever the scheduler still shows. Only a sweep asks who
//! lives, and spares whoever shares a living job's number and what is younger than a minimum age.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use super::hooks::Kind;
use super::{label, rootless};
use crate::engine::{self, ContainerId, Engine, Listed};
use crate::scheduler::JobId;
use crate::session::{SessionName, Token};

/// How many containers are removed at the same time.
const AT_ONCE: usize = 8;

/// Which containers go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Those of one job, which is over.
    Job {
        /// Its id as the hook was told it.
        id: JobId,
        /// Its owner, where the hook was told.
        uid: Option<u32>,
    },
    /// Those of every job that does not live.
    Sweep {
        /// The jobs that live.
        live: LiveJobs,
        /// What is younger stays: its job may be younger than the list.
        min_age: Duration,
    },
}

/// The jobs that the daemon of this node has, by their numbers: a file name may cut the server's
/// name short, and to spare one too many is the harmless mistake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveJobs(BTreeSet<String>);

/// A list of living jobs that cannot be trusted: nothing is swept by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{entry:?} in the list of living jobs is no job id")]
pub struct BadLiveJobs {
    /// What is none.
    pub entry: String,
}

impl fmt::Display for LiveJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, job) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{job}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for LiveJobs {
    type Err = BadLiveJobs;

    /// Ids between commas or blanks; arrays and their jobs may be among them. Nothing is a list.
    fn from_str(text: &str) -> Result<Self, BadLiveJobs> {
        let entries = text.split(|c: char| c == ',' || c.is_ascii_whitespace());
        let number = |entry: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_[]".contains(&b);
            let digit = entry.bytes().next().is_some_and(|b| b.is_ascii_digit());
            if digit && entry.bytes().all(plain) {
                Ok(number_of(entry).to_owned())
            } else {
                Err(BadLiveJobs {
                    entry: entry.chars().take(80).collect(),
                })
            }
        };
        let entries = entries.filter(|entry| !entry.is_empty());
        entries.map(number).collect::<Result<_, _>>().map(Self)
    }
}

/// What to clean up, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleanup {
    /// Which containers go.
    pub scope: Scope,
    /// Only those of this scheduler's jobs; of any scheduler when absent. Sessions without a
    /// scheduler (`local`) share ids with everybody and are never touched.
    pub scheduler: Option<Kind>,
    /// How long all of it may take.
    pub time_limit: Duration,
    /// Where the users' folders of this node are.
    pub node_dir: PathBuf,
    /// This user's folder there, and Podman alone: as root has itself run as a user.
    pub node_folder: Option<PathBuf>,
}

/// What was done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// The containers that are gone.
    pub removed: Vec<Gone>,
    /// The containers that could not be removed, with the reason.
    pub failed: Vec<(Gone, String)>,
    /// Short ids of containers that carry labels of ours which no node half wrote so: left alone.
    pub odd: Vec<String>,
    /// What was said by those that root ran as users: a stranger's words.
    pub said: Vec<String>,
    /// Why an engine could not be asked: what it has left is the next sweep's.
    pub unasked: Vec<String>,
}

impl Cleaned {
    fn add(&mut self, other: Self) {
        self.removed.extend(other.removed);
        self.failed.extend(other.failed);
        self.odd.extend(other.odd);
        self.said.extend(other.said);
        self.unasked.extend(other.unasked);
    }
}

/// A container that goes, in words fit for a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Its id, short.
    pub container: String,
    /// Its session's name.
    pub session: SessionName,
    /// Its job.
    pub job: JobId,
    /// Its owner.
    pub uid: u32,
}

/// Removes what [`Cleanup`] says, of this user, or of everybody when run by root: Docker's
/// containers by itself, Podman's of each user as that user. What cannot be asked is told, and the
/// rest is done all the same.
pub async fn cleanup(wanted: &Cleanup) -> Cleaned {
    let deadline = Instant::now() + wanted.time_limit;
    let by = By::this_process();
    let any = engine::Choice::Auto;
    match (&wanted.node_folder, by) {
        (Some(folder), _) => {
            let podman = engine::Choice::Podman;
            own(wanted, by, Some(folder), podman, deadline).await
        }
        (None, By::User(uid)) => {
            let folder = wanted.node_dir.join(format!("qdebug-{uid}"));
            own(wanted, by, Some(&folder), any, deadline).await
        }
        (None, By::Root) => {
            let owners = rootless::owners(&wanted.node_dir, &wanted.scope);
            let docker = own(wanted, by, None, any, deadline);
            let podmans = rootless::cleanup(owners, wanted, deadline);
            let (mut cleaned, podmans) = tokio::join!(docker, podmans);
            for said in podmans {
                cleaned.said.extend(said.lines);
                cleaned.unasked.extend(said.problem);
            }
            cleaned
        }
    }
}

/// The containers of the engines that this process may ask, each by itself: one that hangs keeps no
/// other from being cleaned up.
async fn own(
    wanted: &Cleanup,
    by: By,
    folder: Option<&Path>,
    which: engine::Choice,
    deadline: Instant,
) -> Cleaned {
    let left = deadline.saturating_duration_since(Instant::now());
    let asking = Engine::each(which, folder, Some(left), async |engine| {
        of_engine(&engine, wanted, by, deadline).await
    });
    let (all, errors) = asking.await;
    let mut cleaned = Cleaned::default();
    for one in all {
        cleaned.add(one);
    }
    cleaned.unasked.extend(errors.iter().map(why));
    cleaned
}

fn why(error: &engine::Error) -> String {
    let why = crate::text::chain(error);
    tracing::warn!(why, "an engine is not asked");
    why
}

/// Asks an engine, judges what it has, and removes what goes.
async fn of_engine(engine: &Engine, wanted: &Cleanup, by: By, deadline: Instant) -> Cleaned {
    let late = || engine::Error::TimedOut {
        doing: "cleaning up",
        limit: wanted.time_limit,
    };
    let mut cleaned = Cleaned::default();
    let listed = timeout_at(deadline, engine.list(&[(label::TOKEN, "")])).await;
    let containers = match listed.map_err(|_| late()).and_then(|listed| listed) {
        Ok(containers) => containers,
        Err(error) => {
            cleaned.unasked.push(why(&error));
            return cleaned;
        }
    };
    let now = jiff::Timestamp::now().as_second();
    let mut going: Vec<(ContainerId, Gone)> = Vec::new();
    for container in containers {
        match judge(&container, wanted, by, now) {
            Verdict::Goes(gone) => going.push((container.id, gone)),
            Verdict::Stays => {}
            Verdict::Odd => cleaned.odd.push(container.id.short().to_owned()),
        }
    }
    let removals = going.into_iter().map(async |(id, gone)| {
        let removed = timeout_at(deadline, engine.remove(&id)).await;
        let removed = removed.map_err(|_| late()).and_then(|removed| removed);
        (gone, removed.map_err(|error| error.to_string()))
    });
    let mut removals = futures_util::stream::iter(removals).buffer_unordered(AT_ONCE);
    while let Some((gone, removed)) = removals.next().await {
        match removed {
            Ok(()) => {
                tracing::info!(container = gone.container, "removed");
                cleaned.removed.push(gone);
            }
            Err(reason) => {
                tracing::warn!(container = gone.container, reason, "not removed");
                cleaned.failed.push((gone, reason));
            }
        }
    }
    cleaned
}

/// On whose behalf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Root,
    User(u32),
}

impl By {
    fn this_process() -> Self {
        match rustix::process::geteuid() {
            uid if uid.is_root() => Self::Root,
            uid => Self::User(uid.as_raw()),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Goes(Gone),
    Stays,
    Odd,
}

/// What shall become of a container; `now` in seconds since 1970.
fn judge(container: &Listed, wanted: &Cleanup, by: By, now: i64) -> Verdict {
    let Some(claim) = Claim::read(&container.labels) else {
        return Verdict::Odd;
    };
    let may = match by {
        By::Root => true,
        By::User(uid) => claim.uid == uid,
    };
    let of_scheduler = match wanted.scheduler {
        Some(kind) => claim.scheduler == kind.name(),
        None => claim.scheduler != "local",
    };
    let over = match &wanted.scope {
        Scope::Job { id, uid } => {
            same_job(id.as_str(), claim.job.as_str()) && uid.is_none_or(|uid| uid == claim.uid)
        }
        Scope::Sweep { live, min_age } => {
            let age = now.saturating_sub(container.created);
            let old = u64::try_from(age).is_ok_and(|age| age >= min_age.as_secs());
            old && !live.0.contains(number_of(claim.job.as_str()))
        }
    };
    if may && of_scheduler && over {
        Verdict::Goes(Gone {
            container: container.id.short().to_owned(),
            session: claim.session,
            job: claim.job,
            uid: claim.uid,
        })
    } else {
        Verdict::Stays
    }
}

/// The labels of a container, each exactly as a node half writes it.
struct Claim {
    session: SessionName,
    job: JobId,
    uid: u32,
    scheduler: String,
}

impl Claim {
    fn read(labels: &HashMap<String, String>) -> Option<Self> {
        let text = |name| labels.get(name).map(String::as_str);
        text(label::TOKEN)?.parse::<Token>().ok()?;
        let uid_text = text(label::UID)?;
        let uid: u32 = uid_text.parse().ok()?;
        // `+5` and `005` are numbers to a parser and not to a node half.
        if uid.to_string() != uid_text {
            return None;
        }
        let (scheduler, _) = text(label::CLUSTER)?.split_once(' ')?;
        let known = scheduler == "local" || scheduler.parse::<Kind>().is_ok();
        known.then_some(())?;
        Some(Self {
            session: text(label::SESSION)?.parse().ok()?,
            job: text(label::JOB)?.parse().ok()?,
            uid,
            scheduler: scheduler.to_owned(),
        })
    }
}

/// Equal ids; where one of them has no server, equal numbers.
fn same_job(one: &str, other: &str) -> bool {
    let short = !(one.contains('.') && other.contains('.'));
    one == other || (short && number_of(one) == number_of(other))
}

/// What is before the server's name.
fn number_of(id: &str) -> &str {
    id.split('.').next().unwrap_or(id)
}

#[cfg(test)]
#[path = "cleanup_tests.rs"]
mod tests;
