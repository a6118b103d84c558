//! One connection that is this process's own stdin and stdout: what `ssh` runs as its ProxyCommand.

use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::process::Child;
use tokio::time::Instant;

use super::error::Error;
use super::link::Link;
use super::master::Master;
use super::pipe::Pipe;
use super::pump::pump_stdio;
use super::route::{Outcome, Tunnel, over};
use super::silence::QUIET;

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
        let begun = Instant::now();
        let (mut input, mut output) = (None, None);
        if let (Ok(stdin), Ok(stdout)) = (
            io::stdin().as_fd().try_clone_to_owned(),
            io::stdout().as_fd().try_clone_to_owned(),
        ) {
            (input, output) = (Some(stdin), Some(stdout));
        }
        let mut child = self.spawn(master, Stdio::inherit(), Stdio::inherit())?;
        give_away();
        // Until it is known to be carried ours are kept: another master may have to carry it.
        let outcome = tokio::select! {
            outcome = self.outcome(master, &mut child) => Some(outcome),
            () = tokio::time::sleep_until(begun + QUIET) => None,
        };
        if let Some(outcome) = outcome {
            return self.ended(master, outcome);
        }
        // What ssh has said and is still here nobody has taken.
        let (Some(stdin), Some(stdout)) = (input.take_if(|fd| is_waiting(fd)), output.take())
        else {
            drop(input);
            return self.wait_for(master, child).await;
        };
        tokio::select! {
            outcome = self.outcome(master, &mut child) => return self.ended(master, outcome),
            renewed = self.silence(begun) => renewed?,
        }
        if !is_waiting(&stdin) {
            drop((stdin, stdout));
            return self.wait_for(master, child).await;
        }
        drop(child);
        match self.link().await? {
            Link::Master(master) => {
                let child = self.spawn(&master, stdin.into(), stdout.into())?;
                self.wait_for(&master, child).await
            }
            Link::Here | Link::Pipe(_) => Err(self.lost(master)),
        }
    }

    async fn wait_for(&self, master: &Master, mut child: Child) -> Result<(), Error> {
        let outcome = self.outcome(master, &mut child).await;
        self.ended(master, outcome)
    }

    fn ended(&self, master: &Master, outcome: Outcome) -> Result<(), Error> {
        match outcome {
            Outcome::Done => Ok(()),
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
        let lost = |_| self.refused(self.end(), "its connection went away at once");
        let (mine, theirs) = UnixStream::pair().map_err(lost)?;
        let sending = mine.try_clone().map_err(lost)?;
        theirs.set_nonblocking(true).map_err(lost)?;
        let (from, to) = tokio::net::UnixStream::from_std(theirs)
            .map_err(lost)?
            .into_split();
        let end = |stream: &UnixStream| drop(stream.shutdown(Shutdown::Write));
        let told = pump_stdio(mine, sending, end).map_err(lost)?;
        let carried = over(pipe, from, to).await;
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

/// Whether there is something to read.
fn is_waiting(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    let polled = poll(&mut fds, Some(&Timespec::default()));
    polled.is_ok() && fds[0].revents().contains(PollFlags::IN)
}
