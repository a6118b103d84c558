//! One rung of a ladder of checks: what `setup` and `doctor` say, on either side.

use serde::{Deserialize, Serialize};

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and something about it should be known.
    Warn,
    /// It does not work.
    Fail,
    /// It was not looked at, as what it rests on is not there.
    Skipped,
    /// A word of a newer qdebug.
    #[serde(other)]
    Unknown,
}

impl Verdict {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
        }
    }
}

/// One check: what was looked at, how it stands, and what mends it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// What was looked at.
    pub name: String,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found.
    pub told: String,
    /// What mends it, the next command to type among it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cures: Vec<String>,
    /// How long the look took, in seconds, where that is of interest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

impl Rung {
    /// A rung.
    pub fn new(name: &str, verdict: Verdict, told: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            verdict,
            told: told.into(),
            cures: Vec::new(),
            seconds: None,
        }
    }

    /// Adds what mends it.
    #[must_use]
    pub fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cures.push(cure.into());
        self
    }

    /// Adds how long it took.
    #[must_use]
    pub fn took(mut self, took: std::time::Duration) -> Self {
        self.seconds = Some((took.as_secs_f64() * 1000.0).round() / 1000.0);
        self
    }

    /// Whether none of these failed.
    pub fn none_fails(rungs: &[Self]) -> bool {
        rungs.iter().all(|rung| rung.verdict != Verdict::Fail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rung_of_a_newer_qdebug_is_read() {
        let text = r#"{"name":"kit","verdict":"odd","told":"x","new":1}"#;
        let rung: Rung = serde_json::from_str(text).unwrap();
        assert_eq!(rung.verdict, Verdict::Unknown);
        assert!(Rung::none_fails(&[rung]));
    }

    #[test]
    fn only_a_failure_fails() {
        let of = |verdict| Rung::new("x", verdict, "y");
        assert!(Rung::none_fails(&[of(Verdict::Warn), of(Verdict::Skipped)]));
        assert!(!Rung::none_fails(&[of(Verdict::Ok), of(Verdict::Fail)]));
    }
}
