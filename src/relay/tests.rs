//! Both ends together, over pipes of this process.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::TcpListener;

use super::{Error, Relay, Wanted, serve};

/// A server of this machine that echoes each connection, and says how it ended.
pub(super) async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.into_split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.write_all(b"end").await;
            });
        }
    });
    port
}

fn relay(port: u16) -> (Arc<Relay>, tokio::task::JoinHandle<()>) {
    let (near, far) = duplex(4096);
    let (from, to) = tokio::io::split(far);
    let served = tokio::spawn(serve(from, to, port));
    let (from, to) = tokio::io::split(near);
    (Arc::new(Relay::over(from, to)), served)
}

pub(super) fn sh(script: &str) -> Wanted {
    let words = ["sh", "-c", script].map(str::to_owned).into();
    Wanted::Run { words }
}

/// A connection through it, as a program would have it.
fn connect(relay: &Arc<Relay>) -> (DuplexStream, tokio::task::JoinHandle<Result<(), Error>>) {
    let (mine, theirs) = duplex(4096);
    let relay = Arc::clone(relay);
    let carried = tokio::spawn(async move {
        let (from, to) = tokio::io::split(theirs);
        relay.open(&Wanted::ThePort).await?.carry(from, to).await;
        Ok(())
    });
    (mine, carried)
}

async fn there_and_back(relay: &Arc<Relay>, seed: u8, length: usize) {
    let (stream, carried) = connect(relay);
    let sent: Vec<u8> = (0..length)
        .map(|at| (at as u8).wrapping_mul(seed))
        .collect();
    let (mut from, mut to) = tokio::io::split(stream);
    let expected = [&sent[..], b"end"].concat();
    let send = async {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let (_, read) = tokio::join!(send, from.read_to_end(&mut got));
    read.unwrap();
    assert!(got == expected, "{} of {}", got.len(), expected.len());
    carried.await.unwrap().unwrap();
}

pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, what).await.expect("in time")
}

#[tokio::test]
async fn many_at_once_arrive_whole_and_end_one_by_one() {
    let (relay, _served) = relay(echo().await);
    let all = (1..=50u8).map(|seed| {
        let relay = Arc::clone(&relay);
        let length = usize::from(seed) * 20_011;
        tokio::spawn(async move { there_and_back(&relay, seed, length).await })
    });
    for one in all.collect::<Vec<_>>() {
        soon(one).await.unwrap();
    }
    // Larger than all credit.
    soon(there_and_back(&relay, 3, 5 << 20)).await;
}

#[tokio::test]
async fn one_that_nobody_reads_holds_up_no_other() {
    let (relay, _served) = relay(echo().await);
    let (mut stuck, _carried) = connect(&relay);
    let filling = async {
        loop {
            if stuck.write_all(&[1; 4096]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = filling => panic!("it was closed"),
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    soon(there_and_back(&relay, 5, 1 << 20)).await;
}

#[tokio::test]
async fn one_that_is_given_up_while_the_pipe_is_full_is_told_all_the_same() {
    use super::frame::{Kind, PAYLOAD, encode, read};
    // A pipe that takes next to nothing until it is read.
    let (near, mut far) = duplex(512);
    let (from, to) = tokio::io::split(near);
    let relay = Relay::over(from, to);
    let opening = tokio::spawn(async move {
        let stream = relay.open(&Wanted::ThePort).await.unwrap();
        for _ in 0..64 {
            let data = encode(Kind::Data, 7, &[0; PAYLOAD]);
            if relay.try_send(data).is_err() {
                drop(stream);
                return relay;
            }
        }
        panic!("never full");
    });
    let open = soon(read(&mut far)).await.unwrap().unwrap();
    far.write_all(&encode(Kind::Opened, open.stream, &[]))
        .await
        .unwrap();
    let _relay = soon(opening).await.unwrap();
    soon(async {
        loop {
            let frame = read(&mut far).await.unwrap().unwrap();
            if frame.kind == Kind::Refused && frame.stream == open.stream {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_port_that_nobody_has_is_refused_and_the_relay_goes_on() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let (relay, _served) = relay(port);
    for _ in 0..2 {
        let (_mine, carried) = connect(&relay);
        let refused = soon(carried).await.unwrap().unwrap_err();
        assert!(matches!(refused, Error::Refused(_)), "{refused}");
    }
    assert!(relay.is_open());
}

#[tokio::test]
async fn its_end_ends_all_and_is_told() {
    let (relay, served) = relay(echo().await);
    let (mut mine, carried) = connect(&relay);
    mine.write_all(b"x").await.unwrap();
    assert_eq!(soon(mine.read_u8()).await.unwrap(), b'x');
    served.abort();
    let mut rest = Vec::new();
    soon(mine.read_to_end(&mut rest)).await.unwrap();
    soon(carried).await.unwrap().unwrap();
    assert!(!relay.is_open());
    let (_mine, carried) = connect(&relay);
    assert_eq!(soon(carried).await.unwrap(), Err(Error::Ended));
}

#[tokio::test]
async fn a_far_side_that_breaks_the_rules_ends_the_link() {
    // More bytes than allowed; a credit out of nothing; an opening; noise.
    let data = super::frame::encode(super::frame::Kind::Data, 1, &[0; 32 << 10]);
    let too_much = data.repeat(100);
    let credit = super::frame::encode(super::frame::Kind::Credit, 1, &[0, 0, 0, 9]);
    let opening = super::frame::encode(super::frame::Kind::Open, 9, &[]);
    let opened = super::frame::encode(super::frame::Kind::Opened, 1, &[]);
    for wrong in [too_much, credit, opening, b"Welcome!\n".to_vec()] {
        let (near, mut far) = duplex(1 << 20);
        let (from, to) = tokio::io::split(near);
        let relay = Arc::new(Relay::over(from, to));
        let (_mine, _carried) = connect(&relay);
        let mut open = [0; super::frame::HEADER];
        soon(far.read_exact(&mut open)).await.unwrap();
        far.write_all(&opened).await.unwrap();
        // Nobody reads the rest of what is wrong.
        let writing = tokio::spawn(async move { far.write_all(&wrong).await });
        soon(async {
            while relay.is_open() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        writing.abort();
    }
}

#[tokio::test]
async fn a_relay_to_one_port_runs_nothing_and_dials_nowhere_else() {
    let (relay, _served) = relay(echo().await);
    let host = "127.0.0.1".to_owned();
    let port = echo().await;
    for wanted in [sh("true"), Wanted::Connect { host, port }] {
        let refused = soon(relay.open(&wanted)).await;
        assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    }
    soon(there_and_back(&relay, 7, 1000)).await;
}

#[tokio::test]
async fn a_far_side_that_lies_about_a_command_ends_the_link() {
    use super::frame::{Kind, PAYLOAD, encode};
    let flood = encode(Kind::Errors, 1, &[0; PAYLOAD]).repeat(100);
    let status = encode(Kind::Status, 1, &[0; 5]);
    let empty = encode(Kind::Errors, 1, &[]);
    for wrong in [flood, status, empty] {
        let (near, mut far) = duplex(1 << 20);
        let (from, to) = tokio::io::split(near);
        let relay = Arc::new(Relay::over(from, to));
        let attended = tokio::spawn({
            let relay = Arc::clone(&relay);
            async move {
                let stream = relay.open(&sh("true")).await?;
                // Nobody takes what comes.
                let (_mine, theirs) = duplex(1);
                stream.attend(&b""[..], &mut Vec::new(), theirs).await
            }
        });
        let opening = super::frame::read(&mut far).await.unwrap().unwrap();
        assert_eq!(opening.kind, Kind::Open);
        far.write_all(&encode(Kind::Opened, 1, &[])).await.unwrap();
        let writing = tokio::spawn(async move { far.write_all(&wrong).await });
        soon(relay.ended()).await;
        attended.abort();
        writing.abort();
    }
}
