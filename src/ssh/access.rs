//! Which keys of the user's own are for a login node, and whether they let in there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::client::{Client, addressed};
use super::error::Error;
use super::keys::PublicKey;
use super::word::Destination;
use crate::process::Program;

/// How long ssh may take to try a key.
const TRY: Duration = Duration::from_secs(25);

/// A key of the user's, by its public half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserKey {
    /// The key.
    pub key: PublicKey,
    /// Its whole line, comment included, one line without control characters.
    pub line: String,
    /// The file of the public half; `None` for one that only the agent has.
    pub file: Option<PathBuf>,
}

impl UserKey {
    fn read(line: &str, file: Option<&Path>) -> Option<Self> {
        let line = line.trim();
        let key: PublicKey = line.parse().ok()?;
        let plain = !line.contains(char::is_control);
        Some(Self {
            line: if plain {
                line.to_owned()
            } else {
                key.to_string()
            },
            key,
            file: file.map(Path::to_owned),
        })
    }
}

impl Client {
    /// The keys that ssh would offer a login node: the files that the user's configuration names
    /// for it (ssh's own default names where it names none), then what the agent has. Those whose
    /// private half is not here are left out; Ed25519 comes first among the files.
    pub async fn keys_for(&self, to: &Destination, home: &Path) -> Vec<UserKey> {
        let shown = self.ssh().arg("-G").args(addressed(to)).output().await;
        let shown = shown.map(|output| output.stdout).unwrap_or_default();
        let mut keys: Vec<UserKey> = identity_files(&shown, home)
            .into_iter()
            .filter(|private| private.is_file())
            .filter_map(|private| {
                let public = public_half(&private);
                let text = std::fs::read_to_string(&public).ok()?;
                UserKey::read(&text, Some(&public))
            })
            .collect();
        keys.sort_by_key(|key| !key.line.starts_with("ssh-ed25519 "));
        // An agent that is not there has no keys.
        if let Ok(output) = Program::new("ssh-add").arg("-L").output().await
            && output.status == 0
        {
            let of_agent = output.stdout.lines();
            for key in of_agent.filter_map(|line| UserKey::read(line, None)) {
                if keys.iter().all(|known| known.key != key.key) {
                    keys.push(key);
                }
            }
        }
        keys
    }

    /// Whether the user's keys alone let in, without a person and over no master.
    ///
    /// # Errors
    /// [`Error::Program`] when ssh cannot be run or does not end.
    pub async fn lets_in_by_key(&self, to: &Destination) -> Result<bool, Error> {
        let settings = [
            "BatchMode=yes",
            "ControlMaster=no",
            "ControlPath=none",
            "PreferredAuthentications=publickey",
            "ClearAllForwardings=yes",
            "RemoteCommand=none",
            "PermitLocalCommand=no",
            "ConnectTimeout=20",
        ];
        let program = self.ssh().args(["-n", "-T"]);
        let program = settings
            .iter()
            .fold(program, |program, setting| program.args(["-o", setting]))
            .args(addressed(to))
            .arg("exit 0");
        Ok(program.time_limit(TRY).output().await?.status != 255)
    }

    /// Makes a new key pair of the user's own, Ed25519. On a terminal ssh-keygen itself asks for
    /// a passphrase, else there is none.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::Program`]; [`Error::File`] when the folder cannot be made.
    pub async fn make_key(
        &self,
        private: &Path,
        comment: &str,
        ask_passphrase: bool,
    ) -> Result<UserKey, Error> {
        if let Some(folder) = private.parent() {
            super::files::private_dir(folder)?;
        }
        let program = Program::new("ssh-keygen").args(["-q", "-t", "ed25519", "-C", comment]);
        let program = program.arg("-f").arg(private);
        let command = program.shown();
        let (status, stderr) = match ask_passphrase {
            true => (program.on_terminal().await?, String::new()),
            false => {
                let output = program.args(["-N", ""]).output().await?;
                (output.status, output.stderr)
            }
        };
        let public = public_half(private);
        let text = super::files::read(&public)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        match UserKey::read(&text, Some(&public)) {
            Some(key) if status == 0 => Ok(key),
            _ => Err(Error::Failed {
                command,
                status,
                stderr: stderr.trim().to_owned(),
            }),
        }
    }
}

fn public_half(private: &Path) -> PathBuf {
    let mut name = private.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// The files that `ssh -G` names, `~` being `home`.
fn identity_files(shown: &str, home: &Path) -> Vec<PathBuf> {
    let named = shown
        .lines()
        .filter_map(|line| line.strip_prefix("identityfile "));
    named
        .filter(|path| *path != "none")
        .map(|path| match path.strip_prefix("~/") {
            Some(below) => home.join(below),
            None => PathBuf::from(path),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::keys::tests::KEY;
    use super::*;

    #[test]
    fn the_files_of_the_configuration_are_found() {
        // Recorded from OpenSSH 9.2, `ssh -G login`.
        let shown = "user alice\nhostname login\nidentityfile ~/.ssh/id_rsa\n\
                     identityfile /keys/of me\nidentityfile none\n";
        let files = identity_files(shown, Path::new("/home/alice"));
        let all = ["/home/alice/.ssh/id_rsa", "/keys/of me"].map(PathBuf::from);
        assert_eq!(files, all);
    }

    #[test]
    fn a_line_with_control_characters_is_cut_to_the_key() {
        let key = UserKey::read(&format!("{KEY} alice\u{1b}[2J"), None).unwrap();
        assert_eq!(key.line, KEY);
        let key = UserKey::read(&format!(" {KEY} alice@ü \n"), None).unwrap();
        assert_eq!(key.line, format!("{KEY} alice@ü"));
        assert!(UserKey::read("no key", None).is_none());
    }
}
