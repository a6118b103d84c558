//! A scheduler made of shell scripts, for the tests of the three that are driven by their tools.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// A folder of such tools; each notes its argv in `log`, and finds in `$n` how often it was called.
pub(super) struct Fake {
    folder: tempfile::TempDir,
}

impl Fake {
    /// Tools of these names and bodies.
    pub(super) fn new(tools: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (tool, body) in tools {
            let path = folder.path().join(tool);
            let script = format!(
                "#!/bin/sh\ncd \"${{0%/*}}\" || exit 1\necho \"{tool} $*\" >>log\n\
                 n=$(grep -c '^{tool} ' log)\n{body}\n"
            );
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        Self { folder }
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// All calls, a line each.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Those of one tool.
    pub(super) fn calls(&self, tool: &str) -> Vec<String> {
        let log = self.log();
        let of_tool = |line: &&str| line.split(' ').next() == Some(tool);
        log.lines().filter(of_tool).map(str::to_owned).collect()
    }
}
