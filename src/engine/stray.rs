//! Processes that an engine has forgotten.
//!
//! Problem: a dockerd that dies while it starts a container can leave a process of it behind, made and
//! never told to go on. The engine that comes back drops the record and gives the container's address
//! to the next one; the two then share it, and that one's port answers nobody. No lease ends the process:
//! ours has not begun in it. Evidence: Docker 20.10 killed with its containerd in that moment; `runc
//! init` waits for good, under the user's own uid. Solution: what still runs in the control group of a
//! container that is removed is killed; the group carries the container's id in its name, in versions 1
//! and 2, with the drivers `cgroupfs` and `systemd` alike.

use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use super::ContainerId;

/// How long a whole id is: no other text has one by chance.
const WHOLE: usize = 64;

/// Kills what runs in the control group of a container that no engine has any more; how many processes
/// were told. Reads all of the machine's processes: to be called from a thread that may block.
pub fn kill_strays(id: &ContainerId) -> usize {
    kill_below(Path::new("/proc"), id)
}

/// The same below a folder that stands for `/proc`.
fn kill_below(processes: &Path, id: &ContainerId) -> usize {
    if id.as_str().len() < WHOLE {
        return 0;
    }
    let is_of_it = |pid: i32| {
        let groups = processes.join(pid.to_string()).join("cgroup");
        std::fs::read_to_string(groups).is_ok_and(|groups| groups.contains(id.as_str()))
    };
    let Ok(entries) = std::fs::read_dir(processes) else {
        return 0;
    };
    let pids = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| is_of_it(*pid));
    let mut told = 0;
    for pid in pids {
        let Some(process) = Pid::from_raw(pid) else {
            continue;
        };
        let killed = match pidfd_open(process, PidfdFlags::empty()) {
            // The number may be another process's by now; what is held open is the one that is asked
            // after again.
            Ok(held) if is_of_it(pid) => pidfd_send_signal(held, Signal::KILL),
            // Kernels before 5.3 have no such thing.
            Err(Errno::NOSYS) => kill_process(process, Signal::KILL),
            Ok(_) | Err(_) => continue,
        };
        match killed {
            Ok(()) => {
                tracing::warn!(pid, id = id.short(), "killed what the engine had forgotten");
                told += 1;
            }
            Err(Errno::SRCH) => {}
            Err(error) => tracing::warn!(pid, %error, "cannot kill what the engine has forgotten"),
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Child, Command};

    use super::*;

    const ID: &str = "016b95b5ab5205a17565737337dc07f4945250ea58668fa0aaba8f13d1e4402e";

    #[allow(clippy::disallowed_methods)] // A process to be killed.
    fn process_of_test() -> Child {
        Command::new("sleep").arg("600").spawn().unwrap()
    }

    fn lay(processes: &Path, pid: u32, groups: &str) {
        let folder = processes.join(pid.to_string());
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("cgroup"), groups).unwrap();
    }

    #[test]
    fn what_is_in_the_containers_group_goes_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let mut of_it = [process_of_test(), process_of_test()];
        let mut others = process_of_test();
        let old = format!("9:pids:/docker/{ID}\n8:memory:/docker/{ID}\n");
        lay(root.path(), of_it[0].id(), &old);
        let new = format!("0::/system.slice/docker-{ID}.scope\n");
        lay(root.path(), of_it[1].id(), &new);
        let other = format!("0::/system.slice/docker-{}.scope\n", "0".repeat(64));
        lay(root.path(), others.id(), &other);
        std::fs::create_dir(root.path().join("self")).unwrap();
        std::fs::create_dir(root.path().join("0")).unwrap();

        assert_eq!(kill_below(root.path(), &ContainerId::of_test(&ID[..12])), 0);
        assert_eq!(kill_below(root.path(), &ContainerId::of_test(ID)), 2);
        for process in &mut of_it {
            assert_eq!(process.wait().unwrap().signal(), Some(9));
        }
        assert_eq!(others.try_wait().unwrap(), None);
        others.kill().unwrap();
        others.wait().unwrap();
        // They are over: nobody is told again.
        assert_eq!(kill_below(root.path(), &ContainerId::of_test(ID)), 0);
    }

    #[test]
    fn a_machine_whose_processes_cannot_be_seen_has_none() {
        let nowhere = Path::new("/nonexistent");
        assert_eq!(kill_below(nowhere, &ContainerId::of_test(ID)), 0);
    }
}
