//! Who is known in the container: the passwd and group files that are bound over the image's.
//!
//! While the image is still looked into, they know nobody but the user, with the kit's shell, and
//! sshd's own: enough for sshd to start. They are completed before the session is ready, in place,
//! since a bound file is an inode: whoever reads one meanwhile finds the user on its first line.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::Error;
use super::host::User;
use super::image::Known;
use crate::engine::Bind;
use crate::kit::{passwd, paths};

/// The two files of a session.
#[derive(Debug)]
pub(super) struct Accounts {
    passwd: PathBuf,
    group: PathBuf,
    user: passwd::User,
}

impl Accounts {
    /// Makes both in the session's folder on the node.
    pub(super) fn lay_down(
        folder: &Path,
        user: &User,
        home: &Path,
        known: &Known,
    ) -> Result<Self, Error> {
        let accounts = Self {
            passwd: folder.join("passwd"),
            group: folder.join("group"),
            user: passwd::User {
                name: user.name.clone(),
                uid: user.uid,
                gid: user.gid,
                group: user.group.clone(),
                home: home.to_string_lossy().into_owned(),
                shell: paths::SHELL.to_owned(),
                supplementary: user.groups.clone(),
            },
        };
        for (path, text) in accounts.texts(known)? {
            write(path, &text, OpenOptions::new().create_new(true).mode(0o644))?;
        }
        Ok(accounts)
    }

    /// Writes both anew, in place, by what is known of the image now.
    pub(super) fn complete(&self, known: &Known) -> Result<(), Error> {
        for (path, text) in self.texts(known)? {
            write(path, &text, &mut OpenOptions::new())?;
        }
        Ok(())
    }

    /// What the container sees of them.
    pub(super) fn binds(&self) -> [Bind; 2] {
        [(&self.passwd, "/etc/passwd"), (&self.group, "/etc/group")]
            .map(|(source, target)| Bind::new(source, target).read_only())
    }

    /// The texts of both: the image's entries behind the user's, who gets a shell that is
    /// there.
    fn texts(&self, known: &Known) -> Result<[(&Path, String); 2], Error> {
        let shell = known.shell.iter().map(String::as_str);
        let user = passwd::User {
            shell: passwd::choose_shell(shell, |_| true).to_owned(),
            ..self.user.clone()
        };
        Ok([
            (&self.passwd, passwd::passwd(&known.passwd, &user)?),
            (&self.group, passwd::group(&known.group, &user)?),
        ])
    }
}

/// Writes over what is there, and only then cuts off what is left of it.
fn write(path: &Path, text: &str, options: &mut OpenOptions) -> Result<(), Error> {
    let mut write = || {
        let file = options.write(true).open(path)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.set_len(text.len() as u64)
    };
    write().map_err(Error::io("write", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_session_begins_with_its_user_and_is_completed_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let user = User {
            name: "alice".into(),
            uid: 2001,
            gid: 3001,
            group: "staff".into(),
            groups: vec![(44, "gpu".into())],
        };
        let home = Path::new("/home/alice");
        let accounts = Accounts::lay_down(folder.path(), &user, home, &Known::default()).unwrap();
        let [passwd, group] = accounts.binds().map(|bind| bind.source);
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let inode = |path: &Path| path.metadata().unwrap().ino();
        let first = "alice:x:2001:3001::/home/alice:/.qdebug/bin/sh\n";
        assert!(read(&passwd).starts_with(first) && read(&passwd).contains("\nsshd:"));
        assert_eq!(read(&group), "staff:x:3001:\ngpu:x:44:alice\n");
        let bound = inode(&passwd);

        let mut known = Known::default();
        known.passwd = "root:x:0:0::/root:/bin/bash\nsshd:x:74:74::/:/x\n".into();
        known.group = "root:x:0:\n".into();
        known.shell = Some("/bin/sh".into());
        accounts.complete(&known).unwrap();
        // Shorter by now, and nothing of the old is left at its end.
        assert_eq!(
            read(&passwd),
            "alice:x:2001:3001::/home/alice:/bin/sh\nroot:x:0:0::/root:/bin/bash\n\
             sshd:x:74:74::/:/x\n"
        );
        assert_eq!(read(&group), "staff:x:3001:\ngpu:x:44:alice\nroot:x:0:\n");
        assert_eq!(inode(&passwd), bound);
        // Laid down once only.
        assert!(Accounts::lay_down(folder.path(), &user, home, &known).is_err());
    }
}
