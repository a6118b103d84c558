//! Where IDEs keep their things on this machine.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

use crate::platform;

/// The folders of this user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The home itself.
    pub home: PathBuf,
    /// Settings of programs: `~/.config`, on macOS `~/Library/Application Support`, on Windows
    /// `AppData\Roaming`.
    pub config: PathBuf,
    /// Data of programs: `~/.local/share`, on macOS as the settings, on Windows `AppData\Local`.
    pub data: PathBuf,
    /// Where programs are looked for first.
    pub path: Vec<PathBuf>,
}

impl Home {
    /// This user's; `None` where the home is not known.
    pub fn of_user() -> Option<Self> {
        let base = etcetera::choose_base_strategy().ok()?;
        let home = base.home_dir().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::split_paths(&path).collect();
        if cfg!(target_os = "macos") {
            let support = home.join("Library/Application Support");
            let (config, data) = (support.clone(), support);
            return Some(Self {
                home,
                config,
                data,
                path,
            });
        }
        let (config, data) = (base.config_dir(), platform::data_folder(&base));
        Some(Self {
            home,
            config,
            data,
            path,
        })
    }

    /// As a new user's below a folder, with nothing on PATH.
    pub fn below(home: &Path) -> Self {
        Self {
            home: home.to_owned(),
            config: home.join(".config"),
            data: home.join(".local/share"),
            path: Vec::new(),
        }
    }
}
