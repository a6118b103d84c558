//! One connection that is this process's own stdin and stdout: what `ssh` runs as its ProxyCommand.

use std::fs::File;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use super::error::Error;
use super::link::Link;
use super::master::Master;
use super::pipe::Pipe;
use super::pump::pump_stdio;
use super::route::{Outcome, Tunnel};

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
            Link::Master(master) => self.give_stdio_to(&master).await,
        }
    }

    async fn give_stdio_to(&self, master: &Master) -> Result<(), Error> {
        let mut child = self.spawn(master, Stdio::inherit(), Stdio::inherit())?;
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
        let lost = |_| self.refused(&self.route.end(), "its connection went away at once");
        let (mine, theirs) = UnixStream::pair().map_err(lost)?;
        let sending = mine.try_clone().map_err(lost)?;
        theirs.set_nonblocking(true).map_err(lost)?;
        let (from, to) = tokio::net::UnixStream::from_std(theirs)
            .map_err(lost)?
            .into_split();
        let end = |stream: &UnixStream| drop(stream.shutdown(Shutdown::Write));
        let told = pump_stdio(mine, sending, end).map_err(lost)?;
        let carried = pipe.carry(from, to).await;
        carried.map_err(|error| self.not_carried(&error))?;
        let _ = told.await;
        Ok(())
    }
}

/// This process's stdin and stdout end nothing any more.
fn give_away() {
    let null = File::options().read(true).write(true).open("/dev/null");
    if let Ok(null) = null {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}
