//! The node and the user as the outside sees them: names, address, host keys, groups.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use crate::process::Program;

/// How long resolving our own name may take.
const RESOLVE_LIMIT: Duration = Duration::from_secs(2);

/// The user this process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    /// User id.
    pub(super) uid: u32,
    /// Group id.
    pub(super) gid: u32,
    /// Login name.
    pub(super) name: String,
    /// The main group's name.
    pub(super) group: String,
    /// Supplementary groups by number and name, the main one left out.
    pub(super) groups: Vec<(u32, String)>,
}

impl User {
    /// This process's. A user or group without a name (no directory service on this node) gets
    /// one made of the number.
    pub(super) async fn of_this_process() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let gid = rustix::process::getgid().as_raw();
        let mut gids: Vec<u32> = rustix::process::getgroups()
            .unwrap_or_default()
            .into_iter()
            .map(|group| group.as_raw())
            .chain([gid])
            .collect();
        gids.sort_unstable();
        gids.dedup();
        let uids = [uid];
        let (users, named) = tokio::join!(names("passwd", &uids), names("group", &gids));
        let mut groups: Vec<(u32, String)> = gids
            .into_iter()
            .map(|gid| {
                let name = named.get(&gid).cloned();
                (gid, name.unwrap_or_else(|| format!("group{gid}")))
            })
            .collect();
        let own = groups.iter().position(|(id, _)| *id == gid);
        let group = own.map_or_else(String::new, |own| groups.remove(own).1);
        Self {
            uid,
            gid,
            name: users
                .get(&uid)
                .cloned()
                .unwrap_or_else(|| format!("user{uid}")),
            group,
            groups,
        }
    }
}

/// The names of these ids: from the node's own file, else asked of its directory service through
/// the C library's tool.
async fn names(database: &str, ids: &[u32]) -> BTreeMap<u32, String> {
    let local = std::fs::read_to_string(Path::new("/etc").join(database)).unwrap_or_default();
    let mut found = names_in(&local, ids);
    let missing = ids.iter().filter(|id| !found.contains_key(id));
    let missing: Vec<String> = missing.map(u32::to_string).collect();
    if missing.is_empty() {
        return found;
    }
    let asked = Program::new("getent")
        .arg(database)
        .args(missing)
        .time_limit(Duration::from_secs(10))
        .output()
        .await;
    match asked {
        // Status 2 says that some were not found; the others are printed all the same.
        Ok(output) => found.extend(names_in(&output.stdout, ids)),
        Err(error) => tracing::debug!(%error, database, "cannot ask for names"),
    }
    found
}

/// The names of these ids in a passwd or group file. A name that could not stand in a line of its
/// own is none.
fn names_in(text: &str, ids: &[u32]) -> BTreeMap<u32, String> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(Ok(id))) = (fields.next(), fields.nth(1).map(str::parse)) else {
            continue;
        };
        let odd = |c: char| c.is_control() || matches!(c, ':' | ',');
        let well = !name.is_empty() && !name.starts_with(['+', '-', '#']) && !name.contains(odd);
        if ids.contains(&id) && well {
            found.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    found
}

/// The node's name as it calls itself.
pub(super) fn node_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// Begins to resolve the node's name; what comes is the address, if there is one that helps.
pub(super) fn address_in_background() -> impl Future<Output = Option<IpAddr>> {
    let task = tokio::spawn(async { address(&node_name()).await });
    async { task.await.ok().flatten() }
}

/// The address the node's name resolves to; none when that is only the loopback, which helps
/// nobody elsewhere.
async fn address(node: &str) -> Option<IpAddr> {
    let resolving = tokio::net::lookup_host((node, 22));
    let found = tokio::time::timeout(RESOLVE_LIMIT, resolving).await;
    let addresses: Vec<IpAddr> = found.ok()?.ok()?.map(|address| address.ip()).collect();
    let usable = |ip: &&IpAddr| !ip.is_loopback() && !ip.is_unspecified();
    let first_v4 = addresses.iter().filter(usable).find(|ip| ip.is_ipv4());
    first_v4.or_else(|| addresses.iter().find(usable)).copied()
}

/// The node's own ssh host public keys, as `TYPE BASE64`.
pub(super) fn ssh_host_keys(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut keys: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("ssh_host_") && name.ends_with("_key.pub")
        })
        .filter_map(|entry| public_key(&std::fs::read_to_string(entry.path()).ok()?))
        .collect();
    keys.sort();
    keys
}

/// The type and the key of a public key's line; the comment names people and machines.
fn public_key(text: &str) -> Option<String> {
    let mut words = text.lines().next()?.split_ascii_whitespace();
    let (kind, key) = (words.next()?, words.next()?);
    let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'@' | b'.');
    (kind.bytes().all(plain) && key.len() > 40 && key.bytes().all(base64))
        .then(|| format!("{kind} {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_number_and_odd_ones_are_not() {
        let passwd = "root:x:0:0::/root:/bin/sh\nalice:x:2001:100:A L:/home/alice:/bin/csh\n\
                      later:x:2001:1::/:/x\n:x:8:8::/:\n-o:x:9:9::/:\nbroken\nx:y\n";
        let found = names_in(passwd, &[2001, 8, 9, 10]);
        assert_eq!(found, [(2001, "alice".to_owned())].into());
        let groups = "domain users:x:3001:alice\ngpu:x:44:\n";
        assert_eq!(names_in(groups, &[3001])[&3001], "domain users");
    }

    #[tokio::test]
    async fn this_process_is_somebody() {
        let user = User::of_this_process().await;
        assert!(!user.name.is_empty() && !user.group.is_empty());
        assert!(!user.groups.iter().any(|(gid, _)| *gid == user.gid));
    }

    #[test]
    fn host_keys_lose_their_comments() {
        let folder = tempfile::tempdir().unwrap();
        let key = format!("ssh-ed25519 AAAA{}", "b".repeat(60));
        let write = |name: &str, text: String| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write("ssh_host_ed25519_key.pub", format!("{key} root@node1\n"));
        write("ssh_host_ed25519_key", "PRIVATE".to_owned());
        write("ssh_host_bad_key.pub", "x\n".to_owned());
        write("moduli", key.clone());
        assert_eq!(ssh_host_keys(folder.path()), [key]);
        assert_eq!(ssh_host_keys(Path::new("/no such")), Vec::<String>::new());
    }
}
