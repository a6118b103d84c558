//! What a login node needs: a scheduler, room for sessions, the kit, keys.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use super::{Ladder, permissions, reach};
use crate::cli::Failure;
use crate::cli::setting::{Setting, user_home};
use crate::config::WAYS;
use crate::kit::Kit;
use crate::session::{Rung, Verdict, read_keys};
use crate::ssh::permissions::of_server;

pub(super) async fn look(setting: &Setting, ladder: &Ladder) {
    let began = Instant::now();
    ladder.add(scheduler(setting).await.took(began.elapsed()));
    match setting.home() {
        Ok(home) => ladder.add(sessions(&home)),
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

/// Whether sessions can be written: what a quota or a full disk forbids shows only in a write.
fn sessions(home: &Path) -> Rung {
    let name = "sessions";
    let place = match home.exists() {
        true => home,
        false => home.parent().unwrap_or(home),
    };
    let private = std::fs::metadata(home).map(|meta| meta.permissions().mode() & 0o077);
    if let Ok(1..) = private {
        let told = format!("{} is open to others", home.display());
        let quoted = shell_words::quote(&home.to_string_lossy()).into_owned();
        return Rung::new(name, Verdict::Fail, told).cure(format!("chmod 700 {quoted}"));
    }
    let written = tempfile::NamedTempFile::new_in(place).and_then(|mut file| {
        file.write_all(&[0; 64 << 10])?;
        file.as_file().sync_all()
    });
    if let Err(error) = written {
        let told = format!("cannot write in {}: {error}", place.display());
        return Rung::new(name, Verdict::Fail, told).cure(
            "see your quota (`quota -s`), or move it: home = \"/path\" in the configuration",
        );
    }
    let free = rustix::fs::statvfs(place).ok();
    let free = free.map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    free_rung(name, &home.display().to_string(), free)
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
    fn a_folder_of_sessions_is_private_and_can_be_written() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a 'b");
        let not_yet = sessions(&folder);
        assert_ne!(not_yet.verdict, Verdict::Fail, "{not_yet:?}");
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        let open = sessions(&folder);
        assert_eq!(open.verdict, Verdict::Fail, "{open:?}");
        assert!(open.cures[0].starts_with("chmod 700 "));
        let nowhere = sessions(Path::new("/proc/no/such"));
        assert_eq!(nowhere.verdict, Verdict::Fail, "{nowhere:?}");
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
