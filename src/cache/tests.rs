//! Tests of the cache as a whole.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Instant;

use super::*;

fn about(name: &str) -> About {
    About {
        name: name.into(),
        image: "sha256:1".into(),
        fingerprint: "f".into(),
        node: "node1".into(),
    }
}

fn lock(cache: &Cache, key: &Key) -> Lock {
    match cache
        .claim(key, "node1")
        .unwrap()
        .attempt(Instant::now())
        .unwrap()
    {
        Attempt::Held(lock) => lock,
        Attempt::Other(owner) => panic!("{owner:?}"),
    }
}

fn put(cache: &Cache, name: &str, bytes: &[u8]) -> Result<Entry, Error> {
    let key = Key::of(&[name]);
    let lock = lock(cache, &key);
    let mut writer = cache.write(&key)?;
    for piece in bytes.chunks(1000) {
        writer.take(piece)?;
    }
    writer.finish(about(name), &lock)
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn read(cache: &Cache, entry: &Entry) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    cache.read(entry).unwrap().read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[test]
fn what_is_put_in_comes_out() {
    let base = tempfile::tempdir().unwrap();
    let cache = Cache::open(base.path(), 1 << 30).unwrap();
    let bytes = noise(300_000);
    let entry = put(&cache, "debian", &bytes).unwrap();
    assert_eq!(entry.unpacked_bytes, 300_000);
    let found = cache.find(&Key::of(&["debian"])).unwrap().unwrap();
    assert_eq!(found, entry);
    assert_eq!(read(&cache, &found).unwrap(), bytes);
    // Put in again it takes the place of the old.
    put(&cache, "debian", b"new").unwrap();
    let all = cache.list().unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(read(&cache, &all[0].entry).unwrap(), b"new");
    // A description, its data and the folder of locks.
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 3);
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(cache.path().to_owned()), 0o700);
    assert_eq!(mode(cache.path().join(&all[0].entry.data)), 0o600);
}

#[test]
fn a_writer_that_stops_leaves_nothing() {
    let base = tempfile::tempdir().unwrap();
    let cache = Cache::open(base.path(), 1 << 30).unwrap();
    let mut writer = cache.write(&Key::of(&["x"])).unwrap();
    writer.take(&noise(100_000)).unwrap();
    drop(writer);
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
    assert_eq!(cache.find(&Key::of(&["x"])).unwrap(), None);
}

#[test]
fn whoever_lost_the_lock_changes_nothing() {
    let base = tempfile::tempdir().unwrap();
    let cache = Cache::open(base.path(), 1 << 30).unwrap();
    let key = Key::of(&["x"]);
    let lock = lock(&cache, &key);
    let writer = cache.write(&key).unwrap();
    fs::remove_file(cache.locks().join(format!("{key}.lock"))).unwrap();
    let error = writer.finish(about("x"), &lock).unwrap_err();
    assert!(matches!(error, Error::Overtaken { .. }), "{error}");
    assert_eq!(cache.find(&key).unwrap(), None);
}

#[test]
fn damage_is_found_and_what_cannot_be_read_goes() {
    let base = tempfile::tempdir().unwrap();
    let cache = Cache::open(base.path(), 1 << 30).unwrap();
    let key = Key::of(&["x"]);
    let entry = put(&cache, "x", &noise(200_000)).unwrap();
    let data = cache.path().join(&entry.data);
    // A bit flips: the size is right, reading it is not.
    let mut bytes = fs::read(&data).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&data, &bytes).unwrap();
    assert!(read(&cache, &entry).is_err());
    // Cut short: found before reading.
    fs::write(&data, &bytes[..middle]).unwrap();
    assert_eq!(cache.find(&key).unwrap(), None);
    assert!(!data.exists());
    // No data, no description that is one.
    let entry = put(&cache, "x", b"x").unwrap();
    fs::remove_file(cache.path().join(&entry.data)).unwrap();
    assert_eq!(cache.find(&key).unwrap(), None);
    fs::write(cache.path().join(format!("{key}.json")), "{}").unwrap();
    assert_eq!(cache.find(&key).unwrap(), None);
    assert_eq!(cache.list().unwrap(), []);
}

#[test]
fn an_entry_that_is_a_link_is_not_followed() {
    let base = tempfile::tempdir().unwrap();
    let cache = Cache::open(base.path(), 1 << 30).unwrap();
    let entry = put(&cache, "x", b"x").unwrap();
    let (data, elsewhere) = (
        cache.path().join(&entry.data),
        base.path().join("elsewhere"),
    );
    fs::rename(&data, &elsewhere).unwrap();
    symlink(&elsewhere, &data).unwrap();
    assert_eq!(cache.find(&entry.key).unwrap(), None);
    assert!(elsewhere.exists());
}

#[test]
fn a_folder_that_others_may_enter_or_that_is_a_link_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let cache = Cache::open(base.path(), 1).unwrap();
    fs::set_permissions(cache.path(), fs::Permissions::from_mode(0o750)).unwrap();
    let error = Cache::open(base.path(), 1).unwrap_err();
    assert!(error.to_string().contains("750"), "{error}");
    let moved = base.path().join("moved");
    fs::rename(cache.path(), &moved).unwrap();
    symlink(&moved, cache.path()).unwrap();
    let error = Cache::open(base.path(), 1).unwrap_err();
    assert!(matches!(error, Error::Unfit { .. }), "{error}");
}

#[test]
fn what_is_larger_than_the_cache_is_not_kept() {
    let base = tempfile::tempdir().unwrap();
    let cache = Cache::open(base.path(), 50_000).unwrap();
    let error = put(&cache, "x", &noise(400_000)).unwrap_err();
    assert!(
        matches!(error, Error::TooLarge { limit: 50_000 }),
        "{error}"
    );
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
}

#[test]
fn pruning_frees_what_was_used_longest_ago() {
    let base = tempfile::tempdir().unwrap();
    let cache = Cache::open(base.path(), 1 << 30).unwrap();
    for name in ["a", "b", "c"] {
        put(&cache, name, &noise(10_000)).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // Reading is using.
    let a = cache.find(&Key::of(&["a"])).unwrap().unwrap();
    read(&cache, &a).unwrap();
    let bounds = Bounds {
        bytes: Some(2 * a.bytes),
        unused_for: None,
    };
    let names = |going: Vec<Listed>| {
        let names = going.into_iter().map(|listed| listed.entry.about.name);
        names.collect::<Vec<_>>()
    };
    let told = cache.prune(&bounds, None, Sweep::Tell).unwrap();
    assert_eq!(names(told), ["b"]);
    assert_eq!(cache.list().unwrap().len(), 3);
    // Who is preparing it just now keeps it.
    let _held = lock(&cache, &Key::of(&["b"]));
    let gone = cache.prune(&bounds, None, Sweep::Remove).unwrap();
    assert_eq!(names(gone), ["c"]);
    assert_eq!(cache.list().unwrap().len(), 2);
}

#[test]
fn what_dead_writers_left_goes_when_it_is_old() {
    let base = tempfile::tempdir().unwrap();
    let cache = Cache::open(base.path(), 1 << 30).unwrap();
    let entry = put(&cache, "x", b"x").unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
    let make = |name: &str, at| {
        let path = cache.path().join(name);
        fs::write(&path, "left").unwrap();
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(at)
            .unwrap();
        path
    };
    let orphan = format!("{}-{}.tar.zst", Key::of(&["y"]), "0".repeat(16));
    let gone = [
        make(".new-1", old),
        make(&orphan, old),
        make("locks/.claim-1", old),
    ];
    let young = make(".new-2", std::time::SystemTime::now());
    cache.remove_leftovers().unwrap();
    assert!(gone.iter().all(|path| !path.exists()));
    assert!(young.exists());
    assert_eq!(cache.find(&entry.key).unwrap(), Some(entry));
}
