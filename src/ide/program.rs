//! Where an IDE's program is.

use std::ffi::OsString;
use std::path::PathBuf;

use super::Home;
use crate::disk::is_program;
use crate::platform;

/// Folders beside PATH, where installers put what they do not announce.
#[cfg(not(any(target_os = "macos", windows)))]
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

/// Below the user's own programs and everybody's, the names of the variables that hold where.
#[cfg(windows)]
const USUAL: [(&str, &str); 9] = [
    ("LOCALAPPDATA", "Programs/Microsoft VS Code/bin"),
    ("ProgramFiles", "Microsoft VS Code/bin"),
    ("LOCALAPPDATA", "Programs/cursor/resources/app/bin"),
    ("LOCALAPPDATA", "Programs/Windsurf/bin"),
    ("LOCALAPPDATA", "Programs/VSCodium/bin"),
    ("ProgramFiles", "VSCodium/bin"),
    ("LOCALAPPDATA", "Programs/Zed/bin"),
    ("LOCALAPPDATA", "Programs/PyCharm/bin"),
    ("SystemRoot", "System32"),
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
    let folders: Vec<PathBuf> = folders.chain(own).chain(usual()).collect();
    let places = |name: &OsString| folders.iter().map(|folder| folder.join(name)).collect();
    names
        .iter()
        .flat_map(|name| platform::names_of_program(name))
        .flat_map(|name| -> Vec<PathBuf> { places(&name) })
        .find(|path| path.is_absolute() && is_program(path))
}

#[cfg(not(windows))]
fn usual() -> impl Iterator<Item = PathBuf> {
    USUAL.into_iter().map(PathBuf::from)
}

#[cfg(windows)]
fn usual() -> impl Iterator<Item = PathBuf> {
    let below = |(variable, folder)| Some(PathBuf::from(std::env::var_os(variable)?).join(folder));
    USUAL.into_iter().filter_map(below)
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use std::path::Path;

    use super::*;

    #[cfg(windows)]
    #[test]
    fn what_has_a_programs_ending_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("on path");
        std::fs::create_dir(&place).unwrap();
        let home = Home {
            path: vec![place.clone()],
            ..Home::below(folder.path())
        };
        std::fs::write(place.join("qdebug-no-such-ide"), "").unwrap();
        assert_eq!(find(&["qdebug-no-such-ide"], &home), None);
        let program = place.join("qdebug-no-such-ide.cmd");
        std::fs::write(&program, "").unwrap();
        assert_eq!(find(&["qdebug-no-such-ide"], &home), Some(program));
    }

    #[cfg(unix)]
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
