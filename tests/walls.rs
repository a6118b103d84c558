//! The walls of the house: reads every `use` and path of the sources and fails on a forbidden one.
//!
//! The halves never import one another; adapters see neither the session nor a half; the session
//! sees nothing of ours; each outside crate is named in its one place.

#![allow(clippy::expect_used)] // A test says what it expects.

use std::fs;
use std::path::{Path, PathBuf};

/// What each module may see of ours. A module may always see itself.
const MAY_SEE: [(&str, &[&str]); 18] = [
    ("session", &[]),
    ("platform", &[]),
    ("process", &["platform"]),
    ("disk", &["platform"]),
    ("text", &[]),
    ("scheduler", &["process", "disk", "text"]),
    ("engine", &["process", "disk", "text"]),
    ("cache", &["disk"]),
    ("gpu", &[]),
    ("kit", &["process"]),
    ("relay", &["process"]),
    ("ssh", &["process", "disk", "relay", "platform"]),
    ("ide", &["disk", "platform"]),
    ("config", &["disk", "text", "platform"]),
    ("login", &["session", "scheduler", "text"]),
    (
        "node",
        &[
            "session",
            "scheduler",
            "engine",
            "cache",
            "gpu",
            "kit",
            "process",
            "disk",
            "text",
        ],
    ),
    ("laptop", &["session", "ssh", "ide", "process", "platform"]),
    (
        "cli",
        &[
            "session",
            "config",
            "login",
            "node",
            "laptop",
            "scheduler",
            "engine",
            "gpu",
            "kit",
            "relay",
            "ssh",
            "ide",
            "process",
            "platform",
            "text",
        ],
    ),
];

/// The one place of each outside crate.
const HOME_OF: [(&str, &str); 8] = [
    ("bollard", "engine"),
    ("openssh", "ssh"),
    ("nvml_wrapper", "gpu"),
    ("qdebug_mig", "gpu"),
    ("clap", "cli"),
    ("portpicker", "node"),
    ("zstd", "cache"),
    ("jsonc_parser", "ide"),
];

fn sources(module: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(module).expect("a module's folder") {
        let path = entry.expect("an entry").path();
        // Members of their own are others' house, build.rs runs before there is a crate.
        if path.is_dir() && !path.join("Cargo.toml").exists() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("kit/build.rs") {
            found.push(path);
        }
    }
    found
}

/// The text without comments, so that prose may name anything.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source");
    let line = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Whether `code` names the path `root::...`.
fn names(code: &str, root: &str) -> bool {
    code.match_indices(root).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let word = |c: char| c.is_alphanumeric() || c == '_';
        !before.is_some_and(|c| word(c) || c == ':' || c == '.')
            && code[at + root.len()..].starts_with("::")
    })
}

/// The modules of ours that `code` names after `crate::`, in braces too.
fn seen(code: &str) -> Vec<String> {
    let mut seen = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let (mut depth, mut word, mut fresh) = (1, String::new(), true);
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
                match c {
                    ',' if depth == 1 => fresh = true,
                    c if depth == 1 && fresh && (c.is_alphanumeric() || c == '_') => word.push(c),
                    _ if word.is_empty() => {}
                    _ => {
                        seen.push(std::mem::take(&mut word));
                        fresh = false;
                    }
                }
            }
            if !word.is_empty() {
                seen.push(word);
            }
        } else {
            seen.push(
                rest.chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect(),
            );
        }
    }
    seen
}

#[test]
fn every_module_keeps_to_its_side_of_the_walls() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut broken) = (0, Vec::new());
    for (module, allowed) in MAY_SEE {
        for path in sources(&src.join(module)) {
            files += 1;
            let code = code(&path);
            for other in seen(&code) {
                let ours = MAY_SEE.iter().any(|(name, _)| *name == other);
                if ours && other != module && !allowed.contains(&other.as_str()) {
                    broken.push(format!("{} names crate::{other}", path.display()));
                }
            }
            for (outside, home) in HOME_OF {
                if home != module && names(&code, outside) {
                    broken.push(format!("{} names {outside}", path.display()));
                }
            }
        }
    }
    assert!(files > 40, "only {files} sources were read");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_module_is_behind_a_wall() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(src).expect("src") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        assert!(
            !path.is_dir() || MAY_SEE.iter().any(|(module, _)| *module == name),
            "src/{name} is in no rule of this test"
        );
    }
}

#[test]
fn the_reader_finds_what_is_forbidden() {
    assert_eq!(
        seen("use crate::{login::Login, session::{A, B}, gpu};"),
        ["login", "session", "gpu"]
    );
    assert_eq!(seen("let x = crate::node::run();"), ["node"]);
    assert!(names("use bollard::Docker;", "bollard"));
    assert!(!names("use my_bollard::Docker;", "bollard"));
    assert!(!names("crate::engine::bollard_like()", "bollard"));
}
