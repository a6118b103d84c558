//! Slurm: one file in the folder that `Epilog` of slurm.conf names by a glob. slurm.conf is the
//! admin's: what is missing in it is told, never written.
//!
//! Problem: taking a file away can drain the cluster. Evidence, both seen on Slurm 22.05: a glob that
//! matches no file fails every epilog (`Unable to create list of paths`), and so does a file that
//! goes between the glob and its turn (`cannot open /etc/slurm/epilog.d/50-qdebug.sh`); either
//! drains the node. Solution: the file is there before the line is asked for, it is replaced by one
//! rename, and it does not go while it is the last match or a job is on this node.

use std::path::Path;

use super::file::{self, Script};
use super::step::tool;
use super::{Error, Found, Kind, PlainPath, Plan, Step, Target, read};

const FILE: &str = "50-qdebug.sh";
const FOLDER: &str = "/etc/slurm/epilog.d";
const MODE: u32 = 0o755;

/// The values of Epilog in force, as the controller tells them.
async fn epilogs() -> Result<Vec<String>, Error> {
    let argv = ["scontrol", "show", "config"].map(str::to_owned);
    Ok(parse(&tool(&argv, None).await?))
}

/// `Epilog                  = /etc/slurm/epilog.d/*`; newer ones count: `Epilog[0]`.
fn parse(config: &str) -> Vec<String> {
    let value = |line: &str| {
        let (name, value) = line.split_once('=')?;
        let name = name.trim().split('[').next()?;
        let value = value.trim();
        (name == "Epilog" && !matches!(value, "" | "(null)")).then(|| value.to_owned())
    };
    config.lines().filter_map(value).collect()
}

/// The jobs on this node that are not over yet, those that complete among them. Slurm's own name of
/// a node need not be its hostname, and `squeue -w` of a name that is none's lists nothing.
async fn jobs_here() -> Result<Vec<String>, Error> {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let argv = ["scontrol", "show", "node", "-o"].map(str::to_owned);
    let names = nodes_of(&tool(&argv, None).await?, &host).join(",");
    if names.is_empty() {
        // No node of Slurm's runs no epilog.
        return match slurmd_runs(Path::new("/proc"))? {
            true => Err(Error::WhichNode { host }),
            false => Ok(Vec::new()),
        };
    }
    let argv = ["squeue", "-h", "-o", "%A", "-w", &names].map(str::to_owned);
    let listed = tool(&argv, None).await?;
    Ok(listed.split_whitespace().map(str::to_owned).collect())
}

/// The names of the nodes on this host, one line each of
/// `NodeName=gpu-1 Arch=x86_64 ... NodeAddr=10.0.0.1 NodeHostName=host1 ...`; several where several
/// slurmd share it.
fn nodes_of(listed: &str, host: &str) -> Vec<String> {
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let node = |line: &str| {
        let value = |key: &str| {
            let mut words = line.split_whitespace();
            words
                .find_map(|word| word.strip_prefix(key))
                .map(str::to_owned)
        };
        let name = value("NodeName=")?;
        let of = value("NodeHostName=").unwrap_or_else(|| name.clone());
        // What goes into argv, in a list.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let fits = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain);
        (fits && short(&of).eq_ignore_ascii_case(&short(host))).then_some(name)
    };
    listed.lines().filter_map(node).collect()
}

/// Whether a slurmd runs here, below `/proc`; one in a container is no node of this host's.
fn slurmd_runs(proc: &Path) -> Result<bool, Error> {
    let namespace = |process: &Path| std::fs::read_link(process.join("ns/pid")).ok();
    let own = namespace(&proc.join("self"));
    let entries = std::fs::read_dir(proc).map_err(Error::io("list", proc))?;
    let is_slurmd = |process: &Path| {
        let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
        // Of one whose namespace cannot be read nothing is known: then it counts.
        name.trim_end() == "slurmd" && namespace(process).is_none_or(|other| own == Some(other))
    };
    Ok(entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .any(|process| is_slurmd(&process)))
}

/// Whether a glob of `*` and `?` matches this name; one with more in it is not judged.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    match (glob.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            // A leading dot is not matched: see glob(7).
            (0..=name.len()).any(|skip| matches(rest, &name[skip..]))
        }
        (Some((b'?', rest)), Some((_, name))) => matches(rest, name),
        (Some((one, rest)), Some((other, name))) => one == other && matches(rest, name),
        _ => false,
    }
}

/// Whether this value of Epilog runs that file.
fn runs(pattern: &str, path: &Path) -> bool {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return false;
    };
    let Some((of, glob)) = pattern.rsplit_once('/') else {
        return false;
    };
    let name = name.to_string_lossy();
    Path::new(of) == folder
        && matches(glob.as_bytes(), name.as_bytes())
        && (!name.starts_with('.') || glob.starts_with('.'))
}

fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

/// Where our file is or will be.
fn folder(target: &Target, epilogs: &[String]) -> Result<PlainPath, Error> {
    if let Some(folder) = &target.folder {
        return Ok(folder.clone());
    }
    let globs = epilogs.iter().filter(|pattern| is_glob(pattern));
    let mut folders = globs.filter_map(|glob| glob.rsplit_once('/')?.0.parse().ok());
    Ok(folders.next().map_or_else(|| FOLDER.parse(), Ok)?)
}

/// What slurm.conf still needs, in words; `None` when it runs the file.
fn missing(epilogs: &[String], path: &Path) -> Option<String> {
    if epilogs.iter().any(|pattern| runs(pattern, path)) {
        return None;
    }
    let folder = path.parent().unwrap_or(path).display();
    let line = format!(
        "put the line `Epilog={folder}/*` into slurm.conf, then run `scontrol reconfigure`"
    );
    Some(match epilogs {
        [] => line,
        theirs => format!(
            "Slurm runs {} and not {}: move it into {folder} on every node, {line}",
            theirs.join(", "),
            path.display()
        ),
    })
}

pub(super) async fn look(target: &Target) -> Result<Found, Error> {
    let mut found = Found::default();
    let asked = epilogs().await;
    let known = asked.as_deref().unwrap_or_default();
    let path = folder(target, known)?.join(FILE);
    let text = read(&path)?;
    found.version = text
        .as_deref()
        .and_then(|text| file::version(text, Kind::Slurm));
    if found.version.is_none() {
        return Ok(found);
    }
    found.places.push(path.display().to_string());
    if text != Some(Script::Slurm.text(&target.binary, None)) {
        found.problems.push(format!(
            "{} is of another version or names another program: `qdebug hooks install`",
            path.display()
        ));
    }
    match asked {
        Ok(epilogs) => found.problems.extend(missing(&epilogs, &path)),
        Err(error) => found
            .problems
            .push(format!("cannot see whether Slurm runs it: {error}")),
    }
    Ok(found)
}

pub(super) async fn install(target: &Target) -> Result<Plan, Error> {
    let epilogs = epilogs().await?;
    let folder = folder(target, &epilogs)?;
    let path = folder.join(FILE);
    let text = Script::Slurm.text(&target.binary, None);
    let mut plan = Plan::default();
    if !folder.path().is_dir() {
        plan.steps.push(Step::MakeFolder {
            path: folder.path().to_owned(),
        });
    }
    if read(&path)?.as_ref() != Some(&text) {
        let path = path.clone();
        plan.steps.push(Step::Write {
            path,
            text,
            mode: MODE,
        });
    }
    plan.then.push("do the same on every node".to_owned());
    plan.then
        .extend(missing(&epilogs, &path).map(|line| format!("then {line}")));
    Ok(plan)
}

pub(super) async fn uninstall(target: &Target) -> Result<Plan, Error> {
    let epilogs = epilogs().await?;
    let folder = folder(target, &epilogs)?;
    let path = folder.join(FILE);
    let text = read(&path)?.unwrap_or_default();
    if file::version(&text, Kind::Slurm).is_none() {
        return Ok(Plan::default());
    }
    let names = std::fs::read_dir(folder.path()).map_err(Error::io("read", folder.path()))?;
    let others: Vec<_> = names
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|other| *other != path)
        .collect();
    for pattern in epilogs.iter().filter(|pattern| runs(pattern, &path)) {
        if !others.iter().any(|other| runs(pattern, other)) {
            let pattern = pattern.clone();
            return Err(Error::LastEpilog { pattern });
        }
    }
    if epilogs.iter().any(|pattern| runs(pattern, &path)) {
        let jobs = jobs_here().await?;
        if !jobs.is_empty() {
            return Err(Error::JobsHere {
                jobs: jobs.join(", "),
            });
        }
    }
    let mut steps = vec![Step::Remove { path }];
    if others.is_empty() {
        let path = folder.path().to_owned();
        steps.push(Step::RemoveEmptyFolder { path });
    }
    Ok(Plan {
        steps,
        then: vec!["do the same on every node".to_owned()],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_read_in_both_forms() {
        let old = "EnforcePartLimits       = NO\n\
                   Epilog                  = /etc/slurm/epilog.d/*\n\
                   EpilogMsgTime           = 2000 usec\nEpilogSlurmctld         = (null)\n";
        assert_eq!(parse(old), ["/etc/slurm/epilog.d/*"]);
        let new = "Epilog[0]               = /a\nEpilog[1] = /b/*.sh\n";
        assert_eq!(parse(new), ["/a", "/b/*.sh"]);
        assert!(parse("Epilog                  = (null)\n\u{0}=\n").is_empty());
    }

    #[test]
    fn a_node_is_known_by_its_host() {
        let listed = "NodeName=gpu-1 Arch=x86_64 CoresPerSocket=1 NodeAddr=10.0.0.1 \
                      NodeHostName=host1 Version=22.05.8 OS=Linux 6.1 #1 SMP\n\
                      NodeName=host1 NodeAddr=x NodeHostName=host2.lab Comment=NodeHostName=host1\n\
                      NodeName=gpu-2 NodeAddr=10.0.0.1 NodeHostName=HOST1.lab\nNodeName=host3\n\
                      NodeName=-x NodeHostName=host1\nNo nodes in the system\n";
        assert_eq!(nodes_of(listed, "host1.example.org"), ["gpu-1", "gpu-2"]);
        assert_eq!(nodes_of(listed, "host2"), ["host1"]);
        assert_eq!(nodes_of(listed, "host3"), ["host3"]);
        assert!(nodes_of(listed, "host").is_empty());
        assert!(nodes_of("", "host").is_empty());
    }

    #[test]
    fn a_slurmd_is_seen_unless_it_is_in_a_container() {
        let proc = tempfile::tempdir().unwrap();
        let process = |name: &str, comm: &str, namespace: &str| {
            let ns = proc.path().join(name).join("ns");
            std::fs::create_dir_all(&ns).unwrap();
            std::fs::write(ns.join("../comm"), format!("{comm}\n")).unwrap();
            std::os::unix::fs::symlink(namespace, ns.join("pid")).unwrap();
        };
        process("self", "qdebug", "pid:[1]");
        process("7", "slurmd", "pid:[2]");
        process("8", "slurmdbd", "pid:[1]");
        assert!(!slurmd_runs(proc.path()).unwrap());
        process("9", "slurmd", "pid:[1]");
        assert!(slurmd_runs(proc.path()).unwrap());
        assert!(slurmd_runs(&proc.path().join("none")).is_err());
    }

    #[test]
    fn a_glob_runs_what_it_matches() {
        let path = Path::new("/etc/slurm/epilog.d/50-qdebug.sh");
        for yes in ["*", "*.sh", "50-qdebug.sh", "??-*", "5*g.sh"] {
            assert!(runs(&format!("/etc/slurm/epilog.d/{yes}"), path), "{yes}");
        }
        for no in [
            "/etc/slurm/epilog.d/*.py",
            "/etc/slurm/*",
            "*",
            "/etc/slurm/epilog.d/",
        ] {
            assert!(!runs(no, path), "{no}");
        }
        assert!(!runs("/a/*", Path::new("/a/.hidden")));
    }

    #[test]
    fn what_slurm_conf_lacks_is_one_line() {
        let path = Path::new("/etc/slurm/epilog.d/50-qdebug.sh");
        assert!(
            missing(&[], path)
                .unwrap()
                .contains("`Epilog=/etc/slurm/epilog.d/*`")
        );
        let theirs = ["/usr/local/sbin/clean".to_owned()];
        assert!(missing(&theirs, path).unwrap().contains("move it into"));
        assert_eq!(missing(&["/etc/slurm/epilog.d/*".to_owned()], path), None);
    }
}
