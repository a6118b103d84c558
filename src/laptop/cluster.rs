//! qdebug's commands on the cluster: over ssh, or on this very machine.

use std::time::Duration;

use super::error::Error;
use super::known::Place;
use crate::process::Program;
use crate::session::{Checked, FORMAT, GpuSupply, SessionName, Status};
use crate::ssh::{Client, Destination, Prompt, Remote};

/// How long the cluster's qdebug may take; it may have to wait for its scheduler.
pub(super) const LIMIT: Duration = Duration::from_secs(90);

pub use crate::ssh::Answer;

/// A cluster as this laptop sees it.
#[derive(Debug, Clone)]
pub enum Cluster {
    /// Sessions of this machine: qdebug runs here.
    Here {
        /// This qdebug.
        qdebug: std::path::PathBuf,
    },
    /// Behind a login node.
    Login(Remote),
}

impl Cluster {
    /// Sessions of this machine.
    ///
    /// # Errors
    /// [`Error::NoHome`] when the own program cannot be found.
    pub fn here() -> Result<Self, Error> {
        let qdebug = std::env::current_exe().map_err(|_| Error::NoHome)?;
        Ok(Self::Here { qdebug })
    }

    /// A cluster by its login node; opens the way there. Without the path of its qdebug, that is
    /// looked for.
    ///
    /// # Errors
    /// [`Error::Ssh`].
    pub async fn at(
        client: &Client,
        login: &Destination,
        qdebug: Option<&str>,
        prompt: Prompt,
    ) -> Result<Self, Error> {
        let (client, login) = (client.clone(), login.clone());
        let remote = match qdebug {
            Some(path) => {
                let remote = Remote::at(client, login, path, prompt)?;
                remote.dial().await?;
                remote
            }
            None => Remote::find(client, login, prompt).await?,
        };
        Ok(Self::Login(remote))
    }

    /// The ssh that leads there, with what it has opened; `None` for this machine.
    pub fn client(&self) -> Option<&Client> {
        match self {
            Self::Here { .. } => None,
            Self::Login(remote) => Some(remote.client()),
        }
    }

    /// Whether everything goes over one connection of this process, which nothing outlives.
    pub fn has_trunk(&self) -> bool {
        match self {
            Self::Here { .. } => false,
            Self::Login(remote) => remote.client().has_trunk(remote.login()),
        }
    }

    /// Where it is, as it is remembered.
    pub fn place(&self) -> Place {
        match self {
            Self::Here { .. } => Place::Here,
            Self::Login(remote) => Place::Login {
                login: remote.login().to_string(),
                qdebug: remote.qdebug().to_owned(),
            },
        }
    }

    /// Runs a command of qdebug there, whatever it ends with.
    ///
    /// # Errors
    /// [`Error::Ssh`], [`Error::Program`].
    pub async fn run(&self, args: &[&str], stdin: Option<&[u8]>) -> Result<Answer, Error> {
        match self {
            Self::Login(remote) => Ok(remote.run(args, stdin, LIMIT).await?),
            Self::Here { qdebug } => {
                let program = of_here(qdebug).args(args).time_limit(LIMIT);
                let program = match stdin {
                    Some(bytes) => program.stdin(bytes),
                    None => program,
                };
                let output = program.output().await?;
                Ok(Answer {
                    status: output.status,
                    stdout: output.stdout,
                    stderr: output.stderr,
                })
            }
        }
    }

    /// Runs one that goes on, such as `logs -f`, and gives on what it prints as it comes; its
    /// exit code in the end.
    ///
    /// # Errors
    /// [`Error::Ssh`], [`Error::Program`].
    pub async fn stream(
        &self,
        args: &[&str],
        on_stdout: impl FnMut(&[u8]),
    ) -> Result<Answer, Error> {
        match self {
            Self::Login(remote) => Ok(remote.stream(args, on_stdout).await?),
            Self::Here { qdebug } => {
                let program = of_here(qdebug).args(args);
                let status = program.on_terminal().await?;
                Ok(Answer {
                    status,
                    stdout: String::new(),
                    stderr: String::new(),
                })
            }
        }
    }

    /// Where a session stands, by job id or name.
    ///
    /// # Errors
    /// [`Error::Cluster`] with code 3 for one that does not exist; [`Error::Versions`].
    pub async fn status(&self, job: &str) -> Result<Status, Error> {
        let text = self.answer(&["status", "--json", "--", job], None).await?;
        self.read(&text)
    }

    /// The cluster's sessions, those that are over only when `all` are asked for.
    ///
    /// # Errors
    /// As [`Cluster::status`].
    pub async fn list(&self, all: bool) -> Result<Vec<Status>, Error> {
        let args: &[&str] = match all {
            true => &["list", "--json", "--all"],
            false => &["list", "--json"],
        };
        let text = self.answer(args, None).await?;
        self.read(&text)
    }

    /// What the login node's `doctor` finds there; of a qdebug that has none, its exit code.
    ///
    /// # Errors
    /// [`Error::Ssh`], [`Error::Program`].
    pub async fn checked(&self) -> Result<Result<Checked, i32>, Error> {
        let answer = self.run(&["doctor", "--json", "--login"], None).await?;
        Ok(serde_json::from_str(&answer.stdout).map_err(|_| answer.status))
    }

    /// The cluster's GPUs by type.
    ///
    /// # Errors
    /// As [`Cluster::status`].
    pub async fn gpus(&self) -> Result<Vec<GpuSupply>, Error> {
        let text = self.answer(&["gpus", "--json"], None).await?;
        self.read(&text)
    }

    /// Ends a session in the name of `by` and tells where it stands then; waits for its end
    /// unless `no_wait`.
    ///
    /// # Errors
    /// As [`Cluster::status`].
    pub async fn stop(&self, job: &str, no_wait: bool, by: &str) -> Result<Status, Error> {
        let by = format!("--by={by}");
        let mut args = vec!["stop", "--json", by.as_str()];
        if no_wait {
            args.push("--no-wait");
        }
        args.extend(["--", job]);
        let text = self.answer(&args, None).await?;
        self.read(&text)
    }

    /// Gives a session's log on as it comes, with `follow` until the session is over; exit code 0.
    ///
    /// # Errors
    /// As [`Cluster::status`].
    pub async fn logs(
        &self,
        job: &str,
        follow: bool,
        on_stdout: impl FnMut(&[u8]),
    ) -> Result<u8, Error> {
        let mut args = vec!["logs"];
        if follow {
            args.push("--follow");
        }
        args.extend(["--", job]);
        let answer = self.stream(&args, on_stdout).await?;
        match answer.status {
            0 => Ok(0),
            _ => Err(refusal(&answer)),
        }
    }

    /// Lets a public key into a session.
    ///
    /// # Errors
    /// As [`Cluster::status`].
    pub async fn authorize(&self, name: &SessionName, key: &str) -> Result<(), Error> {
        let line = format!("{key}\n");
        let args = ["authorize", "--", name.as_str()];
        self.answer(&args, Some(line.as_bytes())).await?;
        Ok(())
    }

    async fn answer(&self, args: &[&str], stdin: Option<&[u8]>) -> Result<String, Error> {
        let answer = self.run(args, stdin).await?;
        if answer.status == 0 {
            Ok(answer.stdout)
        } else {
            Err(refusal(&answer))
        }
    }

    fn read<T: serde::de::DeserializeOwned>(&self, text: &str) -> Result<T, Error> {
        read(text).map_err(|detail| Error::Versions {
            cluster: self.place().to_string(),
            detail,
        })
    }
}

/// This qdebug, asked about this machine whatever cluster is the default.
pub(super) fn of_here(qdebug: &std::path::Path) -> Program {
    Program::new(qdebug).args(["--on", "here"])
}

/// What the cluster's qdebug said when it refused: as JSON on stdout where that was asked for,
/// else on stderr, where the noise of shell start files may stand before it.
pub(super) fn refusal(answer: &Answer) -> Error {
    #[derive(serde::Deserialize)]
    struct Told {
        error: String,
        #[serde(default)]
        causes: Vec<String>,
        #[serde(default)]
        hints: Vec<String>,
    }
    let message = match serde_json::from_str::<Told>(&answer.stdout) {
        Ok(told) => {
            let mut said = std::iter::once(told.error)
                .chain(told.causes)
                .collect::<Vec<_>>()
                .join(": ");
            for hint in told.hints {
                said.push_str("\n  hint: ");
                said.push_str(&hint);
            }
            said
        }
        Err(_) => answer.stderr.clone(),
    };
    // It is going to be shown: no escape sequences of a hostile or broken other side.
    let plain = |c: &char| *c == '\n' || !c.is_control();
    Error::Cluster {
        code: answer.status,
        message: message.chars().filter(plain).collect(),
    }
}

/// Reads an answer, its format first: a newer one may have any shape.
pub(super) fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("its answer is no JSON ({error})"))?;
    let first = match &value {
        serde_json::Value::Array(all) => all.first(),
        one => Some(one),
    };
    let format = first.and_then(|one| one.get("format")?.as_u64());
    if let Some(format) = format.filter(|format| *format > u64::from(FORMAT)) {
        return Err(format!(
            "it speaks format {format}, this one up to {FORMAT}: install the newer one here"
        ));
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_clusters_words() {
        let answer = |stdout: &str, stderr: &str| Answer {
            status: 3,
            stdout: stdout.into(),
            stderr: stderr.into(),
        };
        let json = r#"{"error":"no session 9","causes":["x"],"hints":["qdebug list"],"code":3}"#;
        assert_eq!(
            refusal(&answer(json, "noise")).to_string(),
            "no session 9: x\n  hint: qdebug list"
        );
        let text = refusal(&answer("", "error: no \u{1b}[31msession\n"));
        assert_eq!(text.to_string(), "no [31msession");
        assert!(matches!(text, Error::Cluster { code: 3, .. }));
    }

    #[test]
    fn a_newer_answer_is_told_as_such() {
        let newer = r#"{"format": 99, "state": {"odd": true}}"#;
        assert!(read::<Status>(newer).unwrap_err().contains("format 99"));
        let newer = format!("[{newer}]");
        assert!(
            read::<Vec<Status>>(&newer)
                .unwrap_err()
                .contains("format 99")
        );
        assert!(read::<Status>("Welcome!").unwrap_err().contains("no JSON"));
        assert!(
            read::<Status>(r#"{"format": 1}"#)
                .unwrap_err()
                .contains("missing field")
        );
        assert_eq!(read::<Vec<Status>>("[]").unwrap(), []);
    }
}
