//! What `debug` is asked.

use std::path::PathBuf;

use clap::Args;

use super::Wanted;
use crate::cli::values;

/// Run a Python program of a session under a debugger that your IDE attaches to.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  qdebug debug 1234 -- python train.py --lr 0.1
  qdebug debug v100-otter --write -- python -m pkg.train
  qdebug debug 1234 --folder /home/alice/proj --no-wait -- .venv/bin/python serve.py
  qdebug debug 1234 --pydevd 5678 -- python train.py

Connect once before: qdebug connect 1234. The program runs on this terminal: Ctrl-C ends it, and
its exit status comes back. An exception that nothing catches pauses it, unless the IDE is told
otherwise. debugpy is the image's; where it has none, pip installs it into your folder of it.

With --pydevd the IDE is the one that listens: start its debug server first (PyCharm: Python Debug
Server, with that port and the path mapping that is told). The debugger is pydevd-pycharm or pydevd.")]
pub(in crate::cli) struct Debug {
    #[command(flatten)]
    pub(in crate::cli) wanted: Wanted,
    /// Start at once instead of waiting for the IDE, which may attach later
    #[arg(long)]
    pub(in crate::cli) no_wait: bool,
    /// The port on 127.0.0.1 of this machine; the session's own one, always the same, when not given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(in crate::cli) port: Option<u16>,
    /// Run it under pydevd, which dials the debug server of an IDE on this port of this machine
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..),
          conflicts_with_all = ["no_wait", "port", "write"])]
    pub(in crate::cli) pydevd: Option<u16>,
    /// The program's folder in the session; the session's project when not given
    #[arg(long, value_name = "DIR", value_parser = absolute)]
    pub(in crate::cli) folder: Option<String>,
    /// Put the configuration into .vscode/launch.json instead of printing it
    #[arg(long)]
    pub(in crate::cli) write: bool,
    /// The workspace whose .vscode/launch.json is written; here when not given
    #[arg(long, value_name = "DIR", requires = "write", value_parser = values::directory)]
    pub(in crate::cli) workspace: Option<PathBuf>,
    /// The program, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(in crate::cli) command: Vec<String>,
}

fn absolute(text: &str) -> Result<String, String> {
    // The folder is one of the session, where `here` means nothing.
    match text.starts_with('/') && !text.contains(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err("write an absolute path, as the session has it".to_owned()),
    }
}
