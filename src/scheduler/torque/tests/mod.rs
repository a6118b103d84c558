//! The recorded answers, and the runner on fake tools that answer as the real ones did.

mod delete;
mod status;
mod submit;

use std::fs;
use std::path::Path;

use super::super::GpuRequest;
use super::super::fake::{Fake, block_on};
use super::*;

pub(super) fn spec() -> JobSpec {
    let session = Path::new("/home/alice/.qdebug/sessions/otter");
    JobSpec {
        name: "qdebug-otter".parse().unwrap(),
        script: "/home/a b/job.sh".into(),
        output: session.join("job.log"),
        walltime: Duration::from_secs(30 * 3600 + 1),
        gpus: Some(GpuRequest {
            kind: Some("V100".into()),
            count: 2,
            request: None,
        }),
        cpus: Some(4),
        memory_bytes: Some(28 << 30),
        queue: Some("a;b $(c)".into()),
        project: None,
        account: None,
        qos: Some("high".into()),
        reservation: Some("lab.7".into()),
        extra: vec!["-m".into(), "n".into()],
        shell: Some(session.join("shell")),
        epilogue: Some(session.join("epilogue")),
    }
}

impl Fake {
    fn torque(&self) -> Torque {
        Torque::in_folder(self.folder())
    }
}

/// One tool that answers as a recorded one.
fn recorded(tool: &str, name: &str) -> Fake {
    let file = |ending| format!("{}/{name}.{ending}", FIXTURES);
    let body = format!(
        "cat '{}'; cat '{}' >&2; exit {}",
        file("out"),
        file("err"),
        fixture(name, "rc").trim()
    );
    Fake::new(&[(tool, &body)])
}

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/torque");

fn fixture(name: &str, ending: &str) -> String {
    let path = format!("{FIXTURES}/{name}.{ending}");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn id(text: &str) -> JobId {
    text.parse().unwrap()
}
