//! The shared cache: what comes from it, its damages, its locks, and what is pruned.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::place::{Place, Ran, docker, has};

#[test]
fn another_node_gets_it_from_the_cache_and_damage_is_mended() {
    let Some(mut place) = Place::new("1G") else {
        return;
    };
    let recipe = place.recipe("cached", "RUN head -c 3000000 /dev/urandom > /noise\n");
    let (built, _) = place.build(&recipe, &[]);
    let id = built["id"].as_str().unwrap().to_owned();
    assert_eq!(place.data().len(), 1);
    assert!(docker(&["rmi", "-f", &id]).status.success());

    let (loaded, told) = place.build_with("other.toml", &recipe, &[]);
    assert_eq!(loaded["id"], built["id"], "{told}");
    assert!(told.contains("from the shared cache"), "{told}");
    assert!(!told.contains("step"), "{told}");

    // A bit flips.
    let data = place.data().remove(0);
    let mut bytes = fs::read(&data).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&data, bytes).unwrap();
    assert!(docker(&["rmi", "-f", &id]).status.success());
    let (built, told) = place.build_with("other.toml", &recipe, &[]);
    assert!(built["notices"].to_string().contains("damaged"), "{built}");
    assert!(told.contains("step"), "{told}");
    assert_eq!(built["cached"], true);
    let mended = place.data();
    assert!(mended.len() == 1 && mended[0] != data, "{mended:?}");

    // An entry that holds another image than it says.
    let other = place.recipe("other", "RUN echo other > /other\n");
    place.build(&other, &[]);
    let both = place.data();
    let wrong = both.iter().find(|path| **path != mended[0]).unwrap();
    let size = |path: &Path| fs::metadata(path).unwrap().len();
    let description = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        path.with_file_name(format!("{}.json", name.split('-').next().unwrap()))
    };
    let text = fs::read_to_string(description(&mended[0])).unwrap();
    let (from, to) = (size(&mended[0]).to_string(), size(wrong).to_string());
    fs::copy(wrong, &mended[0]).unwrap();
    fs::write(description(&mended[0]), text.replacen(&from, &to, 1)).unwrap();
    let id = built["id"].as_str().unwrap();
    assert!(docker(&["rmi", "-f", id]).status.success());
    let (built, _) = place.build(&recipe, &[]);
    assert!(
        built["notices"].to_string().contains("another image"),
        "{built}"
    );
}

#[test]
fn without_room_it_goes_on_without_the_cache() {
    let Some(mut place) = Place::new("1M") else {
        return;
    };
    let recipe = place.recipe("large", "RUN head -c 3000000 /dev/urandom > /noise\n");
    let (built, _) = place.build(&recipe, &[]);
    assert_eq!(built["cached"], false);
    assert!(built["notices"].to_string().contains("larger"), "{built}");
    assert!(place.data().is_empty());
    // A folder that is open to others is not believed.
    let own = fs::read_dir(place.path("cache")).unwrap().next().unwrap();
    let own = own.unwrap().path();
    fs::set_permissions(own, fs::Permissions::from_mode(0o777)).unwrap();
    let (built, _) = place.build(&recipe, &[]);
    assert!(
        built["notices"].to_string().contains("open to others"),
        "{built}"
    );
}

/// The lock's files.
fn locks(place: &Place) -> usize {
    let below = fs::read_dir(place.path("cache")).into_iter().flatten();
    let locks = below.filter_map(|entry| fs::read_dir(entry.unwrap().path().join("locks")).ok());
    locks
        .flatten()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some())
        .count()
}

#[test]
fn two_at_once_do_the_work_once_and_a_dead_owner_is_followed() {
    let Some(mut place) = Place::new("1G") else {
        return;
    };
    let slow = "RUN sleep 4; head -c 16 /dev/urandom > /noise\n";
    let recipe = place.recipe("slow", slow);
    let words = ["build", "--json", "--dockerfile", recipe.to_str().unwrap()];
    let start = |config: &str| -> Child {
        let mut command = place.command(config, &words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let (one, two) = (start("config.toml"), start("other.toml"));
    let ran = [one, two].map(|child| Ran {
        output: child.wait_with_output().unwrap(),
    });
    let ids = [0, 1].map(|n| ran[n].json()["id"].clone());
    assert_eq!(ids[0], ids[1]);
    let told = format!("{}{}", ran[0].err(), ran[1].err());
    assert_eq!(told.matches("Successfully built").count(), 1, "{told}");
    assert!(told.contains("waiting for"), "{told}");
    assert_eq!(locks(&place), 0);

    // The owner dies at its work.
    let slower = place.recipe("slower", "RUN sleep 8; head -c 16 /dev/urandom > /noise\n");
    let words = ["build", "--dockerfile", slower.to_str().unwrap()];
    let mut command = place.command("config.toml", &words);
    let mut owner = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while locks(&place) == 0 {
        assert!(Instant::now() < deadline, "no lock");
        std::thread::sleep(Duration::from_millis(50));
    }
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert_eq!(locks(&place), 1, "its lock is left");
    let began = Instant::now();
    let (built, told) = place.build_with("other.toml", &slower, &[]);
    eprintln!("taken over and built in {:?}", began.elapsed());
    assert_eq!(built["cached"], true, "{told}");
    assert_eq!(locks(&place), 0);
    place
        .images
        .extend(ids.map(|id| id.as_str().unwrap().to_owned()));
}

#[test]
fn images_are_listed_and_pruned_and_one_in_use_stays() {
    let Some(mut place) = Place::new("1G") else {
        return;
    };
    let recipe = place.recipe("used", "RUN echo used > /used\n");
    let (built, _) = place.build(&recipe, &[]);
    let id = built["id"].as_str().unwrap().to_owned();
    let other = place.recipe("unused", "RUN echo unused > /unused\n");
    let (unused, _) = place.build(&other, &[]);
    let listed = place.image(&["list", "--json"]).json();
    let items = listed["images"].as_array().unwrap();
    assert_eq!(items.len(), 4, "{listed:#}");
    let places: Vec<&str> = items.iter().map(|i| i["place"].as_str().unwrap()).collect();
    assert_eq!(places, ["node", "node", "cache", "cache"]);
    assert!(items.iter().all(|item| item["bytes"].as_u64() > Some(0)));

    let container = docker(&["create", &id, "true"]).stdout;
    let container = String::from_utf8_lossy(&container).trim().to_owned();
    let told = place.image(&["prune", "--unused-for", "0s", "--dry-run", "--json"]);
    let told = told.json();
    assert_eq!(told["removed"].as_array().unwrap().len(), 3, "{told:#}");
    assert_eq!(place.data().len(), 2);
    let pruned = place
        .image(&["prune", "--unused-for", "0s", "--json"])
        .json();
    docker(&["rm", "-f", &container]);
    assert_eq!(pruned["removed"], told["removed"]);
    assert!(pruned["kept"].to_string().contains("a container uses it"));
    assert!(has(&id) && !has(unused["id"].as_str().unwrap()));
    assert!(place.data().is_empty());
    place
        .image(&["prune", "--keep-size", "1K", "--json"])
        .json();
    assert!(!has(&id));
    place.image(&["prune"]).fails(2, &["--unused-for"]);
}
