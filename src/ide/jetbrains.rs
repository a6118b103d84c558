//! JetBrains Gateway and Toolbox: opened by links, which the desktop hands to whoever registered
//! them. Both find host, port and key by the alias in the user's ssh configuration.

use super::program::{Command, find};
use super::target::percent;
use super::{Error, Home, Ide, Target};

/// What opens a link on this system, and its words before the link.
const OPENER: (&str, &[&str]) = if cfg!(target_os = "macos") {
    ("open", &[])
} else if cfg!(windows) {
    // No shell, to which the link's `&` would mean something.
    ("rundll32", &["url.dll,FileProtocolHandler"])
} else {
    ("xdg-open", &[])
};

/// Gateway's link: the backend is chosen there.
pub(super) fn gateway(target: &Target) -> String {
    format!(
        "jetbrains-gateway://connect#idePath=&projectPath={}&host={}&port={}&user={}&type=ssh&deploy=false",
        percent(target.folder(), "/"),
        percent(target.alias(), ""),
        target.port(),
        percent(target.user(), ""),
    )
}

/// Toolbox's link.
pub(super) fn toolbox(target: &Target) -> String {
    format!(
        "jetbrains://gateway/ssh/environment?h={}&u={}&p={}&launchIde=true&ideHint=PY&projectHint={}",
        percent(target.alias(), ""),
        percent(target.user(), ""),
        target.port(),
        percent(target.folder(), "/"),
    )
}

/// The command that opens a link.
///
/// # Errors
/// [`Error::Missing`] where nothing opens links.
pub(super) fn open(ide: Ide, home: &Home, link: &str) -> Result<Command, Error> {
    let (opener, words) = OPENER;
    let program = find(&[opener], home).ok_or_else(|| Error::Missing {
        ide,
        looked: format!("`{opener}`, which opens its links,"),
    })?;
    let args = words.iter().copied().chain([link]);
    Ok(Command {
        program,
        args: args.map(Into::into).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::target::tests::target;
    use super::*;

    #[test]
    fn the_links_hold_every_part_and_nothing_more() {
        assert_eq!(
            gateway(&target()),
            "jetbrains-gateway://connect#idePath=&projectPath=/home/alice/my%20proj%20%C3%BC\
             &host=qdebug-otter&port=24242&user=alice&type=ssh&deploy=false"
        );
        assert_eq!(
            toolbox(&target()),
            "jetbrains://gateway/ssh/environment?h=qdebug-otter&u=alice&p=24242&launchIde=true\
             &ideHint=PY&projectHint=/home/alice/my%20proj%20%C3%BC"
        );
    }
}
