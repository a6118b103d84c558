//! A process that computes on a GPU, and what this node knows of it.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// A process that has something on a GPU.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GpuProcess {
    /// Its id on this node.
    pub pid: u32,
    /// Its memory on the GPU in bytes, where the driver tells.
    pub memory_bytes: Option<u64>,
    /// Its user's name, or number where that has none on this node; `None` for a process that
    /// cannot be seen from here.
    pub user: Option<String>,
    /// Its program, as the kernel calls it.
    pub program: Option<String>,
}

impl fmt::Display for GpuProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {}", self.pid)?;
        match (&self.program, &self.user) {
            (Some(program), Some(user)) => write!(f, " ({program} of {user}")?,
            (None, Some(user)) => write!(f, " (of {user}")?,
            _ => write!(f, " (of a user who cannot be seen from here")?,
        }
        match self.memory_bytes {
            Some(bytes) => write!(f, ", {} MiB)", bytes >> 20),
            None => f.write_str(")"),
        }
    }
}

/// Fills in what `/proc` tells.
pub(super) fn of_this_node(pid: u32, memory_bytes: Option<u64>) -> GpuProcess {
    below(Path::new("/"), pid, memory_bytes)
}

fn below(root: &Path, pid: u32, memory_bytes: Option<u64>) -> GpuProcess {
    let folder = root.join(format!("proc/{pid}"));
    let uid = folder.metadata().ok().map(|about| about.uid());
    let text = |path: &Path| std::fs::read_to_string(path).ok();
    let users = text(&root.join("etc/passwd")).unwrap_or_default();
    GpuProcess {
        pid,
        memory_bytes,
        user: uid.map(|uid| name(&users, uid).unwrap_or_else(|| format!("uid {uid}"))),
        // A program calls itself what it likes.
        program: text(&folder.join("comm")).map(|comm| {
            let plain = |c: char| if c.is_control() { '?' } else { c };
            comm.trim_end_matches('\n')
                .chars()
                .map(plain)
                .take(32)
                .collect()
        }),
    }
}

fn name(users: &str, uid: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_with_user_program_and_memory() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/7")).unwrap();
        std::fs::write(root.path().join("proc/7/comm"), "py\u{1b}thon\n").unwrap();
        let uid = rustix::process::getuid().as_raw();
        let shown = below(root.path(), 7, Some(3 << 20)).to_string();
        assert_eq!(shown, format!("pid 7 (py?thon of uid {uid}, 3 MiB)"));
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let users = format!(":x:{uid}:\nbob:x:{uid}:{uid}::/:/bin/sh\n");
        std::fs::write(root.path().join("etc/passwd"), users).unwrap();
        let shown = below(root.path(), 7, None).to_string();
        assert_eq!(shown, "pid 7 (py?thon of bob)");
        let hidden = below(root.path(), 8, Some(1 << 20)).to_string();
        assert!(
            hidden.contains("pid 8") && hidden.contains("cannot be seen"),
            "{hidden}"
        );
    }
}
