//! Names of sessions: what may become a directory, a job name, a container name and a `Host` line.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
const MAX_LEN: usize = 31;

/// Words for names nobody chose: short, lower case, no two alike at a glance.
const ANIMALS: [&str; 48] = [
    "adder", "badger", "bear", "beaver", "bison", "camel", "cobra", "crane", "crow", "deer",
    "dove", "eagle", "egret", "ferret", "finch", "fox", "gecko", "gull", "hare", "heron", "ibex",
    "jackal", "kiwi", "koala", "lark", "lemur", "lynx", "marten", "mole", "moose", "newt",
    "ocelot", "orca", "otter", "owl", "panda", "puffin", "quail", "raven", "robin", "seal",
    "shrew", "stork", "swan", "tapir", "viper", "wolf", "wren",
];

/// A session's name: `[a-z][a-z0-9-]{0,30}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionName(String);

/// Why a text is no session name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no session name: it starts with a lower-case letter, then lower-case letters, \
     digits and dashes, at most {MAX_LEN} characters in all"
)]
pub struct NameError(String);

impl SessionName {
    /// A name made of the GPU type (`none` gives `cpu`) and an animal chosen by `seed`.
    pub fn invent(gpu: Option<&str>, seed: u64) -> Self {
        let kind: String = gpu
            .unwrap_or("cpu")
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(12)
            .collect::<String>()
            .to_lowercase();
        let kind = match kind.as_bytes().first() {
            Some(byte) if byte.is_ascii_lowercase() => kind,
            _ => format!("g{kind}"),
        };
        let animal = ANIMALS[(seed % ANIMALS.len() as u64) as usize];
        match seed / ANIMALS.len() as u64 % 100 {
            0 => Self(format!("{kind}-{animal}")),
            number => Self(format!("{kind}-{animal}-{number}")),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let starts_well = text.starts_with(|first: char| first.is_ascii_lowercase());
        let all_well = text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if starts_well && all_well && text.len() <= MAX_LEN {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for SessionName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<SessionName> for String {
    fn from(name: SessionName) -> Self {
        name.0
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_what_the_contract_allows_and_nothing_else() {
        for good in ["a", "v100-otter", "x-", &"a".repeat(31)] {
            assert_eq!(good.parse::<SessionName>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "1a",
            "-a",
            "A",
            "a_b",
            "a.b",
            "a/b",
            "a b",
            "a\n",
            "ä",
            "..",
            &"a".repeat(32),
        ] {
            assert!(bad.parse::<SessionName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_file_cannot_smuggle_a_bad_name_in() {
        assert!(serde_json::from_str::<SessionName>("\"../up\"").is_err());
    }

    proptest! {
        #[test]
        fn invented_names_are_names(gpu in proptest::option::of(".{0,40}"), seed: u64) {
            let name = SessionName::invent(gpu.as_deref(), seed);
            prop_assert!(name.as_str().parse::<SessionName>().is_ok(), "{name}");
        }
    }
}
