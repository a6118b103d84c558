//! What happens while a connect runs, for whoever shows it.

use jiff::SignedDuration;

use super::opening::IdeEvent;
use crate::session::Status;

/// What happens, for the display.
#[derive(Debug, Clone)]
pub enum Event {
    /// Something about the session changed.
    Status(Box<Status>),
    /// The cluster does not answer, and is asked again; told once.
    Silent(String),
    /// It answers again.
    Answers,
    /// The laptop's own key was let into the session.
    KeyHandedOver,
    /// Entries of sessions that are over were taken out of our ssh configuration.
    Swept(Vec<String>),
    /// The user does not want our line in their ssh configuration.
    NotIncluded,
    /// Our lines could not be put into the user's ssh configuration.
    IncludeFailed {
        /// Why.
        reason: String,
        /// The lines.
        lines: String,
    },
    /// The way is open.
    Connected {
        /// What to type after `ssh`.
        alias: String,
        /// The port on 127.0.0.1.
        port: u16,
        /// The session.
        status: Box<Status>,
    },
    /// The walltime ends soon.
    EndsSoon {
        /// How soon.
        left: SignedDuration,
    },
    /// Somebody gave the session more time, or less.
    Moved {
        /// How much it has now.
        left: SignedDuration,
    },
    /// Nobody uses the session, and it will end for that.
    Unused {
        /// How soon.
        left: SignedDuration,
    },
    /// Something has become of it that the user should know.
    Notice(String),
    /// Somebody uses it again.
    UsedAgain,
    /// A connection could not be carried; told once.
    Lost(String),
    /// Connections are carried again.
    Back,
    /// The extra forwards broke and are tried again.
    ForwardLost(String),
    /// Something about the IDE that it is opened in.
    Ide(IdeEvent),
}
