//! OpenPBS' hook, in a server that is a script and a mom that is this test.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::bench::{Bench, said};

/// A server's qmgr that keeps one hook in a folder.
const QMGR: &str = r#"#!/bin/bash
at=$(dirname "$0")/hook
[[ $1 == -c ]] || exit 2
echo "$2" >>"$at.log"
read -ra words <<<"$2"
missing() { echo "qmgr obj=qdebug svr=default: hook not found" >&2; exit 1; }
case $2 in
    "create hook qdebug") [[ ! -d $at ]] || exit 1; mkdir "$at"; echo true >"$at/enabled" ;;
    "delete hook qdebug") [[ -d $at ]] || missing; rm -r "$at" ;;
    "import hook qdebug application/x-python default "*) cp "${words[5]}" "$at.text" ;;
    "export hook qdebug application/x-python default") cat "$at.text" ;;
    "list hook qdebug")
        [[ -d $at ]] || missing
        echo "Hook qdebug"
        for file in "$at"/*; do echo "    ${file##*/} = $(tr -d '"' <"$file")"; done ;;
    "set hook qdebug "*) [[ -d $at ]] || missing; echo "${words[5]}" >"$at/${words[3]}" ;;
    *) exit 3 ;;
esac
"#;

const FAKE_PBS: &str = r#"
import json, os
EXECJOB_EPILOGUE, EXECJOB_END, EXECHOST_PERIODIC, EXECHOST_STARTUP, LOG_WARNING = range(5)
class Thing:
    def __init__(self, **known): self.__dict__.update(known)
def event():
    told = json.loads(os.environ["TOLD"])
    if "job" in told: told["job"] = Thing(**told["job"])
    return Thing(**told)
def logmsg(level, text):
    with open(os.environ["LOGGED"], "a") as log: log.write(text + "\n")
"#;

#[test]
fn openpbs_installs_one_hook_that_cleans_and_sweeps() {
    let Some(bench) = Bench::new() else { return };
    bench.tool("qmgr", QMGR);
    let with = |words: &[&'static str]| [words, &["--scheduler", "openpbs"]].concat();
    assert_eq!(bench.hooks(&with(&["status"])).status.code(), Some(1));
    bench.hooks_ok(&with(&["install", "--yes"]));
    bench.hooks_ok(&with(&["status"]));
    let text = bench.hooks_ok(&with(&["install", "--yes"]));
    assert!(text.contains("nothing to do"), "{text}");

    fs::create_dir_all(bench.path("lib")).unwrap();
    fs::write(bench.path("lib/pbs.py"), FAKE_PBS).unwrap();
    let spool = bench.path("spool/mom_priv/jobs");
    fs::create_dir_all(&spool).unwrap();
    fs::write(spool.join("7.server.JB"), "").unwrap();
    let conf = format!(
        "PBS_EXEC=/opt/pbs\nPBS_HOME={}\n",
        bench.path("spool").display()
    );
    fs::write(bench.path("pbs.conf"), conf).unwrap();
    let fire = |told: &str| {
        let output = Command::new("/usr/bin/env")
            .args(["python3", "-B"])
            .arg(bench.path("tools/hook.text"))
            .env("PYTHONPATH", bench.path("lib"))
            .env("PBS_CONF_FILE", bench.path("pbs.conf"))
            .env("LOGGED", bench.path("log"))
            .env("DOCKER_HOST", "tcp://evil:1")
            .env("TOLD", told)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{told}: {}", said(&output));
        let log = fs::read_to_string(bench.path("log")).unwrap_or_default();
        let _ = fs::remove_file(bench.path("log"));
        (bench.calls().join("\n"), log)
    };
    let clean = "<cleanup><--scheduler><openpbs>";
    for kind in [0, 1] {
        let told = format!(r#"{{"type":{kind},"job":{{"id":"7.server","euser":"root"}}}}"#);
        assert_eq!(fire(&told).0, format!("{clean}<--job><7.server><--uid><0>"));
    }
    let seen = fs::read_to_string(bench.path("bin/qdebug.env")).unwrap();
    assert!(!seen.contains("DOCKER") && !seen.contains("TOLD"), "{seen}");
    let odd = r#"{"type":0,"job":{"id":"7; touch /tmp/x --force\n","euser":"no such"}}"#;
    assert!(
        fire(odd)
            .0
            .starts_with(&format!("{clean}<--job><7; touch /tmp/x --force"))
    );
    let live = |ids: &str| format!("{clean}<--sweep><--live><{ids}><--min-age><60>");
    let told = r#"{"type":2,"job_list":{"8.server":{},"7.server":{}}}"#;
    assert_eq!(fire(told).0, live("7.server,8.server"));
    assert_eq!(
        fire(r#"{"type":3}"#).0,
        live("7.server"),
        "startup has files alone"
    );

    // Nothing of it reaches mom: it is logged.
    for bad in [
        r#"{"type":0}"#,
        r#"{"type":2,"job_list":5}"#,
        "{}",
        "nonsense",
    ] {
        let (calls, log) = fire(bad);
        assert!(
            calls.is_empty() && log.contains("nothing is done"),
            "{bad}: {calls} {log}"
        );
    }
    fs::remove_dir_all(&spool).unwrap();
    let (calls, log) = fire(told);
    assert!(
        calls.is_empty() && log.contains("FileNotFoundError"),
        "{log}"
    );
    fs::set_permissions(bench.qdebug(), fs::Permissions::from_mode(0o777)).unwrap();
    let (calls, log) = fire(r#"{"type":0,"job":{"id":"7.server","euser":"root"}}"#);
    assert!(calls.is_empty() && log.contains("may write"), "{log}");

    bench.hooks_ok(&with(&["uninstall", "--yes"]));
    assert!(!bench.path("tools/hook").exists());
    bench.hooks_ok(&with(&["uninstall", "--yes"]));
}
