//! Slurm's epilog.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::bench::{Bench, executable, run, said};

fn fake_slurm(bench: &Bench, epilog: &str) {
    let text = format!("#!/bin/sh\necho 'Epilog                  = {epilog}'\n");
    bench.tool("scontrol", &text);
}

const SLURM: [&str; 2] = ["--scheduler", "slurm"];

#[test]
fn slurm_installs_looks_and_leaves_nothing() {
    let Some(bench) = Bench::new() else { return };
    let folder = bench.path("epilog.d");
    let glob = format!("{}/*", folder.display());
    fake_slurm(&bench, "(null)");
    let dir = ["--dir", folder.to_str().unwrap()];
    let with = |command: &'static str, more: &[&'static str]| {
        [&[command][..], &SLURM, &dir, more].concat()
    };
    let text = bench.hooks_ok(&with("install", &["--dry-run"]));
    assert!(text.contains("50-qdebug.sh") && !folder.exists(), "{text}");
    assert_eq!(bench.hooks(&with("install", &[])).status.code(), Some(2));
    let text = bench.hooks_ok(&with("install", &["--yes"]));
    assert!(text.contains(&format!("`Epilog={glob}`")), "{text}");
    assert_eq!(bench.hooks(&with("status", &[])).status.code(), Some(1));

    fake_slurm(&bench, &glob);
    bench.hooks_ok(&with("status", &[]));
    let text = bench.hooks_ok(&with("install", &["--yes"]));
    assert!(text.contains("nothing to do"), "{text}");
    // Slurm would drain every node.
    let output = bench.hooks(&with("uninstall", &["--yes"]));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(folder.join("50-qdebug.sh").exists());
    executable(&folder.join("10-theirs"), "#!/bin/sh\n");
    // So would a job that ends in the moment the file goes.
    bench.tool("squeue", "#!/bin/sh\necho 33\n");
    let output = bench.hooks(&with("uninstall", &["--yes"]));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(folder.join("50-qdebug.sh").exists());
    bench.tool(
        "squeue",
        "#!/bin/sh\necho 'Invalid node name specified' >&2; exit 1\n",
    );
    bench.hooks_ok(&with("uninstall", &["--yes"]));
    assert!(folder.join("10-theirs").exists() && !folder.join("50-qdebug.sh").exists());
    bench.hooks_ok(&with("uninstall", &["--yes"]));

    fs::remove_file(folder.join("10-theirs")).unwrap();
    fake_slurm(&bench, "(null)");
    bench.hooks_ok(&with("install", &["--yes"]));
    bench.hooks_ok(&with("uninstall", &["--yes"]));
    assert!(!folder.exists());
}

#[test]
fn slurms_epilog_never_fails_and_hands_on_nothing_odd() {
    let Some(bench) = Bench::new() else { return };
    let folder = bench.path("epilog.d");
    fake_slurm(&bench, "(null)");
    let dir = folder.to_str().unwrap();
    bench.hooks_ok(&[&["install", "--yes", "--dir", dir][..], &SLURM].concat());
    let script = folder.join("50-qdebug.sh");
    let epilog = |job: &str, uid: &str| {
        let env = [
            ("SLURM_JOB_ID", job),
            ("SLURM_JOB_UID", uid),
            ("SLURM_JOB_WORK_DIR", "/tmp/$(touch /tmp/x)"),
            ("LD_PRELOAD", ""),
            ("DOCKER_HOST", "tcp://evil:1"),
        ];
        assert_eq!(run(&script, &[], &env), 0, "{job:?} {uid:?}");
        bench.calls()
    };
    let words = "<cleanup><--scheduler><slurm><--job><33><--uid><2001>";
    assert_eq!(epilog("33", "2001"), [words]);
    let seen = fs::read_to_string(bench.path("bin/qdebug.env")).unwrap();
    assert!(
        !seen.contains("SLURM") && !seen.contains("DOCKER"),
        "{seen}"
    );
    assert_eq!(
        epilog("33", "-1"),
        ["<cleanup><--scheduler><slurm><--job><33>"]
    );
    for odd in ["", "--force", "1 2", "$(id)", "1\n2", "é", "/etc/passwd"] {
        assert!(epilog(odd, "2001").is_empty(), "{odd:?}");
    }
    assert_eq!(run(&script, &["--force"], &[]), 0, "nothing set");

    fs::write(bench.path("bin/qdebug.rc"), "").unwrap();
    assert_eq!(epilog("34", "1").len(), 1, "its failure is not the node's");
    fs::set_permissions(bench.qdebug(), fs::Permissions::from_mode(0o775)).unwrap();
    assert!(epilog("35", "1").is_empty(), "a program others may write");
    fs::set_permissions(bench.qdebug(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(bench.path("bin"), fs::Permissions::from_mode(0o757)).unwrap();
    assert!(epilog("36", "1").is_empty(), "a folder others may write");
    fs::set_permissions(bench.path("bin"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(bench.qdebug()).unwrap();
    assert!(epilog("37", "1").is_empty(), "no program");
}

#[test]
fn what_others_may_write_is_not_installed() {
    let Some(bench) = Bench::new() else { return };
    fake_slurm(&bench, "(null)");
    fs::set_permissions(bench.path("bin"), fs::Permissions::from_mode(0o777)).unwrap();
    let output = bench.hooks(&[&["install", "--yes"][..], &SLURM].concat());
    assert_eq!(output.status.code(), Some(15), "{}", said(&output));
    assert!(
        said(&output).contains("others may write"),
        "{}",
        said(&output)
    );
}
