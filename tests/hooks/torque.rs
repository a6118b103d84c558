//! Torque's prologue and epilogue, beside a site's own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::bench::{Bench, executable, run, said};

/// mom_priv with jobs in it, as mom leaves it.
fn mom(bench: &Bench) -> PathBuf {
    let mom = bench.path("mom_priv");
    fs::create_dir_all(mom.join("jobs")).unwrap();
    for file in ["7.login.JB", "7.login.SC", "9.login.JB", "6[1].login.JB"] {
        fs::write(mom.join("jobs").join(file), "").unwrap();
    }
    mom
}

const TORQUE: [&str; 2] = ["--scheduler", "torque"];

#[test]
fn torques_epilogue_cleans_sweeps_and_never_fails() {
    let Some(bench) = Bench::new() else { return };
    let mom = mom(&bench);
    let dir = mom.to_str().unwrap();
    bench.hooks_ok(&[&["install", "--yes", "--dir", dir][..], &TORQUE].concat());
    let epilogue = mom.join("epilogue");
    let mode = epilogue.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o500, "mom passes over anything else");
    let env = [("PATH", "/bin:/usr/bin")];
    let epilogue = |words: &[&str]| {
        assert_eq!(run(&epilogue, words, &env), 0, "{words:?}");
        bench.calls()
    };
    // The two together, and what it takes to kill them, are what pbs/README.md says.
    let words = |seconds: u32| format!("<cleanup><--scheduler><torque><--time-limit><{seconds}>");
    let sweep = format!("{}<--sweep><--live>", words(7));
    let clean = |rest: &str| format!("{}<--job><7.login>{rest}", words(15));
    // The list goes over several lines, as one word.
    let calls = epilogue(&["7.login", "root", "root", "a b $(id)", "1", "", "", "batch"]);
    assert_eq!(calls[0], clean("<--uid><0>"));
    assert!(calls[1].starts_with(&sweep), "{calls:?}");
    let live = calls[1..].join(" ");
    assert!(live.contains("7.login") && live.contains("6[1].login") && !live.contains("SC"));
    assert!(live.contains("<--min-age><60>"), "{live}");
    assert_eq!(epilogue(&["7.login", "no such user"])[0], clean(""));
    assert_eq!(epilogue(&["7.login", "--help"])[0], clean(""));
    for odd in ["", "--force", "7;ls", "$(id)", "../7", "7\n8", "6[1].login"] {
        let calls = epilogue(&[odd, "root"]);
        assert!(calls[0].starts_with(&sweep), "{odd:?}: {calls:?}");
    }
    fs::rename(mom.join("jobs"), mom.join("gone")).unwrap();
    assert_eq!(epilogue(&["7.login"]), [clean("")], "no list, no sweep");
    fs::write(bench.path("bin/qdebug.rc"), "").unwrap();
    assert_eq!(epilogue(&["7.login"]).len(), 1);
}

#[test]
fn torques_prologue_sweeps_and_spares_the_job_that_starts() {
    let Some(bench) = Bench::new() else { return };
    let mom = mom(&bench);
    let dir = mom.to_str().unwrap();
    bench.hooks_ok(&[&["install", "--yes", "--dir", dir][..], &TORQUE].concat());
    fs::write(bench.path("bin/qdebug.rc"), "").unwrap();
    for job in ["11.login", "--force", ""] {
        assert_eq!(run(&mom.join("prologue"), &[job, "alice"], &[]), 0, "{job}");
        let calls = bench.calls().join(" ");
        assert!(
            calls.contains("<--sweep>") && calls.contains(job),
            "{calls}"
        );
    }
    // No shell finds its tools without them: still no failure.
    assert_eq!(run(&mom.join("prologue"), &[], &[("PATH", "/nowhere")]), 0);
}

#[test]
fn a_sites_own_scripts_keep_their_work_and_come_back() {
    let Some(bench) = Bench::new() else { return };
    let mom = mom(&bench);
    let theirs = "#!/bin/sh\nprintf '<%s>' \"$@\" >\"$0.calls\"\nexit 3\n";
    executable(&mom.join("prologue"), theirs);
    let dir = mom.to_str().unwrap();
    let with = |command: &'static str| [&[command, "--yes", "--dir", dir][..], &TORQUE].concat();
    for _ in 0..2 {
        bench.hooks_ok(&with("install"));
        let rc = run(&mom.join("prologue"), &["7.login", "a b", "$x"], &[]);
        assert_eq!(rc, 3, "the site's status");
        let calls = fs::read_to_string(mom.join("prologue.site.calls")).unwrap();
        assert_eq!(calls, "<7.login><a b><$x>");
        assert_eq!(bench.calls().len(), 3, "a list of three lines");
    }
    assert_eq!(
        run(&mom.join("epilogue"), &["7.login"], &[]),
        0,
        "none of theirs"
    );
    bench.hooks_ok(&["status", "--dir", dir, "--scheduler", "torque"]);
    bench.hooks_ok(&with("uninstall"));
    bench.hooks_ok(&with("uninstall"));
    assert_eq!(fs::read_to_string(mom.join("prologue")).unwrap(), theirs);
    assert!(!mom.join("epilogue").exists() && !mom.join("prologue.site").exists());

    // Installed, and then the site puts a script of its own over ours: nobody's is lost.
    bench.hooks_ok(&with("install"));
    executable(&mom.join("prologue"), "#!/bin/sh\n# another\n");
    let output = bench.hooks(&with("install"));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}
