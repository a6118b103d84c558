//! `qdebug debug`: a Python program of a session under a debugger, and what the IDE needs for it.

use std::io::IsTerminal as _;
use std::path::Path;

use serde::Serialize;

use super::args::{Debug, Global};
use super::{Exit, Failure, output};
use crate::ide::{self, Book, Written};
use crate::laptop::{self, CommandError, Debugger, Paths, PythonCommand, Ready};

/// What `--json` prints before the program starts.
#[derive(Serialize)]
struct Told<'a, C> {
    format: u32,
    alias: &'a str,
    host: &'a str,
    port: u16,
    remote_port: u16,
    folder: &'a str,
    debugpy: &'a str,
    python: &'a str,
    configuration: C,
    written: Option<&'a Path>,
}

/// The same of a program that dials the IDE.
#[derive(Serialize)]
struct Dials<'a> {
    format: u32,
    alias: &'a str,
    host: &'a str,
    port: u16,
    remote_port: u16,
    folder: &'a str,
    package: &'a str,
    pydevd: &'a str,
    python: &'a str,
}

impl Debug {
    pub(super) async fn run(self, global: &Global) -> Result<u8, Failure> {
        let under = match self.pydevd {
            Some(port) => Debugger::Pydevd { port },
            None => Debugger::Debugpy {
                port: self.port,
                wait: !self.no_wait,
            },
        };
        let command = PythonCommand::new(&self.command, &under).map_err(|error| {
            let failure = Failure::of(Exit::Usage, &error);
            match error {
                CommandError::CodeByPydevd => failure.hint("put the code into a file"),
                _ => failure
                    .hint(format!(
                        "write it as: qdebug debug {} -- python train.py",
                        self.wanted.job
                    ))
                    .hint("a launcher is a module: python -m torch.distributed.run train.py"),
            }
        })?;
        let ask = laptop::Debug {
            job: self.wanted.job.clone(),
            whose: super::enter::whose(global)?,
            command,
            under,
            folder: self.folder.clone(),
            terminal: std::io::stdin().is_terminal() && std::io::stdout().is_terminal(),
            says: listens,
        };
        let missing = |package: &str| {
            output::talk(&format!(
                "the session has no {package}: installing it (pip, your folder of this image)"
            ));
        };
        let paths = Paths::of_user()?;
        let ready = async |ready: &Ready| {
            output::talk(&format!(
                "Python {} with {} {} in {}:{}",
                ready.python, ready.package, ready.version, ready.alias, ready.attach.remote_root
            ));
            match under {
                Debugger::Debugpy { .. } => self.ready(ready, &paths, global.json).await,
                Debugger::Pydevd { .. } => {
                    dials(ready, global.json);
                    Ok(())
                }
            }
        };
        let ended = laptop::debug(&paths, &ask, missing, ready).await?;
        match ended {
            Some(status) => Ok(u8::try_from(status).unwrap_or(255)),
            None => Ok(Exit::Interrupted.code()),
        }
    }

    /// Tells what a debugger needs, or writes it where VS Code looks.
    async fn ready(&self, ready: &Ready, paths: &Paths, json: bool) -> Result<(), Failure> {
        let attach = &ready.attach;
        let written = match self.write {
            false => None,
            true => {
                let here = std::env::current_dir()?;
                let workspace = self.workspace.as_deref().unwrap_or(&here);
                let mut book = Book::open(&paths.ide()).await?;
                let written = ide::launch::write(&mut book, workspace, &ready.alias, attach);
                Some(written.map_err(|error| {
                    let or = "or leave `--write` out and paste what is printed";
                    Failure::from(error).hint(or)
                })?)
            }
        };
        if json {
            output::json(&Told {
                format: crate::session::FORMAT,
                alias: &ready.alias,
                host: "127.0.0.1",
                port: attach.port,
                remote_port: ready.remote_port,
                folder: &attach.remote_root,
                debugpy: &ready.version,
                python: &ready.python,
                configuration: attach.configuration(),
                written: written.as_ref().map(|written| written.path.as_path()),
            });
        }
        match &written {
            Some(written) => tell_written(written, &attach.name),
            None => {
                output::talk("VS Code: put this into .vscode/launch.json, or run with --write");
                let text = serde_json::to_string_pretty(&attach.configuration());
                output::talk(&text.unwrap_or_default());
            }
        }
        output::talk(&format!(
            "PyCharm 2025.3 and later: Attach to DAP, 127.0.0.1:{}, path mapping: your project = {}",
            attach.port, attach.remote_root
        ));
        Ok(())
    }
}

/// Tells what the IDE has to know that the program dials.
fn dials(ready: &Ready, json: bool) {
    let attach = &ready.attach;
    if json {
        output::json(&Dials {
            format: crate::session::FORMAT,
            alias: &ready.alias,
            host: "127.0.0.1",
            port: attach.port,
            remote_port: ready.remote_port,
            folder: &attach.remote_root,
            package: &ready.package,
            pydevd: &ready.version,
            python: &ready.python,
        });
    }
    output::talk(&format!(
        "it dials 127.0.0.1:{}; PyCharm's Python Debug Server needs the path mapping: your project = {}",
        attach.port, attach.remote_root
    ));
}

fn tell_written(written: &Written, name: &str) {
    let path = written.path.display();
    match (written.changed, &written.backup) {
        (false, _) => output::talk(&format!("VS Code: {name:?} is in {path}")),
        (true, None) => output::talk(&format!("VS Code: wrote {name:?} into {path}")),
        (true, Some(backup)) => output::talk(&format!(
            "VS Code: wrote {name:?} into {path} (as it was before: {})",
            backup.display()
        )),
    }
}

/// What is said in the session when debugpy listens there.
fn listens(port: u16, wait: bool) -> String {
    match wait {
        true => format!("qdebug: the program waits for your IDE on 127.0.0.1:{port}"),
        false => format!("qdebug: your IDE may attach to 127.0.0.1:{port}"),
    }
}
