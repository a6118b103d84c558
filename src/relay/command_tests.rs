//! Commands over both ends together: they are those of a Unix.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::tests::{echo, sh, soon};
use super::{Error, Relay, Wanted, serve_all};

fn relay_to_all() -> Arc<Relay> {
    let (near, far) = duplex(4096);
    let (from, to) = tokio::io::split(far);
    tokio::spawn(serve_all(from, to));
    let (from, to) = tokio::io::split(near);
    Arc::new(Relay::over(from, to))
}

/// A command through it: its status and what it wrote.
async fn run(relay: &Relay, script: &str, stdin: &[u8]) -> (i32, Vec<u8>, String) {
    let (mut out, mut said) = (Vec::new(), Vec::new());
    let stream = relay.open(&sh(script)).await.unwrap();
    let status = stream.attend(stdin, &mut out, &mut said).await.unwrap();
    (status, out, String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn commands_have_their_input_both_outputs_and_their_status() {
    let relay = relay_to_all();
    let told = soon(run(&relay, "cat; echo err >&2; exit 3", b"in")).await;
    assert_eq!(told, (3, b"in".to_vec(), "err\n".to_owned()));
    assert_eq!(soon(run(&relay, "kill -9 $$", b"")).await.0, 137);
    // More than all credit, in both directions.
    let many: Vec<u8> = (0..5 << 20).map(|at: u32| at as u8).collect();
    assert!(soon(run(&relay, "cat", &many)).await.1 == many);
    // One that does not read its input is not waited for with it.
    assert_eq!(soon(run(&relay, "exit 4", &many)).await.0, 4);
    let words = vec!["no such program".to_owned()];
    let stream = relay.open(&Wanted::Run { words }).await.unwrap();
    let mut said = Vec::new();
    let ended = stream.attend(&b""[..], tokio::io::sink(), &mut said);
    assert_eq!(soon(ended).await, Ok(127));
    assert!(String::from_utf8_lossy(&said).contains("not installed"));
}

#[tokio::test]
async fn commands_and_connections_go_side_by_side() {
    let relay = relay_to_all();
    let port = echo().await;
    let slow = tokio::spawn({
        let relay = Arc::clone(&relay);
        async move { run(&relay, "read line; echo \"$line\"", b"late\n").await }
    });
    let (mine, theirs) = duplex(4096);
    let carried = tokio::spawn({
        let relay = Arc::clone(&relay);
        let host = "127.0.0.1".to_owned();
        async move {
            let (from, to) = tokio::io::split(theirs);
            let wanted = Wanted::Connect { host, port };
            relay.open(&wanted).await.unwrap().carry(from, to).await;
        }
    });
    let (mut from, mut to) = tokio::io::split(mine);
    to.write_all(b"x").await.unwrap();
    to.shutdown().await.unwrap();
    let mut got = String::new();
    soon(from.read_to_string(&mut got)).await.unwrap();
    assert_eq!(got, "xend");
    soon(carried).await.unwrap();
    assert_eq!(soon(slow).await.unwrap().1, b"late\n");
    // Whoever only asks whether it is there is answered.
    let nothing = soon(relay.open(&Wanted::Nothing)).await;
    assert!(matches!(nothing, Err(Error::Refused(_))), "{nothing:?}");
}

#[tokio::test]
async fn a_command_whose_client_goes_away_is_not_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("done");
    let relay = relay_to_all();
    let script = format!(
        "echo begun; cat >/dev/null; sleep 0.3; : >'{}'",
        path.display()
    );
    let (mut mine, theirs) = duplex(64);
    let attended = tokio::spawn({
        let relay = Arc::clone(&relay);
        async move {
            let stream = relay.open(&sh(&script)).await.unwrap();
            let (from, to) = tokio::io::split(theirs);
            let _ = stream.attend(from, to, &mut Vec::new()).await;
        }
    });
    let mut begun = [0; 6];
    soon(mine.read_exact(&mut begun)).await.unwrap();
    attended.abort();
    soon(async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_sends_what_only_a_server_may_gets_nothing() {
    use super::frame::{Kind, encode, read};
    let (mut near, far) = duplex(1 << 20);
    let (from, to) = tokio::io::split(far);
    let served = tokio::spawn(serve_all(from, to));
    let wanted = sh("cat").payload().unwrap();
    near.write_all(&encode(Kind::Open, 5, &wanted))
        .await
        .unwrap();
    assert_eq!(
        soon(read(&mut near)).await.unwrap().unwrap().kind,
        Kind::Opened
    );
    near.write_all(&encode(Kind::Errors, 5, b"x"))
        .await
        .unwrap();
    // A number that is in use ends all; so does a payload that is cut.
    near.write_all(&encode(Kind::Open, 6, &wanted))
        .await
        .unwrap();
    near.write_all(&encode(Kind::Open, 6, &wanted))
        .await
        .unwrap();
    soon(served).await.unwrap();
}
