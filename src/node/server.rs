//! What serves ssh in the container: the kit unpacked, the session's files beside it, the lease.
//!
//! The one place of the node half that talks to the kit. What the container sees: the kit and the
//! session's folder, both read-only, and over the image's own a passwd, a group file and a snippet
//! that sets PATH back in login shells.

use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use super::accounts::Accounts;
use super::host::User;
use super::image::Known;
use super::upload;
use crate::engine::Bind;
use crate::kit::{self, Lease, paths, sshd};
use crate::session::Sshd;

/// What is to be served.
pub(super) struct Wanted<'a> {
    /// Where the kit is unpacked.
    pub(super) kit: PathBuf,
    /// The session's folder on the node.
    pub(super) folder: &'a Path,
    /// Who logs in.
    pub(super) user: &'a User,
    /// The user's home.
    pub(super) home: &'a Path,
    /// Where terminals open.
    pub(super) project: &'a Path,
    /// The image, where it is known; [`Server::complete`] is needed where it is not.
    pub(super) known: Option<&'a Known>,
    /// The environment of the session.
    pub(super) environment: &'a BTreeMap<String, String>,
    /// Whose sshd.
    pub(super) sshd: Sshd,
    /// Whose keys may enter, as `authorized_keys` has them.
    pub(super) keys: &'a [u8],
    /// The port in the container.
    pub(super) port: u16,
    /// How long the container may live at most.
    pub(super) ends_in: Duration,
}

/// The files of a session on its node, and the lease that its container lives by.
#[derive(Debug)]
pub(super) struct Server {
    folder: PathBuf,
    binds: Vec<Bind>,
    argv: Vec<String>,
    host_key: String,
    lease: Lease,
    whose: sshd::Server,
    accounts: Accounts,
    user: (u32, u32),
    uploaded: bool,
    /// Variables that could not be carried into the session.
    pub(super) dropped: Vec<String>,
}

impl Server {
    /// Lays down everything the container needs before it is made.
    pub(super) fn prepare(wanted: &Wanted<'_>) -> Result<Self, Error> {
        let User { uid, gid, .. } = *wanted.user;
        let folder = wanted.folder.join("session");
        make_folder(&folder)?;

        let unknown = Known::default();
        let known = wanted.known.unwrap_or(&unknown);
        let whose = match wanted.sshd {
            Sshd::Kit => sshd::Server::Kit,
            Sshd::Image | Sshd::Layer => sshd::Server::Image(known.sshd_version()),
        };
        let (config, dropped) = sshd::ServerConfig {
            server: whose,
            port: wanted.port,
            listen: None,
            user: wanted.user.name.clone(),
            env: wanted.environment.clone(),
        }
        .render();
        let accounts = Accounts::lay_down(wanted.folder, wanted.user, wanted.home, known)?;
        write_file(&folder.join("sshd_config"), config.as_bytes(), 0o600)?;
        let path = wanted.environment.get("PATH").map_or("", String::as_str);
        let profile = sshd::profile(path, &wanted.project.to_string_lossy());
        // It is for everybody in the container.
        write_file(&folder.join("profile.sh"), profile.as_bytes(), 0o644)?;
        write_file(&folder.join("authorized_keys"), wanted.keys, 0o600)?;
        let host_key = kit::generate_host_key(&folder)?;
        let lease = Lease::create(&folder.join("lease"))?;
        lease.renew(wanted.ends_in)?;

        let mut binds: Vec<Bind> = [
            (wanted.kit.clone(), paths::KIT),
            (folder.clone(), paths::SESSION),
            (folder.join("profile.sh"), paths::IMAGE_PROFILE),
        ]
        .map(|(source, target)| Bind::new(source, target).read_only())
        .to_vec();
        binds.extend(accounts.binds());
        if uid == 0 {
            binds.extend(empty_for_root(wanted)?);
        }
        Ok(Self {
            folder,
            binds,
            argv: sshd::argv(whose, paths::LEASE),
            whose,
            accounts,
            user: (uid, gid),
            uploaded: false,
            host_key,
            lease,
            dropped,
        })
    }

    /// What the container runs.
    pub(super) fn argv(&self) -> Vec<String> {
        self.argv.clone()
    }

    /// What the container sees of the node for this.
    pub(super) fn binds(&self) -> Vec<Bind> {
        self.binds.clone()
    }

    /// From now on the engine mounts nothing of this: its files are uploaded, the lease is the
    /// container's stdin.
    pub(super) fn go_without_binds(&mut self) {
        self.uploaded = true;
        self.argv = sshd::argv(self.whose, paths::LEASE_ON_STDIN);
    }

    /// Whether the engine mounts nothing of this.
    pub(super) fn is_uploaded(&self) -> bool {
        self.uploaded
    }

    /// What is to be handed over to a container without mounts, before its start: the files, and
    /// the end of a new lease that is to be carried to its stdin.
    pub(super) fn hand_over(
        &mut self,
        ends_in: Duration,
    ) -> Result<(Vec<u8>, std::os::fd::OwnedFd), Error> {
        let archive = upload::archive(&self.binds, self.user);
        let archive = archive.map_err(Error::io("read", &self.folder))?;
        let (lease, carried) = Lease::on_stdin()?;
        lease.renew(ends_in)?;
        self.lease = lease;
        Ok((archive, carried))
    }

    /// The session's host public key.
    pub(super) fn host_key(&self) -> &str {
        &self.host_key
    }

    /// Completes passwd and group by what was found in the image, after [`Server::prepare`] without.
    /// Where they are not bound, the archive is returned that has to be uploaded for it.
    pub(super) fn complete(&self, known: &Known) -> Result<Option<Vec<u8>>, Error> {
        self.accounts.complete(known)?;
        let binds = self.accounts.binds();
        let archive = self.uploaded.then(|| upload::archive(&binds, self.user));
        archive.transpose().map_err(Error::io("read", &self.folder))
    }

    /// Lets other keys enter from now on: the folder is bound, so a rename in it is seen inside.
    /// Where the folder is not bound, the archive is returned that has to be uploaded for it.
    pub(super) fn replace_keys(&self, keys: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let path = self.folder.join("authorized_keys");
        let replace = || {
            let mut temporary = tempfile::NamedTempFile::new_in(&self.folder)?;
            std::io::Write::write_all(&mut temporary, keys)?;
            temporary.persist(&path)?;
            Ok(())
        };
        replace().map_err(Error::io("write", &path))?;
        tracing::info!("fresh keys may enter");
        let archive = self
            .uploaded
            .then(|| upload::one_file("authorized_keys", keys, self.user));
        archive.transpose().map_err(Error::io("pack", &path))
    }

    /// Lets the container live for this long from now.
    pub(super) fn renew(&self, left: Duration) {
        if let Err(error) = self.lease.renew(left) {
            tracing::warn!(%error, "cannot renew the lease");
        }
    }

    /// Tells every terminal of the session.
    pub(super) fn notice(&self, text: &str) {
        if let Err(error) = self.lease.notice(text) {
            tracing::warn!(%error, "cannot tell the terminals");
        }
    }
}

/// As root, sshd locks the part of itself that has not let anybody in yet into an empty folder.
fn empty_for_root(wanted: &Wanted<'_>) -> Result<Option<Bind>, Error> {
    let own = match wanted.sshd {
        Sshd::Kit => wanted.kit.join("empty"),
        Sshd::Image | Sshd::Layer => wanted.folder.join("empty"),
    };
    match std::fs::DirBuilder::new().mode(0o755).create(&own) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Error::io("make", &own)(error))
        }
        _ => Ok((wanted.sshd != Sshd::Kit).then(|| Bind::new(own, "/run/sshd").read_only())),
    }
}

fn make_folder(path: &Path) -> Result<(), Error> {
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(Error::io("make", path))
}

fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        options.create_new(true).write(true).mode(mode);
        std::io::Write::write_all(&mut options.open(path)?, bytes)
    };
    write().map_err(Error::io("write", path))
}
