//! A login node whose qdebug is this one, and a laptop that makes no masters to it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use qdebug::process::Program;
use qdebug::ssh::{Client, NoMasters, Prompt, Remote, Route, Tunnel};

use crate::common::{Bench, login, ok};

/// How long anything may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
pub(crate) const HELP: [&str; 2] = ["help", "exit-codes"];
pub(crate) const QDEBUG: &str = env!("CARGO_BIN_EXE_qdebug");

/// The first line of a script that relays as this qdebug does.
pub(crate) const TRUNK: &str = concat!(
    "[ \"$1\" = trunk ] && exec '",
    env!("CARGO_BIN_EXE_qdebug"),
    "' \"$@\"\n"
);

/// A login node with these settings of sshd, and a client that makes no masters to it.
pub(crate) async fn without_masters(more: &str) -> (Bench, Client) {
    let mut bench = Bench::new().await;
    let (port, key) = bench.sshd("login", more).await;
    let client = bench.config(&[("login", port, &key)], "ControlMaster auto");
    (bench, client.without_masters(NoMasters::At(vec![login()])))
}

pub(crate) fn entered(bench: &Bench) -> usize {
    let log = fs::read_to_string(bench.path("login.log")).unwrap();
    log.matches("Accepted publickey").count()
}

pub(crate) fn remote(client: &Client, qdebug: &str) -> Remote {
    Remote::at(client.clone(), login(), qdebug, Prompt::Never).unwrap()
}

pub(crate) fn tunnel(client: &Client, port: u16) -> Arc<Tunnel> {
    let route = Route::Login(login());
    Tunnel::by(client.clone(), route, port, Prompt::Never, Some(QDEBUG))
}

/// The ssh of this bench's configuration, by its process ids.
pub(crate) async fn sshs(bench: &Bench) -> Vec<String> {
    let config = bench.path("config").display().to_string();
    let all = ok(Program::new("ps").args(["-eo", "pid=,comm=,args="])).await;
    let ours = all.lines().filter(|line| line.contains(&config));
    let ssh = ours.filter_map(|line| {
        let mut words = line.split_whitespace();
        let pid = words.next()?;
        (words.next()? == "ssh").then(|| pid.to_owned())
    });
    ssh.collect()
}

/// Waits until it is so.
pub(crate) async fn within(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let so = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(LIMIT, so).await;
    waited.unwrap_or_else(|_| panic!("{what} did not come"));
}

/// Ends a master as a broken network would: with SIGKILL.
pub(crate) async fn kill_master(socket: &Path) {
    let check = Program::new("ssh").args(["-F", "none", "-O", "check", "-S"]);
    let output = check.arg(socket).arg("none").output().await.unwrap();
    // `Master running (pid=123)`
    let pid: String = output.stderr.chars().filter(char::is_ascii_digit).collect();
    ok(Program::new("kill").args(["-9", &pid])).await;
}
