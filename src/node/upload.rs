//! The kit and the session's files as an archive, for an engine that cannot mount them.
//!
//! Problem: what the engine mounts must be there for it, too, and a daemon with a private /var/tmp,
//! or whose root is shut out of node_dir, sees another place. Solution: the same files at the same
//! paths, put into the container before its start. There they lie in its own layer, so what the user
//! must not change belongs to root.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::engine::Bind;
use crate::kit::paths;

/// What the binds would show, as a tar archive of `/`. The session's folder belongs to the user,
/// the rest to root.
pub(super) fn archive(binds: &[Bind], (uid, gid): (u32, u32)) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for bind in binds {
        let owner = match bind.target.as_str() {
            paths::SESSION => Owner::User(uid, gid),
            _ => Owner::Root,
        };
        add(&mut tar, &bind.source, Path::new(&bind.target), owner)?;
    }
    tar.into_inner()
}

#[derive(Debug, Clone, Copy)]
enum Owner {
    User(u32, u32),
    Root,
}

/// Adds a file, or a folder with all that is in it; FIFOs and their like stay here.
fn add(
    tar: &mut tar::Builder<Vec<u8>>,
    source: &Path,
    target: &Path,
    owner: Owner,
) -> io::Result<()> {
    let about = source.symlink_metadata()?;
    let target = target.strip_prefix("/").unwrap_or(target);
    let mut header = tar::Header::new_gnu();
    let mode = about.permissions().mode() & 0o777;
    match owner {
        Owner::User(uid, gid) => {
            header.set_uid(uid.into());
            header.set_gid(gid.into());
            header.set_mode(mode);
        }
        // Whoever reads it there is not its owner.
        Owner::Root => {
            header.set_uid(0);
            header.set_gid(0);
            header.set_mode((mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6) & 0o755);
        }
    }
    if about.is_dir() {
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        tar.append_data(&mut header, target, io::empty())?;
        let mut names: Vec<_> = std::fs::read_dir(source)?.collect::<Result<_, _>>()?;
        names.sort_by_key(std::fs::DirEntry::file_name);
        for entry in names {
            let target = Path::new("/").join(target).join(entry.file_name());
            add(tar, &entry.path(), &target, owner)?;
        }
    } else if about.is_symlink() {
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, target, std::fs::read_link(source)?)?;
    } else if about.is_file() {
        header.set_size(about.len());
        tar.append_data(&mut header, target, std::fs::File::open(source)?)?;
    }
    Ok(())
}

/// One file of the session's folder, anew.
pub(super) fn one_file(name: &str, bytes: &[u8], (uid, gid): (u32, u32)) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_uid(uid.into());
    header.set_gid(gid.into());
    header.set_mode(0o600);
    header.set_size(bytes.len() as u64);
    let target = Path::new(paths::SESSION).join(name);
    let target = target.strip_prefix("/").unwrap_or(&target).to_owned();
    tar.append_data(&mut header, target, bytes)?;
    tar.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(archive: &[u8]) -> Vec<String> {
        let mut tar = tar::Archive::new(archive);
        let entries = tar.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            format!(
                "{} {} {:o} {}",
                entry.path().unwrap().display(),
                header.uid().unwrap(),
                header.mode().unwrap(),
                header.size().unwrap()
            )
        });
        entries.collect()
    }

    #[test]
    fn the_kit_is_roots_and_the_session_the_users() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let set = |name: &str, mode| {
            std::fs::set_permissions(path(name), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        for name in ["kit", "kit/bin", "session"] {
            std::fs::create_dir(path(name)).unwrap();
            set(name, 0o700);
        }
        std::fs::write(path("kit/bin/sh"), "sh").unwrap();
        set("kit/bin/sh", 0o700);
        std::os::unix::fs::symlink("sh", path("kit/bin/ash")).unwrap();
        std::fs::write(path("session/host_key"), "key").unwrap();
        set("session/host_key", 0o600);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path("session/lease"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        std::fs::write(path("passwd"), "x").unwrap();
        set("passwd", 0o644);
        let binds = [
            Bind::new(path("kit"), paths::KIT),
            Bind::new(path("session"), paths::SESSION),
            Bind::new(path("passwd"), "/etc/passwd"),
        ];
        assert_eq!(
            entries(&archive(&binds, (2001, 100)).unwrap()),
            [
                ".qdebug 0 755 0",
                ".qdebug/bin 0 755 0",
                ".qdebug/bin/ash 0 755 0",
                ".qdebug/bin/sh 0 755 2",
                ".qdebug-session 2001 700 0",
                ".qdebug-session/host_key 2001 600 3",
                "etc/passwd 0 644 1",
            ]
        );
        let keys = one_file("authorized_keys", b"ab", (2001, 100)).unwrap();
        assert_eq!(
            entries(&keys),
            [".qdebug-session/authorized_keys 2001 600 2"]
        );
    }
}
