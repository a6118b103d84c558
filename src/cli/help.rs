//! The manual page, completions, and what `qdebug help TOPIC` explains.

use std::io;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

use super::args::Cli;
use super::{Exit, Failure, output};

/// Prints completions.
pub(super) fn completions(shell: Shell) -> Result<u8, Failure> {
    output::raw(&completed(shell));
    Ok(0)
}

fn completed(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown(&Cli::command()), "qdebug", &mut script);
    script
}

/// The command as a person is to see it. clap's completions name hidden commands and flags as well,
/// and nothing can be taken out of a command: it is made anew.
fn shown(command: &Command) -> Command {
    let mut copy = Command::new(command.get_name().to_owned())
        .disable_help_subcommand(true)
        .visible_aliases(command.get_visible_aliases().map(str::to_owned));
    copy = match command.get_about() {
        Some(about) => copy.about(about.clone()),
        None => copy,
    };
    if let Some(version) = command.get_version() {
        copy = copy.version(version.to_owned()).propagate_version(true);
    }
    let arguments = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let commands = visible(command).map(shown);
    copy.args(arguments.cloned()).subcommands(commands)
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

/// Prints the manual page of qdebug and every command.
pub(super) fn man() -> Result<u8, Failure> {
    let mut page = Vec::new();
    pages(&Cli::command(), "qdebug".to_owned(), &mut page)?;
    output::raw(&page);
    Ok(0)
}

/// The page of a command, called so, and those of its own commands.
fn pages(command: &Command, title: String, page: &mut Vec<u8>) -> io::Result<()> {
    clap_mangen::Man::new(command.clone())
        .title(&title)
        .render(page)?;
    for sub in visible(command) {
        pages(sub, format!("{title}-{}", sub.get_name()), page)?;
    }
    Ok(())
}

/// Explains a command, by its words, or a topic.
pub(super) fn topic(words: &[String]) -> Result<u8, Failure> {
    match words {
        [only] if only == "exit-codes" => {
            for (exit, meaning) in Exit::ALL {
                output::data(&format!("{:>3}  {meaning}", exit.code()));
            }
            output::data("`ssh` and `debug` return the remote command's own.");
        }
        words => output::data(&explained(words)?),
    }
    Ok(0)
}

fn explained(words: &[String]) -> Result<String, Failure> {
    let mut root = Cli::command();
    root.build();
    let mut command = &mut root;
    for (at, word) in words.iter().enumerate() {
        let mut known: Vec<String> = visible(command)
            .map(|sub| sub.get_name().to_owned())
            .collect();
        let Some(sub) = command.find_subcommand_mut(word) else {
            let topic = words.join(" ");
            let failure = Failure::new(Exit::Usage, format!("there is no topic {topic:?}"));
            let above = words[..at].join(" ");
            return Err(match (above.is_empty(), known.is_empty()) {
                (true, _) => {
                    known.push("exit-codes".to_owned());
                    failure.hint(format!("topics: {}", known.join(", ")))
                }
                (false, true) => failure.hint(format!("{above} has no commands of its own")),
                (false, false) => {
                    failure.hint(format!("commands of {above}: {}", known.join(", ")))
                }
            });
        };
        command = sub;
    }
    Ok(command.render_long_help().to_string())
}

#[cfg(test)]
#[cfg(target_os = "linux")] // Which has the cluster's commands, too.
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn completions_name_what_people_use_and_nothing_hidden() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(completed(*shell)).unwrap();
            for word in ["submit", "walltime", "prune", "ls"] {
                assert!(script.contains(word), "{shell}: no {word}");
            }
            for word in [
                "local-run",
                "local__run",
                "authorize",
                "relay",
                "--frame",
                "frame=",
            ] {
                assert!(!script.contains(word), "{shell}: {word}");
            }
        }
    }

    #[test]
    fn commands_of_commands_have_their_page_and_their_help() {
        let mut page = Vec::new();
        pages(&Cli::command(), "qdebug".to_owned(), &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        for title in [
            "qdebug ",
            "qdebug-submit",
            "qdebug-image-build",
            "qdebug-hooks-install",
        ] {
            assert!(page.contains(&format!(".TH {title}")), "{title}");
        }
        assert!(!page.contains("qdebug-relay"));
        let help = explained(&words("image build")).unwrap();
        assert!(help.contains("--dockerfile"), "{help}");
        assert!(explained(&[]).unwrap().contains("Examples"));
        for (topic, hint) in [
            ("images", "exit-codes"),
            ("image buil", "commands of image: build"),
            ("status x", "no commands of its own"),
        ] {
            let told = format!("{:?}", explained(&words(topic)).unwrap_err());
            assert!(told.contains(hint), "{hint}: {told}");
        }
    }
}
