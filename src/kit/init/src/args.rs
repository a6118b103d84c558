//! The command line of init. It knows no file and no process.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How long everybody has between TERM and the end unless `--grace` says otherwise.
const DEFAULT_GRACE: Duration = Duration::from_secs(2);

/// The longest grace taken, in seconds.
const MAX_GRACE: u64 = 3600;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    /// The FIFO of the lease, or `-` for stdin.
    pub(crate) lease: PathBuf,
    /// Time between TERM and the end.
    pub(crate) grace: Duration,
    /// The program to run.
    pub(crate) program: OsString,
    /// Its arguments.
    pub(crate) args: Vec<OsString>,
}

/// How it is to be called.
pub(crate) const USAGE: &str = "usage: init --lease FIFO [--grace SECONDS] -- PROGRAM ARGS...";

impl Args {
    /// Reads the words after the program's own name; `None` when they are not [`USAGE`].
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut words = words.into_iter();
        let (mut lease, mut grace) = (None, DEFAULT_GRACE);
        loop {
            match words.next()?.to_str()? {
                "--lease" => lease = Some(PathBuf::from(words.next()?)),
                "--grace" => {
                    let seconds = words.next()?.to_str()?.parse().ok()?;
                    grace = Duration::from_secs(Some(seconds).filter(|s| *s <= MAX_GRACE)?);
                }
                "--" => break,
                _ => return None,
            }
        }
        Some(Self {
            lease: lease?,
            grace,
            program: words.next()?,
            args: words.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Option<Args> {
        Args::parse(words.iter().map(OsString::from))
    }

    #[test]
    fn reads_the_whole_line() {
        let args = parse(&[
            "--lease", "/a b/l", "--grace", "5", "--", "sshd", "--", "-D",
        ]);
        let args = args.unwrap();
        assert_eq!(args.lease, PathBuf::from("/a b/l"));
        assert_eq!(args.grace, Duration::from_secs(5));
        assert_eq!(args.program, "sshd");
        assert_eq!(args.args, ["--", "-D"]);
    }

    #[test]
    fn the_grace_has_a_default() {
        assert_eq!(
            parse(&["--lease", "l", "--", "p"]).unwrap().grace,
            DEFAULT_GRACE
        );
    }

    #[test]
    fn refuses_anything_else() {
        for words in [
            &[][..],
            &["--"],
            &["--lease"],
            &["--lease", "l"],
            &["--lease", "l", "--"],
            &["--lease", "l", "sshd"],
            &["--", "sshd"],
            &["--lease", "l", "--grace", "soon", "--", "p"],
            &["--lease", "l", "--grace", "-1", "--", "p"],
            &["--lease", "l", "--grace", "99999999999", "--", "p"],
        ] {
            assert_eq!(parse(words), None, "{words:?}");
        }
    }
}
