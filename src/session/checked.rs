//! What `doctor --json` prints, and a laptop reads of a login node.

use serde::{Deserialize, Serialize};

use super::rung::Rung;
use super::status::Ways;

/// A machine that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// [`super::FORMAT`].
    pub format: u32,
    /// The version of the qdebug that looked.
    pub version: String,
    /// `laptop`, `login` or `node`.
    pub place: String,
    /// What was found, in the order of the look.
    pub rungs: Vec<Rung>,
    /// The order of ways to sessions of there, where its configuration says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ways: Option<Ways>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_a_newer_qdebug_is_read() {
        let text = r#"{"format":1,"version":"9.0.0","place":"login","new":[],
                       "rungs":[{"name":"kit","verdict":"ok","told":"x"}]}"#;
        let told: Checked = serde_json::from_str(text).unwrap();
        assert_eq!(told.rungs[0].name, "kit");
    }
}
