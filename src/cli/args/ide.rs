//! What `--ide` and `ide` are asked.

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::ide;

/// What qdebug has written for IDEs on this machine.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  qdebug ide list
  qdebug ide clean v100-otter
  qdebug ide clean

A file that nobody else has changed since is put back byte for byte; of another one only what is
qdebug's is taken out.")]
pub(in crate::cli) enum Ide {
    /// List what is written, for which session and where
    #[command(visible_alias = "ls")]
    List,
    /// Take it away again
    Clean {
        /// Only what is of this session: a job id or a name; all of it when not given
        #[arg(value_name = "JOB")]
        job: Option<String>,
    },
}

/// An IDE by its word.
pub(super) fn ide() -> impl TypedValueParser<Value = ide::Ide> {
    PossibleValuesParser::new(ide::Ide::ALL.map(ide::Ide::word)).try_map(|word| {
        let mut all = ide::Ide::ALL.into_iter();
        all.find(|ide| ide.word() == word)
            .ok_or_else(|| format!("there is no IDE {word:?}"))
    })
}
