//! A submit from the laptop: whatever becomes of the way meanwhile, no job is lost sight of.

use super::cluster::{Answer, Cluster, LIMIT, of_here, read, refusal};
use super::error::Error;
use crate::process;
use crate::session::SessionName;

/// A session that was submitted from here.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Submitted {
    /// The job's full id.
    pub job: String,
    /// The session's name.
    pub name: SessionName,
    /// The cluster, as it calls itself.
    pub cluster: crate::session::Cluster,
    /// What its qdebug had to say besides.
    #[serde(skip)]
    pub told: Vec<String>,
}

impl Cluster {
    /// Runs `submit` with these words behind it, which read `input`. A Ctrl-C does not cut it short:
    /// a job nobody knows of is the worst end.
    async fn submit_with(&self, words: &[String], input: &[u8]) -> Result<Answer, Error> {
        let begin = ["submit"].into_iter();
        let args: Vec<&str> = begin.chain(words.iter().map(String::as_str)).collect();
        match self {
            Self::Login(remote) => Ok(remote.run_whole(&args, input, LIMIT).await?),
            Self::Here { qdebug } => {
                let program = of_here(qdebug).args(args).stdin(input).own_group();
                let output = program.time_limit(LIMIT).output().await?;
                Ok(Answer {
                    status: output.status,
                    stdout: output.stdout,
                    stderr: output.stderr,
                })
            }
        }
    }

    /// What `submit --dry-run` prints there.
    ///
    /// # Errors
    /// As [`Cluster::status`].
    pub async fn plan(&self, words: &[String], input: &[u8]) -> Result<String, Error> {
        let answer = self.submit_with(words, input).await?;
        match answer.status {
            0 => Ok(answer.stdout),
            _ => Err(refusal(&answer)),
        }
    }

    /// Submits, and tells what became of it.
    ///
    /// # Errors
    /// [`Error::Cluster`] when it was refused, [`Error::Submitted`], [`Error::Unsure`] when it is not
    /// known whether there is a job now.
    pub async fn submit(&self, words: &[String], input: &[u8]) -> Result<Submitted, Error> {
        let json = ["--json".to_owned()];
        let words = [&json[..], words].concat();
        let answer = self.submit_with(&words, input).await;
        let answer = answer.map_err(|error| match error {
            error if is_of_the_way(&error) => Error::Unsure {
                cluster: self.place().to_string(),
                source: Box::new(error),
            },
            error => error,
        })?;
        if answer.status != 0 {
            return Err(refusal(&answer));
        }
        // There is a job now, whatever is wrong with the words about it.
        let mut submitted: Submitted = read(&answer.stdout).map_err(|detail| Error::Submitted {
            cluster: self.place().to_string(),
            job: job_in(&answer.stdout),
            detail,
        })?;
        // The noise of shell start files may stand among them.
        let is_told = |line: &&str| line.starts_with("note: ") || line.starts_with("warning: ");
        let told = answer.stderr.lines().filter(is_told).map(str::to_owned);
        submitted.told = told.collect();
        Ok(submitted)
    }
}

/// Whether it says nothing of what has been done on the other side.
fn is_of_the_way(error: &Error) -> bool {
    match error {
        Error::Ssh(error) => error.is_of_the_way(),
        Error::Program(error) => matches!(
            error,
            process::Error::TimedOut { .. }
                | process::Error::TooMuch { .. }
                | process::Error::Io { .. }
        ),
        _ => false,
    }
}

/// The job in an answer to `submit` that is otherwise not understood: a word of it, or one that
/// stands there alone.
fn job_in(text: &str) -> Option<String> {
    let value = serde_json::from_str::<serde_json::Value>(text).ok();
    let told = match value.as_ref().and_then(|value| value.get("job")) {
        Some(serde_json::Value::String(job)) => Some(job.clone()),
        Some(serde_json::Value::Number(job)) => Some(job.to_string()),
        _ => None,
    };
    let mut words = text.split_whitespace();
    let alone = words.next().filter(|_| words.next().is_none());
    let alone = alone.filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']');
    let job = told.or_else(|| alone.map(str::to_owned))?;
    let well = !job.is_empty() && job.len() <= 128 && job.chars().all(plain);
    well.then_some(job)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_found_in_an_answer_that_is_not_understood() {
        for (text, job) in [
            (r#"{"format": 9, "job": "7.pbs", "odd": []}"#, Some("7.pbs")),
            (r#"{"job": 7}"#, Some("7")),
            ("1234.server\n", Some("1234.server")),
            (r#"{"job": "a\u001b[2J"}"#, None),
            (r#"{"job": null}"#, None),
            ("Welcome!", None),
            ("7 jobs", None),
            ("", None),
        ] {
            assert_eq!(job_in(text).as_deref(), job, "{text}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_submit_of_this_machine_whose_answer_fails_is_not_taken_for_none() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let says = |script: &str| {
            let qdebug = folder.path().join("qdebug");
            std::fs::write(&qdebug, format!("#!/bin/sh\ncat >/dev/null\n{script}\n")).unwrap();
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(&qdebug, mode).unwrap();
            Cluster::Here { qdebug }
        };
        let odd = says(r#"echo '{"format":99,"job":"12.here","name":{}}'"#);
        let error = odd.submit(&[], b"").await.unwrap_err();
        let Error::Submitted { job, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(job.as_deref(), Some("12.here"));
        assert!(
            error
                .to_string()
                .contains("has submitted the session as job 12.here"),
            "{error}"
        );
        let refused = says("echo 'error: no' >&2; exit 4").submit(&[], b"").await;
        assert!(
            matches!(refused, Err(Error::Cluster { code: 4, .. })),
            "{refused:?}"
        );
        for (error, unsure) in [
            (
                Error::Program(process::Error::TimedOut {
                    command: String::new(),
                    limit: LIMIT,
                }),
                true,
            ),
            (
                Error::Program(process::Error::NotFound {
                    program: String::new(),
                }),
                false,
            ),
        ] {
            assert_eq!(is_of_the_way(&error), unsure, "{error:?}");
        }
    }
}
