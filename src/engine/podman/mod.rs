//! Rootless Podman: its Docker-compatible API, served by a child of this process where nobody
//! serves it yet.
//!
//! Problem: Podman has no daemon, and what it does by default breaks in a batch job. Its store lies
//! in the user's home, which is on NFS, where overlays are refused and two nodes would write one
//! database. Its runtime folder is /run/user/UID, which is there only while somebody is logged in.
//! Solution: a service of our own keeps all of it in one private folder on the node
//! ([`Home`]), the same for every node half, `gc` and hook of this user, and sees the images of the
//! user's own store, read-only, where that store can be used ([`storage`]).
//!
//! Evidence, podman 4.3 of Debian 12: the service runs in two processes the first time (the second
//! one in the user namespace), so a signal goes to their process group; a SIGKILL of the first leaves
//! the second, which ends by itself when no connection is open for [`IDLE`]. A wait for a
//! container's exit counts as an open connection. When a scheduler kills every process of a job,
//! conmon and the keeper of the namespace (`catatonit -P`) go too, Podman still takes the container
//! for running and refuses every command but `system migrate`, which takes 50 ms and mends it.

mod service;
mod storage;

pub(super) use service::{Home, Service, is_installed};

use super::Error;

/// What keeps Podman from working, as far as its words tell: each has its cure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The user has no ranges in /etc/subuid and /etc/subgid.
    NoSubordinateIds,
    /// newuidmap and newgidmap are missing, or not setuid.
    NoIdMapping,
    /// The kernel makes no user namespaces for this user.
    NoUserNamespaces,
    /// /dev/net/tun is missing or closed.
    NoTun,
    /// The program that makes the network is missing.
    NoNetwork,
    /// The overlay file system is refused, or /dev/fuse is missing or closed.
    NoOverlay,
    /// crun on a machine with cgroup version 1.
    CrunOnOldCgroups,
    /// Everything of the last containers was killed, and Podman takes them for running.
    StaleState,
    /// The store was made with other settings.
    OtherStore,
    /// Something else.
    Other,
}

/// Reads Podman's words; `None` where they tell of nothing that is known here.
pub(super) fn trouble(text: &str) -> Option<Trouble> {
    let text = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    Some(if has(&["/dev/net/tun"]) {
        Trouble::NoTun
    } else if has(&[
        "exec: \"newuidmap\"",
        "exec: \"newgidmap\"",
        "should have setuid",
    ]) {
        Trouble::NoIdMapping
    } else if has(&[
        "keep-id requires additional uids",
        "no subuid ranges",
        "no subgid ranges",
        "not be enough ids available",
        "insufficient uids or gids",
        // Podman 5 goes on with the user's own id alone, and then runc finds no mapping.
        "no user mapping found",
    ]) {
        Trouble::NoSubordinateIds
    } else if has(&["hybrid mode not supported", "cgroups v1 not supported"]) {
        Trouble::CrunOnOldCgroups
    } else if has(&[
        "could not find slirp4netns",
        "could not find pasta",
        "exec: \"pasta\"",
    ]) || (has(&["slirp4netns", "pasta"]) && has(&["executable file not found"]))
    {
        Trouble::NoNetwork
    } else if has(&[
        "cannot clone",
        "max_user_namespaces",
        "creating user namespace",
    ]) {
        Trouble::NoUserNamespaces
    } else if has(&[
        "invalid internal status",
        "could not find any running process",
    ]) {
        Trouble::StaleState
    } else if has(&[
        "database configuration mismatch",
        "user-selected graph driver",
    ]) {
        Trouble::OtherStore
    } else if has(&[
        "fuse-overlayfs",
        "/dev/fuse",
        "'overlay'",
        "overlay is not supported",
    ]) {
        Trouble::NoOverlay
    } else {
        return None;
    })
}

/// The error for a service that did not come up.
fn failed(detail: String) -> Error {
    Error::Podman {
        doing: "starting podman's service",
        trouble: trouble(&detail).unwrap_or(Trouble::Other),
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What podman 4.3.1 of Debian 12 and 5.4.2 of Debian 13 said when they were made to fail.
    #[test]
    fn its_words_are_understood() {
        for (text, meant) in [
            (
                "/usr/bin/slirp4netns failed: \"open(\\\"/dev/net/tun\\\"): No such file or directory",
                Some(Trouble::NoTun),
            ),
            (
                "Error: command required for rootless mode with multiple IDs: exec: \"newuidmap\": \
                 executable file not found in $PATH",
                Some(Trouble::NoIdMapping),
            ),
            (
                "Error: cannot set up namespace using \"/usr/bin/newuidmap\": should have setuid or \
                 have filecaps setuid: exit status 1",
                Some(Trouble::NoIdMapping),
            ),
            (
                "Error: keep-id requires additional UIDs or GIDs defined in /etc/subuid and \
                 /etc/subgid to function correctly: %!w(<nil>)",
                Some(Trouble::NoSubordinateIds),
            ),
            (
                "preparing container 4180 for attach: runc: runc create failed: User namespaces \
                 enabled, but no user mapping found.: OCI runtime error",
                Some(Trouble::NoSubordinateIds),
            ),
            (
                "crun: cgroups in hybrid mode not supported, drop all controllers from cgroupv2",
                Some(Trouble::CrunOnOldCgroups),
            ),
            (
                "could not find slirp4netns, the network namespace can't be configured",
                Some(Trouble::NoNetwork),
            ),
            (
                "level=error msg=\"invalid internal status, try resetting the pause process with \
                 \\\"podman system migrate\\\": could not find any running process: no such process\"",
                Some(Trouble::StaleState),
            ),
            (
                "Error: 'overlay' is not supported over overlayfs, a mount_program is required: \
                 backing file system is unsupported for this graph driver",
                Some(Trouble::NoOverlay),
            ),
            (
                "rootlessport listen tcp 127.0.0.1:80: bind: permission denied",
                None,
            ),
        ] {
            assert_eq!(trouble(text), meant, "{text}");
        }
    }
}
