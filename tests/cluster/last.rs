//! What changes the cluster for everybody: `tests/run.sh` runs it when nothing else runs there.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::hooked::{self, command};
use crate::host::{Host, within};
use crate::reach::{self, Closed};
use crate::scheduler::{Scheduler, here};
use crate::session::Session;
use crate::trial::{GRANTED, HERE, KNOWN, Trial, v100s};

/// One at a time: they change the same nodes.
static CLUSTER: Mutex<()> = Mutex::new(());

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

/// Nodes whose sshd lets alice in no more, as one with pam_slurm or AllowUsers does.
struct Shut;

impl Shut {
    const FILE: &str = "/etc/ssh/sshd_config.d/shut.conf";

    #[track_caller]
    fn nodes() -> Self {
        for node in Host::NODES {
            node.root(&format!("echo 'DenyUsers alice' >{}", Self::FILE))
                .ok();
            node.root("pkill -HUP -o -x sshd").ok();
        }
        Self
    }
}

impl Drop for Shut {
    fn drop(&mut self) {
        for node in Host::NODES {
            node.root(&format!("rm {}; pkill -HUP -o -x sshd", Self::FILE));
        }
    }
}

#[test]
fn a_published_port_where_nodes_let_no_user_in() {
    let _own = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
    let (session, at) = reach::published("last-port");
    let _shut = Shut::nodes();
    let to_node = "ssh -o BatchMode=yes node1 true; ssh -o BatchMode=yes node2 true";
    let refused = || match Host::Login.sh(to_node) {
        ran if ran.code == 255 && ran.err.matches("Permission denied").count() == 2 => Ok(()),
        ran => Err(ran.to_string()),
    };
    within(Duration::from_secs(20), "nodes let nobody in", refused);
    // Login forwards what it is asked for; only the ways into the node are shut.
    let closed = Closed::but_to(2227, &[reach::NO_STEP], "any");
    closed.door.connect(&session, &["--detach"]).ok();
    closed.door.led_by("port");
    assert_eq!(session.ssh(&["id -un"]).ok().text(), "alice");

    // Without it each way says why it leads nowhere.
    let (_, port) = at.split_once(':').unwrap_or_default();
    let other = format!("localhost:{port}");
    let closed = Closed::but_to(2228, &[reach::NO_STEP], &other);
    let ran = closed.door.connect(&session, &["--detach"]);
    let ran = ran.fails(
        6,
        &[
            "by jump: ",
            "by nested: ",
            "Permission denied",
            "by port: ",
            &at,
        ],
    );
    assert_eq!(
        ran.err.contains("by exec: "),
        here() == Scheduler::Slurm,
        "{ran}"
    );
}

#[test]
fn the_hooks_go_and_leave_nothing() {
    let _own = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
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
    let _own = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
    Host::Login.sh("printf 'echo NOISE; echo NOISE >&2\\n' > .bashrc.noise; cp .bashrc .bashrc.kept; cat .bashrc.noise .bashrc.kept > .bashrc").ok();
    let listed = Host::Laptop.run(&["qdebug", "list", "--json", "--on", "alice@login"]);
    Host::Login
        .sh("mv .bashrc.kept .bashrc; rm .bashrc.noise")
        .ok();
    assert!(listed.ok().json().is_array());
}

/// What stands in for NVIDIA's runtime on a node.
const RUNTIME: &str = include_str!("nvidia_runtime.py");
const RUNTIME_AT: &str = "/usr/local/bin/nvidia-container-runtime";
const HOOK_AT: &str = "/usr/local/bin/nvidia-container-runtime-hook";
/// A dockerd that starts looks for the hook, and one that is told to looks at its runtimes.
const RESTART: &str = "cluster-init kill docker; cluster-init start docker; \
    for try in $(seq 300); do docker version >/dev/null 2>&1 && exit; sleep 0.1; done; exit 1";

/// The node's engine as it was, when this is dropped.
struct Engine;

impl Drop for Engine {
    fn drop(&mut self) {
        HERE.root(&format!(
            "rm -f /etc/docker/daemon.json {RUNTIME_AT}; mv {HOOK_AT}.away {HOOK_AT}; {RESTART}"
        ));
    }
}

#[test]
fn gpus_come_by_nvidias_runtime_where_the_engine_has_it_and_what_it_lacks_is_told() {
    let _own = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
    no_job_is_left();
    let _engine = Engine;
    let gpu = v100s(&[(KNOWN[0], "")]);
    let lacks = |name, cure: &str| {
        let trial = Trial::submit(name, &gpu, &GRANTED, &["-g", "V100"]);
        let status = trial.refused(&["cannot hand out GPUs"]);
        let hint = status["hint"].to_string();
        assert!(hint.contains(cure), "{status:#}");
    };

    // Without the hook there is no driver for a device request.
    HERE.root(&format!("mv {HOOK_AT} {HOOK_AT}.away; {RESTART}"))
        .ok();
    lacks("last-toolkit", "nvidia-container-toolkit");

    // Registered, and not there.
    let register = format!(
        "mkdir -p /etc/docker && \
         echo '{{\"runtimes\":{{\"nvidia\":{{\"path\":\"{RUNTIME_AT}\"}}}}}}' >/etc/docker/daemon.json; \
         {RESTART}"
    );
    HERE.root(&register).ok();
    lacks("last-runtime", "nvidia-ctk runtime configure");

    // And there: the hook is its own business, dockerd knows of none.
    HERE.root(&format!(
        "mv {HOOK_AT}.away {HOOK_AT} && cat >{RUNTIME_AT} <<'END'\n{RUNTIME}END\nchmod 755 {RUNTIME_AT}"
    ))
    .ok();
    let trial = Trial::submit("last-runs", &gpu, &GRANTED, &["-g", "V100"]);
    let details = trial.ready();
    let id = details["container"].as_str().unwrap_or_default();
    let format = "{{.HostConfig.Runtime}} {{.HostConfig.DeviceRequests}}";
    let made = HERE.run(&["docker", "inspect", "-f", format, id]).ok();
    assert_eq!(made.text(), "nvidia []");
    let shown = trial.inside(
        &details,
        "ls /dev | grep 'nvidia[0-9]'; echo $NVIDIA_VISIBLE_DEVICES",
    );
    assert_eq!(shown, format!("nvidia0\n{}", KNOWN[0]));
}

#[test]
fn a_mig_part_arrives_with_its_capabilities() {
    let _own = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
    no_job_is_left();
    const PART: &str = "MIG-5aa1-arrives";
    const OTHER: &str = "MIG-5aa2-other";
    const CONF: &str = "/etc/qdebug-test-nvml.conf";
    struct Conf;
    impl Drop for Conf {
        fn drop(&mut self) {
            HERE.root(&format!("mv {CONF}.kept {CONF}; umount /proc/driver"));
        }
    }
    // The runtime's hook makes devices for what the node's own file has, and the same capability for
    // every part; the driver's list has one of each.
    let _conf = Conf;
    let line = format!(
        "cp -p {CONF} {CONF}.kept && printf 'part %s 5368709120\\n' {PART} {OTHER} >>{CONF} &&
         mount -t tmpfs none /proc/driver && mkdir /proc/driver/nvidia-caps &&
         printf 'gpu1/gi7/ci0/access 1\\ngpu1/gi9/ci0/access 2\\n' >/proc/driver/nvidia-caps/mig-minors"
    );
    HERE.root(&line).ok();
    let cut = format!("mig on\npart {PART} 5368709120 7 0\npart {OTHER} 5368709120 9 0");
    let gpus = v100s(&[(KNOWN[0], ""), (KNOWN[1], &cut)]);
    let grant = format!("CUDA_VISIBLE_DEVICES={PART}");
    let trial = Trial::submit("last-part", &gpus, &[&grant], &["-g", "V100"]);
    let details = trial.ready();
    assert_eq!(details["gpus"][0]["uuid"], PART, "{details:#}");
    let shown = trial.inside(&details, "cd /dev && ls -d nvidia[0-9]* nvidia-caps/*");
    assert_eq!(shown, "nvidia-caps/nvidia-cap1\nnvidia1");

    // As many, and not the one that was granted.
    let grant = format!("CUDA_VISIBLE_DEVICES={OTHER}");
    let trial = Trial::submit("last-part-other", &gpus, &[&grant], &["-g", "V100"]);
    let wanted = format!("gi9/ci0 of /dev/nvidia1 ({OTHER})");
    trial.refused(&["gi7/ci0 of /dev/nvidia1", &wanted]);
}
