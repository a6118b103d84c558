//! Settings as people keep them.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::CstRootNode;

use super::super::book::tests::book;
use super::super::target::tests::target;
use super::*;

fn read(text: &str) -> serde_json::Value {
    let text = text.trim_start_matches('\u{feff}');
    let root = CstRootNode::parse(text, &ParseOptions::default()).unwrap();
    root.to_serde_value().unwrap()
}

const MINE: &str = "\u{feff}{\n\t// a comment\n\t\"editor.fontSize\": 14,\n\
    \t\"remote.SSH.remotePlatform\": {\n\t\t\"mine\": \"linux\", // keep\n\t},\n\
    \t\"files.autoSave\": \"off\" /* ü */\n}\n";

#[test]
fn a_host_comes_and_goes_and_what_is_the_users_stays() {
    for text in [MINE.to_owned(), MINE.replace('\n', "\r\n")] {
        let new = with_host(&text, "qdebug-a", Some("/scratch/a b")).unwrap();
        let settings = read(&new);
        assert_eq!(settings[PLATFORM]["qdebug-a"], "linux", "{new}");
        assert_eq!(settings[PLATFORM]["mine"], "linux");
        assert_eq!(settings[INSTALL_PATH]["qdebug-a"], "/scratch/a b");
        for kept in ["// a comment", "\"linux\", // keep", "/* ü */"] {
            assert!(new.contains(kept), "{kept}: {new}");
        }
        assert_eq!(
            with_host(&new, "qdebug-a", Some("/scratch/a b")).unwrap(),
            new
        );
        let gone = without_host(&new, "qdebug-a").unwrap();
        assert_eq!(read(&gone), read(&text), "{gone}");
        assert!(
            gone.contains("// keep") && gone.contains("/* ü */"),
            "{gone}"
        );
        assert_eq!(gone.contains('\r'), text.contains('\r'));
    }
}

#[test]
fn a_new_file_is_settings() {
    for text in ["", "{}", "\n", "// mine\n{}\n"] {
        let new = with_host(text, "qdebug-a", None).unwrap();
        let expected = serde_json::json!({ PLATFORM: { "qdebug-a": "linux" } });
        assert_eq!(read(&new), expected, "{new}");
        let gone = without_host(&new, "qdebug-a").unwrap();
        assert_eq!(read(&gone), serde_json::json!({}), "{gone}");
    }
}

#[test]
fn what_somebody_decided_for_the_host_stays() {
    let text = "{ \"remote.SSH.remotePlatform\": { \"qdebug-a\": \"macOS\" } }";
    assert_eq!(with_host(text, "qdebug-a", None).unwrap(), text);
}

#[test]
fn each_of_the_family_has_its_own_settings_and_is_opened_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::below(folder.path());
    let mut book = book(&folder.path().join("state"));
    for (ide, settings) in [
        (Ide::Code, ".config/Code/User/settings.json"),
        (Ide::Cursor, ".config/Cursor/User/settings.json"),
        (Ide::Windsurf, ".config/Windsurf/User/settings.json"),
        (Ide::Codium, ".config/VSCodium/User/settings.json"),
    ] {
        let written = write(&mut book, ide, &home, &target(), None)
            .unwrap()
            .unwrap();
        assert_eq!(written.path, folder.path().join(settings));
        let error = ide.command(&home, &target(), None).unwrap_err();
        assert!(matches!(&error, Error::Missing { ide: missing, .. } if *missing == ide));
    }
    let command = command("/usr/bin/code".into(), &target());
    assert_eq!(
        command.args,
        [
            "--remote",
            "ssh-remote+qdebug-otter",
            "/home/alice/my proj ü"
        ]
    );
    assert!(
        write(&mut book, Ide::Zed, &home, &target(), None)
            .unwrap()
            .is_none()
    );
    let clean = |book: &mut Book, ide: &str| {
        let cleaned = book.clean(|entry| ide.is_empty() || entry.ide == ide, |_, _| Ok(()));
        cleaned.unwrap().restored.len()
    };
    // The folders were made with the first, and go with the last.
    assert_eq!(clean(&mut book, "code"), 1);
    assert!(folder.path().join(".config").exists());
    assert_eq!(clean(&mut book, ""), 3);
    assert!(!folder.path().join(".config").exists());
}
