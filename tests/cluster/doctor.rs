//! `qdebug doctor` on the three machines of a cluster that is as it should be, and on one that is
//! not.

use crate::host::{Host, Ran};

/// The verdict of each rung, by name.
#[track_caller]
fn verdict(ran: &Ran, name: &str) -> String {
    let answer = ran.json();
    let rungs = answer["rungs"].as_array().expect("rungs").clone();
    let rung = rungs.iter().find(|rung| rung["name"] == name);
    let rung = rung.unwrap_or_else(|| panic!("no {name:?} in {ran}"));
    rung["verdict"].as_str().expect("a verdict").to_owned()
}

#[test]
fn nothing_fails_where_all_is_well() {
    let login = Host::Login.run(&["qdebug", "doctor", "--json"]).ok();
    assert_eq!(login.json()["place"], "login", "{login}");
    for name in ["scheduler", "sessions", "kit"] {
        assert_eq!(verdict(&login, name), "ok", "{login}");
    }
    let laptop = ["qdebug", "doctor", "--on", "alice@login", "--json"];
    let laptop = Host::Laptop.run(&laptop).ok();
    assert_eq!(laptop.json()["place"], "laptop", "{laptop}");
    for name in ["ssh", "login", "qdebug", "scheduler of login"] {
        assert_eq!(verdict(&laptop, name), "ok", "{laptop}");
    }
    let node = Host::Node2
        .run(&["qdebug", "doctor", "--node", "--json"])
        .ok();
    for name in ["engine", "GPUs", "node_dir"] {
        assert_eq!(verdict(&node, name), "ok", "{node}");
    }
}

#[test]
fn what_fails_is_named_with_its_cure() {
    let spoiled = "mkdir -p spoiled/.ssh && touch spoiled/.ssh/k spoiled/.ssh/k.pub && \
                   chmod 644 spoiled/.ssh/k && HOME=$HOME/spoiled qdebug doctor --on alice@no-such; \
                   s=$?; rm -rf spoiled; exit $s";
    let words = ["fail     ~/.ssh", "chmod 600", "fail     login", "no-such"];
    tells(&Host::Laptop.sh(spoiled), &words);
    // bob may not use Docker.
    let node = "d=$(mktemp -d) && printf 'engine = \"docker\"\nnode_dir = \"%s\"\n' $d >$d/config && \
                QDEBUG_CONFIG=$d/config qdebug doctor --node; s=$?; rm -rf $d; exit $s";
    let node = Host::Node1.run_as("bob", &["bash", "-c", node]);
    tells(&node, &["fail     engine", "mend it: "]);
}

/// It says on stdout that something fails.
#[track_caller]
fn tells(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, 1, "{ran}");
    for word in words {
        assert!(ran.out.contains(word), "no {word:?} in: {ran}");
    }
}
