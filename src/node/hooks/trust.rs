//! Whether root alone can have written a program: what a hook runs as root must be so. The hooks
//! ask the same again each time they run.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Says what is wrong, in words; `path` has no links in it.
pub(super) fn untrusted(path: &Path) -> Option<String> {
    for part in path.ancestors() {
        let problem = match part.symlink_metadata() {
            Err(error) => error.to_string(),
            Ok(found) if found.uid() != 0 => format!("it belongs to user {}", found.uid()),
            Ok(found) if found.mode() & 0o022 != 0 => {
                format!("others may write to it (mode {:o})", found.mode() & 0o7777)
            }
            Ok(found) if part == path && !(found.is_file() && found.mode() & 0o111 != 0) => {
                "it is no program".to_owned()
            }
            Ok(_) => continue,
        };
        return Some(format!("{}: {problem}", part.display()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_program_is_trusted_and_a_file_of_everybodys_is_not() {
        let shell = std::fs::canonicalize("/bin/sh").unwrap();
        assert_eq!(untrusted(&shell), None);
        assert!(untrusted(Path::new("/usr/bin")).is_some(), "a folder");
        assert!(untrusted(Path::new("/no such thing")).is_some());
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let inside = folder.path().join("qdebug");
        std::fs::copy(&shell, &inside).unwrap();
        assert!(untrusted(&inside).is_some(), "under /tmp");
    }
}
