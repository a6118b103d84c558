//! Tests of `archive.rs`, on small archives made here.

use super::*;
use flate2::write::GzEncoder;
use tar::{EntryType, Header};

fn about(arch: &str, format: u32) -> String {
    format!(r#"{{"format":{format},"arch":"{arch}","recipe":"r","versions":{{"openssh":"10"}}}}"#)
}

/// One entry, its path written raw as the tar crate itself would refuse to.
fn put(tar: &mut tar::Builder<Vec<u8>>, kind: EntryType, path: &str, mode: u32, content: &str) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    let is_file = kind == EntryType::Regular;
    if let Some(gnu) = header.as_gnu_mut() {
        gnu.name[..path.len()].copy_from_slice(path.as_bytes());
        if !is_file {
            gnu.linkname[..content.len()].copy_from_slice(content.as_bytes());
        }
    }
    let content = if is_file { content } else { "" };
    header.set_size(content.len() as u64);
    header.set_cksum();
    tar.append(&header, content.as_bytes()).unwrap();
}

fn kit(entries: &[(EntryType, &str, u32, &str)]) -> Kit {
    let mut tar = tar::Builder::new(Vec::new());
    let text = about(std::env::consts::ARCH, 1);
    put(&mut tar, EntryType::Regular, "manifest.json", 0o600, &text);
    for (kind, path, mode, content) in entries {
        put(&mut tar, *kind, path, *mode, content);
    }
    pack(tar)
}

fn pack(tar: tar::Builder<Vec<u8>>) -> Kit {
    let mut gz = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&tar.into_inner().unwrap()).unwrap();
    Kit::new(gz.finish().unwrap(), b"init!")
}

fn usual() -> Kit {
    kit(&[
        (EntryType::Directory, "./bin/", 0o700, ""),
        (EntryType::Regular, "./bin/busybox", 0o4711, "BUSY"),
        (EntryType::Symlink, "./bin/sh", 0o777, "busybox"),
        (EntryType::Symlink, "bin/sshd", 0o777, "../sbin/sshd"),
        (EntryType::Regular, "sbin/sshd", 0o700, "SSHD"),
        (EntryType::Regular, "a b/ü", 0o600, "x"),
    ])
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn unpacks_everything_with_the_right_modes() {
    let node = tempfile::tempdir().unwrap();
    let kit = usual();
    let place = kit.unpack(node.path()).unwrap();
    assert_eq!(
        place,
        node.path().join(format!("kit-{}", &kit.hash()[..16]))
    );
    let read = |path| fs::read_to_string(place.join(path)).unwrap();
    assert_eq!(read("init"), "init!");
    assert_eq!(read("bin/sh"), "BUSY");
    assert_eq!(read("bin/sshd"), "SSHD");
    assert_eq!(read("a b/ü"), "x");
    for path in ["", "bin", "sbin", "bin/busybox", "sbin/sshd", "init"] {
        assert_eq!(mode(&place.join(path)), 0o755, "{path}");
    }
    assert_eq!(mode(&place.join("manifest.json")), 0o644);
    assert_eq!(fs::read_dir(node.path()).unwrap().count(), 1);
}

#[test]
fn a_whole_one_is_taken_and_a_damaged_one_replaced() {
    let node = tempfile::tempdir().unwrap();
    let place = usual().unpack(node.path()).unwrap();
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let first = inode(&place);
    usual().unpack(node.path()).unwrap();
    assert_eq!(inode(&place), first);

    let sshd = place.join("sbin/sshd");
    let damages: [&dyn Fn(); 4] = [
        &|| fs::remove_file(place.join("bin/sh")).unwrap(),
        &|| fs::write(&sshd, "").unwrap(),
        &|| fs::remove_file(place.join(MARKER)).unwrap(),
        &|| fs::remove_dir_all(&place).unwrap(),
    ];
    for damage in damages {
        damage();
        assert!(!is_whole(&place));
        usual().unpack(node.path()).unwrap();
        assert!(is_whole(&place));
        assert_eq!(fs::read_to_string(&sshd).unwrap(), "SSHD");
        assert_eq!(fs::read_dir(node.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_file_in_its_place_is_replaced_too() {
    let node = tempfile::tempdir().unwrap();
    let place = usual().unpack(node.path()).unwrap();
    fs::remove_dir_all(&place).unwrap();
    fs::write(&place, "not a folder").unwrap();
    usual().unpack(node.path()).unwrap();
    assert!(is_whole(&place));
}

#[test]
fn many_at_once_end_with_one() {
    let node = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(is_whole(&usual().unpack(node.path()).unwrap())));
        }
    });
    assert_eq!(fs::read_dir(node.path()).unwrap().count(), 1);
}

#[test]
fn what_would_leave_the_folder_is_refused() {
    use EntryType::{Block, Directory, Fifo, Link, Regular, Symlink};
    let hostile = [
        vec![(Regular, "/etc/passwd", 0o644, "x")],
        vec![(Regular, "../x", 0o644, "x")],
        vec![(Regular, "bin/../../x", 0o644, "x")],
        vec![(Directory, "..", 0o755, "")],
        vec![(Symlink, "bin/sh", 0o777, "/bin/sh")],
        vec![(Symlink, "bin/sh", 0o777, "../../sh")],
        vec![(Symlink, "bin/sh", 0o777, "a/../../../sh")],
        vec![
            (Symlink, "out", 0o777, ".."),
            (Regular, "out/x", 0o644, "x"),
        ],
        vec![(Symlink, "d", 0o777, "bin"), (Regular, "d/x", 0o644, "x")],
        vec![(Regular, "bin", 0o644, "x"), (Regular, "bin/x", 0o644, "x")],
        vec![(Link, "bin/sh", 0o777, "manifest.json")],
        vec![(Fifo, "pipe", 0o644, "")],
        vec![(Block, "disk", 0o644, "")],
        vec![(Regular, ".unpacked", 0o644, "")],
        vec![(Regular, "new\nline", 0o644, "")],
        vec![(Regular, "init", 0o755, "not ours")],
        vec![
            (Regular, "twice", 0o644, "a"),
            (Regular, "twice", 0o644, "b"),
        ],
    ];
    for entries in hostile {
        let node = tempfile::tempdir().unwrap();
        let outcome = kit(&entries).unpack(node.path());
        assert!(outcome.is_err(), "{entries:?} gave {outcome:?}");
        assert_eq!(fs::read_dir(node.path()).unwrap().count(), 0);
    }
}

#[test]
fn the_manifest_is_read_and_must_fit() {
    let manifest = usual().manifest().unwrap();
    assert_eq!(manifest.versions["openssh"], "10");

    let only = |text: &str| {
        let mut tar = tar::Builder::new(Vec::new());
        put(&mut tar, EntryType::Regular, "./manifest.json", 0o644, text);
        pack(tar)
    };
    let foreign = only(&about("pdp11", 1)).manifest();
    assert!(matches!(foreign, Err(Error::Architecture { found }) if found == "pdp11"));
    let newer = only(&about(std::env::consts::ARCH, 2)).manifest();
    assert!(matches!(newer, Err(Error::Format { found: 2 })));
    assert!(matches!(only("{").manifest(), Err(Error::Archive { .. })));
    let node = tempfile::tempdir().unwrap();
    assert!(only("{").unpack(node.path()).is_err());
}

#[test]
fn garbage_is_no_archive() {
    let node = tempfile::tempdir().unwrap();
    for bytes in [&b""[..], b"not gzip", &usual().archive[..40]] {
        let kit = Kit::new(bytes.to_vec(), b"init!");
        assert!(kit.manifest().is_err());
        assert!(kit.unpack(node.path()).is_err());
    }
    assert_eq!(fs::read_dir(node.path()).unwrap().count(), 0);
}

#[test]
fn a_missing_archive_says_where_it_was_looked_for() {
    let path = Path::new("/no such/kit.tar.gz");
    let error = Kit::read(path, b"init!").unwrap_err();
    assert!(matches!(error, Error::Missing { looked_at } if looked_at == path));
}

#[test]
fn the_build_script_and_we_make_the_same_sum() {
    assert_eq!(Kit::new(ARCHIVE.to_vec(), INIT).hash, HASH);
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn init_is_embedded_and_static() {
    assert!(
        INIT.starts_with(b"\x7fELF\x02\x01"),
        "not ELF of 64 bits, little end first"
    );
    let number = |at: usize, bytes: usize| {
        let digits = INIT[at..at + bytes].iter().rev();
        digits.fold(0, |sum, digit| sum << 8 | usize::from(*digit))
    };
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    // Segment type 3 names the loader a dynamic program needs.
    assert!(count > 0 && (0..count).all(|at| number(table + at * size, 4) != 3));
}

#[test]
fn what_was_left_half_made_goes_when_it_is_old() {
    let node_dir = tempfile::tempdir().unwrap();
    let make = |name: &str, age: u64| {
        let folder = node_dir.path().join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("sshd"), "half").unwrap();
        let then = std::time::SystemTime::now() - Duration::from_secs(age);
        fs::File::open(&folder).unwrap().set_modified(then).unwrap();
    };
    make(".kit-old", 700);
    make(".kit-young", 60);
    make("kit-0123456789abcdef", 7000);
    assert_eq!(sweep_half_made(node_dir.path()), 1);
    let mut left: Vec<_> = fs::read_dir(node_dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, [".kit-young", "kit-0123456789abcdef"]);
}
