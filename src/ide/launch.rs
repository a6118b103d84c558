//! VS Code's `.vscode/launch.json`: a configuration that attaches to a debugpy behind a port of this
//! machine.
//!
//! The file is JSON with comments and trailing commas, and people edit it by hand. So it is changed
//! as text: what is not ours stays byte for byte, and of our own configuration only what this run
//! needs is set, so that a `justMyCode` which somebody added there stays, too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use jsonc_parser::json;
use serde::Serialize;

use crate::disk;

/// Where the workspace's sources are, in VS Code's own word.
const WORKSPACE: &str = "${workspaceFolder}";

/// What VS Code writes into a file it makes.
const VERSION: &str = "0.2.0";

/// Where a debugger attaches, and which folder there is the workspace of here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// What the IDE calls it.
    pub name: String,
    /// debugpy's port on 127.0.0.1.
    pub port: u16,
    /// The program's folder as the debugged side knows it.
    pub remote_root: String,
}

/// The configuration in the order people write it; the form is that of debugpy's documentation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Configuration<'a> {
    name: &'a str,
    r#type: &'a str,
    request: &'a str,
    connect: Connect<'a>,
    path_mappings: [Mapping<'a>; 1],
}

#[derive(Debug, Serialize)]
struct Connect<'a> {
    host: &'a str,
    port: u16,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Mapping<'a> {
    local_root: &'a str,
    remote_root: &'a str,
}

impl Attach {
    /// The configuration as a value of `configurations` in launch.json.
    pub fn configuration(&self) -> impl Serialize + '_ {
        Configuration {
            name: &self.name,
            r#type: "debugpy",
            request: "attach",
            connect: Connect {
                host: "127.0.0.1",
                port: self.port,
            },
            path_mappings: [Mapping {
                local_root: WORKSPACE,
                remote_root: &self.remote_root,
            }],
        }
    }

    fn connect(&self) -> CstInputValue {
        let port = u32::from(self.port);
        json!({ "host": "127.0.0.1", "port": port })
    }

    fn mappings(&self) -> CstInputValue {
        let remote = self.remote_root.as_str();
        json!([{ "localRoot": WORKSPACE, "remoteRoot": remote }])
    }

    fn whole(&self) -> CstInputValue {
        let name = self.name.as_str();
        let (connect, mappings) = (self.connect(), self.mappings());
        json!({
            "name": name,
            "type": "debugpy",
            "request": "attach",
            "connect": connect,
            "pathMappings": mappings,
        })
    }
}

/// Why launch.json was left as it was.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// It cannot be read or written.
    #[error("cannot {what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is not what VS Code would take.
    #[error("cannot add to {path}: {detail}")]
    Content {
        /// The file.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
}

/// What has become of launch.json.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// Where it lies as it was before qdebug first changed it, if there was one.
    pub backup: Option<PathBuf>,
    /// Whether it had to be changed now.
    pub changed: bool,
}

/// Puts the configuration into `.vscode/launch.json` of a workspace, whole or not at all. The file as
/// it was before the first time is kept beside it.
///
/// # Errors
/// [`LaunchError`]; the file is then as it was.
pub fn write(workspace: &Path, attach: &Attach) -> Result<Written, LaunchError> {
    let folder = workspace.join(".vscode");
    let path = folder.join("launch.json");
    let failed = |what, path: &Path| {
        let path = path.display().to_string();
        move |source| LaunchError::File { what, path, source }
    };
    let old = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        read => Some(read.map_err(failed("read", &path))?),
    };
    let content = |detail: String| LaunchError::Content {
        path: path.display().to_string(),
        detail,
    };
    let old_text = match &old {
        Some(bytes) => std::str::from_utf8(bytes).map_err(|error| content(error.to_string()))?,
        None => "",
    };
    let new = with_configuration(old_text, attach).map_err(content)?;
    let backup = folder.join("launch.json.before-qdebug");
    let changed = new != old_text;
    if changed {
        fs::create_dir_all(&folder).map_err(failed("make", &folder))?;
        if let Some(old) = old.as_deref().filter(|_| !backup.exists()) {
            disk::replace(&backup, old).map_err(failed("write", &backup))?;
        }
        disk::replace(&path, new.as_bytes()).map_err(failed("write", &path))?;
    }
    Ok(Written {
        path,
        backup: backup.exists().then_some(backup),
        changed,
    })
}

/// The text of launch.json with the configuration in it; unchanged when it is there already.
///
/// # Errors
/// What is wrong with the text, in words that fit behind its path.
fn with_configuration(text: &str, attach: &Attach) -> Result<String, String> {
    // Windows' editors begin a file with a byte order mark.
    let (mark, text) = match text.strip_prefix('\u{feff}') {
        Some(rest) => ("\u{feff}", rest),
        None => ("", text),
    };
    let root =
        CstRootNode::parse(text, &ParseOptions::default()).map_err(|error| error.to_string())?;
    let Some(object) = root.object_value_or_create() else {
        return Err("its value is no object".to_owned());
    };
    let is_new = object.properties().is_empty();
    if is_new {
        object.append("version", json!(VERSION));
    }
    let Some(all) = object.array_value_or_create("configurations") else {
        return Err("`configurations` is no list".to_owned());
    };
    let objects = all.elements().into_iter().filter_map(|one| one.as_object());
    match objects.into_iter().find(|one| is_named(one, &attach.name)) {
        Some(ours) => {
            set(&ours, "type", "\"debugpy\"", json!("debugpy"));
            set(&ours, "request", "\"attach\"", json!("attach"));
            let port = ours
                .object_value("connect")
                .and_then(|connect| connect.get("port")?.value()?.as_number_lit());
            if port.map(|port| port.to_string()) != Some(attach.port.to_string()) {
                put(&ours, "connect", attach.connect());
            }
            if ours.get("pathMappings").is_none() {
                put(&ours, "pathMappings", attach.mappings());
            }
        }
        None => {
            all.ensure_multiline();
            all.append(attach.whole());
        }
    }
    let mut new = root.to_string();
    if is_new && !new.ends_with('\n') {
        new.push('\n');
    }
    Ok(format!("{mark}{new}"))
}

fn is_named(object: &CstObject, name: &str) -> bool {
    let value = object.get("name").and_then(|name| name.value());
    let text = value.and_then(|value| value.as_string_lit()?.decoded_value().ok());
    text.as_deref() == Some(name)
}

/// Sets a property unless its text is that already.
fn set(object: &CstObject, name: &str, text: &str, value: CstInputValue) {
    let now = object.get(name).and_then(|property| property.value());
    if now.is_none_or(|now| now.to_string() != text) {
        put(object, name, value);
    }
}

fn put(object: &CstObject, name: &str, value: CstInputValue) {
    match object.get(name) {
        Some(property) => property.set_value(value),
        None => {
            object.append(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attach(port: u16) -> Attach {
        Attach {
            name: "qdebug: otter".into(),
            port,
            remote_root: "/home/alice/my \"odd\" proj".into(),
        }
    }

    /// As VS Code reads it.
    fn read(text: &str) -> serde_json::Value {
        let root = CstRootNode::parse(text, &ParseOptions::default()).unwrap();
        root.to_serde_value().unwrap()
    }

    fn expected(port: u16) -> serde_json::Value {
        serde_json::to_value(attach(port).configuration()).unwrap()
    }

    #[test]
    fn the_configuration_is_debugpys_own() {
        let text = serde_json::to_string(&attach(24_242).configuration()).unwrap();
        assert_eq!(
            text,
            r#"{"name":"qdebug: otter","type":"debugpy","request":"attach","connect":{"host":"127.0.0.1","port":24242},"pathMappings":[{"localRoot":"${workspaceFolder}","remoteRoot":"/home/alice/my \"odd\" proj"}]}"#
        );
    }

    #[test]
    fn a_new_file_is_what_vs_code_would_make() {
        for text in ["", "{}", "// mine\n{\n}\n"] {
            let new = with_configuration(text, &attach(1)).unwrap();
            assert_eq!(read(&new)["version"], "0.2.0", "{new}");
            assert_eq!(
                read(&new)["configurations"],
                serde_json::json!([expected(1)])
            );
            assert!(new.starts_with(text.lines().next().unwrap_or("{").trim_end_matches('}')));
            assert!(new.ends_with("}\n"), "{new:?}");
        }
    }

    const MINE: &str = "\u{feff}{\n\t// Use IntelliSense\n\t\"version\": \"0.2.0\", /* ü */\n\
        \t\"configurations\": [\n\t\t{\n\t\t\t\"name\": \"mine\", // keep\n\t\t\t\"port\": 5678,\n\
        \t\t},\n\t],\n\t\"inputs\": [],\n}\n";

    #[test]
    fn what_is_the_users_stays_byte_for_byte() {
        for text in [MINE.to_owned(), MINE.replace('\n', "\r\n")] {
            let new = with_configuration(&text, &attach(1)).unwrap();
            // Every line is there in its order, and ours came between.
            let mut lines = new.lines();
            for line in text.lines() {
                assert!(lines.any(|other| other == line), "{line:?} of {new}");
            }
            assert!(new.starts_with('\u{feff}'));
            let read = read(new.trim_start_matches('\u{feff}'));
            assert_eq!(read["configurations"][1], expected(1));
            assert_eq!(
                new.matches("\r\n").count(),
                if text.contains('\r') {
                    new.matches('\n').count()
                } else {
                    0
                },
                "{new:?}"
            );
            // A second time there is nothing to do.
            assert_eq!(with_configuration(&new, &attach(1)).unwrap(), new);
        }
    }

    #[test]
    fn of_our_own_only_what_this_run_needs_is_set() {
        let old = with_configuration(MINE, &attach(1)).unwrap();
        let edited = old.replace(
            "\"type\": \"debugpy\",",
            "\"type\": \"debugpy\", \"justMyCode\": false, // see inside",
        );
        assert_ne!(edited, old);
        let new = with_configuration(&edited, &attach(2)).unwrap();
        assert!(
            new.contains("\"justMyCode\": false, // see inside"),
            "{new}"
        );
        let read = read(new.trim_start_matches('\u{feff}'));
        assert_eq!(read["configurations"][1]["connect"]["port"], 2);
        assert_eq!(read["configurations"].as_array().unwrap().len(), 2);
        let wrong = new.replace("\"attach\"", "\"launch\"");
        assert_eq!(with_configuration(&wrong, &attach(2)).unwrap(), new);
    }

    #[test]
    fn what_is_no_launch_json_is_left_alone() {
        for text in [
            "[]",
            "{",
            "{\"configurations\": {}}",
            "{\"configurations\": [}",
            "\"text\"",
            "{} {}",
        ] {
            assert!(with_configuration(text, &attach(1)).is_err(), "{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".vscode/launch.json");
        fs::create_dir(folder.path().join(".vscode")).unwrap();
        for bytes in [&b"[]"[..], b"\xff"] {
            fs::write(&path, bytes).unwrap();
            let error = write(folder.path(), &attach(1)).unwrap_err();
            assert!(error.to_string().contains("launch.json"), "{error}");
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn the_file_before_the_first_change_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = folder.path().join("my proj ü");
        let first = write(&workspace, &attach(1)).unwrap();
        assert!(first.changed && first.backup.is_none(), "{first:?}");
        assert!(!write(&workspace, &attach(1)).unwrap().changed);

        fs::write(&first.path, MINE).unwrap();
        let second = write(&workspace, &attach(1)).unwrap();
        let third = write(&workspace, &attach(2)).unwrap();
        assert!(second.changed && third.changed);
        assert_eq!(fs::read_to_string(third.backup.unwrap()).unwrap(), MINE);
    }
}
