//! The schedulers that have hooks.

use std::fmt;
use std::str::FromStr;

/// A scheduler with hooks, by the first word of the label that containers carry of their cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// OpenPBS: one Python hook in the server, run by each mom.
    OpenPbs,
    /// Torque: prologue and epilogue of each mom.
    Torque,
    /// Slurm: the Epilog of each slurmd.
    Slurm,
}

/// No scheduler with hooks has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no scheduler with hooks: openpbs, torque or slurm")]
pub struct BadKind {
    /// The name.
    pub name: String,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OpenPbs, Self::Torque, Self::Slurm];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenPbs => "openpbs",
            Self::Torque => "torque",
            Self::Slurm => "slurm",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = BadKind;

    fn from_str(text: &str) -> Result<Self, BadKind> {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.name() == text).ok_or_else(|| BadKind {
            name: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("local".parse::<Kind>().is_err());
        assert!("Slurm".parse::<Kind>().is_err());
    }
}
