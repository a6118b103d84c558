//! Access lists that Win32-OpenSSH refuses, as PowerShell tells them.
//!
//! .NET gives a file's security descriptor as SDDL, and the user's identifier: neither depends on the
//! language of the system. (`Get-Acl` does the same, but its module is not found by a PowerShell that
//! has inherited the `PSModulePath` of a newer one.) The script is a constant; the files are in its
//! environment, with `|` between them, which no name of Windows holds.

use std::path::{Path, PathBuf};

use super::descriptor::Descriptor;
use super::{Access, ClientFiles, OpenFile};

/// Prints `user=SID`, and for each file `sddl=...` or `failed=REASON`. It writes on the console
/// itself, which breaks no lines.
#[cfg(windows)]
const SCRIPT: &str = "$ErrorActionPreference = 'Stop'; \
    [Console]::OutputEncoding = [Text.Encoding]::UTF8; \
    $user = [Security.Principal.WindowsIdentity]::GetCurrent().User.Value; \
    [Console]::Out.WriteLine('user=' + $user); \
    foreach ($file in $env:QDEBUG_FILES.Split('|')) { \
        try { $list = [IO.File]::GetAccessControl($file, 'Owner, Access'); \
            $said = 'sddl=' + $list.GetSecurityDescriptorSddlForm('Owner, Access') } \
        catch { $said = 'failed=' + ($_.Exception.Message -replace '\\s+', ' ') } \
        [Console]::Out.WriteLine($said) }";

/// The client's files of the user whose home this is.
#[cfg(windows)]
pub async fn of_client(home: &Path) -> ClientFiles {
    use crate::process::Program;
    let dot_ssh = home.join(".ssh");
    let keys = super::private_keys(&dot_ssh);
    let config = Some(dot_ssh.join("config")).filter(|path| path.is_file());
    if keys.is_empty() && config.is_none() {
        return ClientFiles::Closed { keys: 0 };
    }
    let files: Vec<&Path> = keys.iter().chain(&config).map(PathBuf::as_path).collect();
    let listed: Vec<_> = files.iter().map(|path| path.to_string_lossy()).collect();
    let words = [
        "-NoLogo",
        "-NoProfile",
        "-NonInteractive",
        "-Command",
        SCRIPT,
    ];
    let program = Program::new("powershell").args(words);
    match program.env("QDEBUG_FILES", listed.join("|")).output().await {
        Ok(output) if output.status == 0 => found(&keys, config.as_deref(), &output.stdout),
        Ok(output) => {
            let last = output.stderr.trim().lines().next().unwrap_or_default();
            let last: String = last.chars().filter(|c| !c.is_control()).collect();
            unread(format!("PowerShell ended with {}: {last}", output.status))
        }
        Err(error) => unread(error.to_string()),
    }
}

fn unread(reason: String) -> ClientFiles {
    ClientFiles::Unread { reason }
}

/// What the script's answer says of these files.
fn found(keys: &[PathBuf], config: Option<&Path>, said: &str) -> ClientFiles {
    let mut lines = said.lines().map(str::trim_end);
    let user = lines.next().and_then(|line| line.strip_prefix("user=S-"));
    let Some(user) = user.map(|rest| format!("S-{rest}")) else {
        return unread("PowerShell does not tell who you are".to_owned());
    };
    let (mut open, mut why_unread) = (Vec::new(), None);
    let files = keys.iter().map(|key| (key.as_path(), false));
    let files = files.chain(config.map(|config| (config, true)));
    for ((path, is_config), line) in files.zip(lines.map(Some).chain(std::iter::repeat(None))) {
        let line = line.unwrap_or("failed=PowerShell said nothing of it");
        let sddl = line.strip_prefix("sddl=");
        let Some(descriptor) = sddl.and_then(Descriptor::read) else {
            let why = line.strip_prefix("failed=").unwrap_or(line);
            let why: String = why.chars().filter(|c| !c.is_control()).take(200).collect();
            why_unread.get_or_insert(format!("{}: {why}", path.display()));
            continue;
        };
        let faults = descriptor.faults(&user, is_config);
        if faults.are_none() {
            continue;
        }
        let file = OpenFile {
            path: path.to_owned(),
            access: Access::Accounts {
                user: user.clone(),
                owner: faults.owner,
                others: faults.others,
                no_list: faults.no_list,
            },
        };
        match is_config {
            false => open.push(file),
            true if open.is_empty() => return ClientFiles::OpenConfig(file),
            true => {}
        }
    }
    match (open.is_empty(), why_unread) {
        (false, _) => ClientFiles::OpenKeys(open),
        (true, Some(reason)) => unread(reason),
        (true, None) => ClientFiles::Closed { keys: keys.len() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "S-1-5-21-1402048822-409899687-2319524958-1001";

    fn of(lines: &[&str]) -> ClientFiles {
        let keys = ["a", "b"].map(PathBuf::from);
        let said = format!("user={USER}\r\n{}\r\n", lines.join("\r\n"));
        found(&keys, Some(Path::new("config")), &said)
    }

    #[test]
    fn each_file_is_judged_by_its_own_line() {
        let closed = format!("sddl=O:{USER}G:{USER}D:(A;ID;FA;;;SY)(A;ID;FA;;;{USER})");
        let read = format!("sddl=O:{USER}D:(A;;FA;;;{USER})(A;;FR;;;BU)");
        let (closed, read) = (closed.as_str(), read.as_str());
        assert_eq!(
            of(&[closed, closed, closed]),
            ClientFiles::Closed { keys: 2 }
        );
        assert_eq!(of(&[closed, closed, read]), ClientFiles::Closed { keys: 2 });
        match of(&[closed, read, closed]) {
            ClientFiles::OpenKeys(open) => {
                assert_eq!(open.len(), 1);
                assert_eq!(open[0].path, Path::new("b"));
                let others = vec!["S-1-5-32-545".to_owned()];
                let access = Access::Accounts {
                    user: USER.to_owned(),
                    owner: None,
                    others,
                    no_list: false,
                };
                assert_eq!(open[0].access, access);
            }
            other => panic!("{other:?}"),
        }
        let written = format!("sddl=O:{USER}D:(A;;FA;;;{USER})(A;;FA;;;WD)");
        let config = of(&[closed, closed, &written]);
        assert!(matches!(config, ClientFiles::OpenConfig(_)), "{config:?}");
        let both = of(&[closed, read, &written]);
        assert!(matches!(both, ClientFiles::OpenKeys(_)), "{both:?}");
    }

    #[test]
    fn what_cannot_be_read_is_told_with_the_reason() {
        let closed = format!("sddl=O:{USER}D:P");
        let why = |lines: &[&str]| match of(lines) {
            ClientFiles::Unread { reason } => reason,
            other => panic!("{other:?}"),
        };
        // In another language.
        let denied = "failed=Es wurde versucht, einen nicht autorisierten Vorgang auszuführen.";
        assert!(why(&[&closed, denied, &closed]).starts_with("b: Es wurde versucht"));
        assert!(why(&[&closed, "sddl=odd", &closed]).starts_with("b: sddl=odd"));
        assert!(why(&[&closed]).contains("said nothing"));
        let nobody = found(&[], None, "Access denied\n");
        assert!(matches!(nobody, ClientFiles::Unread { .. }));
    }
}
