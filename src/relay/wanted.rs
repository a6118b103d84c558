//! What an opening asks for: its payload.
//!
//! It is JSON, so that a server that does not know a wish of a later client refuses that one alone.

use serde::{Deserialize, Serialize};

use super::Error;
use super::frame::PAYLOAD;

/// What is to be opened at the far side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// A connection to the one port that the server was begun for. It has no payload.
    #[serde(skip)]
    ThePort,
    /// A connection from the far machine to this port.
    Connect {
        /// A name or an address, as the far machine knows it.
        host: String,
        /// The port.
        port: u16,
    },
    /// A command there.
    Run {
        /// The program, looked up on PATH there, and its arguments.
        words: Vec<String>,
    },
    /// Nothing: that it is refused shows that the far side answers.
    Nothing,
}

impl Wanted {
    /// # Errors
    /// [`Error::Refused`] for more than a frame holds.
    pub(super) fn payload(&self) -> Result<Vec<u8>, Error> {
        let payload = match self {
            Self::ThePort => Ok(Vec::new()),
            wanted => serde_json::to_vec(wanted),
        };
        let refused = |why: String| Err(Error::Refused(why));
        match payload {
            Ok(payload) if payload.len() <= PAYLOAD => Ok(payload),
            Ok(payload) => refused(format!("{} bytes are too long to ask for", payload.len())),
            Err(error) => refused(error.to_string()),
        }
    }

    /// What a client asks for; `None` for what this qdebug does not know.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        match payload {
            [] => Some(Self::ThePort),
            payload => serde_json::from_slice(payload).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_and_the_rest_is_not_known() {
        let host = "127.0.0.1".to_owned();
        let words = vec!["a b".to_owned(), "\u{1b}'".to_owned()];
        for wanted in [
            Wanted::ThePort,
            Wanted::Connect { host, port: 22 },
            Wanted::Run { words },
            Wanted::Nothing,
        ] {
            assert_eq!(Wanted::read(&wanted.payload().unwrap()), Some(wanted));
        }
        let unknown: [&[u8]; 5] = [
            b"{",
            b"\xff",
            br#"{"later":{}}"#,
            br#"{"connect":{"host":"a","port":65536}}"#,
            br#""the-port""#,
        ];
        for payload in unknown {
            assert_eq!(Wanted::read(payload), None);
        }
    }

    #[test]
    fn what_is_too_long_is_not_cut() {
        let words = vec!["x".repeat(PAYLOAD)];
        assert!(Wanted::Run { words }.payload().is_err());
    }
}
