//! `qdebug doctor` through the binary, on machines that are hard to tell what they are: which place
//! it takes this one for, and what it says of a configuration that cannot be used.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // A test.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;

/// OpenPBS' commands on a machine from which its server is not reached.
const SILENT: &str = "#!/bin/sh\ncase $1 in --version) echo 'pbs_version = 23.06.06' ;; \
                      *) echo 'Connection refused' >&2; \
                      echo \"${0##*/}: cannot connect to server pbs (errno=15010)\" >&2; exit 255 ;; \
                      esac\n";

/// What `doctor --json` prints with this configuration; `tools` are beside it on PATH.
fn doctor(config: &str, tools: &[&str]) -> Value {
    let home = tempfile::tempdir().unwrap();
    let bin = home.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let tools = tools.iter().map(|tool| (*tool, SILENT));
    // Whatever scheduler this machine has is out of sight.
    for (tool, script) in tools.chain([("sbatch", "#!/bin/sh\nexit 1\n")]) {
        fs::write(bin.join(tool), script).unwrap();
        fs::set_permissions(bin.join(tool), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(home.path().join("config.toml"), config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_qdebug"))
        .args(["doctor", "--json"])
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .env("HOME", home.path())
        .env("QDEBUG_SITE", "/dev/null")
        .env("QDEBUG_CONFIG", home.path().join("config.toml"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
}

/// The rung of that name: its verdict, and all that it says.
fn rung(answer: &Value, name: &str) -> Option<(String, String)> {
    let rungs = answer["rungs"].as_array().unwrap();
    let rung = rungs.iter().find(|rung| rung["name"] == name)?;
    Some((
        rung["verdict"].as_str().unwrap().to_owned(),
        rung.to_string(),
    ))
}

/// A login that nobody reaches, at once.
const NOWHERE: &str = "default_cluster = \"lab\"\n[clusters.lab]\nlogin = \"a@127.0.0.1\"\n\
                       qdebug = \"/opt/qdebug\"\n";

const PBS: [&str; 2] = ["qsub", "qstat"];

#[test]
fn a_scheduler_that_is_silent_is_told_wherever_this_is() {
    // No cluster is the default: it is a login node, and that fails.
    let login = doctor("", &PBS);
    assert_eq!(login["place"], "login", "{login:#}");
    let (verdict, told) = rung(&login, "scheduler").unwrap();
    assert!(
        verdict == "fail" && told.contains("cannot connect"),
        "{told}"
    );

    // One is: it may be a laptop, and that is said.
    let laptop = doctor(NOWHERE, &PBS);
    assert_eq!(laptop["place"], "laptop", "{laptop:#}");
    let (verdict, told) = rung(&laptop, "scheduler here").unwrap();
    assert!(
        verdict == "warn" && told.contains("doctor --login"),
        "{told}"
    );

    // Without such commands there is nothing to say.
    let plain = doctor(NOWHERE, &[]);
    assert_eq!(plain["place"], "laptop", "{plain:#}");
    assert_eq!(rung(&plain, "scheduler here"), None, "{plain:#}");
}

#[test]
fn a_default_cluster_that_is_none_is_told() {
    for config in [
        "default_cluster = \"lab\"\n",
        "default_cluster = \"a@b;id\"\n",
    ] {
        let answer = doctor(config, &[]);
        let (verdict, told) = rung(&answer, "configuration").unwrap();
        assert_eq!(verdict, "fail", "{told}");
    }
    for config in ["default_cluster = \"here\"\n", NOWHERE, ""] {
        let answer = doctor(config, &[]);
        let (verdict, told) = rung(&answer, "configuration").unwrap();
        assert_eq!(verdict, "ok", "{told}");
    }
}
