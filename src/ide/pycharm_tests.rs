//! PyCharm's files against the forms of public configurations.

use std::fs;

use super::super::book::tests::book;
use super::super::target::tests::target;
use super::*;

/// As PyCharm writes it, with a server of the user's.
const SSH: &str = r#"<application>
  <component name="SshConfigs">
    <configs>
      <sshConfig authType="OPEN_SSH" host="gpu.example.org" id="0d5a1f0e-6a0b-4f0e-8f5e-000000000001" port="22" nameFormat="DESCRIPTIVE" username="alice" useOpenSSHConfig="true" />
    </configs>
  </component>
</application>"#;

const SERVERS: &str = r#"<application>
  <component name="WebServers">
    <option name="servers">
      <webServer id="0d5a1f0e-6a0b-4f0e-8f5e-000000000002" name="mine">
        <fileTransfer rootFolder="/" accessType="SFTP" host="gpu.example.org" port="22" sshConfigId="0d5a1f0e-6a0b-4f0e-8f5e-000000000001" sshConfig="alice@gpu.example.org:22 agent">
          <advancedOptions>
            <advancedOptions dataProtectionLevel="Private" keepAliveTimeout="0" passiveMode="true" shareSSLContext="true" />
          </advancedOptions>
        </fileTransfer>
      </webServer>
    </option>
  </component>
</application>"#;

const DEPLOYED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<project version="4">
  <component name="PublishConfigData" autoUpload="Always" serverName="mine" remoteFilesAllowedToDisappearOnAutoupload="false">
    <serverData>
      <paths name="mine">
        <serverdata>
          <mappings>
            <mapping deploy="/srv" local="$PROJECT_DIR$" web="/" />
          </mappings>
        </serverdata>
      </paths>
    </serverData>
    <option name="myAutoUpload" value="ALWAYS" />
  </component>
</project>"#;

/// A machine with two PyCharms, and a project.
struct Scene {
    folder: tempfile::TempDir,
    home: Home,
    newest: PathBuf,
    project: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::below(folder.path());
        let all = home.config.join("JetBrains");
        for name in [
            "PyCharm2023.3",
            "PyCharm2024.10",
            "PyCharm2024.3",
            "PyCharmCE2025.1",
            "consentOptions",
        ] {
            fs::create_dir_all(all.join(name).join("options")).unwrap();
        }
        let newest = all.join("PyCharm2024.10");
        let project = folder.path().join("my proj");
        fs::create_dir_all(project.join(".idea")).unwrap();
        Self {
            folder,
            home,
            newest,
            project,
        }
    }

    fn files(&self) -> [PathBuf; 3] {
        let options = self.newest.join("options");
        let deployment = self.project.join(".idea/deployment.xml");
        [
            options.join("sshConfigs.xml"),
            options.join("webServers.xml"),
            deployment,
        ]
    }

    fn book(&self) -> Book {
        book(&self.folder.path().join("state"))
    }

    fn write(&self) -> Result<Vec<Written>, Error> {
        write(&mut self.book(), &self.home, &target(), Some(&self.project))
    }
}

fn attribute(text: &str, steps: &[Step<'_>], name: &str) -> String {
    let root = xml::parse(text).unwrap();
    let element = root
        .at(steps)
        .unwrap_or_else(|| panic!("{steps:?} in {text}"));
    element
        .attribute(name)
        .unwrap_or_else(|| panic!("{name} in {text}"))
        .to_owned()
}

#[test]
fn the_files_have_the_known_form_and_go_without_a_trace() {
    for there in [Some([SSH, SERVERS, DEPLOYED]), None] {
        let scene = Scene::new();
        for (file, text) in scene.files().iter().zip(there.into_iter().flatten()) {
            fs::write(file, text).unwrap();
        }
        let written = scene.write().unwrap();
        let paths: Vec<&PathBuf> = written.iter().map(|one| &one.path).collect();
        assert_eq!(paths, scene.files().iter().collect::<Vec<_>>());
        let [ssh, servers, deployment] =
            scene.files().map(|path| fs::read_to_string(path).unwrap());

        let (ssh_id, server_id) = (ssh_id("qdebug-otter"), server_id("qdebug-otter"));
        let ours: [Step<'_>; 1] = [("sshConfig", Some(("id", &ssh_id)))];
        let of_ssh = |name| attribute(&ssh, &[&SSH_CONFIGS[..], &ours].concat(), name);
        for (name, value) in [
            ("authType", "KEY_PAIR"),
            ("host", "127.0.0.1"),
            ("port", "24242"),
            ("keyPath", "/home/alice/.local/share/qdebug/id_ed25519"),
            ("customName", "qdebug-otter"),
            ("nameFormat", "CUSTOM"),
            ("username", "alice"),
        ] {
            assert_eq!(of_ssh(name), value);
        }
        let ours: [Step<'_>; 2] = [
            ("webServer", Some(("id", &server_id))),
            ("fileTransfer", None),
        ];
        let of_server = |name| attribute(&servers, &[&WEB_SERVERS[..], &ours].concat(), name);
        for (name, value) in [
            ("rootFolder", "/"),
            ("accessType", "SFTP"),
            ("host", "127.0.0.1"),
            ("port", "24242"),
            ("sshConfigId", &ssh_id),
            ("sshConfig", "alice@127.0.0.1:24242 key"),
            ("keyPair", "true"),
        ] {
            assert_eq!(of_server(name), value);
        }
        let ours: [Step<'_>; 4] = [
            ("paths", Some(("name", "qdebug-otter"))),
            ("serverdata", None),
            ("mappings", None),
            ("mapping", None),
        ];
        let of_mapping = |name| attribute(&deployment, &[&DEPLOYMENT[..], &ours].concat(), name);
        assert_eq!(of_mapping("deploy"), "/home/alice/my proj ü");
        assert_eq!(of_mapping("local"), "$PROJECT_DIR$");
        // Which server the user chose is the user's.
        let chosen = attribute(&deployment, &DEPLOYMENT[..2], "serverName");
        assert_eq!(
            chosen,
            if there.is_some() {
                "mine"
            } else {
                "qdebug-otter"
            }
        );

        assert!(scene.write().unwrap().iter().all(|one| !one.changed));
        let cleaned = scene.book().clean(|_| true, |_, _| Ok(())).unwrap();
        assert_eq!(cleaned.restored.len(), 3, "{cleaned:?}");
        for (file, text) in scene.files().iter().zip(there.into_iter().flatten()) {
            assert_eq!(fs::read_to_string(file).unwrap(), text);
        }
        assert_eq!(scene.files()[0].exists(), there.is_some());
    }
}

#[test]
fn ours_alone_is_taken_out_of_what_pycharm_has_written_again() {
    let without = |alias: &str, texts: [&str; 3]| {
        [
            without_ssh_config(texts[0], alias).unwrap(),
            without_web_server(texts[1], alias).unwrap(),
            without_deployment(texts[2], alias).unwrap(),
        ]
    };
    let with = [
        with_ssh_config(SSH, &target()).unwrap(),
        with_web_server(SERVERS, &target()).unwrap(),
        with_deployment(DEPLOYED, &target()).unwrap(),
    ];
    let texts = [with[0].as_str(), with[1].as_str(), with[2].as_str()];
    assert_eq!(without("qdebug-otter", texts), [SSH, SERVERS, DEPLOYED]);
    assert_eq!(without("qdebug-other", texts), with);
    // A project that had no deployment has none then, and keeps the rest.
    let mine = "<project version=\"4\">\n  <component name=\"X\" />\n</project>\n";
    let ours = with_deployment(mine, &target()).unwrap();
    assert_eq!(without_deployment(&ours, "qdebug-otter").unwrap(), mine);
    assert_eq!(without_deployment("", "qdebug-otter").unwrap(), "");
}

#[test]
fn the_next_session_of_the_name_takes_its_place() {
    let identity = Path::new("/id");
    let later = Target::new("qdebug-otter", "alice", 24_243, "/x", identity).unwrap();
    let first = with_ssh_config(SSH, &target()).unwrap();
    let second = with_ssh_config(&first, &later).unwrap();
    assert_eq!(
        second,
        first
            .replace("24242", "24243")
            .replace("/home/alice/.local/share/qdebug/id_ed25519", "/id")
    );
    assert_eq!(with_ssh_config(&second, &later).unwrap(), second);
    let id = ssh_id("qdebug-otter");
    let parts: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
}

#[test]
fn a_running_pycharm_refuses_and_a_stale_lock_does_not() {
    let scene = Scene::new();
    let lock = scene.newest.join(".lock");
    for stale in ["", "---", "999999999", "1"] {
        fs::write(&lock, stale).unwrap();
        assert_eq!(
            running(&scene.newest, Path::new("/proc")),
            None,
            "{stale:?}"
        );
    }
    let proc = scene.folder.path().join("proc");
    fs::create_dir_all(proc.join("self")).unwrap();
    fs::create_dir_all(proc.join("4242")).unwrap();
    fs::write(proc.join("4242/cmdline"), "/opt/PyCharm/bin/pycharm\0/p\0").unwrap();
    fs::write(&lock, "4242").unwrap();
    let proof = running(&scene.newest, &proc).unwrap();
    assert!(proof.contains("4242") && proof.contains(".lock"), "{proof}");
    fs::remove_file(&lock).unwrap();

    // Older ones listen; any of them counts.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let old = scene.home.config.join("JetBrains/PyCharm2023.3/port");
    fs::write(&old, format!("{port}\ntoken")).unwrap();
    assert!(matches!(scene.write(), Err(Error::Running { .. })));
    drop(listener);
    assert!(scene.write().is_ok());
}

#[test]
fn what_was_never_started_has_no_settings() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::below(folder.path());
    let mut book = book(&folder.path().join("state"));
    let written = write(&mut book, &home, &target(), None);
    assert!(
        matches!(written, Err(Error::NoSettings { .. })),
        "{written:?}"
    );
}
