//! Signals that ask this program to end, told apart: who pressed Ctrl-C can be asked back, who
//! sent SIGTERM or went away (SIGHUP) cannot.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// Ctrl-C.
    Keyboard,
    /// SIGTERM or SIGHUP.
    Outside,
}

/// Listens for them; from then on they end nothing by themselves, in this whole process.
#[derive(Debug)]
pub struct Interrupts {
    keyboard: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Interrupts {
    /// Begins to listen.
    ///
    /// # Errors
    /// What the system said.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            keyboard: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one. May be dropped and asked again.
    pub async fn next(&mut self) -> Interrupt {
        tokio::select! {
            _ = self.keyboard.recv() => Interrupt::Keyboard,
            _ = self.terminate.recv() => Interrupt::Outside,
            _ = self.hangup.recv() => Interrupt::Outside,
        }
    }
}
