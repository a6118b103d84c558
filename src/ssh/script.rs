//! Scripts of ours on a login node where there may be no qdebug yet.
//!
//! A script is a constant of ours for `sh`, read from stdin, so that neither its length nor its
//! line breaks meet a login shell (csh takes no line break and no long word). What a person or the
//! cluster has said reaches it as arguments alone. Its answer is framed by the script itself, whose
//! first argument is the mark.

use std::time::Duration;

use super::client::{Client, Prompt};
use super::error::Error;
use super::frame::Frame;
use super::remote::{Answer, Remote};
use super::word::Destination;

/// What every script begins with: the mark becomes `$mark`, `finish STATUS` ends script and answer.
/// In the C locale, since in others grep leaves lines out that are not of their encoding.
const BEGIN: &str = r#"LC_ALL=C
export LC_ALL
mark=$1
shift
echo "qdebug-frame-$mark begin"
finish() {
    echo "qdebug-frame-$mark end $1"
    exit 0
}
"#;

/// Writes stdin to `$1`, which must be new, and leaves no half of it: short enough for every shell.
const RECEIVE: &str = r#"umask 077; mkdir -p "${1%/*}"; set -C; cat >"$1"; s=$?; [ $s = 0 ] || rm -f "$1"; echo "qdebug-frame-$0 begin"; echo "qdebug-frame-$0 end $s""#;

/// How long a script may take.
const LIMIT: Duration = Duration::from_secs(60);

/// How long a file may take: 15 MB over a slow line.
const FILE_LIMIT: Duration = Duration::from_secs(600);

/// The user's `sh` on a login node.
#[derive(Debug, Clone)]
pub struct LoginShell(Remote);

impl LoginShell {
    /// That of this login node.
    ///
    /// # Errors
    /// None today; those of [`Remote::at`].
    pub fn new(client: Client, login: Destination, prompt: Prompt) -> Result<Self, Error> {
        Remote::at(client, login, "sh", prompt).map(Self)
    }

    /// Makes sure that login can be reached.
    ///
    /// # Errors
    /// As [`Client::login`].
    pub async fn dial(&self) -> Result<(), Error> {
        self.0.dial().await
    }

    /// Runs a script, which calls `finish STATUS` in the end, with these arguments; its answer,
    /// whatever its status.
    ///
    /// # Errors
    /// As [`Remote::run`].
    pub async fn run(&self, script: &str, args: &[&str]) -> Result<Answer, Error> {
        let frame = Frame::new();
        let mark = frame.hex().to_owned();
        let begin = ["sh", "-s", "--", &mark];
        let words = begin.iter().chain(args).map(|word| (*word).to_owned());
        let words: Vec<String> = words.collect();
        let input = script_text(script);
        self.0
            .exchange_once(frame, &words, Some(input.as_bytes()), LIMIT)
            .await
    }

    /// Writes a new file there, 0600, its folder made when missing; whether all went well.
    ///
    /// # Errors
    /// As [`Remote::run`].
    pub async fn write(&self, path: &str, content: &[u8]) -> Result<Answer, Error> {
        let frame = Frame::new();
        let mark = frame.hex().to_owned();
        let words = ["sh", "-c", RECEIVE, &mark, path].map(str::to_owned);
        self.0
            .exchange_once(frame, &words, Some(content), FILE_LIMIT)
            .await
    }
}

/// A script as `sh` reads it; for the tests of those who write one, too.
pub fn script_text(script: &str) -> String {
    // One compound command, so that `sh` has read all of it before anything in it reads stdin.
    format!("{{\n{BEGIN}{script}\n}} </dev/null\n")
}

#[cfg(test)]
mod tests {
    use super::super::quote::command_line;
    use super::*;
    #[cfg(unix)]
    use crate::process::Program;

    #[test]
    fn what_receives_is_short_enough_for_csh() {
        let line = command_line(&["sh", "-c", RECEIVE, "ab", "/home/a/.local/bin/x"]).unwrap();
        assert!(line.len() < 512 && !line.contains('\n') && !RECEIVE.contains('!'));
    }

    #[cfg(unix)] // A script for the cluster's `sh`.
    #[tokio::test]
    async fn a_line_of_another_encoding_is_a_line() {
        let script = r"printf 'J\374rgen\nb\n' | grep -v x | wc -c; finish 0";
        // As a login has it whose locale is the laptop's.
        let sh = Program::new("env").args(["LC_ALL=C.UTF-8", "sh", "-s", "--", "ab"]);
        let output = sh.stdin(script_text(script).as_bytes()).output().await;
        let said = output.unwrap().stdout;
        let lines: Vec<&str> = said.lines().map(str::trim).collect();
        assert_eq!(
            lines,
            ["qdebug-frame-ab begin", "9", "qdebug-frame-ab end 0"]
        );
    }
}
