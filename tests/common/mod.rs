//! A bench for tests of ssh: real sshds on the loopback, started as whoever runs the tests, on
//! ports of their own, with keys and configuration of their own.

#![allow(dead_code, unreachable_pub)] // Each test binary uses its part.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use qdebug::process::Program;
use qdebug::ssh::{Client, Destination, Node, PlainPath, RuntimeDir};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

pub async fn ok(program: Program) -> String {
    let output = program.output().await.unwrap();
    assert_eq!(output.status, 0, "{}: {}", output.command, output.stderr);
    output.stdout
}

/// A laptop's directory and the sshds it knows.
pub struct Bench {
    dir: TempDir,
    pub user: String,
    servers: Vec<Child>,
}

impl Bench {
    pub async fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("qd")
            .tempdir_in("/tmp")
            .unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let user = ok(Program::new("id").arg("-un")).await.trim().to_owned();
        let bench = Self {
            dir,
            user,
            servers: Vec::new(),
        };
        bench.key_pair("id").await;
        bench
    }

    /// Where all of it lies.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub async fn key_pair(&self, name: &str) -> String {
        let made = Program::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]);
        ok(made.arg(self.path(name))).await;
        let public = fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap();
        public.rsplit_once(' ').unwrap().0.to_owned()
    }

    /// Starts an sshd that knows the laptop's key; its port and its host key. What is in `more` goes
    /// before what it has otherwise.
    pub async fn sshd(&mut self, name: &str, more: &str) -> (u16, String) {
        let keys = self.path("id.pub");
        self.sshd_with_keys(name, &keys, more).await
    }

    /// The same with other keys that may enter.
    pub async fn sshd_with_keys(&mut self, name: &str, keys: &Path, more: &str) -> (u16, String) {
        if rustix::process::geteuid().is_root() {
            // Debian's sshd wants it when it runs as root.
            let _ = fs::create_dir_all("/run/sshd");
        }
        let host_key = self.key_pair(&format!("{name}_host")).await;
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let at = self.dir.path().display();
        let text = format!(
            "{more}\nListenAddress 127.0.0.1\nPort {port}\nHostKey {at}/{name}_host\n\
             AuthorizedKeysFile {}\nUsePAM no\nStrictModes no\nPidFile none\n\
             MaxStartups 200\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n",
            keys.display()
        );
        let config = self.path(&format!("{name}.conf"));
        fs::write(&config, text).unwrap();
        let program = Program::new("/usr/sbin/sshd").args(["-D", "-e", "-f"]);
        let log = fs::File::create(self.path(&format!("{name}.log"))).unwrap();
        let child = program
            .arg(&config)
            .spawn_with(Stdio::null(), Stdio::null(), log.into());
        self.servers
            .push(child.expect("sshd: install openssh-server"));
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return (port, host_key);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = fs::read_to_string(self.path(&format!("{name}.log"))).unwrap();
        panic!("sshd does not answer: {log}");
    }

    /// Ends every connection of the sshd that was started last, as the end of its container does.
    pub async fn cut_last(&self) {
        let server = self.servers.last().and_then(Child::id).unwrap();
        let cut = Program::new("pkill").args(["-KILL", "-P", &server.to_string()]);
        ok(cut).await;
    }

    /// The processes that carry the connections of the sshd that was started last.
    pub async fn carriers_of_last(&self) -> Vec<String> {
        let server = self.servers.last().and_then(Child::id).unwrap();
        let all = ok(Program::new("ps").args(["-eo", "pid=,ppid="])).await;
        let pairs: Vec<Vec<&str>> = all
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        let mut found = vec![server.to_string()];
        let mut at = 0;
        while let Some(parent) = found.get(at).cloned() {
            let children = pairs.iter().filter(|pair| pair[1] == parent);
            found.extend(children.map(|pair| pair[0].to_owned()));
            at += 1;
        }
        found.split_off(1)
    }

    /// The user's own ssh configuration.
    pub fn config(&self, hosts: &[(&str, u16, &str)], more: &str) -> Client {
        let at = self.dir.path().display();
        let mut known = String::new();
        let mut text = String::new();
        for (name, port, key) in hosts {
            known += &format!("[127.0.0.1]:{port} {key}\n");
            text += &format!("Host {name}\nHostName 127.0.0.1\nPort {port}\n");
        }
        text += &format!(
            "Host *\nUser {}\nIdentityFile {at}/id\nIdentitiesOnly yes\nIdentityAgent none\n\
             UserKnownHostsFile {at}/known\nGlobalKnownHostsFile /dev/null\n\
             StrictHostKeyChecking yes\n{more}\n",
            self.user
        );
        fs::write(self.path("known"), known).unwrap();
        fs::write(self.path("config"), text).unwrap();
        let runtime = RuntimeDir::at(self.path("run")).unwrap();
        Client::new(runtime).with_config(PlainPath::new(self.path("config")).unwrap())
    }

    /// The node hop to a second sshd, pinned to `key`.
    pub fn node(&self, port: u16, key: &str) -> Node {
        fs::write(self.path("pins"), format!("qdebug-node1 {key}\n")).unwrap();
        Node {
            name: "node1".parse().unwrap(),
            address: "127.0.0.1".parse().unwrap(),
            port,
            user: self.user.parse().unwrap(),
            host_key_alias: "qdebug-node1".parse().unwrap(),
            known_hosts: PlainPath::new(self.path("pins")).unwrap(),
        }
    }

    /// A program of the cluster that answers as qdebug does.
    pub fn fake_qdebug(&self, at: &str) -> String {
        let script = "hex=$2; shift 2\necho \"qdebug-frame-$hex begin\"\n\
                      for word; do printf '<%s>\\n' \"$word\"; done\ncat\n\
                      echo oops >&2\necho \"qdebug-frame-$hex end 3\"\nexit 3\n";
        self.script(at, script)
    }

    /// A program that is these lines of sh.
    pub fn script(&self, at: &str, lines: &str) -> String {
        let path = self.path(at);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let script = format!("#!/bin/sh\n{lines}");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Bench {
    /// Masters outlive who opened them: end those of this directory.
    fn drop(&mut self) {
        let runtime = self.path("run");
        let end = move || {
            for entry in fs::read_dir(runtime).into_iter().flatten().flatten() {
                let exit = Program::new("ssh").args(["-F", "none", "-O", "exit", "-S"]);
                let _ = block_on(exit.arg(entry.path()).arg("none").output());
            }
        };
        let _ = std::thread::spawn(end).join();
    }
}

pub fn login() -> Destination {
    "login".parse().unwrap()
}
