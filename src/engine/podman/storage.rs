//! Which store Podman's images and containers lie in, and whether the user's own can lend its.
//!
//! Pure but for reading `storage.conf`, as containers-storage.conf(5) orders it: the system's, then
//! the user's over it. The store of our own service is always overlay on the node's disk. The user's
//! store and those the site names in `additionalimagestores` lend their images read-only, unless
//! they lie on a network file system or are not overlays.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::disk::network_file_system;

/// What `storage.conf` says, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    storage: Section,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Section {
    graphroot: Option<String>,
    rootless_storage_path: Option<String>,
    options: Options,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Options {
    additionalimagestores: Vec<String>,
    mount_program: Option<String>,
    overlay: Overlay,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Overlay {
    mount_program: Option<String>,
}

/// Whose environment decides, so that it can be tested.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment {
    pub(super) home: Option<PathBuf>,
    pub(super) config_home: Option<PathBuf>,
    pub(super) data_home: Option<PathBuf>,
    pub(super) user: Option<String>,
    pub(super) uid: u32,
}

impl Environment {
    /// This process's.
    pub(super) fn of_this_process() -> Self {
        let path = |name| {
            let value = std::env::var_os(name).map(PathBuf::from);
            value.filter(|path| path.is_absolute())
        };
        let home = path("HOME");
        let below = |name, rest| path(name).or_else(|| Some(home.as_ref()?.join(rest)));
        Self {
            config_home: below("XDG_CONFIG_HOME", ".config"),
            data_home: below("XDG_DATA_HOME", ".local/share"),
            user: std::env::var("USER").ok(),
            uid: rustix::process::getuid().as_raw(),
            home,
        }
    }
}

/// What our own service is told of storage.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Storage {
    /// Stores whose images can be used.
    pub(super) image_stores: Vec<PathBuf>,
    /// The program that mounts overlays, where the site names one.
    pub(super) mount_program: Option<String>,
}

impl Storage {
    /// Reads the files below `root` (`/`).
    pub(super) fn read(environment: &Environment, root: &Path) -> Self {
        let system = [
            "etc/containers/storage.conf",
            "usr/share/containers/storage.conf",
        ]
        .iter()
        .find_map(|path| read(&root.join(path)))
        .unwrap_or_default()
        .storage;
        let user = environment.config_home.as_deref();
        let user = user.and_then(|folder| read(&folder.join("containers/storage.conf")));
        let user = user.unwrap_or_default().storage;

        let own = [
            user.rootless_storage_path,
            user.graphroot,
            system.rootless_storage_path,
        ]
        .into_iter()
        .flatten()
        .map(|path| expand(&path, environment))
        .next()
        .or_else(|| Some(environment.data_home.as_ref()?.join("containers/storage")));
        let additional = [
            system.options.additionalimagestores,
            user.options.additionalimagestores,
        ];
        let additional = additional.concat();
        let stores = additional.iter().map(|path| expand(path, environment));
        let mut image_stores: Vec<PathBuf> = Vec::new();
        for store in stores.chain(own) {
            match usable(&store) {
                Ok(()) if !image_stores.contains(&store) => image_stores.push(store),
                Ok(()) => {}
                Err(reason) => {
                    tracing::debug!(store = %store.display(), reason, "not a store to take images from");
                }
            }
        }
        Self {
            image_stores,
            mount_program: [
                user.options.overlay.mount_program,
                user.options.mount_program,
                system.options.overlay.mount_program,
                system.options.mount_program,
            ]
            .into_iter()
            .flatten()
            .find(|program| !program.is_empty()),
        }
    }

    /// The words for `podman`'s command line; `mount_program` where the site names none.
    pub(super) fn arguments(&self, mount_program: Option<&str>) -> Vec<String> {
        let mut words = vec!["--storage-driver".to_owned(), "overlay".to_owned()];
        let mut option = |text: String| words.extend(["--storage-opt".to_owned(), text]);
        for store in &self.image_stores {
            option(format!("overlay.imagestore={}", store.display()));
        }
        if let Some(program) = self.mount_program.as_deref().or(mount_program) {
            option(format!("overlay.mount_program={program}"));
        }
        words
    }
}

fn read(path: &Path) -> Option<File> {
    let text = std::fs::read_to_string(path).ok()?;
    toml::from_str(&text)
        .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "cannot read podman's storage.conf"))
        .ok()
}

/// `$HOME`, `$USER` and `$UID`, as podman replaces them.
fn expand(path: &str, environment: &Environment) -> PathBuf {
    let home = environment.home.as_ref().map(|home| home.to_string_lossy());
    let path = path
        .replace("$HOME", home.as_deref().unwrap_or("$HOME"))
        .replace("$UID", &environment.uid.to_string())
        .replace("$USER", environment.user.as_deref().unwrap_or("$USER"));
    PathBuf::from(path)
}

/// Whether images can be taken from this store: it has some, as overlays, on a disk of this node.
fn usable(store: &Path) -> Result<(), String> {
    let text = store.to_str().unwrap_or_default();
    if !text.starts_with('/') || text.contains(|c: char| c.is_control() || c == ',') {
        return Err("its path cannot be handed on".to_owned());
    }
    let images = store.join("overlay-images/images.json");
    std::fs::File::open(&images).map_err(|error| format!("{}: {error}", images.display()))?;
    match network_file_system(store) {
        Some(name) => Err(format!("it is on {name}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn machine() -> (tempfile::TempDir, Environment) {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("home/a lice");
        let environment = Environment {
            config_home: Some(home.join(".config")),
            data_home: Some(home.join(".local/share")),
            user: Some("alice".to_owned()),
            uid: 2001,
            home: Some(home),
        };
        (root, environment)
    }

    fn with_images(store: &Path) -> PathBuf {
        write(&store.join("overlay-images/images.json"), "[]");
        store.to_owned()
    }

    #[test]
    fn a_users_own_store_lends_its_images_when_it_has_some() {
        let (root, environment) = machine();
        let store = root
            .path()
            .join("home/a lice/.local/share/containers/storage");
        let found = Storage::read(&environment, root.path());
        assert_eq!(found, Storage::default());
        assert_eq!(found.arguments(None), ["--storage-driver", "overlay"]);
        with_images(&store);
        let found = Storage::read(&environment, root.path());
        assert_eq!(found.image_stores, [store]);
    }

    #[test]
    fn the_sites_path_and_stores_are_followed_and_the_users_come_first() {
        let (root, environment) = machine();
        let at = |path: &str| root.path().join(path);
        let shared = with_images(&at("shared"));
        let site = with_images(&at("local/2001/alice"));
        let conf = format!(
            "[storage]\ndriver = 'overlay'\nrootless_storage_path = '{}/local/$UID/$USER'\n\
             [storage.options]\nadditionalimagestores = ['{}', '/no such']\n\
             [storage.options.overlay]\nmount_program = '/usr/bin/fuse-overlayfs'\n",
            root.path().display(),
            shared.display()
        );
        write(&at("etc/containers/storage.conf"), &conf);
        let found = Storage::read(&environment, root.path());
        assert_eq!(found.image_stores, [shared.clone(), site]);
        assert_eq!(
            found.arguments(None).last().unwrap(),
            "overlay.mount_program=/usr/bin/fuse-overlayfs"
        );

        let mine = with_images(&at("home/a lice/images"));
        let conf = "[storage]\ngraphroot = '$HOME/images'\n";
        write(&at("home/a lice/.config/containers/storage.conf"), conf);
        let found = Storage::read(&environment, root.path());
        assert_eq!(found.image_stores, [shared, mine]);
    }

    #[test]
    fn what_cannot_be_read_is_as_if_it_were_not_there() {
        let (root, environment) = machine();
        write(
            &root.path().join("etc/containers/storage.conf"),
            "[storage\n",
        );
        assert_eq!(Storage::read(&environment, root.path()), Storage::default());
        let with = Storage::default().arguments(Some("fuse-overlayfs"));
        assert_eq!(with.last().unwrap(), "overlay.mount_program=fuse-overlayfs");
    }
}
