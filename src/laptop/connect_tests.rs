//! Tests of `connect.rs`: what is told of the user's ssh configuration.

use std::fs;
use std::sync::Mutex;

use super::*;
use crate::ssh::PlainPath;

/// What is told when our line is to go into the user's configuration, once `spoil` has been at it.
async fn told(spoil: impl FnOnce(&std::path::Path)) -> Vec<Event> {
    let home = tempfile::tempdir().unwrap();
    let plain = |path: &str| PlainPath::new(home.path().join(path)).unwrap();
    let paths = Paths {
        user_config: home.path().join(".ssh/config"),
        ssh_config: plain("qdebug/ssh_config"),
        known_hosts: plain("qdebug/known_hosts"),
        sessions: home.path().join("sessions"),
        ..super::super::paths::tests::paths()
    };
    fs::create_dir(home.path().join(".ssh")).unwrap();
    spoil(&paths.user_config);
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let ui = Ui {
        tell: Arc::new(move |event| heard.lock().unwrap().push(event)),
        confirm: Box::new(|_| Box::pin(async { true })),
    };
    include(&paths, &ui).await.unwrap();
    events.lock().unwrap().clone()
}

#[tokio::test]
async fn a_configuration_that_cannot_be_changed_ends_no_connect() {
    assert!(told(|_| ()).await.is_empty());
    // One cannot be read, of the other no copy can be kept.
    let spoils: [fn(&std::path::Path); 2] = [
        |config| fs::create_dir(config).unwrap(),
        |config| {
            fs::write(config, "Host mine\n").unwrap();
            fs::create_dir_all(config.with_file_name("config.before-qdebug").join("x")).unwrap();
        },
    ];
    for spoil in spoils {
        let events = told(spoil).await;
        assert!(
            matches!(&events[..], [Event::IncludeFailed { reason, lines }]
                if !reason.is_empty() && lines.contains("\nInclude ")),
            "{events:?}"
        );
    }
}
