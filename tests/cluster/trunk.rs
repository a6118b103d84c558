//! Without masters: one ssh of `qdebug connect` carries everything, and no socket of one is made.

use std::time::Duration;

use crate::hops::SecondFactor;
use crate::host::{Host, within};
use crate::no_masters::NoMasters;
use crate::reach::Door;
use crate::session::Session;

const SMALL: [&str; 6] = ["-g", "none", "-w", "30m", "-i", "qdebug/demo"];
const PERSON: &str = include_str!("person.py");

/// In the user's ssh configuration: nodes take no key from those who have this variable set.
struct NoKeys;

impl NoKeys {
    const BEGIN: &str = "# of the test of trunks";
    const SET: &str = "QDEBUG_TEST_NO_KEYS=yes";

    #[track_caller]
    fn at_nodes() -> Self {
        let line = format!(
            "printf '%s\\n' '{}' \
             'Match originalhost node1,node2 exec \"printenv QDEBUG_TEST_NO_KEYS\"' \
             '  PubkeyAuthentication no' >>.ssh/config",
            Self::BEGIN
        );
        Host::Laptop.sh(&line).ok();
        Self
    }
}

impl Drop for NoKeys {
    fn drop(&mut self) {
        Host::Laptop.sh(&format!("sed -i '/^{}$/,+2d' .ssh/config", Self::BEGIN));
    }
}

/// The processes of the laptop's ssh to that port of login: masters and trunks.
fn sshs(port: u16) -> Vec<String> {
    let line = format!("pgrep -f '^ssh .* -p {port} .*login' || true");
    let found = Host::Laptop.sh(&line).ok();
    found.text().lines().map(str::to_owned).collect()
}

/// Which way led there last.
fn reach_of(login: &str) -> String {
    let ways = Host::Laptop.sh("cat .local/state/qdebug/reach.json").ok();
    ways.json()["clusters"][login]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Masters that this ssh's own words ask for.
fn masters(port: u16) -> String {
    let line = format!("pgrep -af '^ssh (-F [^ ]* )?-M .* -p {port} ' || true");
    Host::Laptop.sh(&line).ok().text().to_owned()
}

#[test]
fn a_second_factor_is_asked_for_once_for_all_that_goes_through_connect() {
    let _door = SecondFactor::open();
    let own = NoMasters::at("trunk-factor", SecondFactor::NAME);
    let _no_keys = NoKeys::at_nodes();
    let _session = Session::ready("trunk-factor", &SMALL);
    let env = own.env();
    let connect = [
        "env",
        &env,
        NoKeys::SET,
        "qdebug",
        "connect",
        "trunk-factor",
        "--on",
        "trunk-factor",
        "--yes",
    ];
    // Without a terminal nobody is asked, and told what to do.
    Host::Laptop.run(&connect).fails(
        6,
        &["in a terminal you can be asked for a password or code"],
    );
    assert_eq!(SecondFactor::asked(), "");
    let person = [
        &["python3", "-c", PERSON, "open sesame,314159"],
        &connect[..],
    ]
    .concat();
    let running = Host::Laptop.start(&person);
    let there = || match own.sh("ssh qdebug-trunk-factor true") {
        ran if ran.code == 0 => Ok(()),
        ran => Err(ran.to_string()),
    };
    within(Duration::from_secs(60), "connect is there", there);
    let line = "set -e; cd \"$(mktemp -d)\"
         for n in $(seq 10); do ssh qdebug-trunk-factor \"sleep 1; echo $n\" & done | sort -n | xargs
         head -c 5000000 /dev/urandom >big; scp -q big qdebug-trunk-factor:trunk-big
         scp -q -O qdebug-trunk-factor:trunk-big back; cmp big back
         qdebug ssh trunk-factor 'rm trunk-big; exit 7' && exit 1 || test $? = 7
         echo 'ls /' | sftp -q -b - qdebug-trunk-factor | grep -c '/tmp'";
    let ran = own.sh(line).ok();
    assert_eq!(ran.text(), "1 2 3 4 5 6 7 8 9 10\n1");
    assert_eq!(reach_of(SecondFactor::NAME), "nested");
    assert_eq!(SecondFactor::asked(), "password code");
    assert_eq!(sshs(SecondFactor::PORT).len(), 1);
    assert_eq!(masters(SecondFactor::PORT), "");

    // Whoever comes when connect is gone is told what to do.
    drop(running);
    Host::Laptop.run(&["pkill", "-INT", "-f", "^qdebug connect trunk-factor "]);
    let refused = || match own.sh("ssh qdebug-trunk-factor true") {
        ran if ran.err.contains("run: qdebug connect trunk-factor") => Ok(()),
        ran => Err(ran.to_string()),
    };
    within(Duration::from_secs(20), "the way back is told", refused);
    assert_eq!(SecondFactor::asked(), "password code");
}

#[test]
fn one_session_of_login_is_enough_and_what_dies_is_dialled_again() {
    let door = Door::open(2240, &["MaxSessions=1", "AllowTcpForwarding=no"]);
    let own = NoMasters::at("trunk-one", &door.name());
    let session = Session::ready("trunk-one", &SMALL);
    let env = own.env();
    // Commands of the laptop have a connection of their own.
    let on = |words: &str| own.sh(&format!("qdebug --on trunk-one {words}"));
    assert_eq!(on("status --json trunk-one").ok().json()["state"], "ready");
    let log = on("logs trunk-one").ok();
    assert!(log.out.contains("ready"), "{log}");
    on("status no-such-session").fails(3, &["no-such-session"]);
    let folder = "/home/alice/trunk-one";
    let log = format!("{folder}.log");
    let words = "qdebug connect trunk-one --on trunk-one --yes";
    Host::Laptop.sh(&format!("rm -f {log}")).ok();
    let _running = Host::Laptop.start(&[
        "env",
        &env,
        "bash",
        "-c",
        &format!("exec {words} -v 2>{log}"),
    ]);
    let works = |session: &Session| match own.sh(&format!("ssh qdebug-{} id -un", session.name)) {
        ran if ran.text() == "alice" => Ok(()),
        ran => Err(ran.to_string()),
    };
    let connected = || match Host::Laptop.sh(&format!("cat {log}")) {
        ran if ran.out.contains("connected: ") => Ok(()),
        ran => Err(ran.to_string()),
    };
    within(Duration::from_secs(60), "connect is there", connected);
    works(&session).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(reach_of(&door.name()), "jump");
    let trunks = sshs(2240);
    assert_eq!(trunks.len(), 1, "{trunks:?}");
    assert_eq!(masters(2240), "");

    // The listener stays, says why, and dials again.
    let kill = format!("kill -9 {}", trunks[0]);
    Host::Laptop.sh(&kill).ok();
    within(Duration::from_secs(30), "ssh works again", || {
        works(&session)
    });
    let told = || match Host::Laptop.sh(&format!("cat {log}")) {
        ran if ran.out.contains("reconnecting: ") && ran.out.contains("connected again") => Ok(()),
        ran => Err(ran.to_string()),
    };
    within(Duration::from_secs(30), "it is told", told);
    assert_ne!(sshs(2240), trunks);
    Host::Laptop.sh("pkill -INT -f '^qdebug connect trunk-one '");
    Host::Laptop.sh(&format!("rm -f {log}"));
}

/// Without a terminal sshd tells a command nothing of its client's end; it sees that nobody reads.
#[test]
fn a_log_that_nobody_follows_any_more_is_not_followed_on_login_either() {
    let session = Session::ready("trunk-logs", &SMALL);
    let own = NoMasters::at("trunk-logs", "alice@login");
    let without = own.env();
    for env in ["LANG=C.UTF-8", &without] {
        // A Ctrl-C reaches all that the command has started.
        let words = "env $0 timeout -s INT 300 qdebug logs -f trunk-logs --on alice@login";
        let following =
            Host::Laptop.start(&["bash", "-c", &format!("exec {words} >/dev/null"), env]);
        let line = "pgrep -f '^[^ ]*qdebug .* logs --follow -- trunk-logs$'";
        let follows = || match Host::Login.sh(line) {
            ran if ran.code == 0 => Ok(()),
            ran => Err(ran.to_string()),
        };
        within(Duration::from_secs(60), "login follows", follows);
        // Not what runs this line itself, which is a timeout as well.
        let ended = "pkill -INT -f '^timeout .*[q]debug logs -f trunk-logs'";
        Host::Laptop.sh(ended).ok();
        let gone = || match Host::Login.sh(line) {
            ran if ran.code == 1 => Ok(()),
            ran => Err(ran.to_string()),
        };
        within(Duration::from_secs(20), "nobody follows", gone);
        drop(following);
    }
    assert_eq!(session.status()["state"], "ready");
}
