//! Processes that are not mixed up: a process id, its start and the machine's boot.

use serde::{Deserialize, Serialize};

/// A process, told from any later one of the same id: by its start in clock ticks since boot
/// (proc_pid_stat(5), field 22) and the boot's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessId {
    pub(super) pid: u32,
    start: u64,
    boot: String,
}

impl ProcessId {
    /// A process that runs now; `None` when it does not.
    pub(super) fn of(pid: u32) -> Option<Self> {
        Some(Self {
            pid,
            start: start_of(pid)?,
            boot: boot()?,
        })
    }

    /// Whether it still runs; a zombie does not.
    pub(super) fn runs(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }
}

fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

fn start_of(pid: u32) -> Option<u64> {
    start_in(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Field 22 of a stat line of a process that lives. Its name (field 2) may hold anything, spaces
/// and brackets too, so fields count from the last bracket.
fn start_in(stat: &str) -> Option<u64> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_run_and_a_process_of_another_start_does_not() {
        let mut me = ProcessId::of(std::process::id()).unwrap();
        assert!(me.runs());
        me.start += 1;
        assert!(!me.runs());
    }

    #[test]
    fn odd_process_names_are_read_past() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(start_in(&format!("7 (a) b) {rest}")), Some(4711));
        assert_eq!(
            start_in(&format!("7 (x) {}", rest.replacen('S', "Z", 1))),
            None
        );
        for bad in ["", "7", "7 (x", "7 (x) S", "7 (x) S a b"] {
            assert_eq!(start_in(bad), None, "{bad}");
        }
    }
}
