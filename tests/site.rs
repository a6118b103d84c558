//! Site files with hostile words, through the binary: each is refused by its file, line and key,
//! with exit code 14, in one line that holds nothing a terminal would obey.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::fs;
use std::process::{Command, Output};

/// Runs `qdebug config` and these words with this site file.
fn config(site: &[u8], words: &[&str]) -> (Output, String) {
    let place = tempfile::Builder::new().prefix("a b ").tempdir().unwrap();
    let path = place.path().join("site.toml");
    fs::write(&path, site).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_qdebug"))
        .arg("config")
        .args(words)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", place.path())
        .env("QDEBUG_SITE", &path)
        .output()
        .unwrap();
    (output, path.display().to_string())
}

#[track_caller]
fn refused(site: &[u8], line: u32, key: &str, words: &str) {
    let (output, path) = config(site, &[]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(14), "{told}");
    assert!(output.stdout.is_empty());
    let begins = format!("error: {path}:{line}: {key}: ");
    assert!(told.starts_with(&begins), "no {begins:?} in {told:?}");
    assert!(told.contains(words), "no {words:?} in {told:?}");
    let obeyed = |c: char| c.is_control() && c != '\n';
    assert!(!told.contains(obeyed), "{told:?}");
    assert!(told.len() < 1000, "{told:?}");
}

/// The keys that are paths.
const PATHS: [&str; 3] = ["node_dir", "home", "cache"];

#[test]
fn paths_that_are_none_are_refused() {
    let long = format!("/{}", "a/".repeat(2000));
    let name = format!("/{}", "a".repeat(300));
    let odd = [
        (r"/var/tmp/a\nb", "control character"),
        (r"/var/tmp/\u0000", "control character"),
        (r"/var/tmp/\u001b[31m", "control character"),
        ("/var/tmp/../../etc", "`..`"),
        ("/..", "`..`"),
        ("relative", "absolute"),
        ("-v", "absolute"),
        (&long, "too long"),
        (&name, "too long"),
    ];
    for key in PATHS {
        for (path, words) in odd {
            let site = format!("# ours\n{key} = \"{path}\"\n");
            refused(site.as_bytes(), 2, key, words);
        }
    }
}

#[test]
fn spaces_and_foreign_letters_are_no_harm() {
    for key in PATHS {
        for path in ["/var/tmp/a b", "/scratch/gäste/$(id);'x'", "/a:b,c"] {
            let (output, _) = config(format!("{key} = \"{path}\"\n").as_bytes(), &["--json"]);
            assert_eq!(output.status.code(), Some(0), "{key} {path}");
            let told = String::from_utf8(output.stdout).unwrap();
            let told: serde_json::Value = serde_json::from_str(&told).unwrap();
            assert!(told.to_string().contains(path), "{told:#}");
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_told_with_their_line_and_key() {
    let words = "not UTF-8";
    refused(b"# ours\nnode_dir = \"/var/\xff\"\n", 2, "node_dir", words);
    refused(b"[gpus.V100]\n\nqueue = \"\xc3\"\n", 3, "queue", words);
}

#[test]
fn words_that_are_none_are_refused() {
    let odd = [
        ("scheduler", r#""openpbs\n""#, "openpbs, torque"),
        ("engine", r#""dock\u001ber""#, "docker, podman"),
        ("environment", r#"["SCRATCH", "A=b"]"#, "\"A=b\""),
        ("environment", r#"["LD\nPRELOAD"]"#, r#""LD\nPRELOAD""#),
        ("environment", r#"["1A"]"#, "names alone"),
        ("cache_size", r#""\u001b[2J""#, "size"),
        (
            "reach",
            r#"["jump", "jmp\u001b"]"#,
            "known are jump, nested",
        ),
        ("reach", r#"["exec", "exec"]"#, "exec stands there twice"),
        ("reach", "[]", "at least one way"),
        ("publish", r#""0.0.0.0/0""#, "never all addresses"),
        ("publish", r#""10.0.0.300/8""#, "no IPv4 network"),
        ("publish", r#""eth0\u001b""#, "no name of an interface"),
        ("publish", r#""-p 0.0.0.0""#, "no name of an interface"),
    ];
    for (key, value, words) in odd {
        refused(format!("\n\n{key} = {value}\n").as_bytes(), 3, key, words);
    }
    for queue in [r"a b", r"a\nb", "-v", "", r"\u001b[31m", &"q".repeat(300)] {
        for (table, key) in [("submit", "submit.queue"), ("gpus.V100", "gpus.V100.queue")] {
            let site = format!("[{table}]\nqueue = \"{queue}\"\n");
            refused(site.as_bytes(), 2, key, "one word");
        }
    }
    for word in ["-oProxyCommand=x", r"a\nb", "", r"a\u001bb"] {
        let site = format!("[clusters.x]\nlogin = \"{word}\"\n");
        refused(site.as_bytes(), 2, "clusters.x.login", "USER@HOST");
    }
    let site = b"[clusters.x]\nlogin = \"a@b\"\nqdebug = \"/x\\n/y\"\n";
    refused(site, 3, "clusters.x.qdebug", "control character");
}

#[test]
fn a_file_without_an_end_or_a_writer_holds_nothing_up() {
    let place = tempfile::tempdir().unwrap();
    let fifo = place.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
    let check = |site: &std::path::Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_qdebug"))
            .args(["config", "check"])
            .env_clear()
            .env("HOME", place.path())
            .env("QDEBUG_SITE", site)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    assert_eq!(check(&fifo).0, Some(0));
    assert_eq!(check("/dev/null".as_ref()).0, Some(0));
    let (code, told) = check("/dev/zero".as_ref());
    assert_eq!(code, Some(14), "{told}");
    assert!(told.contains("larger than 1 MiB"), "{told}");
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_qdebug"))
        .args(["config", "--json"])
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("QDEBUG_SITE", "/dev/null")
        .stdout(full)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("cannot write the answer"), "{told}");
}
