//! `--env-file`: variables by the line, as docker reads them.
//!
//! Docker's rules, from its documentation: `NAME=VALUE` with the value taken as it stands, quotes
//! and all; `NAME` alone takes the value of here, and is left out where there is none; blanks before
//! the name do not count; empty lines and lines that begin with `#` are skipped.

use std::io::Read as _;

use super::values;
use crate::session::EnvName;

/// The largest file read, in bytes: a person's list of variables is far below.
const MAX_BYTES: u64 = 1 << 20;

/// What a file says, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EnvFile(pub(super) Vec<(EnvName, String)>);

/// Reads the file of that path, `-` being stdin.
///
/// # Errors
/// A sentence for the user, with the line where one is to blame; never its value, which may be a
/// secret.
pub(super) fn read(path: &str) -> Result<EnvFile, String> {
    let open = || {
        let mut text = String::new();
        let input: Box<dyn std::io::Read> = match path {
            "-" => Box::new(std::io::stdin()),
            path => Box::new(std::fs::File::open(path)?),
        };
        input.take(MAX_BYTES + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = open().map_err(|error: std::io::Error| error.to_string())?;
    if text.len() as u64 > MAX_BYTES {
        return Err("it is larger than 1 MiB, and no list of variables".to_owned());
    }
    parse(&text, |name| std::env::var(name).ok())
}

/// The same as the lines of such a file.
pub(super) fn lines<'a>(variables: impl Iterator<Item = &'a (EnvName, String)>) -> String {
    let line = |(name, value): &(EnvName, String)| format!("{}={value}\n", name.as_str());
    variables.map(line).collect()
}

fn parse(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<EnvFile, String> {
    let mut variables = Vec::new();
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (line.trim_end(), lookup(line.trim_end())),
        };
        let at = |reason: String| format!("line {number}: {reason}");
        let name = name
            .parse::<EnvName>()
            .map_err(|error| at(error.to_string()))?;
        if let Some(value) = value {
            values::plain_value(&name, &value).map_err(at)?;
            variables.push((name, value));
        }
    }
    Ok(EnvFile(variables))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
        let lookup = |name: &str| (name == "FROM_HERE").then(|| "a b".to_owned());
        let file = parse(text, lookup)?;
        let pair = |(name, value): (EnvName, String)| (name.as_str().to_owned(), value);
        Ok(file.0.into_iter().map(pair).collect())
    }

    #[test]
    fn a_file_is_read_as_docker_does() {
        let text = "\u{FEFF}# a comment\n\nPLAIN=1\n  INDENTED= two words \nQUOTED=\"x y\"\n\
                    EMPTY=\nEQUALS=a=b#c\nFROM_HERE\nNOT_SET\r\nDOS=x\r\n";
        let expected = [
            ("PLAIN", "1"),
            ("INDENTED", " two words "),
            ("QUOTED", "\"x y\""),
            ("EMPTY", ""),
            ("EQUALS", "a=b#c"),
            ("FROM_HERE", "a b"),
            ("DOS", "x"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pairs(text).unwrap(), expected);
    }

    #[test]
    fn what_was_read_is_written_as_it_is_read() {
        let text = "A= two words \nB=\"x y\"\nC=\nD=a=b#c\nE=\u{e9}\t'$x'\n";
        let file = parse(text, |_| None).unwrap();
        assert_eq!(lines(file.0.iter()), text);
    }

    #[test]
    fn a_bad_line_is_told_by_its_number_and_without_its_value() {
        for (text, line) in [
            ("A=1\n=x\n", "line 2"),
            ("A B=secret\n", "line 1"),
            ("A=1\n\n1A=secret", "line 3"),
            ("A=a\rsecret", "line 1"),
        ] {
            let error = pairs(text).unwrap_err();
            assert!(error.starts_with(line), "{text:?}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_none_is_refused() {
        assert!(read("/no/such/file").is_err());
        assert!(read("/dev/zero").is_err());
    }
}
