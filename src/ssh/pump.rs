//! Bytes from one end of a connection to the other, as they come; their end is passed on.

use std::fs::File;
use std::io;

use tokio::io::AsyncReadExt as _;
use tokio::sync::oneshot;
#[cfg(unix)]
use tokio::{io::AsyncWriteExt as _, net::TcpStream, process::ChildStdout};

/// Bytes of a buffer: the size of ssh's channel packets, which is what arrives at once; larger
/// ones were measured to be slower. Of a pipe, where the system allows.
pub(super) const BUFFER: usize = 32 * 1024;
#[cfg(target_os = "linux")]
const PIPE: usize = 1024 * 1024;

/// Copies until the end; whether all of it could be written.
#[cfg(unix)]
pub(super) async fn copy(mut from: ChildStdout, to: &mut TcpStream) -> bool {
    // An unprivileged user has a quota of pipe pages; without it the pipe is merely small.
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(&from, PIPE);
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return true,
            Ok(count) => {
                if to.write_all(&buffer[..count]).await.is_err() {
                    return false;
                }
            }
        }
    }
}

/// Copies until either end is done; what arrives is written at once.
fn pump(from: &mut impl std::io::Read, to: &mut impl std::io::Write) {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) if to.write_all(&buffer[..count]).is_ok() => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

pub(super) async fn read_line(from: &mut (impl tokio::io::AsyncRead + Unpin), line: &mut Vec<u8>) {
    // RFC 4253, 4.2: a banner line has at most 255 bytes.
    while line.len() < 256 && line.last() != Some(&b'\n') {
        match from.read_u8().await {
            Ok(byte) => line.push(byte),
            Err(_) => return,
        }
    }
}

/// Carries this process's own stdin and stdout over a stream, given twice; `end` ends what is
/// written to it. Resolves when all that came has been written.
///
/// Threads of their own and not the runtime's: a read of stdin cannot be called back, and must not
/// keep the process from ending. The descriptors themselves: std's stdout waits for a line break
/// before it writes.
pub(super) fn pump_stdio<S: io::Read + io::Write + Send + 'static>(
    mut reading: S,
    mut writing: S,
    end: impl FnOnce(&S) + Send + 'static,
) -> io::Result<oneshot::Receiver<()>> {
    let (input, output) = own_stdio()?;
    std::thread::spawn(move || {
        let mut input = input;
        pump(&mut input, &mut writing);
        end(&writing);
    });
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        let mut output = output;
        pump(&mut reading, &mut output);
        let _ = tell.send(());
    });
    Ok(told)
}

/// This process's stdin and stdout as files, which nothing buffers.
#[cfg(unix)]
fn own_stdio() -> io::Result<(File, File)> {
    use std::os::fd::AsFd as _;
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    Ok((input.into(), output.into()))
}

#[cfg(windows)]
fn own_stdio() -> io::Result<(File, File)> {
    use std::os::windows::io::AsHandle as _;
    let input = io::stdin().as_handle().try_clone_to_owned()?;
    let output = io::stdout().as_handle().try_clone_to_owned()?;
    Ok((input.into(), output.into()))
}
