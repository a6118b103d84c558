//! Podman's containers of other users, for root's hooks: each user's Podman is asked by a qdebug
//! that runs as that user.
//!
//! Problem: a rootless Podman is a user's own programs, configuration and store, and root must not
//! run the first nor believe the others. Solution: root decides only *for whom*: the job's owner, or
//! who has a folder of ours on this node, where the folder's owner and its name must agree. Then
//! `setpriv` drops to that user for good, in an empty environment and for a limited time, and the same
//! binary judges the labels once more as that user. What it says is a stranger's words.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::cleanup::{Cleanup, Scope};
use crate::process::Program;

/// How many users are cleaned up after at the same time, and in all by one run.
const AT_ONCE: usize = 4;
const USERS: usize = 64;
/// How many lines of one user's are handed on, and how much of each.
const LINES: usize = 20;
const LINE_LIMIT: usize = 300;
/// What the one who is run as the user has less time, so that it can say how it went.
const MARGIN: Duration = Duration::from_secs(1);
/// How much of all the time one user may have.
const SHARE: f64 = 0.5;

/// A user with a folder of ours on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    uid: u32,
    folder: PathBuf,
}

/// Those below `base` that may have containers of Podman's; of one user where that is said.
pub(super) fn owners(base: &Path, scope: &Scope) -> Vec<Owner> {
    let of = |uid: u32| {
        let folder = base.join(format!("qdebug-{uid}"));
        // Links are not followed: everybody may lay one there.
        let about = folder.symlink_metadata().ok()?;
        let theirs = about.is_dir() && about.uid() == uid && uid != 0;
        let used = folder.join("podman").symlink_metadata().is_ok()
            || Path::new(&format!("/run/user/{uid}/podman/podman.sock")).exists();
        (theirs && used).then_some(Owner { uid, folder })
    };
    if let Scope::Job { uid: Some(uid), .. } = scope {
        return of(*uid).into_iter().collect();
    }
    let Ok(entries) = std::fs::read_dir(base) else {
        return Vec::new();
    };
    let uids = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        let text = name.to_str()?.strip_prefix("qdebug-")?.to_owned();
        let uid: u32 = text.parse().ok()?;
        // `+5` and `005` are numbers to a parser, and no names of ours.
        (uid.to_string() == text).then_some(uid)
    });
    uids.filter_map(of).take(USERS).collect()
}

/// What came of it for one user.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// What it said, in lines fit for a log but for control characters.
    pub(super) lines: Vec<String>,
    /// Why it did not do all of it.
    pub(super) problem: Option<String>,
}

/// Cleans up after these users until a moment that holds for all of them: whose turn does not come
/// by then is told. Where some have to wait, nobody has more than a share of the time, so that a few
/// whose Podman hangs do not take everybody's.
pub(super) async fn cleanup(owners: Vec<Owner>, wanted: &Cleanup, deadline: Instant) -> Vec<Said> {
    let share = match owners.len() > AT_ONCE {
        true => wanted.time_limit.mul_f64(SHARE),
        false => wanted.time_limit,
    };
    let asked = owners.into_iter().map(async |owner| {
        let until = deadline.min(Instant::now() + share);
        let said = as_user(&owner, wanted, until).await;
        let said = said.unwrap_or_else(|problem| Said {
            problem: Some(format!("podman of uid {}: {problem}", owner.uid)),
            ..Said::default()
        });
        tracing::info!(uid = owner.uid, ?said, "a user's podman");
        said
    });
    let asked = futures_util::stream::iter(asked).buffer_unordered(AT_ONCE);
    asked.collect().await
}

/// How long it is until a moment, where that is long enough to begin something.
fn left(until: Instant) -> Result<Duration, String> {
    let left = until.saturating_duration_since(Instant::now());
    match left > MARGIN {
        true => Ok(left),
        false => Err("no time was left for it".to_owned()),
    }
}

/// The words after `qdebug`: the same that root was given, for Podman alone.
fn words(wanted: &Cleanup, limit: Duration) -> Vec<String> {
    let mut words = vec!["cleanup".to_owned(), "--strict".to_owned()];
    let mut add = |name: &str, value: String| words.push(format!("--{name}={value}"));
    match &wanted.scope {
        Scope::Job { id, .. } => add("job", id.as_str().to_owned()),
        Scope::Sweep { live, min_age } => {
            add("live", live.to_string());
            add("min-age", min_age.as_secs().to_string());
        }
    }
    if let Some(kind) = wanted.scheduler {
        add("scheduler", kind.name().to_owned());
    }
    add("time-limit", limit.as_secs().max(1).to_string());
    if matches!(wanted.scope, Scope::Sweep { .. }) {
        words.push("--sweep".to_owned());
    }
    words
}

async fn as_user(owner: &Owner, wanted: &Cleanup, until: Instant) -> Result<Said, String> {
    let text = |error: &dyn std::error::Error| crate::text::chain(error);
    let found = Program::new("getent")
        .args(["passwd", &owner.uid.to_string()])
        .time_limit(left(until)?)
        .output()
        .await
        .map_err(|error| text(&error))?;
    let user = parse_user(&found.stdout, owner.uid).ok_or("there is no such user any more")?;
    let qdebug = std::env::current_exe().map_err(|error| text(&error))?;
    let limit = left(until)?;
    let ran = Program::new("setpriv")
        .arg(format!("--reuid={}", owner.uid))
        .arg(format!("--regid={}", user.gid))
        .args(["--clear-groups", "--", "env", "-i", "-C", "/"])
        .arg("PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin")
        .arg(format!("HOME={}", user.home))
        .arg(format!("USER={}", user.name))
        .arg(&qdebug)
        .args(words(wanted, limit.saturating_sub(MARGIN)))
        .arg("--node-folder")
        .arg(&owner.folder)
        .time_limit(limit)
        .output()
        .await
        .map_err(|error| text(&error))?;
    let lines = ran.stderr.lines().map(|line| {
        let line = line.strip_prefix("qdebug: ").unwrap_or(line);
        line.chars().take(LINE_LIMIT).collect::<String>()
    });
    let lines = lines.take(LINES).collect();
    let problem = (ran.status != 0).then(|| {
        format!(
            "cleaning up podman of uid {} ended with {}",
            owner.uid, ran.status
        )
    });
    Ok(Said { lines, problem })
}

#[derive(Debug, PartialEq, Eq)]
struct User {
    name: String,
    gid: u32,
    home: String,
}

/// A line of passwd(5).
fn parse_user(text: &str, uid: u32) -> Option<User> {
    let mut fields = text.lines().next()?.split(':');
    let name = fields.next()?.to_owned();
    let found: u32 = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let home = fields.nth(1)?.to_owned();
    (found == uid && !name.is_empty()).then_some(User { name, gid, home })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_owns_a_folder_of_that_number_is_cleaned_up_after() {
        let base = tempfile::tempdir().unwrap();
        let uid = rustix::process::getuid().as_raw();
        for name in [
            format!("qdebug-{uid}"),
            format!("qdebug-0{uid}"),
            "qdebug-99999".into(),
        ] {
            std::fs::create_dir_all(base.path().join(name).join("podman")).unwrap();
        }
        std::os::unix::fs::symlink("/", base.path().join("qdebug-77")).unwrap();
        let sweep = Scope::Sweep {
            live: "".parse().unwrap(),
            min_age: Duration::from_secs(60),
        };
        let found = owners(base.path(), &sweep);
        let expected: &[u32] = if uid == 0 { &[] } else { &[uid] };
        assert_eq!(found.iter().map(|o| o.uid).collect::<Vec<_>>(), expected);
        let job = |uid| Scope::Job {
            id: "1".parse().unwrap(),
            uid: Some(uid),
        };
        assert_eq!(owners(base.path(), &job(99_999)), []);
        assert_eq!(owners(base.path(), &job(77)), []);
        assert_eq!(owners(base.path(), &job(0)), []);
        assert_eq!(owners(Path::new("/no such"), &sweep), []);
    }

    #[test]
    fn the_words_are_roots_own() {
        let wanted = Cleanup {
            scope: Scope::Sweep {
                live: "7.server 8".parse().unwrap(),
                min_age: Duration::from_secs(60),
            },
            scheduler: None,
            time_limit: Duration::from_secs(20),
            node_dir: "/var/tmp".into(),
            node_folder: None,
        };
        assert_eq!(
            words(&wanted, Duration::from_secs(19)),
            [
                "cleanup",
                "--strict",
                "--live=7,8",
                "--min-age=60",
                "--time-limit=19",
                "--sweep"
            ]
        );
    }

    #[tokio::test]
    async fn all_users_together_have_the_time_of_one() {
        let wanted = Cleanup {
            scope: Scope::Sweep {
                live: "".parse().unwrap(),
                min_age: Duration::from_secs(60),
            },
            scheduler: None,
            time_limit: Duration::from_secs(20),
            node_dir: "/var/tmp".into(),
            node_folder: None,
        };
        let owners: Vec<Owner> = (0..64)
            .map(|number| Owner {
                uid: 4_000_000_000 + number,
                folder: "/var/tmp/qdebug".into(),
            })
            .collect();
        let begun = Instant::now();
        // Just too little to begin with any of them: nobody begins.
        let said = cleanup(owners, &wanted, begun + MARGIN).await;
        assert_eq!(said.len(), 64);
        for said in said {
            let problem = said.problem.unwrap();
            assert!(problem.contains("no time was left"), "{problem}");
        }
    }

    #[test]
    fn a_user_is_read_from_passwd() {
        let line = "alice:x:2001:100:A:/home/alice:/bin/sh\n";
        let user = parse_user(line, 2001).unwrap();
        assert_eq!((user.gid, &*user.home), (100, "/home/alice"));
        for bad in ["", "alice:x:2002:1::/:/x", ":x:2001:1::/:/x", "alice:x"] {
            assert_eq!(parse_user(bad, 2001), None, "{bad}");
        }
    }
}
