//! A server behind a tunnel, and a client of it: whatever goes through must come back whole.

#![allow(unreachable_pub)] // Each test binary is a crate.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A server that sends back, upper case, what it has read to its end.
pub async fn upper_case_server() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            tokio::spawn(async move {
                let mut text = Vec::new();
                stream.write_all(b"SSH-2.0-test\n").await.unwrap();
                let _ = stream.read_to_end(&mut text).await;
                let _ = stream.write_all(&text.to_ascii_uppercase()).await;
            });
        }
    });
    port
}

/// What comes back until its end.
pub async fn ask(port: u16, text: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut answer = Vec::new();
    // The server answers after our end: half a close must pass, and no more than half.
    let _ = stream.write_all(text).await;
    let _ = stream.shutdown().await;
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .expect("the end did not come");
    answer
}
