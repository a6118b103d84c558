//! The program itself, in what it does on every system that a laptop may run: Linux, macOS, Windows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)] // A test.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A new user's machine with one configured cluster and no program on PATH.
struct Laptop {
    home: TempDir,
}

/// How a command ended: its status, stdout, stderr.
struct Ended(i32, String, String);

impl Laptop {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a home");
        std::fs::write(home.path().join("config.toml"), CONFIG).expect("a configuration");
        Self { home }
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn run(&self, words: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qdebug"));
        for (name, folder) in [
            ("HOME", "."),
            ("USERPROFILE", "."),
            ("APPDATA", "roaming"),
            ("LOCALAPPDATA", "local"),
            ("XDG_RUNTIME_DIR", "."),
            ("PATH", "nothing"),
            ("QDEBUG_SITE", "site.toml"),
            ("QDEBUG_CONFIG", "config.toml"),
        ] {
            command.env(name, self.path().join(folder));
        }
        for name in [
            "XDG_CONFIG_HOME",
            "XDG_DATA_HOME",
            "XDG_STATE_HOME",
            "QDEBUG_LOG",
        ] {
            command.env_remove(name);
        }
        let output = command.args(words).output().expect("qdebug runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let status = output.status.code().unwrap_or(-1);
        Ended(status, text(&output.stdout), text(&output.stderr))
    }

    /// What a command prints that succeeds.
    fn ok(&self, words: &[&str]) -> String {
        let Ended(status, told, said) = self.run(words);
        assert_eq!(status, 0, "{words:?}: {told}{said}");
        told
    }
}

const CONFIG: &str = "default_cluster = 'lab'\r\n[clusters.lab]\r\nlogin = 'alice@login'\r\n\
                      qdebug = '/home/alice/.local/bin/qdebug'\r\n";

#[test]
fn it_tells_of_itself() {
    let laptop = Laptop::new();
    let version = laptop.ok(&["--version"]);
    assert_eq!(
        version.trim(),
        concat!("qdebug ", env!("CARGO_PKG_VERSION"))
    );
    assert!(laptop.ok(&["help", "connect"]).contains("--ide"));
    assert!(laptop.ok(&["help", "exit-codes"]).contains("host key"));
    assert!(laptop.ok(&["man"]).contains(".TH"));
    for shell in ["bash", "powershell"] {
        assert!(laptop.ok(&["completions", shell]).contains("forward"));
    }
}

#[test]
fn its_configuration_is_read_and_checked() {
    let laptop = Laptop::new();
    laptop.ok(&["config", "check"]);
    let told: serde_json::Value = serde_json::from_str(&laptop.ok(&["config", "--json"])).unwrap();
    let values = told["values"].as_array().unwrap();
    let login = values
        .iter()
        .find(|value| value["key"] == "clusters.lab.login");
    assert_eq!(login.unwrap()["value"], "alice@login", "{told}");
    std::fs::write(laptop.path().join("config.toml"), "home = 'x'\n").unwrap();
    assert_eq!(laptop.run(&["config", "check"]).0, 14);
}

#[test]
fn what_it_has_written_for_ides_is_listed_and_nothing_is_known_of_sessions() {
    let laptop = Laptop::new();
    let told: serde_json::Value =
        serde_json::from_str(&laptop.ok(&["ide", "list", "--json"])).unwrap();
    assert_eq!(told["entries"], serde_json::json!([]));
    laptop.ok(&["ide", "clean"]);
    assert_eq!(laptop.run(&["ssh", "otter"]).0, 3);
}

#[test]
fn without_an_ssh_it_says_so() {
    let laptop = Laptop::new();
    for words in [
        &["connect", "7"][..],
        &["list", "--on", "lab"],
        &["setup", "--yes"],
        &[
            "up", "-g", "V100", "-w", "1h", "-i", "debian", "--on", "lab",
        ],
    ] {
        let Ended(status, told, said) = laptop.run(words);
        assert!([1, 6].contains(&status), "{words:?}: {status} {told}{said}");
        assert!(said.contains("`ssh` is not installed"), "{words:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    let Ended(status, told, _) = laptop.run(&["doctor"]);
    assert_eq!(status, 1, "{told}");
    assert!(told.contains("openssh-client"), "{told}");
}

#[cfg(not(target_os = "linux"))]
#[test]
fn what_is_the_clusters_is_told_to_be() {
    let laptop = Laptop::new();
    let Ended(status, _, said) = laptop.run(&["submit", "-g", "none"]);
    assert_eq!(status, 2);
    assert!(said.contains("qdebug up"), "{said}");
    std::fs::write(laptop.path().join("config.toml"), "").unwrap();
    let Ended(status, _, said) = laptop.run(&["list"]);
    assert_eq!(status, 14);
    assert!(said.contains("--on USER@HOST"), "{said}");
}
