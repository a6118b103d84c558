//! The far end: dials the port for each connection.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::frame::{Kind, encode};
use super::link::{Ends, Streams, distribute, outbox};
use super::stream::{Outbox, carry};

/// How long a dialling on this very machine may take.
const DIAL: Duration = Duration::from_secs(10);

/// How many connections one relay carries.
const MOST: usize = 512;

/// Carries connections to `port` of this machine until `from` ends; that is the caller's wish, and
/// ends them all.
pub async fn serve(
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin + Send + 'static,
    port: u16,
) {
    let streams = Streams::new();
    let (outbox, writing) = outbox(to, Arc::clone(&streams));
    let writing = tokio::spawn(writing);
    {
        let mut carried = JoinSet::new();
        let on_open = |number| {
            while carried.try_join_next().is_some() {}
            let outbox = outbox.clone();
            if carried.len() >= MOST {
                carried.spawn(async move { refuse(number, "too many at once", &outbox).await });
                return Ok(());
            }
            let Some(ends) = streams.add(number) else {
                let wrong = std::io::ErrorKind::InvalidData;
                return Err(std::io::Error::new(wrong, "an opening of what is open"));
            };
            let streams = Arc::clone(&streams);
            carried.spawn(async move {
                one(number, port, ends, &outbox).await;
                streams.remove(number);
            });
            Ok(())
        };
        tokio::select! {
            () = distribute(from, &streams, on_open) => {}
            // Nobody reads what we write: as good as the end.
            () = outbox.closed() => {}
        }
    }
    drop(outbox);
    let _ = writing.await;
}

async fn one(number: u32, port: u16, ends: Ends, outbox: &Outbox) {
    let Ends { mut inbox, credit } = ends;
    let dialled = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    let stream = match tokio::time::timeout(DIAL, dialled).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return refuse(number, &error.to_string(), outbox).await,
        Err(_) => return refuse(number, "no answer", outbox).await,
    };
    let _ = stream.set_nodelay(true);
    let opened = encode(Kind::Opened, number, &[]);
    if outbox.send(opened).await.is_ok() {
        let (from, to) = stream.into_split();
        carry(number, from, to, &mut inbox, &credit, outbox).await;
    }
}

async fn refuse(number: u32, why: &str, outbox: &Outbox) {
    let frame = encode(Kind::Refused, number, why.as_bytes());
    let _ = outbox.send(frame).await;
}
