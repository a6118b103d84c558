//! Where a value of the configuration comes from: each leaf of a file with its line.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum Origin {
    /// qdebug itself.
    BuiltIn,
    /// An environment variable.
    Environment {
        /// Its name.
        name: &'static str,
    },
    /// A configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line of the value, from 1.
        line: usize,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in"),
            Self::Environment { name } => write!(f, "${name}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// A value in force: one row of `qdebug config`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Value {
    /// Its key, dotted: `gpus.V100.cpus`.
    pub key: String,
    /// The value.
    pub value: toml::Value,
    /// Where it comes from.
    pub origin: Origin,
}

/// A leaf of a file: no table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Leaf {
    /// The parts of its key.
    pub(super) key: Vec<String>,
    pub(super) value: toml::Value,
    /// From 1.
    pub(super) line: usize,
    /// The bytes of the value, and of the key before it.
    span: std::ops::Range<usize>,
}

impl Leaf {
    /// The dotted key.
    pub(super) fn dotted(&self) -> String {
        self.key.join(".")
    }
}

/// Every leaf of a document, and every table (without a value of its own) before its leaves.
pub(super) fn leaves(text: &str, table: &toml::Table) -> Vec<Leaf> {
    let mut found = Vec::new();
    // What `toml::from_str` took parses here too.
    if let Ok(document) = DeTable::parse(text) {
        walk(text, document.get_ref(), table, &[], &mut found);
    }
    found
}

fn walk(
    text: &str,
    spans: &DeTable<'_>,
    table: &toml::Table,
    above: &[String],
    found: &mut Vec<Leaf>,
) {
    for (name, value) in spans {
        let Some(plain) = table.get(name.get_ref().as_ref()) else {
            continue;
        };
        let mut key = above.to_vec();
        key.push(name.get_ref().to_string());
        match (value.get_ref(), plain) {
            (DeValue::Table(spans), toml::Value::Table(table)) => {
                walk(text, spans, table, &key, found);
            }
            _ => found.push(Leaf {
                line: line(text, name.span().start),
                key,
                value: plain.clone(),
                span: span(name, value),
            }),
        }
    }
}

fn span<A, B>(name: &Spanned<A>, value: &Spanned<B>) -> std::ops::Range<usize> {
    let (name, value) = (name.span(), value.span());
    name.start.min(value.start)..value.end.max(name.end)
}

/// The line of a byte, from 1.
pub(super) fn line(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// The key whose value holds a byte, dotted.
pub(super) fn key_at(leaves: &[Leaf], at: usize) -> Option<String> {
    let holds = leaves.iter().find(|leaf| leaf.span.contains(&at));
    holds.map(Leaf::dotted)
}

/// The line of a key, or of the first one below it.
pub(super) fn line_of(leaves: &[Leaf], key: &[&str]) -> Option<usize> {
    let below = |leaf: &&Leaf| {
        leaf.key.len() >= key.len() && leaf.key.iter().zip(key).all(|(have, want)| have == want)
    };
    leaves.iter().filter(below).map(|leaf| leaf.line).min()
}

/// A leaf's origin.
pub(super) fn of_leaf(path: &Path, leaf: &Leaf) -> Origin {
    Origin::File {
        path: path.to_owned(),
        line: leaf.line,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<Leaf> {
        leaves(text, &toml::from_str(text).unwrap())
    }

    #[test]
    fn each_leaf_knows_its_line_however_it_is_written() {
        let text = "# é\nhome = '/x'\n[gpus.V100]\ncpus = 16\naliases = [\n 'V' ]\n\
                    [gpus]\n'a b'.memory = '''\n1G'''\nP100 = { cpus = 8 }\n";
        let found: Vec<(String, usize)> = read(text)
            .iter()
            .map(|leaf| (leaf.dotted(), leaf.line))
            .collect();
        for (key, line) in [
            ("home", 2),
            ("gpus.V100.cpus", 4),
            ("gpus.V100.aliases", 5),
            ("gpus.a b.memory", 8),
            ("gpus.P100.cpus", 10),
        ] {
            assert!(found.contains(&(key.to_owned(), line)), "{key}: {found:?}");
        }
        let at = text.find("16").unwrap();
        assert_eq!(key_at(&read(text), at).as_deref(), Some("gpus.V100.cpus"));
        assert_eq!(line_of(&read(text), &["gpus", "V100"]), Some(4));
    }

    #[test]
    fn origins_read_like_places() {
        let path = PathBuf::from("/etc/qdebug/site.toml");
        let file = Origin::File { path, line: 7 };
        assert_eq!(file.to_string(), "/etc/qdebug/site.toml:7");
        let name = "QDEBUG_HOME";
        assert_eq!(Origin::Environment { name }.to_string(), "$QDEBUG_HOME");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s).{0,60}|([a-c.'\\[\\]]{1,6} = [0-9'a\\[\\]{}]{0,5}\n){0,4}") {
            if let Ok(table) = toml::from_str::<toml::Table>(&text) {
                let found = leaves(&text, &table);
                prop_assert!(found.iter().all(|leaf| leaf.line <= text.lines().count().max(1)));
            }
        }
    }
}
