//! What changes the cluster for everybody: `tests/run.sh` runs it when nothing else runs there.

use std::time::Duration;

use crate::hooked::{self, command};
use crate::host::{Host, within};
use crate::scheduler::{Scheduler, here};
use crate::session::Session;

/// Waits until no job is left: Slurm drains a node whose epilog goes while a job ends.
#[track_caller]
fn no_job_is_left() {
    let line = match here() {
        Scheduler::Slurm => "squeue -h -o %i",
        Scheduler::OpenPbs => "qselect",
        Scheduler::Torque => "qselect -s EHQRTW",
    };
    within(
        Duration::from_secs(60),
        "no job is left",
        || match Host::Login.sh(line).ok().text() {
            "" => Ok(()),
            some => Err(some.to_owned()),
        },
    );
}

#[test]
fn the_hooks_go_and_leave_nothing() {
    hooked::install();
    let small = ["-g", "V100", "-w", "10m", "-i", "qdebug/busybox"];
    let session = Session::ready("last-hooks", &small);
    if here() == Scheduler::Slurm {
        let refused = Host::Node1.root(&command("uninstall --yes"));
        refused.fails(4, &[&session.job, "drained"]);
        assert!(!hooked::files(Host::Node1).is_empty());
    }
    Host::Login.run(&["qdebug", "stop", &session.name]).ok();
    session.is_gone();
    no_job_is_left();

    for host in hooked::hosts() {
        host.root(&command("uninstall --yes")).ok();
        let again = host.root(&command("uninstall --yes")).ok();
        assert!(again.err.contains("nothing to do"), "{again}");
        let status = host.root(&command("status"));
        assert_eq!(status.code, 1, "{status}");
        assert!(status.to_string().contains("no hooks"), "{status}");
    }
    for node in Host::NODES {
        within(
            Duration::from_secs(60),
            "no file is left",
            || match &hooked::files(node)[..] {
                "" => Ok(()),
                some => Err(some.to_owned()),
            },
        );
    }
    hooked::no_node_is_harmed();

    // Two admins at the same time, there and back.
    for words in ["install --yes", "uninstall --yes"] {
        for host in hooked::hosts() {
            let one = command(words);
            let both =
                format!("{one} & one=$!; {one} & two=$!; wait $one; a=$?; wait $two && exit $a");
            host.root(&both).ok();
            let status = host.root(&command("status"));
            let installed = words.starts_with("install");
            assert_eq!(status.code == 0, installed, "{status}");
        }
    }
}

#[test]
fn start_files_that_print_noise_do_no_harm() {
    Host::Login.sh("printf 'echo NOISE; echo NOISE >&2\\n' > .bashrc.noise; cp .bashrc .bashrc.kept; cat .bashrc.noise .bashrc.kept > .bashrc").ok();
    let listed = Host::Laptop.run(&["qdebug", "list", "--json", "--on", "alice@login"]);
    Host::Login
        .sh("mv .bashrc.kept .bashrc; rm .bashrc.noise")
        .ok();
    assert!(listed.ok().json().is_array());
}
