//! VS Code's `.vscode/launch.json`: a configuration that attaches to a debugpy behind a port of this
//! machine.
//!
//! The file is JSON with comments and trailing commas, and people edit it by hand. So it is changed
//! as text: what is not ours stays byte for byte, and of our own configuration only what this run
//! needs is set, so that a `justMyCode` which somebody added there stays, too.

use std::path::Path;

use jsonc_parser::cst::{CstArray, CstInputValue, CstObject};
use jsonc_parser::json;
use serde::Serialize;

use super::ledger::{Entry, What};
use super::{Book, Error, Ide, Written, jsonc};

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

/// Puts the configuration of a session into `.vscode/launch.json` of a workspace, whole or not at
/// all.
///
/// # Errors
/// [`Error`]; the file is then as it was.
pub fn write(
    book: &mut Book,
    workspace: &Path,
    alias: &str,
    attach: &Attach,
) -> Result<Written, Error> {
    let path = workspace.join(".vscode").join("launch.json");
    let name = attach.name.clone();
    let entry = Entry::new(alias, Ide::Code.word(), What::Launch { name });
    book.put(&path, entry, |text| with_configuration(text, attach))
}

/// The text of launch.json with the configuration in it; unchanged when it is there already.
///
/// # Errors
/// What is wrong with the text, in words that fit behind its path.
fn with_configuration(text: &str, attach: &Attach) -> Result<String, String> {
    jsonc::edit(text, |object| {
        if object.properties().is_empty() {
            object.append("version", json!(VERSION));
        }
        let Some(all) = object.array_value_or_create("configurations") else {
            return Err("`configurations` is no list".to_owned());
        };
        match named(&all, &attach.name) {
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
        Ok(())
    })
}

/// The text of launch.json without the configuration of that name.
pub(super) fn without_configuration(text: &str, name: &str) -> Result<String, String> {
    jsonc::edit(text, |object| {
        let all = object.array_value("configurations");
        if let Some(ours) = all.and_then(|all| named(&all, name)) {
            ours.remove();
        }
        Ok(())
    })
}

fn named(all: &CstArray, name: &str) -> Option<CstObject> {
    let objects = all.elements().into_iter().filter_map(|one| one.as_object());
    objects.into_iter().find(|one| is_named(one, name))
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
    use std::fs;

    use jsonc_parser::ParseOptions;
    use jsonc_parser::cst::CstRootNode;

    use super::super::book::tests::book;
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
        let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = folder.path().join(".vscode/launch.json");
        fs::create_dir(folder.path().join(".vscode")).unwrap();
        for bytes in [&b"[]"[..], b"\xff"] {
            fs::write(&path, bytes).unwrap();
            let mut book = book(state.path());
            let error = write(&mut book, folder.path(), "qdebug-otter", &attach(1)).unwrap_err();
            assert!(error.to_string().contains("launch.json"), "{error}");
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn the_file_before_the_first_change_is_kept_and_put_back() {
        let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let workspace = folder.path().join("my proj ü");
        let mut book = book(state.path());
        let mut write = |port| write(&mut book, &workspace, "qdebug-otter", &attach(port)).unwrap();
        let first = write(1);
        assert!(first.changed && first.backup.is_none(), "{first:?}");
        assert!(!write(1).changed);

        fs::write(&first.path, MINE).unwrap();
        let second = write(1);
        let third = write(2);
        assert!(second.changed && third.changed);
        assert_eq!(fs::read_to_string(third.backup.unwrap()).unwrap(), MINE);
        let cleaned = book.clean(|_| true, |_, _| Ok(())).unwrap();
        assert_eq!(cleaned.restored, [&*first.path]);
        assert_eq!(fs::read_to_string(&first.path).unwrap(), MINE);
        let ours = with_configuration(MINE, &attach(1)).unwrap();
        let without = without_configuration(&ours, "qdebug: otter").unwrap();
        assert_eq!(
            read(without.trim_start_matches('\u{feff}')),
            read(MINE.trim_start_matches('\u{feff}'))
        );
    }
}
