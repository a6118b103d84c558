//! Commands in hints: about the cluster that the user's own command was about.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// The commands that take `--on`, where they are named; setup names its cluster itself.
static COMMAND: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let commands = "connect|list|status|logs|stop|ssh|forward|debug|up|gpus|doctor";
    Regex::new(&format!(r"\bqdebug ({commands})\b")).ok()
});

/// The text with `--on` behind each command of qdebug's that is about a cluster. One that names
/// its cluster already stays as it is.
pub(in crate::cli) fn with_on(text: &str, on: &str) -> String {
    let Some(command) = COMMAND.as_ref().filter(|_| !text.contains("--on ")) else {
        return text.to_owned();
    };
    let on = shell_words::quote(on);
    let named = |found: &Captures<'_>| format!("{} --on {on}", &found[0]);
    command.replace_all(text, named).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_is_about_the_same_cluster() {
        for (hint, told) in [
            (
                "first: qdebug connect otter",
                "first: qdebug connect --on lab otter",
            ),
            (
                "`qdebug logs otter` shows, `qdebug list` tells",
                "`qdebug logs --on lab otter` shows, `qdebug list --on lab` tells",
            ),
            (
                "qdebug ssh x -- 'ls --on'",
                "qdebug ssh --on lab x -- 'ls --on'",
            ),
            (
                "without a profile, name the login: --on USER@HOST",
                "without a profile, name the login: --on USER@HOST",
            ),
            ("qdebug stop 7 --on lab", "qdebug stop 7 --on lab"),
            (
                "qdebug config check, `qdebug image prune`",
                "qdebug config check, `qdebug image prune`",
            ),
            ("ssh qdebug-otter", "ssh qdebug-otter"),
            ("qdebug listing", "qdebug listing"),
            ("qdebug setup al@lab", "qdebug setup al@lab"),
        ] {
            assert_eq!(with_on(hint, "lab"), told);
        }
        assert_eq!(with_on("qdebug list", "a b"), "qdebug list --on 'a b'");
    }
}
