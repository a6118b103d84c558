//! What a laptop needs: ssh, its files, a profile, the hop, and the login node's own word.

use std::time::Instant;

use super::{Ladder, permissions, reach};
use crate::cli::Failure;
use crate::cli::args::Global;
use crate::cli::setting::{Setting, user_home};
use crate::laptop::{Cluster, Known, Paths, setup};
use crate::session::{Rung, Verdict};
use crate::ssh::{HandMade, Version, include, permissions as ssh_permissions};

pub(super) async fn look(setting: &Setting, global: &Global, ladder: &Ladder) {
    ladder.add(ssh(Version::of_user().await));
    match (user_home(), Paths::of_user()) {
        (Ok(home), Ok(paths)) => {
            let found = ssh_permissions::of_client(&home).await;
            ladder.add(permissions::of_client(&found));
            ladder.add(include(&paths));
            let hosts = HandMade::of_file(&home.join(".ssh/known_hosts"));
            ladder.add(known_hosts(&hosts));
            ladder.add(entries(&paths));
        }
        (Err(failure), _) => ladder.add(failure.rung("~/.ssh")),
        (_, Err(error)) => ladder.add(Failure::from(error).rung("~/.ssh")),
    }
    let began = Instant::now();
    match setting.cluster(global).await {
        Ok(Some(cluster)) => {
            let place = cluster.place().to_string();
            let told = format!("{place} lets you in");
            ladder.add(Rung::new("login", Verdict::Ok, told).took(began.elapsed()));
            of_cluster(setting, &cluster, &place, ladder).await;
        }
        Ok(None) => ladder.add(no_cluster()),
        Err(_) if global.on.is_none() && setting.config.default_cluster().is_none() => {
            ladder.add(no_cluster());
        }
        Err(failure) => ladder.add(failure.rung("login").took(began.elapsed())),
    }
}

fn no_cluster() -> Rung {
    let told = "no cluster is named or configured";
    Rung::new("login", Verdict::Skipped, told).cure("qdebug setup USER@HOST")
}

fn ssh(found: Result<Version, crate::process::Error>) -> Rung {
    let rung = |verdict, told: String| Rung::new("ssh", verdict, told);
    match found {
        Ok(Version::Fits(said)) => rung(Verdict::Ok, said),
        Ok(Version::TooOld(said)) => rung(Verdict::Fail, format!("{said} is too old"))
            .cure("qdebug needs OpenSSH 7.3 or later"),
        Ok(Version::Other(said)) => rung(Verdict::Warn, format!("not OpenSSH? it says {said:?}")),
        Err(error) => {
            rung(Verdict::Fail, error.to_string()).cure("install OpenSSH's client (openssh-client)")
        }
    }
}

fn include(paths: &Paths) -> Rung {
    let name = "ssh config";
    match include::plan_include(&paths.user_config, &paths.ssh_config) {
        Ok(None) => Rung::new(name, Verdict::Ok, "includes qdebug's own"),
        Ok(Some(_)) => Rung::new(
            name,
            Verdict::Warn,
            "`ssh qdebug-NAME` is not known to it yet",
        )
        .cure("the next `qdebug connect` offers the line; `qdebug ssh NAME` works without"),
        Err(error) => Failure::from(error).rung(name),
    }
}

fn known_hosts(found: &HandMade) -> Rung {
    let name = "known hosts";
    let rung = match (found.hosts.len(), found.hashed) {
        (0, 0) => Rung::new(name, Verdict::Ok, "no keys of hand-made tunnels"),
        // What is hashed cannot be told from what others are hashed.
        (0, hashed) => Rung::new(
            name,
            Verdict::Ok,
            format!(
                "no keys of hand-made tunnels in clear; {hashed} names are hashed: where ssh says \
                 that the key of 127.0.0.1 has changed, ssh-keygen -R '[127.0.0.1]:PORT'"
            ),
        ),
        (count, _) => Rung::new(
            name,
            Verdict::Warn,
            format!("{count} of hand-made tunnels; harmless to qdebug, in the way of others"),
        ),
    };
    found.hosts.iter().take(3).fold(rung, |rung, host| {
        rung.cure(format!("ssh-keygen -R {}", shell_words::quote(host)))
    })
}

fn entries(paths: &Paths) -> Rung {
    let known = Known::all(&paths.sessions);
    let told = match known.len() {
        0 => "none is known".to_owned(),
        count => {
            let each = known.iter().map(|known| match known.reach {
                Some(reach) => format!("{} ({reach})", known.alias),
                None => known.alias.clone(),
            });
            let each: Vec<String> = each.collect();
            format!("{count} known: {}", each.join(", "))
        }
    };
    Rung::new("sessions", Verdict::Ok, told)
}

/// What the login node says of itself, and whether the two qdebugs fit.
async fn of_cluster(setting: &Setting, cluster: &Cluster, place: &str, ladder: &Ladder) {
    let began = Instant::now();
    match cluster.checked().await {
        Ok(Ok(told)) => {
            ladder.add(versions(&told.version, place).took(began.elapsed()));
            ladder.add(reach::of_cluster(setting, place, told.ways));
            for mut rung in told
                .rungs
                .into_iter()
                .filter(|rung| rung.name != reach::NAME)
            {
                rung.name = format!("{} of login", rung.name);
                ladder.add(rung);
            }
        }
        Ok(Err(status)) => ladder.add(
            Rung::new(
                "qdebug",
                Verdict::Warn,
                format!("that of {place} has no `doctor` (status {status}): it is older"),
            )
            .cure(brings_there(place)),
        ),
        Err(error) => ladder.add(Failure::from(error).rung("qdebug")),
    }
}

fn brings_there(place: &str) -> String {
    let place = shell_words::quote(place);
    format!("qdebug setup {place}  (it brings this version there, or tells how to)")
}

fn versions(there: &str, place: &str) -> Rung {
    let here = env!("CARGO_PKG_VERSION");
    if there == here {
        return Rung::new("qdebug", Verdict::Ok, format!("{here} on both sides"));
    }
    let told = format!("{here} here, {there} on {place}");
    let rung = Rung::new("qdebug", Verdict::Warn, told);
    // Setup puts no older one over a newer.
    match setup::Version::read(&format!("qdebug {there}")) > Some(setup::Version::own()) {
        true => rung.cure(format!(
            "that one is newer: install qdebug {there} here (README, Install)"
        )),
        false => rung.cure(brings_there(place)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ssh_that_will_not_do_is_told_with_the_cure() {
        let said = || "OpenSSH_5.3p1".to_owned();
        let verdict = |found| ssh(Ok(found)).verdict;
        assert_eq!(verdict(Version::Fits(said())), Verdict::Ok);
        assert_eq!(verdict(Version::Other(said())), Verdict::Warn);
        let old = ssh(Ok(Version::TooOld(said())));
        assert_eq!((old.verdict, old.cures.len()), (Verdict::Fail, 1));
    }

    #[test]
    fn what_is_hashed_is_told_not_taken_for_well() {
        let mut found = HandMade {
            hosts: Vec::new(),
            hashed: 1,
        };
        let rung = known_hosts(&found);
        assert!(rung.told.contains("1 names are hashed"), "{rung:?}");
        found.hosts.push("[127.0.0.1]:2222".to_owned());
        let rung = known_hosts(&found);
        assert_eq!(rung.cures, ["ssh-keygen -R '[127.0.0.1]:2222'"]);
    }

    #[test]
    fn versions_that_differ_are_told() {
        assert_eq!(
            versions(env!("CARGO_PKG_VERSION"), "x").verdict,
            Verdict::Ok
        );
        let older = versions("0.0.1", "a@b");
        assert_eq!(older.verdict, Verdict::Warn);
        assert!(older.cures[0].starts_with("qdebug setup a@b "), "{older:?}");
        let newer = versions("99.0.0", "a@b");
        assert!(
            newer.cures[0].contains("install qdebug 99.0.0 here"),
            "{newer:?}"
        );
    }
}
