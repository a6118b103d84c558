//! `qdebug cleanup`: what the scheduler's hooks run on a node. It tells what it did on stderr and,
//! as root, in the node's log; and it succeeds whatever happened, since Slurm drains a node whose
//! epilog fails, unless `--strict` asks for the truth.

use std::path::PathBuf;
use std::time::Duration;

use super::args::Cleanup;
use super::{Exit, Failure, output};
use crate::config::Config;
use crate::node::{self, Cleaned, Gone, Scope};
use crate::process::Program;
use crate::scheduler::{self, JobId};

/// How many lines of one run go into the node's log: whoever made ten thousand containers shall
/// not fill it.
const LOG_LINES: usize = 20;

impl Cleanup {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        let strict = self.strict;
        let told = match self.read() {
            Ok(Some(cleanup)) => lines(&node::cleanup(&cleanup).await),
            Ok(None) => return Ok(0),
            Err(problem) => Told {
                lines: vec![problem],
                exit: Exit::Usage,
            },
        };
        for line in &told.lines {
            output::talk(&format!("qdebug: {}", one_line(line)));
        }
        log(&told.lines).await;
        Ok(if strict { told.exit.code() } else { 0 })
    }

    /// What is asked for in the node half's types; `None` for a job that is never ours.
    fn read(self) -> Result<Option<node::Cleanup>, String> {
        let scope = match (self.job, self.live) {
            (Some(job), _) => {
                let id = match job.parse::<JobId>() {
                    Ok(id) => id,
                    Err(scheduler::Error::Array { .. }) => return Ok(None),
                    Err(error) => return Err(error.to_string()),
                };
                let uid = self.uid.map(|uid| match uid.parse::<u32>() {
                    Ok(number) => Ok(number),
                    Err(_) => Err(format!("{uid:?} is no user id")),
                });
                Scope::Job {
                    id,
                    uid: uid.transpose()?,
                }
            }
            (None, live) => Scope::Sweep {
                live: live
                    .unwrap_or_default()
                    .parse()
                    .map_err(|error: node::BadLiveJobs| format!("{error}: nothing is swept"))?,
                min_age: Duration::from_secs(self.min_age),
            },
        };
        Ok(Some(node::Cleanup {
            scope,
            scheduler: self.scheduler,
            time_limit: Duration::from_secs(self.time_limit.clamp(1, 600)),
            node_dir: node_dir(),
            node_folder: self.node_folder,
        }))
    }
}

/// Where the users' folders are. A configuration that cannot be read must not keep a hook from
/// cleaning up.
fn node_dir() -> PathBuf {
    match Config::load() {
        Ok(config) => config.node_dir().to_owned(),
        Err(error) => {
            tracing::debug!(%error, "cannot read the configuration");
            Config::default().node_dir().to_owned()
        }
    }
}

struct Told {
    lines: Vec<String>,
    exit: Exit,
}

fn lines(cleaned: &Cleaned) -> Told {
    let which = |gone: &Gone| {
        format!(
            "container {} of session {} (job {}, uid {})",
            gone.container, gone.session, gone.job, gone.uid
        )
    };
    let removed = cleaned.removed.iter();
    let mut lines: Vec<String> = removed
        .map(|gone| format!("removed {}", which(gone)))
        .collect();
    lines.extend(
        cleaned
            .failed
            .iter()
            .map(|(gone, reason)| format!("cannot remove {}: {reason}", which(gone))),
    );
    if !cleaned.odd.is_empty() {
        tracing::info!(
            containers = cleaned.odd.join(" "),
            "left alone: labels that no qdebug wrote"
        );
    }
    lines.extend(cleaned.said.iter().cloned());
    let unasked = cleaned.unasked.iter();
    lines.extend(unasked.map(|why| format!("{why}; what is left is for the next sweep")));
    let exit = match (cleaned.failed.is_empty(), cleaned.unasked.is_empty()) {
        (_, false) => Exit::Engine,
        (false, true) => Exit::Failed,
        (true, true) => Exit::Done,
    };
    Told { lines, exit }
}

/// One line whatever is in it: a log has one record per line.
fn one_line(text: &str) -> String {
    output::harmless(text).replace(['\n', '\t'], " ")
}

/// Tells the node's log, as root and where there is one.
async fn log(lines: &[String]) {
    if lines.is_empty() || !rustix::process::geteuid().is_root() {
        return;
    }
    let mut text: Vec<String> = lines.iter().take(LOG_LINES).map(|l| one_line(l)).collect();
    if lines.len() > LOG_LINES {
        text.push(format!("and {} more", lines.len() - LOG_LINES));
    }
    let logger = Program::new("logger")
        .args(["-t", "qdebug", "-p", "daemon.notice"])
        .stdin(text.join("\n") + "\n")
        .time_limit(Duration::from_secs(2));
    if let Err(error) = logger.output().await {
        tracing::debug!(%error, "cannot tell the node's log");
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::{Cli, ClusterCommand, Command};

    fn read(words: &[&str]) -> Result<Option<node::Cleanup>, String> {
        let cli = Cli::try_parse_from([&["qdebug", "cleanup"], words].concat());
        match cli.map_err(|error| error.to_string())?.command {
            Command::Cluster(ClusterCommand::Cleanup(cleanup)) => cleanup.read(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_hooks_hand_on_is_read() {
        let words = ["--job", "33.server", "--uid", "2001"];
        let cleanup = read(&words).unwrap().unwrap();
        let id = "33.server".parse().unwrap();
        let uid = Some(2001);
        assert_eq!(cleanup.scope, Scope::Job { id, uid });
        assert!(
            read(&["--job", "6[1].login"]).unwrap().is_none(),
            "an array's"
        );
        assert!(read(&["--sweep", "--live", ""]).unwrap().is_some());
    }

    #[test]
    fn odd_words_are_refused_in_words() {
        for words in [
            &["--job", "--force"][..],
            &["--job", ""],
            &["--job", "1; ls"],
            &["--job", "1", "--uid", "-1"],
            &["--job", "1", "--uid", "root"],
            &["--sweep", "--live", "1,--force"],
            &["--sweep"],
            &["--job", "1", "--sweep", "--live", "1"],
            &[],
        ] {
            assert!(read(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_line_stays_one() {
        assert_eq!(one_line("a\nb\x1b[1m"), "a b\u{FFFD}[1m");
    }
}
