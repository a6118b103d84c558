//! `.dockerignore`: what of a context is left out.
//!
//! The rules are docker's: one pattern a line, `#` begins a comment, `*` and `?` stay within a
//! name, `**` crosses folders, `!` takes back, the last pattern that matches counts, and what lies
//! in a folder that is left out is left out too. Each pattern becomes a regular expression.

use regex::Regex;

/// More lines than this are not read.
const LINES_LIMIT: usize = 10_000;

/// The patterns of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    takes_back: bool,
    matches: Regex,
}

/// A line that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text:?} is no pattern")]
pub(super) struct BadPattern {
    line: usize,
    text: String,
}

impl Ignore {
    /// Reads the text of a file.
    pub(super) fn read(text: &str) -> Result<Self, BadPattern> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut patterns = Vec::new();
        for (number, line) in text.lines().take(LINES_LIMIT).enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            let (takes_back, pattern) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let pattern = clean(pattern);
            if pattern.is_empty() {
                continue;
            }
            let matches = Regex::new(&expression(&pattern)).map_err(|_| BadPattern {
                line: number + 1,
                text: line.chars().take(80).collect(),
            })?;
            patterns.push(Pattern {
                takes_back,
                matches,
            });
        }
        Ok(Self { patterns })
    }

    /// Whether a path is left out; relative, its parts joined by `/`.
    pub(super) fn leaves_out(&self, path: &str) -> bool {
        let mut out = false;
        for pattern in &self.patterns {
            // What would change nothing need not be asked.
            if pattern.takes_back == out && with_parents(path).any(|p| pattern.matches.is_match(p))
            {
                out = !pattern.takes_back;
            }
        }
        out
    }

    /// Whether something below a folder that is left out may be taken back.
    pub(super) fn takes_back(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.takes_back)
    }
}

/// The path and the folders it lies in.
fn with_parents(path: &str) -> impl Iterator<Item = &str> {
    let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
    std::iter::once(path).chain(parents)
}

/// A pattern without empty parts, `.` and a slash at its ends; `..` takes a part back.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn expression(pattern: &str) -> String {
    let mut regex = String::from("(?s)^");
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '*' if rest.peek() == Some(&'*') => {
                rest.next();
                if rest.peek() == Some(&'/') {
                    rest.next();
                }
                regex.push_str(if rest.peek().is_none() {
                    ".*"
                } else {
                    "(?:.*/)?"
                });
            }
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '[' => regex.push('['),
            ']' => regex.push(']'),
            '-' | '^' => regex.push(character),
            '\\' => {
                if let Some(next) = rest.next() {
                    regex.push_str(&regex::escape(&next.to_string()));
                }
            }
            character => regex.push_str(&regex::escape(&character.to_string())),
        }
    }
    regex.push('$');
    regex
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn out(patterns: &str, path: &str) -> bool {
        Ignore::read(patterns).unwrap().leaves_out(path)
    }

    #[test]
    fn patterns_match_as_docker_does() {
        for (patterns, path, expected) in [
            ("*.log", "a.log", true),
            ("*.log", "a/b.log", false),
            ("**/*.log", "a/b.log", true),
            ("**/*.log", "b.log", true),
            ("*/temp*", "a/temporary.txt", true),
            ("*/temp*", "a/b/temporary.txt", false),
            ("temp?", "tempa", true),
            ("temp?", "temp", false),
            ("data", "data/deep/file", true),
            ("/data/", "data/file", true),
            ("./data/../other", "other/x", true),
            ("data", "database", false),
            ("**", "anything/at/all", true),
            ("*\n!keep", "keep", false),
            ("*\n!keep", "keep/inside", false),
            ("*\n!keep\nkeep/not", "keep/not", true),
            ("!x\n*", "x", true),
            ("# comment\n\n  spaced  ", "spaced", true),
            ("# comment", "# comment", false),
            ("a.b", "aXb", false),
            ("a$b(c)", "a$b(c)", true),
            ("[ab].txt", "b.txt", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("é ü", "é ü", true),
            ("foo/**/bar", "foo/bar", true),
            ("foo/**/bar", "foo/x/y/bar", true),
            (".git", ".gitignore", false),
        ] {
            assert_eq!(out(patterns, path), expected, "{patterns:?} {path:?}");
        }
    }

    #[test]
    fn a_line_that_is_no_pattern_is_named() {
        let error = Ignore::read("a\n[b\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2: \"[b\" is no pattern");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s).{0,60}", path in ".{0,40}") {
            if let Ok(ignore) = Ignore::read(&text) {
                ignore.leaves_out(&path);
            }
        }

        #[test]
        fn plain_names_are_themselves(name in "[a-z0-9._ $(){}+|-]{1,12}") {
            prop_assume!(name.trim() == name && !name.chars().all(|c| c == '.'));
            prop_assert!(out(&name, &name));
            let (below, other) = (format!("{name}/below"), format!("x{name}"));
            prop_assert!(out(&name, &below));
            prop_assert!(!out(&name, &other));
        }
    }
}
