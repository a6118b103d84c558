//! One connection that is this process's own stdin and stdout: what `ssh` runs as its ProxyCommand.

use std::io;
use std::net::{Ipv4Addr, Shutdown};

use tokio::net::{TcpListener, TcpStream};

use super::error::Error;
use super::link::Link;
#[cfg(unix)]
use super::master::Master;
use super::pipe::Pipe;
use super::pump::pump_stdio;
use super::route::Tunnel;
#[cfg(unix)]
use super::through::Outcome;

impl Tunnel {
    /// Carries this process's own stdin and stdout, and gives both away: the master reads and
    /// writes them itself, and their ends are its to close.
    ///
    /// # Errors
    /// Why it could not be carried.
    pub async fn carry_stdio(&self) -> Result<(), Error> {
        match self.link().await? {
            Link::Here => self.carry_stdio_here().await,
            Link::Pipe(pipe) => self.carry_stdio_over(&pipe).await,
            #[cfg(unix)]
            Link::Master(master) => self.give_stdio_to(&master).await,
        }
    }

    #[cfg(unix)]
    async fn give_stdio_to(&self, master: &Master) -> Result<(), Error> {
        let inherit = std::process::Stdio::inherit;
        let mut child = self.spawn(master, inherit(), inherit())?;
        give_away();
        match self.outcome(master, &mut child).await {
            Outcome::Done => {
                master.heard();
                Ok(())
            }
            Outcome::NoMaster => Err(self.lost(master)),
            Outcome::Failed(error) => Err(error),
        }
    }

    async fn carry_stdio_here(&self) -> Result<(), Error> {
        let lost = |_| self.refused("this machine", "its connection went away at once");
        let stream = self.connect_here().await?;
        let stream = stream.into_std().map_err(lost)?;
        stream.set_nonblocking(false).map_err(lost)?;
        let sending = stream.try_clone().map_err(lost)?;
        let end = |stream: &std::net::TcpStream| drop(stream.shutdown(Shutdown::Write));
        let told = pump_stdio(stream, sending, end).map_err(lost)?;
        let _ = told.await;
        Ok(())
    }

    async fn carry_stdio_over(&self, pipe: &Pipe) -> Result<(), Error> {
        let opened = pipe.connect().await;
        let opened = opened.map_err(|error| self.not_carried(&error))?;
        // Between its threads and the relay: a connection of this process to itself.
        let lost = |_| self.refused(self.end(), "its connection went away at once");
        let (mine, theirs) = pair().await.map_err(lost)?;
        let sending = mine.try_clone().map_err(lost)?;
        let (from, to) = theirs.into_split();
        let end = |stream: &std::net::TcpStream| drop(stream.shutdown(Shutdown::Write));
        let told = pump_stdio(mine, sending, end).map_err(lost)?;
        opened.carry(from, to).await;
        let _ = told.await;
        Ok(())
    }
}

/// Two ends of one connection on this machine; nobody else can have come in between.
async fn pair() -> io::Result<(std::net::TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (mine, accepted) = tokio::join!(
        TcpStream::connect(listener.local_addr()?),
        listener.accept()
    );
    let (mine, (theirs, from)) = (mine?, accepted?);
    if mine.local_addr()? != from {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let _ = (mine.set_nodelay(true), theirs.set_nodelay(true));
    let mine = mine.into_std()?;
    mine.set_nonblocking(false)?;
    Ok((mine, theirs))
}

/// This process's stdin and stdout end nothing any more.
#[cfg(unix)]
fn give_away() {
    let null = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null");
    if let Ok(null) = null {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}
