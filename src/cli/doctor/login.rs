//! What a login node needs: a scheduler, room for sessions, the kit, keys.

use std::path::Path;
use std::time::Instant;

use super::{Ladder, permissions, reach};
use crate::cli::Failure;
use crate::cli::setting::{Setting, user_home};
use crate::config::WAYS;
use crate::kit::Kit;
use crate::login::{SessionsFound, sessions_found};
use crate::session::{Rung, Verdict, read_keys};
use crate::ssh::permissions::of_server;

pub(super) async fn look(setting: &Setting, ladder: &Ladder) {
    let began = Instant::now();
    ladder.add(scheduler(setting).await.took(began.elapsed()));
    match setting.home() {
        Ok(home) => ladder.add(sessions(&home, &sessions_found(&home))),
        Err(failure) => ladder.add(failure.rung("sessions")),
    }
    ladder.add(kit());
    ladder.add(ways(setting));
    match user_home() {
        Ok(home) => {
            if let Some(rung) = permissions::of_server(&of_server(&home)) {
                ladder.add(rung);
            }
            ladder.add(keys(&home.join(".ssh/authorized_keys")));
        }
        Err(failure) => ladder.add(failure.rung("keys")),
    }
}

async fn scheduler(setting: &Setting) -> Rung {
    let name = "scheduler";
    let kind = match setting.found().await {
        Ok(Some(kind)) => kind,
        Ok(None) => {
            return Rung::new(name, Verdict::Fail, "none was found here")
                .cure("load its module, or name it in the configuration: scheduler = \"slurm\"")
                .cure("without a cluster: qdebug submit --scheduler local");
        }
        Err(failure) => return failure.rung(name),
    };
    match setting.scheduler(kind) {
        Ok(scheduler) => match scheduler.cluster().await {
            Ok(server) => Rung::new(name, Verdict::Ok, format!("{kind} {server} answers")),
            Err(error) => Failure::from(error).rung(name),
        },
        Err(failure) => failure.rung(name),
    }
}

fn sessions(home: &Path, found: &SessionsFound) -> Rung {
    let name = "sessions";
    match found {
        SessionsFound::Open => {
            let told = format!("{} is open to others", home.display());
            let quoted = shell_words::quote(&home.to_string_lossy()).into_owned();
            Rung::new(name, Verdict::Fail, told).cure(format!("chmod 700 {quoted}"))
        }
        SessionsFound::Unwritable { place, source } => {
            let told = format!("cannot write in {}: {source}", place.display());
            Rung::new(name, Verdict::Fail, told).cure(
                "see your quota (`quota -s`), or move it: home = \"/path\" in the configuration",
            )
        }
        SessionsFound::Writable { free_bytes } => {
            free_rung(name, &home.display().to_string(), *free_bytes)
        }
    }
}

pub(super) fn kit() -> Rung {
    match Kit::find().and_then(|kit| kit.manifest().map(|_| kit)) {
        Ok(kit) => Rung::new("kit", Verdict::Ok, format!("kit {}", &kit.hash()[..12])),
        Err(error) => Failure::from(error).rung("kit"),
    }
}

/// The keys that sessions take over; without any, connect hands the laptop's own over.
fn keys(path: &Path) -> Rung {
    let rung = |verdict, told| Rung::new("keys", verdict, told);
    match read_keys(path) {
        Ok(import) if import.left_out.is_empty() => rung(
            Verdict::Ok,
            format!(
                "{} of ~/.ssh/authorized_keys enter a session, and the laptop's own that connect \
                 hands over",
                import.keys.len()
            ),
        ),
        Ok(import) => {
            let (line, reason) = &import.left_out[0];
            let told = format!(
                "{} enter a session; left out: line {line}: {reason}",
                import.keys.len()
            );
            rung(Verdict::Warn, told)
        }
        Err(error) => rung(Verdict::Warn, error.to_string()),
    }
}

/// Free space on a disk that sessions write to.
pub(super) fn free_rung(name: &str, what: &str, free_bytes: Option<u64>) -> Rung {
    const LITTLE: u64 = 1 << 30;
    match free_bytes {
        Some(free) if free < LITTLE => Rung::new(
            name,
            Verdict::Warn,
            format!("{what}: only {} MB are free", free >> 20),
        )
        .cure("make room: `qdebug image prune` on a node, old files of yours"),
        Some(free) => Rung::new(name, Verdict::Ok, format!("{what}: {} GB free", free >> 30)),
        None => Rung::new(name, Verdict::Ok, what),
    }
}

/// The order of ways that this cluster's configuration says.
fn ways(setting: &Setting) -> Rung {
    let told = match setting.ways() {
        Some(ways) => reach::shown(&ways.order, &ways.from),
        None => reach::shown(&WAYS, "built-in"),
    };
    Rung::new(reach::NAME, Verdict::Ok, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_sessions_that_will_not_do_is_told_with_the_cure() {
        let of = |found| sessions(Path::new("/a 'b"), &found);
        let free_bytes = Some(9 << 30);
        let good = of(SessionsFound::Writable { free_bytes });
        assert_eq!(good.verdict, Verdict::Ok, "{good:?}");
        let open = of(SessionsFound::Open);
        assert_eq!(open.verdict, Verdict::Fail, "{open:?}");
        assert!(open.cures[0].starts_with("chmod 700 "));
        let (place, source) = ("/".into(), std::io::ErrorKind::QuotaExceeded.into());
        let full = of(SessionsFound::Unwritable { place, source });
        assert!(full.cures[0].contains("quota -s"), "{full:?}");
    }

    #[test]
    fn keys_that_a_session_cannot_keep_are_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(keys(file.path()).verdict, Verdict::Ok);
        std::fs::write(file.path(), "no key\n").unwrap();
        let rung = keys(file.path());
        assert!(rung.told.contains("line 1"), "{rung:?}");
    }

    #[test]
    fn little_room_is_a_warning() {
        assert_eq!(free_rung("x", "y", Some(5 << 20)).verdict, Verdict::Warn);
        assert_eq!(free_rung("x", "y", Some(5 << 30)).told, "y: 5 GB free");
        assert_eq!(free_rung("x", "y", None).verdict, Verdict::Ok);
    }
}
