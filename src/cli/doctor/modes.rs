//! Modes that OpenSSH refuses: of its client's configuration and keys, and of what sshd reads.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::session::{Rung, Verdict};

/// Those of `paths` that are there and have one of these bits.
fn with_bits(paths: &[PathBuf], bits: u32) -> Vec<PathBuf> {
    let has = |path: &&PathBuf| {
        std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & bits != 0)
    };
    paths.iter().filter(has).cloned().collect()
}

fn listed(paths: &[PathBuf]) -> String {
    let quoted = paths.iter().map(|path| format!("'{}'", path.display()));
    quoted.collect::<Vec<_>>().join(" ")
}

/// The private keys below `~/.ssh`: what stands beside a `.pub`.
fn private_keys(dot_ssh: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dot_ssh).into_iter().flatten().flatten();
    let mut keys: Vec<PathBuf> = files
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "pub"))
        .map(|path| path.with_extension(""))
        .filter(|path| path.is_file())
        .collect();
    keys.sort();
    keys
}

/// The client's: ssh refuses a private key that others may read ("UNPROTECTED PRIVATE KEY FILE")
/// and a configuration that others may write to ("Bad owner or permissions").
pub(super) fn of_client(home: &Path) -> Rung {
    let dot_ssh = home.join(".ssh");
    let keys = private_keys(&dot_ssh);
    let rung = |verdict, told: String| Rung::new("~/.ssh", verdict, told);
    let open = with_bits(&keys, 0o077);
    if !open.is_empty() {
        let told = format!("ssh refuses keys that others may read: {}", listed(&open));
        return rung(Verdict::Fail, told).cure(format!("chmod 600 {}", listed(&open)));
    }
    let config = [dot_ssh.join("config")];
    let loose = with_bits(&config, 0o022);
    if !loose.is_empty() {
        let told = "ssh refuses a configuration that others may write to".to_owned();
        return rung(Verdict::Fail, told).cure(format!("chmod 600 {}", listed(&loose)));
    }
    match keys.len() {
        0 => rung(
            Verdict::Ok,
            "no key of yours; qdebug has its own".to_owned(),
        ),
        count => rung(
            Verdict::Ok,
            format!("{count} of your keys, closed to others"),
        ),
    }
}

/// The server's: with StrictModes, sshd takes no key while others may write to one of these.
#[cfg(target_os = "linux")]
pub(super) fn of_server(home: &Path) -> Option<Rung> {
    let dot_ssh = home.join(".ssh");
    let paths = [
        home.to_owned(),
        dot_ssh.clone(),
        dot_ssh.join("authorized_keys"),
    ];
    let loose = with_bits(&paths, 0o022);
    let own = rustix::process::getuid().as_raw();
    let uid = std::os::unix::fs::MetadataExt::uid;
    let foreign = |path: &&PathBuf| {
        std::fs::metadata(path).is_ok_and(|meta| uid(&meta) != own && uid(&meta) != 0)
    };
    if let Some(path) = paths.iter().find(foreign) {
        let told = format!("{} is not yours: sshd takes no key", path.display());
        return Some(
            Rung::new("modes", Verdict::Warn, told).cure("ask the admin to give it to you"),
        );
    }
    (!loose.is_empty()).then(|| {
        let told = format!(
            "others may write to {}: sshd may take no key",
            listed(&loose)
        );
        Rung::new("modes", Verdict::Warn, told).cure(format!("chmod go-w {}", listed(&loose)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_ssh_refuses_is_found_with_its_cure() {
        let home = tempfile::tempdir().unwrap();
        let dot_ssh = home.path().join(".ssh");
        assert_eq!(of_client(home.path()).verdict, Verdict::Ok);
        std::fs::create_dir(&dot_ssh).unwrap();
        for name in ["my key", "my key.pub", "other.pub", "config"] {
            std::fs::write(dot_ssh.join(name), "").unwrap();
            set(&dot_ssh.join(name), 0o600);
        }
        set(&dot_ssh.join("my key.pub"), 0o644);
        assert_eq!(of_client(home.path()).verdict, Verdict::Ok);
        set(&dot_ssh.join("config"), 0o664);
        let rung = of_client(home.path());
        assert!(rung.cures[0].ends_with("/config'"), "{rung:?}");
        set(&dot_ssh.join("my key"), 0o644);
        let rung = of_client(home.path());
        assert_eq!(rung.verdict, Verdict::Fail);
        assert!(rung.cures[0].ends_with("/my key'"), "{rung:?}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_sshd_refuses_is_found() {
        let home = tempfile::tempdir().unwrap();
        set(home.path(), 0o755);
        assert_eq!(of_server(home.path()), None);
        set(home.path(), 0o775);
        let rung = of_server(home.path()).unwrap();
        assert!(rung.cures[0].starts_with("chmod go-w '"), "{rung:?}");
    }
}
