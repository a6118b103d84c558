//! A trunk's way on to a node, for an ssh of this machine to go: that ssh's ProxyCommand is this very
//! program, which is let through a port of 127.0.0.1 by a token.
//!
//! Problem: the second hop is an ssh of its own here, with the keys and agent of here, and its bytes
//! must go over the trunk of a process that runs already. Nobody else on this machine may use that.
//! Solution: port and token stand in a file that is the user's alone, and whose name is all that the
//! ProxyCommand is told; who does not begin with the token is sent away.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream as StdStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::error::Error;
use super::node::Node;
use super::pump::pump_stdio;
use super::trunk::Trunk;
use super::watched::Watched;
use super::word::PlainPath;
use crate::relay::{self, Wanted};

/// Digits of a token.
const TOKEN: usize = 32;

/// How long one who comes may take to say it.
const SAY: Duration = Duration::from_secs(10);

/// How many bytes the file has, at most: a port, a blank, the token.
const FILE: u64 = 64;

/// How many may be at it at once, with the token or not yet: anybody on this machine can knock.
const MOST: usize = 16;

/// How long it rests where the system lets nobody in.
const REST: Duration = Duration::from_millis(100);

/// A gate; what goes through it ends when it is dropped.
#[derive(Debug)]
pub(super) struct Gate {
    refused: Arc<Mutex<Option<String>>>,
    _serving: JoinSet<()>,
}

/// The way in: it is open until this is dropped, and the file with its token is there as long.
#[derive(Debug)]
pub(super) struct Entry {
    file: NamedTempFile,
    _open: oneshot::Sender<()>,
}

impl Gate {
    /// Opens a gate that leads over the trunk to a node's sshd.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Listen`].
    pub(super) async fn open(trunk: Arc<Trunk>, node: &Node) -> Result<(Self, Entry), Error> {
        let listen = |source| Error::Listen { port: 0, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(listen)?;
        let port = listener.local_addr().map_err(listen)?.port();
        let folder = std::env::temp_dir();
        let token = token().map_err(Error::file("make a token for", &folder))?;
        // Nobody else may read it, from its creation.
        let make = || {
            let mut file = tempfile::Builder::new().prefix("qdebug-gate-").tempfile()?;
            write!(file, "{port} {token}")?;
            file.flush()?;
            Ok(file)
        };
        let file = make().map_err(Error::file("write a file in", &folder))?;
        let refused = Arc::new(Mutex::new(None));
        let mut serving = JoinSet::new();
        let wanted = Wanted::Connect {
            host: node.address.to_string(),
            port: node.port,
        };
        let (open, mut closed) = oneshot::channel();
        serving.spawn({
            let refused = Arc::clone(&refused);
            async move {
                let mut carried = JoinSet::new();
                loop {
                    let accepted = tokio::select! {
                        _ = &mut closed => break,
                        Some(_) = carried.join_next() => continue,
                        accepted = listener.accept(), if carried.len() < MOST => accepted,
                    };
                    let Ok((stream, _)) = accepted else {
                        tokio::time::sleep(REST).await;
                        continue;
                    };
                    let (trunk, wanted) = (Arc::clone(&trunk), wanted.clone());
                    let (token, refused) = (token.clone(), Arc::clone(&refused));
                    carried.spawn(async move {
                        if let Err(error) = let_through(stream, &token, &trunk.relay, &wanted).await
                        {
                            let mut refused =
                                refused.lock().unwrap_or_else(PoisonError::into_inner);
                            *refused = Some(error.to_string());
                        }
                    });
                }
                drop(listener);
                while carried.join_next().await.is_some() {}
            }
        });
        let gate = Self {
            refused,
            _serving: serving,
        };
        Ok((gate, Entry { file, _open: open }))
    }

    /// Why the far side could not go on, where it said so.
    pub(super) fn refused(&self) -> Option<String> {
        let refused = self.refused.lock();
        refused.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Entry {
    /// What ssh is to run to go through.
    ///
    /// # Errors
    /// [`Error::Word`] where one of the paths cannot be told to ssh.
    pub(super) fn proxy(&self, qdebug: &PlainPath) -> Result<String, Error> {
        let file = PlainPath::new(self.file.path())?;
        Ok(format!("{} gate {}", qdebug.quoted(), file.quoted()))
    }
}

async fn let_through(
    mut stream: TcpStream,
    token: &str,
    relay: &Watched,
    wanted: &Wanted,
) -> Result<(), relay::Error> {
    let mut said = [0; TOKEN];
    let read = tokio::time::timeout(SAY, stream.read_exact(&mut said)).await;
    if !matches!(read, Ok(Ok(_))) || said != *token.as_bytes() {
        tracing::debug!("somebody without the token was sent away");
        return Ok(());
    }
    let _ = stream.set_nodelay(true);
    let opened = relay.open(wanted).await?;
    let (from, to) = stream.into_split();
    opened.carry(from, to).await;
    Ok(())
}

fn token() -> std::io::Result<String> {
    let mut bytes = [0; TOKEN / 2];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// `qdebug gate FILE`: carries this process's stdin and stdout through the gate of that file.
///
/// # Errors
/// [`Error::File`] for a file that is none of a gate's; [`Error::Unreachable`] where it is closed.
pub async fn go_through(path: &Path) -> Result<(), Error> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(Error::file("read", path))?;
    file.take(FILE)
        .read_to_string(&mut text)
        .map_err(Error::file("read", path))?;
    let Some((port, token)) = read(&text) else {
        let source = std::io::ErrorKind::InvalidData.into();
        return Err(Error::file("understand", path)(source));
    };
    let closed = |error: std::io::Error| Error::Unreachable {
        host: format!("127.0.0.1:{port}"),
        detail: error.to_string(),
    };
    let mut stream = StdStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(closed)?;
    let _ = stream.set_nodelay(true);
    stream.write_all(token.as_bytes()).map_err(closed)?;
    let sending = stream.try_clone().map_err(closed)?;
    let end = |stream: &StdStream| drop(stream.shutdown(Shutdown::Write));
    let told = pump_stdio(stream, sending, end).map_err(closed)?;
    let _ = told.await;
    Ok(())
}

fn read(text: &str) -> Option<(u16, &str)> {
    let (port, token) = text.split_once(' ')?;
    let is_token = token.len() == TOKEN && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some((port.parse().ok().filter(|port| *port > 0)?, token)).filter(|_| is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gates_file_is_a_port_and_a_token() {
        let token = token().unwrap();
        assert_ne!(token, super::token().unwrap());
        assert_eq!(read(&format!("2222 {token}")), Some((2222, &*token)));
        for wrong in [
            "",
            "22",
            "0 ",
            &format!("70000 {token}"),
            &format!("22 {token}0"),
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none");
        std::fs::write(&path, "22 not a token").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let gone = runtime.unwrap().block_on(go_through(&path));
        assert!(matches!(gone, Err(Error::File { .. })), "{gone:?}");
    }

    #[tokio::test]
    async fn who_does_not_know_the_token_is_sent_away() {
        use tokio::io::AsyncWriteExt as _;
        let (near, far) = tokio::io::duplex(4096);
        let (from, to) = tokio::io::split(far);
        tokio::spawn(relay::serve_all(from, to));
        let (from, to) = tokio::io::split(near);
        let relay = Watched::over(from, to);
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wanted = Wanted::Connect {
            host: "127.0.0.1".to_owned(),
            port: target.local_addr().unwrap().port(),
        };
        let gate = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = gate.local_addr().unwrap();
        let token = token().unwrap();
        for (says, enters) in [("x".repeat(TOKEN), false), (token.clone(), true)] {
            let mut client = TcpStream::connect(at).await.unwrap();
            client.write_all(says.as_bytes()).await.unwrap();
            client.write_all(b"hello").await.unwrap();
            client.shutdown().await.unwrap();
            let (stream, _) = gate.accept().await.unwrap();
            let through = let_through(stream, &token, &relay, &wanted);
            let arrives = async {
                let mut said = String::new();
                let (mut stream, _) = target.accept().await.unwrap();
                stream.read_to_string(&mut said).await.unwrap();
                said
            };
            let limit = Duration::from_secs(20);
            match enters {
                true => {
                    let both = async { tokio::join!(through, arrives) };
                    let (through, said) = tokio::time::timeout(limit, both).await.unwrap();
                    assert_eq!((through, &*said), (Ok(()), "hello"));
                }
                false => tokio::select! {
                    through = through => assert_eq!(through, Ok(())),
                    said = arrives => panic!("{said:?} went through"),
                },
            }
        }
    }
}
