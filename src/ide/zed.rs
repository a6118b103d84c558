//! Zed: opened by a link, its settings need nothing.

use super::program::{Command, find};
use super::target::percent;
use super::{Error, Home, Ide, Target};

/// Its program's names: some distributions know another `zed`.
const NAMES: [&str; 3] = ["zed", "zeditor", "zedit"];

/// The command that opens the session's folder. Zed asks the user's ssh for the alias.
///
/// # Errors
/// [`Error::Missing`].
pub(super) fn command(home: &Home, target: &Target) -> Result<Command, Error> {
    let program = find(&NAMES, home).ok_or_else(|| Error::Missing {
        ide: Ide::Zed,
        looked: NAMES.map(|name| format!("`{name}`")).join(", "),
    })?;
    Ok(Command {
        program,
        args: vec![link(target).into()],
    })
}

fn link(target: &Target) -> String {
    format!("ssh://{}{}", target.alias(), percent(target.folder(), "/"))
}

#[cfg(test)]
mod tests {
    use super::super::target::tests::target;
    use super::*;

    #[test]
    fn the_link_is_zeds() {
        assert_eq!(
            link(&target()),
            "ssh://qdebug-otter/home/alice/my%20proj%20%C3%BC"
        );
    }
}
