//! What the book promises: nothing is lost, and all of ours goes again.

use std::fs;
use std::path::Path;

use super::super::{What, vscode};
use super::*;

/// The book of a state folder.
pub(in super::super) fn book(folder: &Path) -> Book {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(Book::open(folder)).unwrap()
}

/// A machine with a settings file that does not exist yet.
struct Scene {
    folder: tempfile::TempDir,
    settings: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join("a b/User/settings.json");
        Self { folder, settings }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state/ide")
    }

    fn book(&self) -> Book {
        book(&self.state())
    }

    fn write(&self, text: &str) {
        fs::create_dir_all(self.settings.parent().unwrap()).unwrap();
        fs::write(&self.settings, text).unwrap();
    }

    fn read(&self) -> String {
        fs::read_to_string(&self.settings).unwrap()
    }

    /// What a connect does.
    fn put(&self, alias: &str) -> Written {
        let entry = Entry::new(alias, "code", What::VscodeSettings);
        let with = |text: &str| vscode::with_host(text, alias, None);
        self.book().put(&self.settings, entry, with).unwrap()
    }

    fn clean(&self, alias: &str) -> Cleaned {
        let is_meant = |entry: &Entry| entry.alias == alias;
        self.book().clean(is_meant, |_, _| Ok(())).unwrap()
    }

    /// The names of what the state folder holds.
    fn kept(&self) -> Vec<String> {
        let entries = fs::read_dir(self.state()).unwrap().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| name != "lock")
            .collect();
        names.sort();
        names
    }
}

const MINE: &str = "{\r\n  // mine\r\n  \"editor.fontSize\": 14, /* ü */\r\n}";

#[test]
fn a_file_that_nobody_else_has_changed_is_put_back_byte_for_byte() {
    let scene = Scene::new();
    for old in [
        MINE,
        "",
        "{}",
        "\u{feff}{ \"remote.SSH.remotePlatform\": {} }\n",
    ] {
        scene.write(old);
        let written = scene.put("qdebug-a");
        assert!(written.changed);
        assert_eq!(fs::read_to_string(written.backup.unwrap()).unwrap(), old);
        assert!(!scene.put("qdebug-a").changed);
        assert!(scene.put("qdebug-b").changed);
        // In whatever order they go.
        let first = scene.clean("qdebug-a");
        assert_eq!(
            (first.gone.len(), first.restored.len()),
            (1, 0),
            "{first:?}"
        );
        assert!(!scene.read().contains("qdebug-a") && scene.read().contains("qdebug-b"));
        let last = scene.clean("qdebug-b");
        assert_eq!(last.restored, [&*scene.settings], "{last:?}");
        assert_eq!(scene.read(), old);
        assert_eq!(scene.kept(), Vec::<String>::new());
    }
}

#[test]
fn what_was_not_there_is_gone_again_with_its_folders() {
    let scene = Scene::new();
    let written = scene.put("qdebug-a");
    assert!(written.changed && written.backup.is_none());
    assert!(scene.read().contains("qdebug-a"));
    let cleaned = scene.clean("qdebug-a");
    assert_eq!(cleaned.restored, [&*scene.settings]);
    assert!(!scene.folder.path().join("a b").exists());

    // A folder that somebody else uses by now stays.
    scene.put("qdebug-a");
    let theirs = scene.settings.with_file_name("keybindings.json");
    fs::write(&theirs, "[]").unwrap();
    scene.clean("qdebug-a");
    assert!(theirs.exists() && !scene.settings.exists());
}

#[test]
fn of_a_file_that_somebody_has_changed_only_ours_is_taken() {
    let scene = Scene::new();
    scene.write(MINE);
    scene.put("qdebug-a");
    let edited = scene.read().replace("14", "15 // bigger");
    scene.write(&edited);
    scene.put("qdebug-b");
    let cleaned = scene.clean("qdebug-a");
    assert!(cleaned.restored.is_empty(), "{cleaned:?}");
    scene.write(&scene.read().replace("bigger", "large"));
    scene.clean("qdebug-b");
    assert_eq!(scene.read(), MINE.replace("14", "15 // large"));
    assert_eq!(scene.kept(), Vec::<String>::new());

    // After a change, what would be there without us is what comes back.
    scene.write(MINE);
    scene.put("qdebug-a");
    scene.write(&scene.read().replace("14", "16"));
    scene.put("qdebug-b");
    scene.clean("qdebug-a");
    let cleaned = scene.clean("qdebug-b");
    assert_eq!(cleaned.restored.len(), 1, "{cleaned:?}");
    assert_eq!(scene.read(), MINE.replace("14", "16"));
}

#[test]
fn what_is_no_settings_file_any_more_stays_and_is_told() {
    let scene = Scene::new();
    scene.write(MINE);
    scene.put("qdebug-a");
    scene.write("{ torn");
    let cleaned = scene.clean("qdebug-a");
    assert_eq!(
        (cleaned.gone.len(), cleaned.left.len()),
        (0, 1),
        "{cleaned:?}"
    );
    assert_eq!(scene.read(), "{ torn");
    assert_eq!(scene.book().entries().len(), 1);
    // A file that is gone has nothing of ours.
    fs::remove_file(&scene.settings).unwrap();
    assert_eq!(scene.clean("qdebug-a").gone.len(), 1);
    assert!(scene.book().entries().is_empty() && !scene.settings.exists());
}

#[test]
fn a_file_that_may_not_be_touched_now_stays_in_the_book() {
    let scene = Scene::new();
    scene.put("qdebug-a");
    let busy = |_: &Path, _: &Entry| {
        let path = "x".to_owned();
        Err(Error::Busy { path })
    };
    let cleaned = scene.book().clean(|_| true, busy).unwrap();
    assert_eq!((cleaned.gone.len(), cleaned.left.len()), (0, 1));
    assert!(scene.read().contains("qdebug-a"));
    assert_eq!(scene.book().entries().len(), 1);
}

#[test]
fn a_refused_change_leaves_no_trace() {
    let scene = Scene::new();
    for text in ["[]", "{ torn", "{\"remote.SSH.remotePlatform\": []}"] {
        scene.write(text);
        let entry = Entry::new("qdebug-a", "code", What::VscodeSettings);
        let with = |text: &str| vscode::with_host(text, "qdebug-a", None);
        let error = scene.book().put(&scene.settings, entry, with).unwrap_err();
        assert!(matches!(error, Error::Content { .. }), "{error:?}");
        assert_eq!(scene.read(), text);
        assert_eq!(scene.kept(), Vec::<String>::new());
    }
}

#[test]
fn a_hostile_ledger_is_refused() {
    let scene = Scene::new();
    scene.put("qdebug-a");
    let path = scene.state().join("ledger.json");
    let good = fs::read_to_string(&path).unwrap();
    let before = "\"before\": null";
    assert!(good.contains(before), "{good}");
    // As it stands there: a backslash is two.
    let settings = std::path::absolute(&scene.settings).unwrap();
    let settings = serde_json::to_string(&settings).unwrap();
    let settings = settings.trim_matches('"');
    for odd in [
        good.replace("\"format\": 1", "\"format\": 2"),
        good.replace(before, "\"before\": \"../../../etc/passwd\""),
        good.replace(settings, "relative"),
        good.replace(settings, "/etc/../root/x"),
        good.replace("qdebug-a", "otter"),
        "[]".to_owned(),
        "{".to_owned(),
        String::new(),
    ] {
        assert_ne!(odd, good);
        fs::write(&path, &odd).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let opened = runtime.block_on(Book::open(&scene.state()));
        assert!(matches!(opened, Err(Error::Ledger { .. })), "{odd}");
    }
    // What a newer qdebug of the same format wrote is left to it.
    fs::write(&path, good.replace("vscode-settings", "telepathy")).unwrap();
    fs::write(&scene.settings, scene.read() + " ").unwrap();
    assert_eq!(scene.clean("qdebug-a").left.len(), 1);
    assert_eq!(scene.book().entries().len(), 1);
}
