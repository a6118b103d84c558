//! Tokens: what tells two sessions apart when names and job ids come again.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// 128 random bits in lower-case hexadecimal, made at submit. Job ids restart and requeue, names
/// are used again; only an equal token means the same session. `Debug` prints none of it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Token(String);

impl Token {
    /// A fresh token of the system's random numbers.
    ///
    /// # Errors
    /// When the system has none to give.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(
            bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        ))
    }

    /// All 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight digits: for names of directories and containers.
    pub fn short(&self) -> &str {
        &self.0[..8]
    }

    /// A number made of the token, for choices that need no secrecy.
    pub fn seed(&self) -> u64 {
        u64::from_str_radix(&self.0[16..], 16).unwrap_or_default()
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let well = text.len() == 32
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if well {
            Ok(Self(text.to_owned()))
        } else {
            Err("a token is 32 lower-case hexadecimal digits".to_owned())
        }
    }
}

impl TryFrom<String> for Token {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Token> for String {
    fn from(token: Token) -> Self {
        token.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_survive_a_file() {
        let (one, two) = (Token::random().unwrap(), Token::random().unwrap());
        assert_ne!(one, two);
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Token>(&text).unwrap(), one);
    }

    #[test]
    fn refuses_what_is_none() {
        for bad in ["", "abc", &"A".repeat(32), &"g".repeat(32), &"é".repeat(16)] {
            assert!(bad.parse::<Token>().is_err(), "{bad}");
        }
    }

    #[test]
    fn debug_keeps_the_secret() {
        let token = Token::random().unwrap();
        assert!(!format!("{token:?}").contains(token.short()));
    }
}
