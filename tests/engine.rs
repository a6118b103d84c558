//! The engine adapter on a real Docker: skipped, and said so, where none is or the image is not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)] // A test.

mod support;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qdebug::engine::{
    Bind, Choice, ContainerSpec, ContainerState, Engine, Error, FileKind, Image, Publish, ThrowAway,
};

/// What every container of these tests carries.
const LABEL: &str = "qdebug-engine-test";

async fn engine_and_image() -> Option<(Engine, Image)> {
    let name = std::env::var("QDEBUG_TEST_IMAGE").unwrap_or("qdebug-base:bookworm".to_owned());
    let found = async {
        let engine = Engine::connect(Choice::Docker, None).await?;
        let image = engine.image(&name.parse().unwrap()).await?;
        Ok::<_, Error>((engine, image))
    };
    match found.await {
        Ok((engine, Some(image))) => Some((engine, image)),
        Ok((_, None)) => {
            support::skip(&format!("no image {name}"));
            None
        }
        Err(error) => {
            support::skip(&error.to_string());
            None
        }
    }
}

fn spec(image: &Image, script: &str) -> ContainerSpec {
    ContainerSpec {
        image: image.id.clone(),
        argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        user: Some((2001, 2001)),
        labels: vec![(LABEL.to_owned(), "a b=é".to_owned())],
        auto_remove: true,
        ..ContainerSpec::default()
    }
}

#[tokio::test]
async fn a_container_lives_and_dies() {
    let Some((engine, image)) = engine_and_image().await else {
        return;
    };
    let folder = tempfile::Builder::new()
        .prefix("a b:ro é'")
        .tempdir_in("/var/tmp")
        .unwrap();
    std::fs::write(folder.path().join("file"), "bound").unwrap();
    let mut spec = spec(
        &image,
        "id -u; id -G; cat /in/file; echo; echo $ODD; grep NoNewPrivs /proc/self/status; \
         grep CapBnd /proc/self/status; touch /in/x 2>/dev/null && echo writable; exit 7",
    );
    spec.groups = vec![77];
    spec.env = vec![("ODD".into(), "a 'b' \"c\" $d".into())];
    spec.binds = vec![Bind::new(folder.path(), "/in").read_only()];
    let id = engine.create(&spec).await.unwrap();

    let listed = engine.list(&[(LABEL, "a b=é")]).await.unwrap();
    let own = listed.iter().find(|found| found.id == id).unwrap();
    assert_eq!(own.state, ContainerState::Created);
    assert_eq!(own.labels[LABEL], "a b=é");

    let mut output = engine.collect_output(&id, |_| ()).await.unwrap();
    let mut exit = engine.watch_exit(&id).await.unwrap();
    engine.start(&id).await.unwrap();
    assert_eq!(exit.exited().await.unwrap(), 7);
    assert_eq!(exit.exited().await.unwrap(), 7);
    let lines = output.tail().await;
    assert_eq!(
        lines,
        [
            "2001",
            "2001 77",
            "bound",
            "a 'b' \"c\" $d",
            "NoNewPrivs:\t1",
            "CapBnd:\t0000000000000000"
        ]
    );
    // Removed by the engine itself; removing and stopping what is gone is no error.
    engine.remove(&id).await.unwrap();
    engine.stop(&id, Duration::ZERO).await.unwrap();
    assert!(!engine.is_running(&id).await.unwrap());
}

#[tokio::test]
async fn an_image_is_looked_into_without_running_it() {
    let Some((engine, image)) = engine_and_image().await else {
        return;
    };
    let id = engine.create(&spec(&image, "true")).await.unwrap();
    let passwd = engine.read_file(&id, "/etc/passwd", 1 << 20).await.unwrap();
    assert!(passwd.unwrap().starts_with(b"root:"));
    assert_eq!(engine.read_file(&id, "/no such", 10).await.unwrap(), None);
    assert_eq!(engine.read_file(&id, "/etc", 1 << 20).await.unwrap(), None);
    assert!(matches!(
        engine.read_file(&id, "/etc/passwd", 5).await.unwrap_err(),
        Error::Peek { .. }
    ));
    // Both as one, and what is a link or nothing by itself.
    let [passwd, group, release, nothing] = engine
        .read_files(
            &id,
            "/etc",
            ["passwd", "group", "os-release", "none"],
            1 << 20,
        )
        .await
        .unwrap();
    for (file, word) in [
        (passwd, "root:x:0:0"),
        (group, "root:x:0:"),
        (release, "ID="),
    ] {
        let text = String::from_utf8(file.unwrap()).unwrap();
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(nothing, None);
    // /bin is a link and /bin/sh is one below it: resolved inside the container.
    let link = engine.stat(&id, "/bin/sh").await.unwrap().unwrap();
    assert_eq!(
        (link.kind, &*link.resolved),
        (FileKind::Link, "/usr/bin/dash")
    );
    assert_eq!(engine.stat(&id, "/bin/sh/x").await.unwrap(), None);
    assert_eq!(engine.stat(&id, "/no such").await.unwrap(), None);
    engine.remove(&id).await.unwrap();
    assert!(engine.stat(&id, "/bin").await.unwrap().is_none());
}

#[tokio::test]
async fn refusals_have_their_names() {
    let Some((engine, image)) = engine_and_image().await else {
        return;
    };
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut taken = spec(&image, "true");
    taken.publish = Some(Publish {
        addresses: vec![Ipv4Addr::LOCALHOST],
        port: holder.local_addr().unwrap().port(),
        container_port: 2222,
    });
    let id = engine.create(&taken).await.unwrap();
    let error = engine.start(&id).await.unwrap_err();
    engine.remove(&id).await.unwrap();
    assert!(matches!(error, Error::PortTaken { .. }), "{error}");

    let mut missing = spec(&image, "true");
    missing.binds = vec![Bind::new("/no/such folder", "/in")];
    let error = engine.create(&missing).await.unwrap_err();
    assert!(
        matches!(error, Error::MountSource { denied: false, .. }),
        "{error}"
    );

    let mut absent = spec(&image, "true");
    absent.argv = vec!["/no/such/program".into()];
    let id = engine.create(&absent).await.unwrap();
    let error = engine.start(&id).await.unwrap_err();
    engine.remove(&id).await.unwrap();
    assert!(matches!(error, Error::Command { .. }), "{error}");

    let mut named = spec(&image, "true");
    named.name = format!("{LABEL}-{}", std::process::id());
    let id = engine.create(&named).await.unwrap();
    let error = engine.create(&named).await.unwrap_err();
    engine.remove(&id).await.unwrap();
    assert!(matches!(error, Error::NameTaken { .. }), "{error}");
}

#[tokio::test]
async fn a_throw_away_container_streams_and_leaves_nothing() {
    let Some((engine, image)) = engine_and_image().await else {
        return;
    };
    let label = format!("{LABEL}-{}", std::process::id());
    let run = ThrowAway {
        image: image.id.clone(),
        argv: ["/bin/sh", "-c", "id -u; echo err >&2; printf rest; exit 3"]
            .map(str::to_owned)
            .to_vec(),
        labels: vec![(label.clone(), "1".into())],
        ..ThrowAway::default()
    };
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let keep = move |line: &str| kept.lock().unwrap().push(line.to_owned());
    let exit = engine.run_to_end(&run, keep, std::future::pending()).await;
    assert_eq!(exit.unwrap(), 3);
    let mut seen = lines.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, ["0", "err", "rest"]);

    let long = ThrowAway {
        argv: ["/bin/sleep", "60"].map(str::to_owned).to_vec(),
        ..run
    };
    let soon = tokio::time::sleep(Duration::from_millis(500));
    let error = engine.run_to_end(&long, |_| (), soon).await.unwrap_err();
    assert!(matches!(error, Error::Interrupted { .. }), "{error}");
    assert_eq!(engine.list(&[(&label, "")]).await.unwrap(), []);
}

#[tokio::test]
async fn an_image_that_is_nowhere_is_an_error_of_its_own() {
    let Some((engine, _)) = engine_and_image().await else {
        return;
    };
    let reference = "localhost:1/no/such:1".parse().unwrap();
    assert_eq!(engine.image(&reference).await.unwrap(), None);
    let error = engine.pull(&reference, |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::Registry { .. }), "{error}");
}
