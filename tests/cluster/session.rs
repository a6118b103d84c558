//! A session of alice's in the tests' cluster, from submit to its end.

use std::time::Duration;

use serde_json::Value;

use crate::engine::engine;
use crate::host::{Host, Ran, within};
use crate::scheduler::here;

/// How long a session may take to become ready on a busy machine.
const READY: Duration = Duration::from_secs(90);

/// A session; stopped when dropped.
pub(crate) struct Session {
    pub(crate) name: String,
    pub(crate) job: String,
    pub(crate) token: String,
}

impl Session {
    /// Submits with these words behind `qdebug submit`; the name must be one of the test's own.
    #[track_caller]
    pub(crate) fn submit(name: &str, words: &[&str]) -> Self {
        let command = [&["qdebug", "submit", "--json", "--name", name], words].concat();
        let answer = Host::Login.run(&command).ok().json();
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        let mut session = Self {
            name: text("name"),
            job: text("job"),
            token: String::new(),
        };
        session.token = session.status()["token"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        session
    }

    /// A session that was submitted otherwise.
    #[track_caller]
    pub(crate) fn known(name: &str) -> Self {
        let mut session = Self {
            name: name.to_owned(),
            job: String::new(),
            token: String::new(),
        };
        let status = session.status();
        let text = |key: &str| status[key].as_str().unwrap_or_default().to_owned();
        (session.job, session.token) = (text("job"), text("token"));
        session
    }

    /// The same, waited for until it is ready.
    #[track_caller]
    pub(crate) fn ready(name: &str, words: &[&str]) -> Self {
        let session = Self::submit(name, words);
        session.await_state("ready");
        session
    }

    /// What `qdebug status --json` says.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        Host::Login
            .run(&["qdebug", "status", "--json", &self.name])
            .ok()
            .json()
    }

    /// Waits until it stands there; fails at once when it is over instead.
    #[track_caller]
    pub(crate) fn await_state(&self, wanted: &str) -> Value {
        let mut last = Value::Null;
        within(READY, &format!("{} is {wanted}", self.name), || {
            last = self.status();
            let state = last["state"].as_str().unwrap_or_default();
            let over = matches!(state, "ended" | "failed");
            assert!(
                !over || over == matches!(wanted, "ended" | "failed"),
                "{last:#}\n{}",
                self.logs()
            );
            if state == wanted {
                Ok(())
            } else {
                Err(format!("{last:#}"))
            }
        });
        last
    }

    /// One of its files; nothing when it is not there.
    #[track_caller]
    pub(crate) fn file(&self, name: &str) -> Value {
        let line = format!("cat .qdebug/sessions/{}/{name} || echo '{{}}'", self.name);
        Host::Login.sh(&line).ok().json()
    }

    /// The session's logs.
    pub(crate) fn logs(&self) -> String {
        Host::Login.run(&["qdebug", "logs", &self.name]).to_string()
    }

    /// The node it runs on.
    #[track_caller]
    pub(crate) fn node(&self) -> Host {
        Host::named(self.status()["node"].as_str().unwrap_or_default())
    }

    /// The ids of its containers on both nodes, running or not.
    pub(crate) fn containers(&self) -> Vec<String> {
        let label = format!("qdebug.token={}", self.token);
        let nodes = Host::NODES.into_iter();
        nodes
            .flat_map(|node| engine().containers(node, &label))
            .collect()
    }

    /// Fails unless its containers are gone within the promised five seconds; returns how long it
    /// took.
    #[track_caller]
    pub(crate) fn is_gone(&self) -> Duration {
        within(
            Duration::from_secs(5),
            &format!("no container of {}", self.name),
            || match self.containers() {
                none if none.is_empty() => Ok(()),
                some => Err(some.join(" ")),
            },
        )
    }

    /// Runs a command in it from the laptop by plain ssh.
    pub(crate) fn ssh(&self, words: &[&str]) -> Ran {
        let host = format!("qdebug-{}", self.name);
        Host::Laptop.run(&[&["ssh", &host], words].concat())
    }

    /// Connects the laptop once, so that plain ssh works from then on.
    #[track_caller]
    pub(crate) fn connect(&self) {
        let words = [
            "qdebug",
            "connect",
            &self.name,
            "--on",
            "alice@login",
            "--yes",
            "--detach",
        ];
        Host::Laptop.run(&words).ok();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            Host::Login.run(&["qdebug", "stop", &self.name]);
        } else {
            eprintln!("{}", self.logs());
            for node in Host::NODES {
                if let Some(why) = here().out_of_use(node) {
                    eprintln!("no job runs there any more: {why}");
                }
            }
            Host::Login.run(&["qdebug", "stop", "--no-wait", &self.name]);
        }
    }
}
