//! The cluster itself is what the other tests take it for.

use crate::host::Host;
use crate::job::Job;
use crate::scheduler::{Scheduler, here};

fn succeeds(host: Host, line: &str) -> bool {
    host.sh(line).code == 0
}

#[test]
fn the_laptop_reaches_login_and_no_node() {
    assert_eq!(
        Host::Laptop
            .run(&["ssh", "-oBatchMode=yes", "login", "hostname"])
            .ok()
            .text(),
        "login"
    );
    for node in Host::NODES {
        let address = node.sh("hostname -i").ok().text().to_owned();
        let knock = format!("nc -z -w 2 {address} 22");
        assert!(
            succeeds(Host::Login, &knock),
            "{node:?} has an sshd at {address}"
        );
        assert!(
            !succeeds(Host::Laptop, &knock),
            "{node:?} is reached at {address}"
        );
        let name = node.sh("hostname").ok().text().to_owned();
        assert!(
            !succeeds(Host::Laptop, &format!("getent hosts {name}")),
            "{name} is known"
        );
    }
}

#[test]
fn a_node_is_reached_through_login() {
    let line = "ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
                -J login node2 hostname";
    assert_eq!(Host::Laptop.sh(line).ok().text(), "node2");
}

#[test]
fn the_laptop_knows_login_alone() {
    assert!(succeeds(Host::Laptop, "ssh-keygen -F login"));
    assert!(!succeeds(Host::Laptop, "ssh-keygen -F node1"));
    assert!(!succeeds(
        Host::Laptop,
        "ssh -o BatchMode=yes -J login node1 true"
    ));
}

#[test]
fn a_job_gets_the_gpus_it_asked_for() {
    // OpenPBS tells how many, and not which.
    let (shown, all) = match here() {
        Scheduler::Slurm => ("$CUDA_VISIBLE_DEVICES", "0,1"),
        Scheduler::OpenPbs => (
            "$(qstat -f $PBS_JOBID | sed -n 's/.*exec_vnode = .*:ngpus=\\([0-9]*\\).*/\\1/p')",
            "2",
        ),
        Scheduler::Torque => (
            "$(sed 's/.*-gpu//' $PBS_GPUFILE | sort | paste -sd,)",
            "0,1",
        ),
    };
    for (node, name) in [(Host::Node1, "node1"), (Host::Node2, "node2")] {
        let script = format!("echo $(hostname) {shown}");
        let job = Job::submit(&format!("gpus-{name}"), node, 2, &script);
        assert_eq!(job.output(), format!("{name} {all}"));
    }
}

#[test]
fn home_is_shared_by_login_and_nodes_and_not_by_the_laptop() {
    Host::Login.sh("touch ~/shared-by-the-cluster").ok();
    for node in Host::NODES {
        assert!(
            succeeds(node, "test -O ~/shared-by-the-cluster"),
            "{node:?}"
        );
    }
    assert!(!succeeds(Host::Laptop, "test -e ~/shared-by-the-cluster"));
    Host::Login.sh("rm ~/shared-by-the-cluster").ok();
}

#[test]
fn the_engines_accept_gpus_and_have_the_images() {
    for node in Host::NODES {
        let print = "docker run --rm --gpus device=0 qdebug/busybox \
                     sh -c 'echo $NVIDIA_VISIBLE_DEVICES'";
        assert_eq!(node.sh(print).ok().text(), "0");
        assert_eq!(
            node.sh("docker run --rm qdebug/demo demo-tool").ok().text(),
            "demo tool"
        );
    }
    assert_ne!(Host::Node1.root("runuser -u bob -- docker ps").code, 0);
}

#[test]
fn the_nodes_have_the_stand_in_for_nvml() {
    let count = "import ctypes\n\
                 nvml = ctypes.CDLL('libnvidia-ml.so.1')\n\
                 assert nvml.nvmlInit_v2() == 0\n\
                 count = ctypes.c_uint()\n\
                 assert nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) == 0\n\
                 print(count.value)";
    for node in Host::NODES {
        assert_eq!(node.run(&["python3", "-c", count]).ok().text(), "2");
    }
    assert_ne!(Host::Login.run(&["python3", "-c", count]).code, 0);
}
