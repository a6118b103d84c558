//! Where an IDE's program is.

use std::ffi::OsString;
use std::path::PathBuf;

use super::Home;
use crate::disk::is_program;

/// Folders beside PATH, where installers put what they do not announce.
#[cfg(not(target_os = "macos"))]
const USUAL: [&str; 8] = [
    "/usr/bin",
    "/usr/local/bin",
    "/snap/bin",
    "/usr/share/code/bin",
    "/usr/share/cursor/bin",
    "/usr/share/windsurf/bin",
    "/usr/share/codium/bin",
    "/opt/pycharm/bin",
];
#[cfg(target_os = "macos")]
const USUAL: [&str; 8] = [
    "/usr/local/bin",
    "/opt/homebrew/bin",
    "/Applications/Visual Studio Code.app/Contents/Resources/app/bin",
    "/Applications/Cursor.app/Contents/Resources/app/bin",
    "/Applications/Windsurf.app/Contents/Resources/app/bin",
    "/Applications/VSCodium.app/Contents/Resources/app/bin",
    "/Applications/Zed.app/Contents/MacOS",
    "/Applications/PyCharm.app/Contents/MacOS",
];

/// A program and its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program's path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// The first of these names that is a program, on PATH and then in the usual folders.
pub(super) fn find(names: &[&str], home: &Home) -> Option<PathBuf> {
    let own = [
        home.home.join(".local/bin"),
        home.home.join("bin"),
        // Where JetBrains' Toolbox puts its starters.
        home.data.join("JetBrains/Toolbox/scripts"),
    ];
    let folders = home.path.iter().cloned();
    let folders: Vec<PathBuf> = folders.chain(own).chain(USUAL.map(PathBuf::from)).collect();
    let places = |name: &&str| folders.iter().map(|folder| folder.join(name)).collect();
    names
        .iter()
        .flat_map(|name| -> Vec<PathBuf> { places(name) })
        .find(|path| path.is_absolute() && is_program(path))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_first_on_path_and_may_run_is_found() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let home = Home::below(folder.path());
        let on_path = folder.path().join("on path");
        let own = folder.path().join(".local/bin");
        for place in [&on_path, &own] {
            std::fs::create_dir_all(place).unwrap();
        }
        let home = Home {
            path: vec!["relative".into(), on_path.clone()],
            ..home
        };
        let names = ["qdebug-no-such-ide", "qdebug-other-ide"];
        assert_eq!(find(&names, &home), None);
        let write = |path: &Path, mode| {
            std::fs::write(path, "").unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        write(&own.join(names[1]), 0o755);
        write(&on_path.join(names[1]), 0o644);
        assert_eq!(find(&names, &home), Some(own.join(names[1])));
        write(&on_path.join(names[1]), 0o755);
        assert_eq!(find(&names, &home), Some(on_path.join(names[1])));
    }
}
