//! PyCharm on this machine with an interpreter in the session: an SSH configuration, a server and, in
//! a project, which folder there is the one here.
//!
//! The form of the files is known from public configurations of 2020.3 to 2024, not from JetBrains'
//! documentation. PyCharm writes them when it ends, so they are changed only while it does not run.
//! Ids are made of the alias, and the port is the session's own, so that interpreters which were set
//! up once find the next session of the same name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::ledger::{Entry, What};
use super::program::{Command, find};
use super::xml::{self, Node, Step};
use super::{Book, Error, Home, Ide, Target, Written};
use crate::platform;

/// Its program's names, those of its own scripts too.
const NAMES: [&str; 5] = [
    "pycharm",
    "pycharm-professional",
    "pycharm.sh",
    "charm",
    "pycharm64",
];

/// How long a port of this machine is tried.
const DIAL: Duration = Duration::from_millis(500);

const SSH_CONFIGS: [Step<'static>; 3] = [
    ("application", None),
    ("component", Some(("name", "SshConfigs"))),
    ("configs", None),
];
const WEB_SERVERS: [Step<'static>; 3] = [
    ("application", None),
    ("component", Some(("name", "WebServers"))),
    ("option", Some(("name", "servers"))),
];
const DEPLOYMENT: [Step<'static>; 3] = [
    ("project", None),
    ("component", Some(("name", "PublishConfigData"))),
    ("serverData", None),
];

/// The command that starts it, with the project on this machine if there is one.
///
/// # Errors
/// [`Error::Missing`].
pub(super) fn command(home: &Home, project: Option<&Path>) -> Result<Command, Error> {
    let program = find(&NAMES, home).ok_or_else(|| Error::Missing {
        ide: Ide::PyCharm,
        looked: NAMES.map(|name| format!("`{name}`")).join(", "),
    })?;
    let args = project.map(|path| path.as_os_str().to_owned());
    Ok(Command {
        program,
        args: args.into_iter().collect(),
    })
}

/// Writes what PyCharm needs to know of a session; into `project`, the session's folder's copy on
/// this machine, too.
///
/// # Errors
/// [`Error::Running`], [`Error::NoSettings`], and what goes wrong with a file.
pub fn write(
    book: &mut Book,
    home: &Home,
    target: &Target,
    project: Option<&Path>,
) -> Result<Vec<Written>, Error> {
    let options = newest(home)?.join("options");
    is_closed(home)?;
    let entry = |what| Entry::new(target.alias(), Ide::PyCharm.word(), what);
    let mut written = vec![
        book.put(
            &options.join("sshConfigs.xml"),
            entry(What::SshConfig),
            |text| with_ssh_config(text, target),
        )?,
        book.put(
            &options.join("webServers.xml"),
            entry(What::WebServer),
            |text| with_web_server(text, target),
        )?,
    ];
    if let Some(project) = project {
        written.push(book.put(
            &project.join(".idea").join("deployment.xml"),
            entry(What::Deployment),
            |text| with_deployment(text, target),
        )?);
    }
    Ok(written)
}

/// That no PyCharm of this user runs.
///
/// # Errors
/// [`Error::Running`].
pub fn is_closed(home: &Home) -> Result<(), Error> {
    let proof = folders(home)
        .into_iter()
        .find_map(|(_, folder)| running(&folder, Path::new("/proc")));
    match proof {
        None => Ok(()),
        Some(proof) => Err(Error::Running {
            ide: Ide::PyCharm,
            proof,
        }),
    }
}

/// The settings of the newest PyCharm that was ever started here.
fn newest(home: &Home) -> Result<PathBuf, Error> {
    let newest = folders(home).into_iter().max();
    newest
        .map(|(_, folder)| folder)
        .ok_or_else(|| Error::NoSettings {
            ide: Ide::PyCharm,
            folder: home.config.join("JetBrains").display().to_string(),
        })
}

/// The folders of settings with their versions: `PyCharm2024.3`.
fn folders(home: &Home) -> Vec<((u32, u32), PathBuf)> {
    let listed = std::fs::read_dir(home.config.join("JetBrains"));
    let version = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_prefix("PyCharm")?;
        let (year, number) = name.split_once('.')?;
        let number = number.split('.').next()?;
        Some(((year.parse().ok()?, number.parse().ok()?), path))
    };
    let paths = listed.into_iter().flatten().flatten();
    paths.filter_map(|entry| version(entry.path())).collect()
}

/// What shows that the PyCharm of these settings runs: since 2022.3 `.lock` holds its process id,
/// before that `port` the port it listens on.
fn running(folder: &Path, proc: &Path) -> Option<String> {
    let small = |name: &str| {
        let bytes = super::book::read(&folder.join(name), 4096).ok()??;
        String::from_utf8(bytes).ok()
    };
    if let Some(pid) = small(".lock").and_then(|text| text.trim().parse::<u32>().ok())
        && lives(pid, proc)
    {
        return Some(format!(
            "process {pid}, by {}",
            folder.join(".lock").display()
        ));
    }
    let port: u16 = small("port")?.lines().next()?.trim().parse().ok()?;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    std::net::TcpStream::connect_timeout(&address, DIAL).ok()?;
    Some(format!("port {port}, by {}", folder.join("port").display()))
}

/// Whether a process id is an IDE's: ids come again, so its words are looked at where they can be.
fn lives(pid: u32, proc: &Path) -> bool {
    if proc.join("self").exists() {
        let words = std::fs::read(proc.join(pid.to_string()).join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).to_lowercase();
        return words.contains("pycharm") || words.contains("charm.sh");
    }
    platform::is_alive(pid)
}

/// The id of a session's part in these files, in the form of a UUID.
fn id(alias: &str, what: &str) -> String {
    let digits = Sha256::digest(format!("qdebug {what} {alias}").as_bytes());
    let hex: String = digits
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

fn ssh_id(alias: &str) -> String {
    id(alias, "ssh")
}

fn server_id(alias: &str) -> String {
    id(alias, "server")
}

fn component(root: &'static str, name: &str) -> [Node; 2] {
    [Node::new(root), Node::new("component").with("name", name)]
}

fn with_ssh_config(text: &str, target: &Target) -> Result<String, String> {
    let [root, component] = component("application", "SshConfigs");
    let missing = [root, component, Node::new("configs")];
    let node = Node::new("sshConfig")
        .with("authType", "KEY_PAIR")
        .with("host", "127.0.0.1")
        .with("id", ssh_id(target.alias()))
        .with("keyPath", target.identity().to_string_lossy())
        .with("port", target.port().to_string())
        .with("customName", target.alias())
        .with("nameFormat", "CUSTOM")
        .with("username", target.user())
        // What the user's ssh configuration says of all hosts, a ProxyJump say, is not for this one.
        .with("useOpenSSHConfig", "false");
    xml::with(text, &SSH_CONFIGS, &missing, &node, "id")
}

fn with_web_server(text: &str, target: &Target) -> Result<String, String> {
    let [root, component] = component("application", "WebServers");
    let option = Node::new("option").with("name", "servers");
    let port = target.port().to_string();
    let transfer = Node::new("fileTransfer")
        .with("rootFolder", "/")
        .with("accessType", "SFTP")
        .with("host", "127.0.0.1")
        .with("port", port.as_str())
        .with("sshConfigId", ssh_id(target.alias()))
        .with(
            "sshConfig",
            format!("{}@127.0.0.1:{port} key", target.user()),
        )
        .with("keyPair", "true");
    let node = Node::new("webServer")
        .with("id", server_id(target.alias()))
        .with("name", target.alias())
        .child(transfer);
    xml::with(text, &WEB_SERVERS, &[root, component, option], &node, "id")
}

fn with_deployment(text: &str, target: &Target) -> Result<String, String> {
    let [root, component] = component("project", "PublishConfigData");
    let missing = [
        root.with("version", "4"),
        component.with("serverName", target.alias()),
        Node::new("serverData"),
    ];
    let mapping = Node::new("mapping")
        .with("deploy", target.folder())
        .with("local", "$PROJECT_DIR$")
        .with("web", "/");
    let mappings = Node::new("mappings").child(mapping);
    let node = Node::new("paths")
        .with("name", target.alias())
        .child(Node::new("serverdata").child(mappings));
    xml::with(text, &DEPLOYMENT, &missing, &node, "name")
}

pub(super) fn without_ssh_config(text: &str, alias: &str) -> Result<String, String> {
    let id = ssh_id(alias);
    let ours: Step<'_> = ("sshConfig", Some(("id", &id)));
    xml::without(text, &[&SSH_CONFIGS[..], &[ours]].concat())
}

pub(super) fn without_web_server(text: &str, alias: &str) -> Result<String, String> {
    let id = server_id(alias);
    let ours: Step<'_> = ("webServer", Some(("id", &id)));
    xml::without(text, &[&WEB_SERVERS[..], &[ours]].concat())
}

pub(super) fn without_deployment(text: &str, alias: &str) -> Result<String, String> {
    let ours: Step<'_> = ("paths", Some(("name", alias)));
    let new = xml::without(text, &[&DEPLOYMENT[..], &[ours]].concat())?;
    if new.trim().is_empty() {
        return Ok(new);
    }
    // A component that names our server and maps nothing else was made for it.
    let root = xml::parse(&new)?;
    let ([project, component, data], default) = (DEPLOYMENT, ("serverName", alias));
    let of_us = root.at(&[project, component]);
    let of_us = of_us.filter(|one| one.attribute(default.0) == Some(alias));
    let maps = of_us.and_then(|one| one.at(&[data]));
    match maps.is_some_and(|maps| maps.children().is_empty()) {
        true => xml::without(&new, &[project, component]),
        false => Ok(new),
    }
}

#[cfg(test)]
#[path = "pycharm_tests.rs"]
mod tests;
