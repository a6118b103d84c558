//! Modes that OpenSSH refuses.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Access, ClientFiles, OpenFile, private_keys};

/// Those of `paths` that are there and have one of these bits.
fn with_bits(paths: &[PathBuf], bits: u32) -> Vec<PathBuf> {
    let has = |path: &&PathBuf| {
        std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & bits != 0)
    };
    paths.iter().filter(has).cloned().collect()
}

fn open(path: PathBuf) -> OpenFile {
    OpenFile {
        path,
        access: Access::Mode,
    }
}

/// The client's files of the user whose home this is.
pub async fn of_client(home: &Path) -> ClientFiles {
    let dot_ssh = home.join(".ssh");
    let keys = private_keys(&dot_ssh);
    let open_keys = with_bits(&keys, 0o077);
    if !open_keys.is_empty() {
        return ClientFiles::OpenKeys(open_keys.into_iter().map(open).collect());
    }
    match with_bits(&[dot_ssh.join("config")], 0o022).pop() {
        Some(config) => ClientFiles::OpenConfig(open(config)),
        None => ClientFiles::Closed { keys: keys.len() },
    }
}

/// What sshd reads of the user whose home this is: with `StrictModes` it takes no key while others
/// may write to one of these.
#[cfg(target_os = "linux")]
pub fn of_server(home: &Path) -> super::ServerFiles {
    use super::ServerFiles;
    let dot_ssh = home.join(".ssh");
    let paths = [
        home.to_owned(),
        dot_ssh.clone(),
        dot_ssh.join("authorized_keys"),
    ];
    let own = rustix::process::getuid().as_raw();
    let uid = std::os::unix::fs::MetadataExt::uid;
    let foreign = |path: &&PathBuf| {
        std::fs::metadata(path).is_ok_and(|meta| uid(&meta) != own && uid(&meta) != 0)
    };
    if let Some(path) = paths.iter().find(foreign) {
        return ServerFiles::Foreign(path.clone());
    }
    let open = with_bits(&paths, 0o022);
    match open.is_empty() {
        true => ServerFiles::Closed,
        false => ServerFiles::Open(open),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_ssh_refuses_is_found() {
        let home = tempfile::tempdir().unwrap();
        let dot_ssh = home.path().join(".ssh");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let found = || runtime.block_on(of_client(home.path()));
        assert_eq!(found(), ClientFiles::Closed { keys: 0 });
        std::fs::create_dir(&dot_ssh).unwrap();
        for name in ["my key", "my key.pub", "other.pub", "config"] {
            std::fs::write(dot_ssh.join(name), "").unwrap();
            set(&dot_ssh.join(name), 0o600);
        }
        set(&dot_ssh.join("my key.pub"), 0o644);
        assert_eq!(found(), ClientFiles::Closed { keys: 1 });
        set(&dot_ssh.join("config"), 0o664);
        let config = open(dot_ssh.join("config"));
        assert_eq!(found(), ClientFiles::OpenConfig(config));
        // One without its public half.
        let alone = dot_ssh.join("alone");
        std::fs::write(&alone, "-----BEGIN OPENSSH PRIVATE KEY-----\nb3B\n").unwrap();
        set(&alone, 0o640);
        let keys = vec![open(alone.clone())];
        assert_eq!(found(), ClientFiles::OpenKeys(keys));
        std::fs::remove_file(&alone).unwrap();
        set(&dot_ssh.join("my key"), 0o644);
        let keys = vec![open(dot_ssh.join("my key"))];
        assert_eq!(found(), ClientFiles::OpenKeys(keys));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_sshd_refuses_is_found() {
        use super::super::ServerFiles;
        let home = tempfile::tempdir().unwrap();
        set(home.path(), 0o755);
        assert_eq!(of_server(home.path()), ServerFiles::Closed);
        set(home.path(), 0o775);
        let open = vec![home.path().to_owned()];
        assert_eq!(of_server(home.path()), ServerFiles::Open(open));
    }
}
