//! A session opened in an IDE, through the laptop half and real sshds: the IDEs are scripts that note
//! their argv, their files those of a home of the test's own.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
#[path = "common/scene.rs"]
mod scene;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use common::block_on;
use qdebug::ide::{Error as IdeError, Ide};
use qdebug::laptop::{
    Event, IdeEvent, OpenError, Opening, Outcome, clean, connect, sweep, written,
};
use scene::{Scene, ask, ui};

/// A machine with IDEs.
struct Desk {
    scene: Scene,
    bin: PathBuf,
}

impl Desk {
    async fn new() -> Self {
        let mut scene = Scene::new().await;
        let bin = scene.bench.path("a b/bin");
        fs::create_dir_all(&bin).unwrap();
        scene.paths.home.path = vec![bin.clone()];
        scene.says("ready", '1', None);
        Self { scene, bin }
    }

    /// An IDE that notes its argv, a word a line, and goes on with `more`.
    fn install(&self, name: &str, more: &str) {
        let (path, log) = (self.bin.join(name), self.noted(name));
        let script = format!(
            "#!/bin/sh\nfor word; do printf '%s\\n' \"$word\"; done >>'{}'\n{more}\n",
            log.display()
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn noted(&self, name: &str) -> PathBuf {
        self.bin.join(format!("{name}.argv"))
    }

    fn argv(&self, name: &str) -> Vec<String> {
        let noted = fs::read_to_string(self.noted(name)).unwrap_or_default();
        noted.lines().map(str::to_owned).collect()
    }

    /// Connects and returns what happened with the IDE.
    async fn open(&self, opening: Opening) -> Vec<IdeEvent> {
        let (ui, events) = ui();
        let mut ask = ask();
        (ask.detach, ask.opening) = (true, Some(opening));
        let cluster = self.scene.cluster().await;
        let outcome = connect(&cluster, &self.scene.client, &self.scene.paths, &ask, &ui).await;
        assert!(matches!(outcome, Ok(Outcome::Open)), "{outcome:?}");
        let events = events.lock().unwrap();
        let of_ide = |event: &Event| match event {
            Event::Ide(event) => Some(event.clone()),
            _ => None,
        };
        events.iter().filter_map(of_ide).collect()
    }

    fn home(&self) -> &Path {
        &self.scene.paths.home.home
    }
}

fn opening(ide: Ide) -> Opening {
    Opening {
        ide,
        scratch: None,
        workspace: None,
    }
}

/// Every file below a folder with its content, in order.
fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => all.extend([(path.clone(), Vec::new())].into_iter().chain(tree(&path))),
            false => all.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    all.sort();
    all
}

#[test]
fn vs_code_gets_its_settings_and_opens_and_all_of_it_goes_again() {
    block_on(async {
        let mut desk = Desk::new().await;
        let bash = "the image has no bash, which IDE servers start with".to_owned();
        desk.scene.notices = vec![bash.clone(), "the disk is full".into()];
        desk.scene.says("ready", '1', None);
        desk.install(
            "code",
            "[ \"$1\" != --list-extensions ] || echo MS-vscode-remote.remote-ssh",
        );
        let config = desk.home().join(".config/Code");
        let settings = config.join("User/settings.json");
        fs::create_dir_all(settings.parent().unwrap()).unwrap();
        fs::write(
            &settings,
            "{\n    // mine\n    \"editor.fontSize\": 14,\n}\n",
        )
        .unwrap();
        let before = tree(&config);

        let wanted = Opening {
            scratch: Some("/scratch/alice".into()),
            ..opening(Ide::Code)
        };
        let events = desk.open(wanted.clone()).await;
        let [
            IdeEvent::Lacks(_, lacks),
            IdeEvent::Wrote(_, wrote),
            IdeEvent::Opened(Ide::Code, _),
        ] = &events[..]
        else {
            panic!("{events:?}");
        };
        assert_eq!(lacks, &[bash]);
        assert!(wrote.changed && wrote.backup.is_some(), "{wrote:?}");
        let remote = "ssh-remote+qdebug-v100-otter";
        assert_eq!(
            desk.argv("code"),
            [
                "--list-extensions",
                "--remote",
                remote,
                "/home/alice/my proj"
            ]
        );
        let text = fs::read_to_string(&settings).unwrap();
        for word in [
            "// mine",
            "\"qdebug-v100-otter\": \"linux\"",
            "\"/scratch/alice\"",
        ] {
            assert!(text.contains(word), "{word}: {text}");
        }
        // A second time there is nothing to write.
        let events = desk.open(wanted).await;
        assert!(
            matches!(&events[1], IdeEvent::Wrote(_, wrote) if !wrote.changed),
            "{events:?}"
        );

        let paths = &desk.scene.paths;
        let listed = written(paths).await.unwrap();
        assert!(
            matches!(&listed[..], [(one, true)] if one.path == settings),
            "{listed:?}"
        );
        assert!(clean(paths, Some("other")).await.is_err());
        let cleaned = clean(paths, Some("7")).await.unwrap();
        assert_eq!(cleaned.restored, [settings]);
        assert_eq!(tree(&config), before);
        assert!(written(paths).await.unwrap().is_empty());
    });
}

#[test]
fn what_is_missing_or_fails_is_told_and_the_connect_goes_on() {
    block_on(async {
        let desk = Desk::new().await;
        let failed = async |ide| match &desk.open(opening(ide)).await[..] {
            [.., IdeEvent::Failed(error)] => std::sync::Arc::clone(error),
            other => panic!("{other:?}"),
        };
        for ide in [Ide::Cursor, Ide::PyCharm] {
            let error = failed(ide).await;
            let missing = matches!(&*error, OpenError::Ide(IdeError::Missing { .. }));
            let new = matches!(&*error, OpenError::Ide(IdeError::NoSettings { .. }));
            assert!(missing || ide == Ide::PyCharm && new, "{error:?}");
        }
        assert!(!desk.home().join(".config").exists());
        desk.install(
            "codium",
            "[ \"$1\" = --list-extensions ] || { echo no display >&2; exit 4; }",
        );
        let events = desk.open(opening(Ide::Codium)).await;
        let [
            IdeEvent::Wrote(..),
            IdeEvent::NeedsExtension(_, extension),
            IdeEvent::Failed(error),
        ] = &events[..]
        else {
            panic!("{events:?}");
        };
        assert_eq!(*extension, "jeanp413.open-remote-ssh");
        let OpenError::Ended {
            status: 4, said, ..
        } = &**error
        else {
            panic!("{error:?}");
        };
        assert_eq!(said, "no display");
    });
}

#[test]
fn zed_gateway_and_toolbox_are_opened_by_links() {
    block_on(async {
        let desk = Desk::new().await;
        desk.install("zed", "");
        let opener = if cfg!(target_os = "macos") {
            "open"
        } else {
            "xdg-open"
        };
        desk.install(opener, "");
        for ide in [Ide::Zed, Ide::Gateway, Ide::Toolbox] {
            let events = desk.open(opening(ide)).await;
            assert!(matches!(&events[..], [IdeEvent::Opened(..)]), "{events:?}");
        }
        assert_eq!(
            desk.argv("zed"),
            ["ssh://qdebug-v100-otter/home/alice/my%20proj"]
        );
        let links = desk.argv(opener);
        assert_eq!(links.len(), 2, "{links:?}");
        assert!(
            links[0].starts_with("jetbrains-gateway://connect#"),
            "{links:?}"
        );
        assert!(links[1].contains("h=qdebug-v100-otter&"), "{links:?}");
        assert!(written(&desk.scene.paths).await.unwrap().is_empty());
    });
}

#[test]
fn pycharm_gets_its_files_and_what_is_over_is_swept() {
    block_on(async {
        let desk = Desk::new().await;
        // It stays, as the IDE does, which holds no connect up.
        desk.install("pycharm", "exec sleep 20");
        let config = desk.home().join(".config/JetBrains/PyCharm2024.3");
        let project = desk.home().join("my proj");
        fs::create_dir_all(config.join("options")).unwrap();
        fs::create_dir_all(project.join(".idea")).unwrap();
        let before = (tree(&config), tree(&project));
        let wanted = Opening {
            workspace: Some(project.clone()),
            ..opening(Ide::PyCharm)
        };
        let events = desk.open(wanted).await;
        assert!(
            matches!(events.last(), Some(IdeEvent::Opened(..))),
            "{events:?}"
        );
        assert_eq!(events.len(), 4, "{events:?}");
        assert_eq!(desk.argv("pycharm"), [project.to_str().unwrap()]);
        let port = desk.scene.paths.sessions.join("qdebug-v100-otter.json");
        let known: serde_json::Value = serde_json::from_slice(&fs::read(port).unwrap()).unwrap();
        let port = format!("port=\"{}\"", known["port"]);
        for file in ["sshConfigs.xml", "webServers.xml"] {
            let text = fs::read_to_string(config.join("options").join(file)).unwrap();
            assert!(
                text.contains(&port) && text.contains("qdebug-v100-otter"),
                "{text}"
            );
        }
        let deployed = fs::read_to_string(project.join(".idea/deployment.xml")).unwrap();
        assert!(
            deployed.contains("deploy=\"/home/alice/my proj\""),
            "{deployed}"
        );

        // Another session of the name: this one is over.
        desk.scene.says("ready", '2', None);
        let cluster = desk.scene.cluster().await;
        let swept = sweep(&cluster, &desk.scene.paths).await.unwrap();
        assert_eq!(swept, ["qdebug-v100-otter"]);
        assert_eq!((tree(&config), tree(&project)), before);
    });
}
