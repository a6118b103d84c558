//! A session on one node with an NVML of its own by a file, so that no other test sees its faults, and
//! in a node folder of these sessions alone, so that the GPUs they pick are nobody else's: of the
//! scheduler `local`, which is the same beside every other.

use std::time::Duration;

use serde_json::Value;

use crate::host::{Host, Ran, within};

pub(crate) const HERE: Host = Host::Node1;

/// What sets these sessions apart; the site file is written before each.
pub(crate) const OWN: [&str; 3] = [
    "env",
    "QDEBUG_HOME=/home/alice/.qdebug-gpus",
    "QDEBUG_SITE=/tmp/qdebug-gpus.toml",
];
pub(crate) const NODE_DIR: &str = "/var/tmp/of-gpu-tests";

/// The UUIDs that the nodes' runtime hook knows devices for.
pub(crate) const KNOWN: [&str; 2] = [
    "GPU-56010000-0000-4000-8000-000000000001",
    "GPU-56010001-0000-4000-8000-000000000001",
];

/// A session with its own word of the node's GPUs; stopped when dropped.
pub(crate) struct Trial {
    name: &'static str,
    nvml: String,
}

impl Trial {
    /// What it needs before it is submitted; `gpus` is the text of the stand-in's file.
    #[track_caller]
    pub(crate) fn set_up(name: &'static str, gpus: &str) -> Self {
        let [_, _, site] = OWN;
        let site = site.trim_start_matches("QDEBUG_SITE=");
        let line = format!(
            "mkdir -p {NODE_DIR} && echo 'node_dir = \"{NODE_DIR}\"' > {site}.$$ && \
             mv {site}.$$ {site}"
        );
        HERE.sh(&line).ok();
        let trial = Self {
            name,
            nvml: format!("/home/alice/nvml-{name}.conf"),
        };
        trial.set(gpus);
        trial
    }

    /// `env` is what the job would have set.
    #[track_caller]
    pub(crate) fn submit(name: &'static str, gpus: &str, env: &[&str], words: &[&str]) -> Self {
        let trial = Self::set_up(name, gpus);
        let nvml = format!("QDEBUG_TEST_NVML={}", trial.nvml);
        let head = [
            "qdebug",
            "submit",
            "--scheduler",
            "local",
            "-i",
            "qdebug/demo",
            "-w",
            "10m",
            "--name",
            name,
        ];
        let all = [&OWN[..], &[&nvml], env, &head, words].concat();
        HERE.run(&all).ok();
        trial
    }

    pub(crate) fn set(&self, gpus: &str) {
        let path = &self.nvml;
        let line = format!("cat > {path}.new <<'END'\n{gpus}\nEND\nmv {path}.new {path}");
        HERE.sh(&line).ok();
    }

    pub(crate) fn qdebug(&self, words: &[&str]) -> Ran {
        HERE.run(&[&OWN[..], &["qdebug"], words, &[self.name]].concat())
    }

    #[track_caller]
    pub(crate) fn until(&self, what: &str, seconds: u64, is: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        within(
            Duration::from_secs(seconds),
            &format!("{}: {what}", self.name),
            || {
                last = self.qdebug(&["status", "--json"]).ok().json();
                let over = matches!(last["state"].as_str(), Some("ended" | "failed"));
                match is(&last) {
                    true => Ok(()),
                    false if over => panic!("{last:#}\n{}", self.qdebug(&["logs"])),
                    false => Err(format!("{last:#}")),
                }
            },
        );
        last
    }

    #[track_caller]
    pub(crate) fn ready(&self) -> Value {
        self.until("it is ready", 90, |status| status["state"] == "ready")["details"].clone()
    }

    /// Fails with code 9 and these words, and leaves no container; what `status --json` says.
    #[track_caller]
    pub(crate) fn refused(&self, says: &[&str]) -> Value {
        let status = self.until("it fails", 90, |status| status["state"] == "failed");
        assert_eq!(status["code"], 9, "{status:#}");
        assert!(status["hint"].is_string(), "{status:#}");
        let reason = status["reason"].as_str().unwrap_or_default();
        for word in says {
            assert!(reason.contains(word), "{word}: {status:#}");
        }
        let filter = format!(
            "label=qdebug.token={}",
            status["token"].as_str().unwrap_or("?")
        );
        let left = HERE.run(&["docker", "ps", "-aq", "--filter", &filter]).ok();
        assert_eq!(left.text(), "");
        status
    }

    pub(crate) fn inside(&self, details: &Value, line: &str) -> String {
        let id = details["container"].as_str().unwrap_or_default();
        HERE.run(&["docker", "exec", id, "sh", "-c", line])
            .ok()
            .text()
            .to_owned()
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.qdebug(&["stop", "--no-wait"]);
        HERE.run(&["rm", "-f", &self.nvml]);
    }
}

/// GPUs with these UUIDs, each followed by more lines about it.
pub(crate) fn v100s(gpus: &[(&str, &str)]) -> String {
    let all = gpus.iter().enumerate().map(|(place, (uuid, more))| {
        format!(
            "gpu {place}\nname Tesla V100-SXM2-32GB\nuuid {uuid}\nbus 00000000:0{place}:00.0\n\
             memory 34359738368\n{more}\n"
        )
    });
    all.collect()
}

/// The job's word for the first of them.
pub(crate) const GRANTED: [&str; 1] = ["CUDA_VISIBLE_DEVICES=0"];
