//! The cluster itself is what the other tests take it for.

use crate::hosts::{run, run_as, said, succeeds};

#[test]
fn the_laptop_reaches_login_and_no_node() {
    assert_eq!(
        said("laptop", "ssh -o BatchMode=yes login hostname"),
        "login"
    );
    for node in ["node1", "node2"] {
        let address = said(
            "login",
            &format!("getent ahostsv4 {node} | awk 'NR==1 {{print $1}}'"),
        );
        assert!(
            succeeds("login", &format!("nc -z -w 2 {address} 22")),
            "{node} has an sshd"
        );
        assert!(
            !succeeds("laptop", &format!("nc -z -w 2 {address} 22")),
            "{node} is hidden"
        );
        assert!(
            !succeeds("laptop", &format!("getent hosts {node}")),
            "{node} has no name there"
        );
    }
}

#[test]
fn a_node_is_reached_through_login() {
    let line = "ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
                -J login node2 hostname 2>/dev/null";
    assert_eq!(said("laptop", line), "node2");
}

#[test]
fn the_laptop_knows_login_alone() {
    let known = said(
        "laptop",
        "ssh-keygen -F login -f ~/.ssh/known_hosts | grep -c ssh-ed25519",
    );
    assert_eq!(known, "1");
    assert!(!succeeds(
        "laptop",
        "ssh -o BatchMode=yes -J login node1 true"
    ));
}

#[test]
fn a_job_gets_the_gpus_it_asked_for() {
    for (gpu, node) in [("V100", "node1"), ("P100", "node2")] {
        let line =
            format!("srun --gres=gpu:{gpu}:2 sh -c 'echo $(hostname) $CUDA_VISIBLE_DEVICES'");
        assert_eq!(said("login", &line), format!("{node} 0,1"));
    }
}

#[test]
fn home_is_shared_by_login_and_nodes_and_not_by_the_laptop() {
    said("login", "touch ~/shared-by-the-cluster");
    assert!(succeeds("node1", "test -O ~/shared-by-the-cluster"));
    assert!(succeeds("node2", "test -O ~/shared-by-the-cluster"));
    assert!(!succeeds("laptop", "test -e ~/shared-by-the-cluster"));
    said("login", "rm ~/shared-by-the-cluster");
}

#[test]
fn the_engines_accept_gpus_and_have_the_images() {
    for node in ["node1", "node2"] {
        let devices = said(
            node,
            "docker run --rm --gpus device=0 qdebug/busybox sh -c 'echo $NVIDIA_VISIBLE_DEVICES'",
        );
        assert_eq!(devices, "0");
        assert_eq!(
            said(node, "docker run --rm qdebug/demo demo-tool"),
            "demo tool"
        );
    }
    assert!(!run_as("bob", "node1", &["docker", "ps"]).status.success());
}

#[test]
fn the_nodes_have_the_stand_in_for_nvml() {
    let count = "import ctypes\n\
                 nvml = ctypes.CDLL('libnvidia-ml.so.1')\n\
                 assert nvml.nvmlInit_v2() == 0\n\
                 count = ctypes.c_uint()\n\
                 assert nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) == 0\n\
                 print(count.value)";
    for node in ["node1", "node2"] {
        let output = run(node, &["python3", "-c", count]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "2\n", "{output:?}");
    }
    assert!(!run("login", &["python3", "-c", count]).status.success());
}
