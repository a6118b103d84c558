//! A place where root alone may write, with a fake qdebug and fake tools.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support;

/// A place where root alone may write, with a fake qdebug and fake tools.
pub(crate) struct Bench {
    dir: TempDir,
}

pub(crate) fn executable(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Bench {
    /// `None` for anybody but root.
    pub(crate) fn new() -> Option<Self> {
        if !support::is_root("only root can install hooks") {
            return None;
        }
        let dir = tempfile::Builder::new()
            .prefix("qdebug-test-hooks-")
            .tempdir_in("/var/lib")
            .unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let bench = Self { dir };
        // One line a call, each word in brackets; then its environment.
        executable(
            &bench.qdebug(),
            "#!/bin/sh\n{ printf '<%s>' \"$@\"; echo; } >>\"$0.calls\"\nenv >\"$0.env\"\n\
             [ ! -e \"$0.rc\" ] || exit 7\n",
        );
        Some(bench)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn qdebug(&self) -> PathBuf {
        self.path("bin/qdebug")
    }

    pub(crate) fn tool(&self, name: &str, text: &str) {
        executable(&self.path("tools").join(name), text);
    }

    /// The calls of the fake qdebug since the last time.
    pub(crate) fn calls(&self) -> Vec<String> {
        let path = self.path("bin/qdebug.calls");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        text.lines().map(str::to_owned).collect()
    }

    /// `qdebug hooks ...` for this place.
    pub(crate) fn hooks(&self, words: &[&str]) -> Output {
        let path = format!("{}:/usr/bin:/bin", self.path("tools").display());
        Command::new(env!("CARGO_BIN_EXE_qdebug"))
            .arg("hooks")
            .args(words)
            .arg("--binary")
            .arg(self.qdebug())
            .env("PATH", path)
            .output()
            .unwrap()
    }

    #[track_caller]
    pub(crate) fn hooks_ok(&self, words: &[&str]) -> String {
        let output = self.hooks(words);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {text}");
        text
    }
}

pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Runs a script with these words and this environment alone; its exit status.
pub(crate) fn run(script: &Path, words: &[&str], env: &[(&str, &str)]) -> i32 {
    let mut command = Command::new(script);
    command.args(words).env_clear();
    command.envs(env.iter().copied());
    command.output().unwrap().status.code().unwrap_or(-1)
}
