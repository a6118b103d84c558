//! A free port of the node, and knowing when sshd answers through it.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How often is knocked until sshd answers.
const KNOCK_EVERY: Duration = Duration::from_millis(20);
/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// A port that is free at this moment. Somebody may take it in the next, so it is tried, and
/// picked again when that happened.
///
/// portpicker finds none on a kernel without IPv6, since it tries both; then the kernel picks.
pub(super) fn pick() -> Option<u16> {
    portpicker::pick_unused_port().or_else(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        listener.local_addr().ok().map(|address| address.port())
    })
}

/// Waits until an ssh server answers at the port; its banner, or `None` at the deadline. The
/// engine's proxy takes connections before anybody listens behind it, so only the banner counts.
pub(super) async fn banner(address: Ipv4Addr, port: u16, deadline: Instant) -> Option<String> {
    while Instant::now() < deadline {
        let answer = tokio::time::timeout(ANSWER_LIMIT, read_banner(address, port)).await;
        if let Ok(Ok(Some(banner))) = answer {
            return Some(banner);
        }
        tokio::time::sleep(KNOCK_EVERY).await;
    }
    None
}

async fn read_banner(address: Ipv4Addr, port: u16) -> std::io::Result<Option<String>> {
    let mut stream = TcpStream::connect((address, port)).await?;
    let mut line = Vec::new();
    while line.len() < 255 && !line.ends_with(b"\n") {
        match stream.read_u8().await {
            Ok(byte) => line.push(byte),
            Err(_) => return Ok(None),
        }
    }
    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
    Ok(line.starts_with("SSH-2.0-").then_some(line))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[test]
    fn a_picked_port_can_be_bound() {
        let port = pick().unwrap();
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    }

    #[tokio::test]
    async fn only_a_banner_counts() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            // A proxy that closes, a server of another kind, then sshd.
            for greeting in ["", "220 smtp\r\n", "SSH-2.0-OpenSSH_10.0\r\n"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(greeting.as_bytes()).await.unwrap();
            }
        });
        let deadline = Instant::now() + Duration::from_secs(5);
        assert_eq!(
            banner(Ipv4Addr::LOCALHOST, port, deadline).await.as_deref(),
            Some("SSH-2.0-OpenSSH_10.0")
        );
        let soon = Instant::now() + Duration::from_millis(100);
        assert_eq!(banner(Ipv4Addr::LOCALHOST, port, soon).await, None);
    }
}
