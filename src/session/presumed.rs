//! What a list concluded of a session that nobody has a word of any more.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Token;

/// `presumed.json`: the verdict on a session that nobody has a word of any more. Nobody said that it
/// is over, so it is no [`End`], which a node half would obey; it keeps lists from asking for ever,
/// and holds only as long as nothing else is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presumed {
    /// The session.
    pub token: Token,
    /// Whether it failed; else it ended.
    pub failed: bool,
    /// Why, in plain words.
    #[serde(default)]
    pub reason: Option<String>,
    /// What to do about it.
    #[serde(default)]
    pub hint: Option<String>,
    /// When it was concluded.
    pub at: Timestamp,
}
