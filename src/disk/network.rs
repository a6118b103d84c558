//! Which file systems are of several machines: a lock there may hold on one machine only, and a
//! socket there leads nowhere.

use std::path::Path;

/// The file systems of several machines, by their magic numbers (statfs(2) and their sources).
#[cfg(target_os = "linux")]
const NETWORK: [(u32, &str); 11] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x0102_1997, "9p"),
    (0xaad7_aaea, "PanFS"),
];

/// The name of the network file system that a path lies on; `None` on any other, and where the
/// system does not tell.
#[cfg(target_os = "linux")]
pub fn network_file_system(path: &Path) -> Option<&'static str> {
    let magic = rustix::fs::statfs(path).ok()?.f_type;
    name_of(magic as u32) // The numbers have 32 bits, whatever the type of the field.
}

/// The name of the network file system that a path lies on: known on Linux alone.
#[cfg(not(target_os = "linux"))]
pub fn network_file_system(_: &Path) -> Option<&'static str> {
    None
}

#[cfg(target_os = "linux")]
fn name_of(magic: u32) -> Option<&'static str> {
    let known = NETWORK.iter().find(|(number, _)| *number == magic);
    known.map(|(_, name)| *name)
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_number() {
        assert_eq!(name_of(0x6969), Some("NFS"));
        assert_eq!(name_of(0x4750_4653), Some("GPFS"));
        assert_eq!(name_of(0xef53), None);
        assert_eq!(network_file_system(Path::new("/proc")), None);
    }
}
