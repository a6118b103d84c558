//! Tests of `lock.rs`.

use super::*;

fn cache() -> (tempfile::TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path(), 1 << 30).unwrap();
    (folder, cache)
}

fn held(attempt: Attempt) -> Lock {
    match attempt {
        Attempt::Held(lock) => lock,
        Attempt::Other(owner) => panic!("{owner:?} has it"),
    }
}

fn other(attempt: Attempt) -> Option<Owner> {
    match attempt {
        Attempt::Held(_) => panic!("it was taken"),
        Attempt::Other(owner) => owner,
    }
}

#[test]
fn one_holds_it_and_it_is_free_afterwards() {
    let (_folder, cache) = cache();
    let key = Key::of(&["x"]);
    let now = Instant::now();
    let lock = held(cache.claim(&key, "node1").unwrap().attempt(now).unwrap());
    assert!(lock.is_ours());
    assert_eq!(cache.locked().unwrap(), BTreeSet::from([key.clone()]));
    let mut waiting = cache.claim(&key, "node2").unwrap();
    let owner = other(waiting.attempt(now).unwrap()).unwrap();
    assert_eq!(owner.node, "node1");
    // Another key is another matter.
    held(
        cache
            .claim(&Key::of(&["y"]), "node2")
            .unwrap()
            .attempt(now)
            .unwrap(),
    );
    drop(lock);
    held(waiting.attempt(now).unwrap());
    let left = fs::read_dir(cache.locks()).unwrap().count();
    assert_eq!(left, 0, "something is left");
}

/// The lock as a process of another machine leaves it when it dies.
fn left_by_the_dead(cache: &Cache, key: &Key) -> PathBuf {
    let mut claim = cache.claim(key, "node1").unwrap();
    claim.me.place = "another boot".into();
    drop(claim.take().unwrap().unwrap());
    claim.path
}

#[test]
fn an_owner_that_says_nothing_is_dead_after_a_while_and_not_before() {
    let (_folder, cache) = cache();
    let key = Key::of(&["x"]);
    left_by_the_dead(&cache, &key);
    let mut waiting = cache.claim(&key, "node2").unwrap();
    let began = Instant::now();
    assert!(other(waiting.attempt(began).unwrap()).is_some());
    let almost = began + STALE - Duration::from_secs(1);
    assert!(other(waiting.attempt(almost).unwrap()).is_some());
    let lock = held(waiting.attempt(began + STALE).unwrap());
    assert!(lock.is_ours());
}

#[test]
fn an_owner_that_beats_lives_however_long_it_takes() {
    let (_folder, cache) = cache();
    let key = Key::of(&["x"]);
    let path = left_by_the_dead(&cache, &key);
    let mut waiting = cache.claim(&key, "node2").unwrap();
    let began = Instant::now();
    for minute in 0..10 {
        let mut owner: Owner = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        owner.beat += 1;
        let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        rewrite(&mut file, &owner).unwrap();
        let now = began + Duration::from_secs(60 * minute);
        assert!(other(waiting.attempt(now).unwrap()).is_some());
    }
}

#[test]
fn a_dead_process_of_this_machine_is_found_out_at_once() {
    let (_folder, cache) = cache();
    let key = Key::of(&["x"]);
    let mut dead = cache.claim(&key, "node1").unwrap();
    // No kernel gives out so high a number.
    dead.me.pid = i32::MAX - 1;
    drop(dead.take().unwrap().unwrap());
    let now = Instant::now();
    // Of a machine of another name nothing is known.
    assert!(other(cache.claim(&key, "node2").unwrap().attempt(now).unwrap()).is_some());
    held(cache.claim(&key, "node1").unwrap().attempt(now).unwrap());
}

#[test]
fn a_living_owner_keeps_it_when_a_slower_one_breaks_too_late() {
    let (_folder, cache) = cache();
    let key = Key::of(&["x"]);
    let path = left_by_the_dead(&cache, &key);
    let stale = fs::read(&path).unwrap();
    let judged: Owner = serde_json::from_slice(&stale).unwrap();
    // Two have judged it; the first breaks and takes it.
    let first = cache.claim(&key, "node2").unwrap();
    first.break_it(Some(&judged), &stale).unwrap();
    let lock = held(
        cache
            .claim(&key, "node2")
            .unwrap()
            .attempt(Instant::now())
            .unwrap(),
    );
    let second = cache.claim(&key, "node3").unwrap();
    second.break_it(Some(&judged), &stale).unwrap();
    assert!(lock.is_ours(), "the living one lost it");
}

#[test]
fn a_lock_that_says_nothing_readable_grows_stale_too() {
    let (_folder, cache) = cache();
    let key = Key::of(&["x"]);
    let mut waiting = cache.claim(&key, "node2").unwrap();
    fs::write(&waiting.path, "{").unwrap();
    let began = Instant::now();
    assert_eq!(other(waiting.attempt(began).unwrap()), None);
    held(waiting.attempt(began + STALE).unwrap());
}

#[test]
fn of_many_at_once_one_has_it() {
    let (_folder, cache) = cache();
    let key = Key::of(&["x"]);
    let inside = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (cache, key, inside) = (&cache, &key, &inside);
            scope.spawn(move || {
                let mut claim = cache.claim(key, &format!("node{number}")).unwrap();
                let lock = loop {
                    match claim.attempt(Instant::now()).unwrap() {
                        Attempt::Held(lock) => break lock,
                        Attempt::Other(_) => std::thread::sleep(Duration::from_millis(1)),
                    }
                };
                use std::sync::atomic::Ordering::SeqCst;
                assert_eq!(inside.fetch_add(1, SeqCst), 0, "two are inside");
                std::thread::sleep(Duration::from_millis(5));
                inside.fetch_sub(1, SeqCst);
                drop(lock);
            });
        }
    });
}
