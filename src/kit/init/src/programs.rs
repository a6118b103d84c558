//! What a shell and an IDE find in this container: said once, found without running any of it.
//!
//! It is looked up from inside, since what an engine reads out of a container costs it more, and
//! since a mounted folder may hide what the image has. A path may lead into a file system that
//! hangs: the caller gives it a thread of its own.

use std::path::{Path, PathBuf};

use crate::protocol::{KIT, report};

/// The places of glibc's and of musl's loader, which are part of each architecture's ABI.
const LOADERS: (&str, &str) = if cfg!(target_arch = "aarch64") {
    ("/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-aarch64.so.1")
} else if cfg!(target_arch = "powerpc64") {
    ("/lib64/ld64.so.2", "/lib/ld-musl-powerpc64le.so.1")
} else {
    ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1")
};

/// More folders than this no person sets as a PATH.
const MOST_FOLDERS: usize = 20;

/// The words of [`report::PROGRAMS`], of what is below `root` (`/`) with this PATH.
pub(crate) fn words(root: &Path, path: &str) -> Vec<String> {
    let mut words = Vec::new();
    // As `exec` does, only plain files count that somebody may run.
    let is_program = |path: &str| {
        let told = std::fs::metadata(below(root, path));
        told.is_ok_and(|told| told.is_file() && mode(&told) & 0o111 != 0)
    };
    if let Some(shell) = report::SHELLS.iter().find(|shell| is_program(shell)) {
        words.push(format!("{}{shell}", report::SHELL));
    }
    let (glibc, musl) = LOADERS;
    // Up to glibc 2.33 the loader is a link to a file that is named after the version.
    if let Ok(loader) = below(root, glibc).canonicalize() {
        let name = loader.file_name().and_then(|name| name.to_str());
        let name = name.filter(|name| !name.contains(char::is_whitespace));
        words.push(format!("{}{}", report::GLIBC, name.unwrap_or_default()));
    } else if below(root, musl).exists() {
        words.push(report::MUSL.to_owned());
    }
    let folders = folders(path);
    for name in report::NAMES {
        if folders
            .iter()
            .any(|folder| is_program(&format!("{folder}/{name}")))
        {
            words.push(name.to_owned());
        }
    }
    words
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn mode(told: &std::fs::Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&told.permissions())
}

/// The absolute folders of a PATH, each once, but for the kit's, which are no image's.
fn folders(path: &str) -> Vec<&str> {
    let mut folders = Vec::new();
    for folder in path.split(':').filter(|folder| folder.starts_with('/')) {
        let folder = folder.trim_end_matches('/');
        let is_kits = Path::new(folder).starts_with(KIT);
        if !is_kits && !folders.contains(&folder) && folders.len() < MOST_FOLDERS {
            folders.push(folder);
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_is_there_is_told_and_nothing_else() {
        let name = format!("qdebug-init-programs-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let (loader, _) = LOADERS;
        let lib = below(&root, loader);
        for folder in ["usr/bin", "opt/bin", ".qdebug/bin", "bin"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        std::fs::create_dir_all(lib.parent().unwrap()).unwrap();
        assert_eq!(words(&root, "/usr/bin"), Vec::<String>::new());

        let program = |path: &str, mode: u32| {
            let path = root.join(path);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        program("bin/sh", 0o755);
        program(".qdebug/bin/tar", 0o755);
        program("usr/bin/tar", 0o644);
        program("opt/bin/python3.11", 0o755);
        symlink("python3.11", root.join("opt/bin/python3")).unwrap();
        std::fs::create_dir(root.join("usr/bin/bash")).unwrap();
        std::fs::write(lib.with_file_name("ld-2.31.so"), "").unwrap();
        symlink("ld-2.31.so", &lib).unwrap();
        let path = "/usr/bin:/opt/bin//:relative:/.qdebug/bin";
        assert_eq!(
            words(&root, path),
            ["shell=/bin/sh", "glibc=ld-2.31.so", "python3"]
        );
        program("usr/bin/tar", 0o711);
        program("bin/bash", 0o755);
        assert_eq!(
            words(&root, path),
            ["shell=/bin/bash", "glibc=ld-2.31.so", "tar", "python3"]
        );
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_path_is_taken_apart() {
        assert_eq!(
            folders("/usr/bin:/bin/::relative:/usr/bin:.:/a b:/.qdebug/bin:/.qdebug-not"),
            ["/usr/bin", "/bin", "/a b", "/.qdebug-not"]
        );
        assert_eq!(folders(""), Vec::<&str>::new());
    }
}
