//! One remote command line that every login shell reads alike.
//!
//! ssh hands the login shell one string. The user's shell there may be sh, bash, zsh, fish, csh
//! or tcsh. All of them take single quotes literally, but: csh and tcsh replace `!` by history
//! even there, and fish reads `\\` and `\'` there. So these three characters stand outside the
//! quotes, each after a backslash, which all of them understand. A line break cannot be written
//! for csh and sh alike, and nothing of ours needs one: control characters are refused.

use super::word::WordError;

/// The words as one line for any login shell.
///
/// # Errors
/// [`WordError`] for a word with a control character, a line break among them.
pub fn command_line<S: AsRef<str>>(words: &[S]) -> Result<String, WordError> {
    let quoted: Result<Vec<String>, WordError> =
        words.iter().map(|word| quote(word.as_ref())).collect();
    Ok(quoted?.join(" "))
}

fn quote(word: &str) -> Result<String, WordError> {
    if word.contains(char::is_control) {
        return Err(WordError {
            what: "a word of a remote command",
            rule: "no line breaks or other control characters",
            word: word.to_owned(),
        });
    }
    let bare = |c: char| c.is_ascii_alphanumeric() || "-_./:,+@".contains(c);
    if !word.is_empty() && word.chars().all(bare) {
        return Ok(word.to_owned());
    }
    let mut quoted = String::from("'");
    for c in word.chars() {
        match c {
            '\'' | '\\' | '!' => {
                quoted.push_str("'\\");
                quoted.push(c);
                quoted.push('\'');
            }
            _ => quoted.push(c),
        }
    }
    quoted.push('\'');
    Ok(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(unix)]
    use crate::process::{Error, Program};

    #[test]
    fn plain_words_stay_plain_and_the_rest_is_quoted() {
        let words = ["/opt/qdebug", "--json", "a b", "it's", "", "wow!", "a\\b"];
        assert_eq!(
            command_line(&words).unwrap(),
            "/opt/qdebug --json 'a b' 'it'\\''s' '' 'wow'\\!'' 'a'\\\\'b'"
        );
        for word in ["a\nb", "a\0b", "\u{1b}[2J", "a\rb"] {
            assert!(command_line(&[word]).is_err(), "{word:?}");
        }
    }

    /// Every shell that is installed here gives every odd word back unchanged.
    #[cfg(unix)]
    #[test]
    fn every_shell_reads_the_same() {
        let odd = [
            "it's", "a b", "!!", "!x", "a!b'c", "\\", "\\\\", "a\\", "\\'", "$HOME", "`id`", "*",
            "~", "a;b", "a&b", "#", "%1", "{a,b}", "^a^b", "ü", "\"", "", "-n", "<x>", "(", "[a]",
        ];
        let mut seen = 0;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        for shell in [
            "sh", "bash", "dash", "zsh", "fish", "csh", "tcsh", "busybox",
        ] {
            for word in odd {
                let line = command_line(&["printf", "<%s>", word]).unwrap();
                let program = match shell {
                    "busybox" => Program::new(shell).args(["sh", "-c", &line]),
                    _ => Program::new(shell).args(["-c", &line]),
                };
                match runtime.block_on(program.output()) {
                    Err(Error::NotFound { .. }) => continue,
                    output => assert_eq!(output.unwrap().stdout, format!("<{word}>"), "{shell}"),
                }
                seen += 1;
            }
        }
        assert!(seen >= odd.len());
    }
}
