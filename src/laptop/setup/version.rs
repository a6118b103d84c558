//! Versions of qdebug as `qdebug --version` tells them.

use std::fmt;

/// Three numbers; what a build adds to them is not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32, u32, u32);

impl Version {
    /// This qdebug's.
    pub fn own() -> Self {
        let number = |text: &str| text.parse().unwrap_or(0);
        Self(
            number(env!("CARGO_PKG_VERSION_MAJOR")),
            number(env!("CARGO_PKG_VERSION_MINOR")),
            number(env!("CARGO_PKG_VERSION_PATCH")),
        )
    }

    /// Reads `qdebug 0.1.0`.
    pub fn read(said: &str) -> Option<Self> {
        let word = said.trim().strip_prefix("qdebug ")?;
        let numbers = word.split(['-', '+', ' ']).next()?;
        let mut numbers = numbers.split('.').map(str::parse);
        let version = Self(
            numbers.next()?.ok()?,
            numbers.next()?.ok()?,
            numbers.next()?.ok()?,
        );
        numbers.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        let own = format!("qdebug {}", env!("CARGO_PKG_VERSION"));
        assert_eq!(Version::read(&own), Some(Version::own()));
        assert!(Version::read("qdebug 0.10.0") > Version::read("qdebug 0.9.1-rc1"));
        for other in [
            "",
            "qdebug",
            "qdebug 1.2",
            "qdebug 1.2.3.4",
            "bash 1.2.3",
            "qdebug x.1.2",
        ] {
            assert_eq!(Version::read(other), None, "{other:?}");
        }
    }
}
