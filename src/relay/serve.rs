//! The far end: dials the port for each connection, and runs the commands.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::frame::{Frame, Kind, encode};
use super::link::{Ends, Streams, distribute, outbox};
use super::stream::{Outbox, carry};
use super::{Wanted, command};

/// This machine, to itself.
const HERE: &str = "127.0.0.1";

/// How long a dialling on this very machine may take, and one to another.
const DIAL: Duration = Duration::from_secs(10);
const DIAL_FAR: Duration = Duration::from_secs(20);

/// How many connections and commands one relay carries.
const MOST: usize = 512;

/// Carries connections to `port` of this machine until `from` ends; that is the caller's wish, and
/// ends them all.
pub async fn serve(
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin + Send + 'static,
    port: u16,
) {
    serve_what(from, to, Some(port)).await;
}

/// Carries connections to wherever this machine sees, and runs commands on it as this user, until
/// `from` ends: whoever writes there has a login here. A command that still runs then goes on.
pub async fn serve_all(from: impl AsyncRead + Unpin, to: impl AsyncWrite + Unpin + Send + 'static) {
    serve_what(from, to, None).await;
}

async fn serve_what(
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin + Send + 'static,
    port: Option<u16>,
) {
    let streams = Streams::new();
    let (outbox, writing) = outbox(to, Arc::clone(&streams));
    let writing = tokio::spawn(writing);
    {
        let mut carried = JoinSet::new();
        let on_open = |opening: Frame| {
            let number = opening.stream;
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
            let wanted = Wanted::read(&opening.payload);
            carried.spawn(async move {
                match (wanted, port) {
                    (Some(Wanted::ThePort), Some(port)) => {
                        dial(number, HERE, port, ends, &outbox).await;
                    }
                    (Some(Wanted::Connect { host, port }), None) => {
                        dial(number, &host, port, ends, &outbox).await;
                    }
                    (Some(Wanted::Run { words }), None) => {
                        command::run(number, &words, ends, &outbox).await;
                    }
                    _ => refuse(number, "this relay does not do that", &outbox).await,
                }
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

async fn dial(number: u32, host: &str, port: u16, ends: Ends, outbox: &Outbox) {
    let Ends { mut inbox, credit } = ends;
    let limit = if host == HERE { DIAL } else { DIAL_FAR };
    let dialled = TcpStream::connect((host, port));
    let stream = match tokio::time::timeout(limit, dialled).await {
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
