//! One command of the far machine: its input, what it writes, and its status, which is its last
//! word.
//!
//! Nobody's going away kills it. As behind an sshd, its pipes are closed then: what changes
//! something must not be cut in half because a network broke.

use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin};

use super::Error;
use super::frame::{HEADER, Kind, encode, finish};
use super::link::Ends;
use super::stream::{Arrival, Credit, Outbox, Taken};
use crate::process::{self, Program};

/// How much of stderr goes into one frame, in bytes.
const SAID: usize = 4 * 1024;

/// The statuses of a shell for what is not there and for what cannot be started.
const NOT_FOUND: i32 = 127;
const NOT_STARTED: i32 = 126;

/// The far end of it: runs it, and ends when it has ended or the client has gone.
pub(super) async fn run(number: u32, words: &[String], ends: Ends, outbox: &Outbox) {
    if outbox
        .send(encode(Kind::Opened, number, &[]))
        .await
        .is_err()
    {
        return;
    }
    let mut child = match spawn(words) {
        Ok(child) => child,
        Err(error) => {
            let status = match error {
                process::Error::NotFound { .. } => NOT_FOUND,
                _ => NOT_STARTED,
            };
            let said = format!("{error}\n");
            let _ = outbox
                .send(encode(Kind::Errors, number, said.as_bytes()))
                .await;
            tell_status(number, status, outbox).await;
            return;
        }
    };
    let Ends { mut inbox, credit } = ends;
    let stdin = child.stdin.take();
    let listening = async {
        let (mut stdin, mut taken) = (stdin, Taken::new(number, outbox));
        while let Some(arrival) = inbox.recv().await {
            match arrival {
                Arrival::Data(bytes) => {
                    feed(&mut stdin, &bytes).await;
                    if !taken.add(bytes.len()).await {
                        return;
                    }
                }
                Arrival::End => stdin = None,
                _ => return,
            }
        }
    };
    tokio::select! {
        () = speak(number, &mut child, &credit, outbox) => {}
        () = listening => {}
    }
}

fn spawn(words: &[String]) -> Result<Child, process::Error> {
    let (program, args) = words
        .split_first()
        .ok_or_else(|| process::Error::NotFound {
            program: String::new(),
        })?;
    let piped = Stdio::piped;
    let program = Program::new(program).args(args).own_locale().outlives();
    program.spawn_with(piped(), piped(), piped())
}

/// A command that does not read its input closes it; the rest of it is thrown away.
async fn feed(stdin: &mut Option<ChildStdin>, bytes: &[u8]) {
    if let Some(pipe) = stdin
        && (pipe.write_all(bytes).await.is_err() || pipe.flush().await.is_err())
    {
        *stdin = None;
    }
}

/// Gives on what it writes, and its status when it has closed both and ended.
async fn speak(number: u32, child: &mut Child, credit: &Credit, outbox: &Outbox) {
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    while stdout.is_some() || stderr.is_some() {
        let room = credit.some().await;
        let (mut out, mut said) = (vec![0; HEADER + room], vec![0; HEADER + room.min(SAID)]);
        let (kind, read) = tokio::select! {
            read = some(&mut stdout, &mut out[HEADER..]) => (Kind::Data, read),
            read = some(&mut stderr, &mut said[HEADER..]) => (Kind::Errors, read),
        };
        let mut frame = match kind {
            Kind::Data => out,
            _ => said,
        };
        match (read, kind) {
            (0, Kind::Data) => stdout = None,
            (0, _) => stderr = None,
            (count, kind) => {
                credit.take(count);
                frame.truncate(HEADER + count);
                if outbox.send(finish(kind, number, frame)).await.is_err() {
                    return;
                }
            }
        }
    }
    if let Ok(status) = child.wait().await {
        tell_status(number, process::code(status), outbox).await;
    }
}

/// How much was read, 0 at the end; waits for ever where there is nothing to read from.
async fn some(pipe: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> usize {
    match pipe {
        Some(pipe) => pipe.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

async fn tell_status(number: u32, status: i32, outbox: &Outbox) {
    let frame = encode(Kind::Status, number, &status.to_be_bytes());
    let _ = outbox.send(frame).await;
}

/// The near end of it: until its status has come. What it still does not read then is not sent.
pub(super) async fn attend(
    number: u32,
    streams: (
        impl AsyncRead + Unpin,
        impl AsyncWrite + Unpin,
        impl AsyncWrite + Unpin,
    ),
    ends: &mut Ends,
    outbox: &Outbox,
) -> Result<i32, Error> {
    let (mut stdin, mut stdout, mut stderr) = streams;
    let Ends { inbox, credit } = ends;
    let feeding = async {
        loop {
            let room = credit.some().await;
            let mut frame = vec![0; HEADER + room];
            let count = stdin.read(&mut frame[HEADER..]).await.unwrap_or(0);
            if count == 0 {
                break;
            }
            credit.take(count);
            frame.truncate(HEADER + count);
            if outbox
                .send(finish(Kind::Data, number, frame))
                .await
                .is_err()
            {
                break;
            }
        }
        let _ = outbox.send(encode(Kind::End, number, &[])).await;
        std::future::pending::<()>().await;
    };
    let listening = async {
        let mut taken = Taken::new(number, outbox);
        while let Some(arrival) = inbox.recv().await {
            let count = match &arrival {
                Arrival::Data(bytes) => give(&mut stdout, bytes).await?,
                Arrival::Errors(bytes) => give(&mut stderr, bytes).await?,
                Arrival::Status(status) => return Ok(*status),
                Arrival::Refused(why) => return Err(Error::Refused(why.clone())),
                Arrival::End | Arrival::Opened => 0,
            };
            if !taken.add(count).await {
                return Err(Error::Ended);
            }
        }
        Err(Error::Ended)
    };
    tokio::select! {
        status = listening => status,
        () = feeding => Err(Error::Ended),
    }
}

/// Whoever does not take what it writes has given it up.
async fn give(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<usize, Error> {
    let given = async {
        to.write_all(bytes).await?;
        to.flush().await
    };
    given.await.map_err(|_| Error::Ended)?;
    Ok(bytes.len())
}
