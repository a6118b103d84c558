//! The recorded answers, and the runner on fake tools that answer as the real ones did.

mod delete;
mod status;
mod submit;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::super::GpuRequest;
use super::*;

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

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

/// Torque made of shell scripts; each notes its argv in `log`.
struct Fake {
    folder: tempfile::TempDir,
}

impl Fake {
    fn new(tools: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (tool, body) in tools {
            let path = folder.path().join(tool);
            let script = format!(
                "#!/bin/sh\ncd \"${{0%/*}}\" || exit 1\necho \"{tool} $*\" >>log\n{body}\n"
            );
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        Self { folder }
    }

    /// One tool that answers as a recorded one.
    fn recorded(tool: &str, name: &str) -> Self {
        let file = |ending| format!("{}/{name}.{ending}", FIXTURES);
        let body = format!(
            "cat '{}'; cat '{}' >&2; exit {}",
            file("out"),
            file("err"),
            fixture(name, "rc").trim()
        );
        Self::new(&[(tool, &body)])
    }

    fn torque(&self) -> Torque {
        Torque::in_folder(self.folder.path().to_owned())
    }

    fn calls(&self, tool: &str) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let of_tool = |line: &&str| line.split(' ').next() == Some(tool);
        log.lines().filter(of_tool).map(str::to_owned).collect()
    }
}

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/torque");

fn fixture(name: &str, ending: &str) -> String {
    let path = format!("{FIXTURES}/{name}.{ending}");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn id(text: &str) -> JobId {
    text.parse().unwrap()
}
