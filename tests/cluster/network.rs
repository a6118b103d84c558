//! The laptop's network goes and comes back, and login's sshd with it: what is open, what is new, and
//! what the user is told. With masters and without.

use std::time::{Duration, Instant};

use crate::host::{Host, Ran, Running, within};
use crate::no_masters::NoMasters;
use crate::reach::Door;
use crate::session::Session;

const SMALL: [&str; 6] = ["-g", "none", "-w", "30m", "-i", "qdebug/demo"];

/// How soon after the network's return a new connection is through; on a busy machine more is
/// allowed.
const PROMISE: Duration = Duration::from_secs(5);
const BUSY: Duration = Duration::from_secs(15);

/// The long matrix waits longer and counts exactly.
fn is_full() -> bool {
    std::env::var_os("QDEBUG_TEST_FULL").is_some()
}

/// The laptop's way to one port of login is shut, as by a network that is gone: nothing comes, and
/// nothing is refused.
struct Cut {
    port: u16,
}

impl Cut {
    fn rules(&self, action: &str) -> String {
        let port = self.port;
        format!(
            "iptables -w -nL >/dev/null 2>&1 ||
                 update-alternatives --set iptables /usr/sbin/iptables-legacy >/dev/null
             iptables -w {action} OUTPUT -p tcp --dport {port} -j DROP &&
             iptables -w {action} INPUT -p tcp --sport {port} -j DROP"
        )
    }

    #[track_caller]
    fn off(port: u16) -> Self {
        let cut = Self { port };
        Host::Laptop.root(&cut.rules("-I")).ok();
        cut
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        let mended = Host::Laptop.root(&self.rules("-D"));
        if !std::thread::panicking() {
            mended.ok();
        }
    }
}

/// Runs a line of shell on the laptop.
fn sh(own: Option<&NoMasters>, line: &str) -> Ran {
    match own {
        Some(own) => own.sh(line),
        None => Host::Laptop.sh(line),
    }
}

/// Starts one there.
fn start(own: Option<&NoMasters>, line: &str) -> Running {
    match own {
        Some(own) => Host::Laptop.start(&["env", &own.env(), "bash", "-c", line]),
        None => Host::Laptop.start(&["bash", "-c", line]),
    }
}

/// A connect that runs, and what it says.
struct Connecting {
    log: String,
    _running: Running,
    command: String,
}

impl Connecting {
    #[track_caller]
    fn to(session: &Session, on: &str, own: Option<&NoMasters>) -> Self {
        let log = format!("/tmp/{}.log", session.name);
        let command = format!("qdebug connect {} --on {on} --yes", session.name);
        let line = format!("{command} 2>{log}; true");
        let running = start(own, &line);
        let connecting = Self {
            log,
            _running: running,
            command,
        };
        connecting.says("the tunnel stays open", 1);
        connecting
    }

    /// Waits until it has said this so many times.
    #[track_caller]
    fn says(&self, words: &str, times: usize) {
        within(Duration::from_secs(60), words, || {
            let said = self.said();
            match said.matches(words).count() {
                count if count >= times => Ok(()),
                _ => Err(said),
            }
        });
    }

    fn said(&self) -> String {
        Host::Laptop.sh(&format!("cat {}", self.log)).out
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        let Self { command, log, .. } = self;
        Host::Laptop.sh(&format!("pkill -INT -x -f '{command}'; rm -f {log}"));
    }
}

/// A new connection gets through from now on, and by the listener too.
#[track_caller]
fn new_ones_work(session: &Session, own: Option<&NoMasters>, what: &str) {
    let begun = Instant::now();
    let limit = if is_full() { PROMISE } else { BUSY };
    for by in ["BatchMode=yes", "ProxyCommand=none"] {
        let alias = format!("qdebug-{}", session.name);
        let line = format!("ssh -o {by} {alias} true");
        let limit = limit.saturating_sub(begun.elapsed());
        within(limit, what, || match sh(own, &line) {
            ran if ran.code == 0 => Ok(()),
            ran => Err(ran.to_string()),
        });
        eprintln!("{alias}: {what}: {by} after {:?}", begun.elapsed());
    }
    assert!(begun.elapsed() <= limit + Duration::from_secs(1), "{what}");
}

#[test]
fn the_port_outlives_a_cut_network_and_a_restarted_sshd() {
    let door = Door::open(2231, &[]);
    outlives("hop-cut", &door, None);
}

#[test]
fn the_port_outlives_them_without_masters_too() {
    let door = Door::open(2233, &[]);
    let own = NoMasters::at("trunk-cut", &door.name());
    outlives("trunk-cut", &door, Some(&own));
}

fn outlives(name: &str, door: &Door, own: Option<&NoMasters>) {
    let session = Session::ready(name, &SMALL);
    let connect = Connecting::to(&session, &door.name(), own);
    let alias = format!("qdebug-{name}");

    // An open shell, and a copy of 10 MB in half a minute.
    let work = format!(
        "cd /tmp/{name} && head -c 10000000 /dev/urandom >big
         (ssh {alias} 'sleep 25; echo there' >shell 2>&1; echo $? >>shell) &
         (echo 'put big {name}-big' | sftp -q -l 3000 -b - {alias} >copy 2>&1; echo $? >>copy) &
         wait"
    );
    Host::Laptop
        .sh(&format!("rm -rf /tmp/{name}; mkdir /tmp/{name}"))
        .ok();
    let open = start(own, &work);
    let copying = format!("test \"$(ssh {alias} stat -c %s {name}-big)\" -gt 100000");
    within(Duration::from_secs(30), "the copy has begun", || {
        match sh(own, &copying) {
            ran if ran.code == 0 => Ok(()),
            ran => Err(ran.to_string()),
        }
    });

    let cut = Cut::off(door.port);
    let begun = Instant::now();
    // What is new while it lasts is refused with a reason, not held for ever.
    let new = format!("timeout 50 ssh -o ProxyCommand=none {alias} true");
    sh(own, &new).fails(255, &[]);
    connect.says("reconnecting", 1);
    let lasts = Duration::from_secs(if is_full() { 60 } else { 12 });
    std::thread::sleep(lasts.saturating_sub(begun.elapsed()));
    drop(cut);
    new_ones_work(&session, own, "after the cut");
    if !is_full() {
        // Too short a while for ssh to give up what is open: that goes on.
        for (file, whole) in [("shell", "there\n0"), ("copy", "0")] {
            // sftp shows the words it was given.
            let read = format!("grep -v '^sftp>' /tmp/{name}/{file}");
            within(Duration::from_secs(90), file, || {
                match Host::Laptop.sh(&read) {
                    ran if ran.text() == whole => Ok(()),
                    ran => Err(ran.to_string()),
                }
            });
        }
        let same = format!(
            "test \"$(ssh {alias} 'sha256sum <{name}-big; rm {name}-big')\" = \
                 \"$(sha256sum </tmp/{name}/big)\""
        );
        sh(own, &same).ok();
    }
    drop(open);

    // login's sshd is down for a moment, and all that it carried is gone.
    let pid = format!("/run/sshd-{}.pid", door.port);
    let down = format!(
        "pid=$(cat {pid}); pkill -P $pid; kill $pid
         for try in $(seq 100); do [ -d /proc/$pid ] || exit 0; sleep 0.1; done; exit 1"
    );
    // Without masters the end is noticed at once, with them when somebody comes.
    let told = connect.said().matches("reconnecting").count();
    Host::Login.root(&down).ok();
    sh(own, &new).fails(255, &[]);
    connect.says("reconnecting", told + 1);
    let up = format!("/usr/sbin/sshd -p {} -o PidFile={pid}", door.port);
    Host::Login.root(&up).ok();
    new_ones_work(&session, own, "after the restart");
    connect.says("connected again", 2);
    eprintln!("{}", connect.said());
    Host::Laptop.sh(&format!("rm -rf /tmp/{name}"));
}
