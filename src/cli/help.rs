//! The manual page, completions, and what `qdebug help TOPIC` explains.

use clap::CommandFactory as _;

use super::args::Cli;
use super::{Exit, Failure, output};

/// Prints completions.
pub(super) fn completions(shell: clap_complete::Shell) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "qdebug", &mut script);
    output::raw(&script);
    Ok(0)
}

/// Prints the manual page of qdebug and every command.
pub(super) fn man() -> Result<u8, Failure> {
    let mut page = Vec::new();
    let command = Cli::command();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let title = format!("qdebug-{}", sub.get_name());
        clap_mangen::Man::new(sub.clone())
            .title(title)
            .render(&mut page)?;
    }
    output::raw(&page);
    Ok(0)
}

/// Explains a command or topic.
pub(super) fn topic(topic: Option<&str>) -> Result<u8, Failure> {
    match topic {
        None => output::data(&Cli::command().render_long_help().to_string()),
        Some("exit-codes") => {
            for (exit, meaning) in Exit::ALL {
                output::data(&format!("{:>3}  {meaning}", exit.code()));
            }
            output::data("`ssh` and `debug` return the remote command's own.");
        }
        Some(name) => {
            let mut command = Cli::command();
            command.build();
            let Some(sub) = command.find_subcommand_mut(name) else {
                let mut known: Vec<&str> = command
                    .get_subcommands()
                    .filter(|sub| !sub.is_hide_set())
                    .map(clap::Command::get_name)
                    .collect();
                known.push("exit-codes");
                return Err(
                    Failure::new(Exit::Usage, format!("there is no topic {name:?}"))
                        .hint(format!("topics: {}", known.join(", "))),
                );
            };
            output::data(&sub.render_long_help().to_string());
        }
    }
    Ok(0)
}
