//! Who lives in the container beside sshd, as `/proc` tells every process of the same pid
//! namespace, also of those that forbid tracing.

use std::path::Path;

/// How sshd's own processes are called, before and since OpenSSH 9.8. A program of the user's of
/// that name is ended later than the others, and is ended.
const OF_SSHD: [&str; 3] = ["sshd", "sshd-session", "sshd-auth"];

/// SIGTERM's bit in the masks of `/proc/PID/status`.
const TERM: u64 = 1 << 14;

/// A process that is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its process id.
    pub(crate) pid: i32,
    /// That of the process it belongs to.
    parent: i32,
    /// It is sshd's own.
    of_sshd: bool,
    /// It takes no notice of SIGTERM, as an interactive shell does: there is nothing to wait for.
    pub(crate) ignores_term: bool,
}

/// Everybody alive in `proc` (`/proc`) but PID 1 and sshd.
pub(crate) fn of_the_user(proc: &Path) -> Vec<Process> {
    let mut all = all(proc);
    all.retain(|process| !process.of_sshd);
    all
}

/// Whether a connection is open that nothing runs for: sshd may still have to hand on what its
/// process has said.
pub(crate) fn sshd_may_have_words(proc: &Path) -> bool {
    has_words(&all(proc))
}

fn has_words(all: &[Process]) -> bool {
    // The one that listens is PID 1's child.
    let mut connections = all.iter().filter(|one| one.of_sshd && one.parent != 1);
    connections.any(|connection| all.iter().all(|other| other.parent != connection.pid))
}

fn all(proc: &Path) -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir(proc) else {
        return Vec::new();
    };
    let all = entries.flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        // Bytes, since a process may call itself anything. One that has just ended is none.
        let status = std::fs::read(entry.path().join("status")).ok()?;
        parse(pid, &String::from_utf8_lossy(&status))
    });
    all.filter(|process| process.pid > 1).collect()
}

fn parse(pid: i32, status: &str) -> Option<Process> {
    let field = |name| {
        let mut lines = status.lines();
        lines
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    if field("State:")?.starts_with(['Z', 'X']) {
        return None;
    }
    let ignored = u64::from_str_radix(field("SigIgn:")?, 16).ok()?;
    Some(Process {
        pid,
        parent: field("PPid:")?.parse().ok()?,
        of_sshd: OF_SSHD.contains(&field("Name:")?),
        ignores_term: ignored & TERM != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(name: &str, state: &str, ignored: &str) -> String {
        format!(
            "Name:\t{name}\nUmask:\t0022\nState:\t{state}\nPPid:\t7\nSigIgn:\t{ignored}\nSigCgt:\t0\n"
        )
    }

    #[test]
    fn sshd_the_dead_and_init_are_left_out() {
        let folder = std::env::temp_dir().join(format!("init processes {}", std::process::id()));
        for (pid, text) in [
            ("1", status("init", "S (sleeping)", "0000000000000000")),
            ("7", status("sshd", "S (sleeping)", "0000000000001000")),
            (
                "8",
                status("sshd-session", "S (sleeping)", "0000000000000000"),
            ),
            ("9", status("bash", "S (sleeping)", "0000000000384004")),
            ("10", status("python3", "R (running)", "0000000001001000")),
            ("11", status("python3", "Z (zombie)", "0000000000000000")),
            ("12", "garbage".to_owned()),
            ("self", status("x", "R (running)", "0")),
        ] {
            std::fs::create_dir_all(folder.join(pid)).unwrap();
            std::fs::write(folder.join(pid).join("status"), text).unwrap();
        }
        let mut found = of_the_user(&folder);
        found.sort_by_key(|process| process.pid);
        let process = |pid, ignores_term| Process {
            pid,
            parent: 7,
            of_sshd: false,
            ignores_term,
        };
        assert_eq!(found, [process(9, true), process(10, false)]);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(of_the_user(&folder), []);
    }

    #[test]
    fn a_connection_whose_process_has_ended_may_have_words() {
        let process = |pid, parent, of_sshd| Process {
            pid,
            parent,
            of_sshd,
            ignores_term: false,
        };
        let listener = process(7, 1, true);
        let connection = process(8, 7, true);
        let shell = process(9, 8, false);
        assert!(!has_words(&[listener]));
        assert!(!has_words(&[listener, connection, shell]));
        assert!(has_words(&[listener, connection]));
        let other = process(10, 7, true);
        assert!(has_words(&[listener, connection, shell, other]));
    }

    #[test]
    fn ourselves_are_seen() {
        let own = i32::try_from(std::process::id()).unwrap();
        let all = of_the_user(Path::new("/proc"));
        assert!(all.iter().any(|process| process.pid == own));
    }
}
