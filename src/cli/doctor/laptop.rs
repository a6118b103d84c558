//! What a laptop needs: ssh, its files, a profile, the hop, and the login node's own word.

use std::path::Path;
use std::time::Instant;

use super::{Ladder, Told, permissions, reach};
use crate::cli::Failure;
use crate::cli::args::Global;
use crate::cli::setting::{Setting, user_home};
use crate::laptop::setup::Version;
use crate::laptop::{Cluster, Known, Paths};
use crate::process::Program;
use crate::session::{Rung, Verdict};
use crate::ssh::{config_file, permissions as ssh_permissions};

pub(super) async fn look(setting: &Setting, global: &Global, ladder: &Ladder) {
    ladder.add(ssh().await);
    match (user_home(), Paths::of_user()) {
        (Ok(home), Ok(paths)) => {
            let found = ssh_permissions::of_client(&home).await;
            ladder.add(permissions::of_client(&found));
            ladder.add(include(&paths));
            ladder.add(known_hosts(&home.join(".ssh/known_hosts")));
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

/// `Include` and `ProxyJump` came with OpenSSH 7.3.
async fn ssh() -> Rung {
    match Program::new("ssh").arg("-V").output().await {
        Ok(output) => ssh_version(&output.stderr),
        Err(error) => Rung::new("ssh", Verdict::Fail, error.to_string())
            .cure("install OpenSSH's client (openssh-client)"),
    }
}

fn ssh_version(said: &str) -> Rung {
    let said = said.lines().next().unwrap_or_default().trim();
    let number = said
        .strip_prefix("OpenSSH_")
        .map(|rest| rest.strip_prefix("for_Windows_").unwrap_or(rest))
        .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit() && c != '.').next());
    let mut numbers = number.unwrap_or_default().split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (7, 3) => {
            Rung::new("ssh", Verdict::Ok, said)
        }
        (Some(Ok(_)), Some(Ok(_))) => Rung::new("ssh", Verdict::Fail, format!("{said} is too old"))
            .cure("qdebug needs OpenSSH 7.3 or later"),
        _ => Rung::new(
            "ssh",
            Verdict::Warn,
            format!("not OpenSSH? it says {said:?}"),
        ),
    }
}

fn include(paths: &Paths) -> Rung {
    let name = "ssh config";
    match config_file::plan_include(&paths.user_config, &paths.ssh_config) {
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

/// Hand-made tunnels leave the keys of their containers under 127.0.0.1, where the next container
/// then "has changed". qdebug's own sessions have names of their own.
fn known_hosts(path: &Path) -> Rung {
    let name = "known hosts";
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let hosts = local_hosts(&text);
    let rung = match hosts.len() {
        0 => {
            let told = "no keys of hand-made tunnels";
            // What is hashed cannot be told from what others are hashed.
            let told = match text.lines().filter(|line| line.starts_with("|1|")).count() {
                0 => told.to_owned(),
                hashed => format!(
                    "{told} in clear; {hashed} names are hashed: where ssh says that the key of \
                     127.0.0.1 has changed, ssh-keygen -R '[127.0.0.1]:PORT'"
                ),
            };
            Rung::new(name, Verdict::Ok, told)
        }
        count => Rung::new(
            name,
            Verdict::Warn,
            format!("{count} of hand-made tunnels; harmless to qdebug, in the way of others"),
        ),
    };
    hosts.iter().take(3).fold(rung, |rung, host| {
        rung.cure(format!("ssh-keygen -R {}", shell_words::quote(host)))
    })
}

/// The hosts of this machine's own ports in a known_hosts file; each once.
fn local_hosts(text: &str) -> Vec<String> {
    let mut hosts: Vec<String> = text
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().next())
        .flat_map(|names| names.split(','))
        .filter(|host| {
            let port = host
                .strip_prefix("[127.0.0.1]:")
                .or_else(|| host.strip_prefix("[localhost]:"));
            port.is_some_and(|port| port.parse::<u16>().is_ok())
        })
        .map(str::to_owned)
        .collect();
    hosts.sort();
    hosts.dedup();
    hosts
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
    let answer = cluster.run(&["doctor", "--json", "--login"], None).await;
    match answer.map(|answer| (serde_json::from_str::<Told>(&answer.stdout), answer.status)) {
        Ok((Ok(told), _)) => {
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
        Ok((Err(_), status)) => ladder.add(
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
    match Version::read(&format!("qdebug {there}")) > Some(Version::own()) {
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
    fn an_old_ssh_is_told() {
        // Recorded from Debian 12, macOS 13 and RHEL 6.
        for (said, verdict) in [
            (
                "OpenSSH_9.2p1 Debian-2+deb12u7, OpenSSL 3.0.17\n",
                Verdict::Ok,
            ),
            ("OpenSSH_9.0p1, LibreSSL 3.3.6\n", Verdict::Ok),
            ("OpenSSH_10.0p2, OpenSSL 3.5.0\n", Verdict::Ok),
            // As Windows 11 documents its own.
            ("OpenSSH_for_Windows_9.5p1, LibreSSL 3.8.2\n", Verdict::Ok),
            ("OpenSSH_for_Windows_7.1p1, x\n", Verdict::Fail),
            ("OpenSSH_5.3p1, OpenSSL 1.0.1e-fips\n", Verdict::Fail),
            ("dropbear\n", Verdict::Warn),
            ("", Verdict::Warn),
        ] {
            assert_eq!(ssh_version(said).verdict, verdict, "{said}");
        }
    }

    #[test]
    fn hosts_of_hand_made_tunnels_are_found() {
        let text = "login ssh-ed25519 AAAA\n[127.0.0.1]:2222 ssh-rsa AAAA\n\
                    [localhost]:2222,[127.0.0.1]:2222 ssh-ed25519 AAAA\n\
                    [127.0.0.1]:';id' ssh-rsa A\n[login]:22 ssh-rsa AAAA\n|1|a|b ssh-rsa A\n";
        let found = local_hosts(text);
        assert_eq!(found, ["[127.0.0.1]:2222", "[localhost]:2222"]);
    }

    #[test]
    fn what_is_hashed_is_told_not_taken_for_well() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "|1|a|b ssh-rsa A\n").unwrap();
        let rung = known_hosts(file.path());
        assert!(rung.told.contains("1 names are hashed"), "{rung:?}");
        std::fs::write(file.path(), "[127.0.0.1]:2222 ssh-rsa A\n").unwrap();
        let rung = known_hosts(file.path());
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
