//! A user's folders and commands for images.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support;

/// What recipes build upon.
pub(crate) const BASE: &str = "qdebug/busybox";

/// A user's folders: configuration, node_dir, cache, and a place for recipes.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) env: Vec<(&'static str, PathBuf)>,
    pub(crate) images: Vec<String>,
}

pub(crate) struct Ran {
    pub(crate) output: Output,
}

impl Ran {
    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert!(self.output.status.success(), "{}", self.err());
        serde_json::from_slice(&self.output.stdout).expect("JSON")
    }

    #[track_caller]
    pub(crate) fn fails(&self, code: i32, words: &[&str]) {
        let err = self.err();
        assert_eq!(self.output.status.code(), Some(code), "{err}");
        for word in words {
            assert!(err.contains(word), "no {word:?} in {err}");
        }
    }
}

pub(crate) fn docker(words: &[&str]) -> Output {
    Command::new("docker").args(words).output().unwrap()
}

pub(crate) fn has(image: &str) -> bool {
    docker(&["image", "inspect", image]).status.success()
}

impl Place {
    /// A place with a cache of that size, where an engine and the base are.
    pub(crate) fn new(cache_size: &str) -> Option<Self> {
        if !has(BASE) {
            support::skip(&format!("no engine, or no image {BASE}"));
            return None;
        }
        let folder = tempfile::Builder::new()
            .prefix("qdebug images é'")
            .tempdir_in("/var/tmp")
            .unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        for name in ["node", "other-node"] {
            fs::create_dir(at(name)).unwrap();
        }
        let config = |node: &str| {
            format!(
                "node_dir = {:?}\ncache = {:?}\ncache_size = {cache_size:?}\n",
                at(node),
                at("cache")
            )
        };
        fs::write(at("config.toml"), config("node")).unwrap();
        fs::write(at("other.toml"), config("other-node")).unwrap();
        Some(Self {
            folder,
            env: Vec::new(),
            images: Vec::new(),
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A recipe of these lines on the base, in a folder of its own.
    pub(crate) fn recipe(&self, name: &str, lines: &str) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir_all(&folder).unwrap();
        let recipe = folder.join("Dockerfile");
        fs::write(&recipe, format!("FROM {BASE}\n{lines}")).unwrap();
        recipe
    }

    pub(crate) fn command(&self, config: &str, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qdebug"));
        command
            .arg("image")
            .args(words)
            .env("QDEBUG_CONFIG", self.path(config))
            .env("QDEBUG_SITE", "/no/such/file")
            .env("DOCKER_CONFIG", self.path("docker"))
            .env("REGISTRY_AUTH_FILE", self.path("podman-auth.json"))
            .envs(self.env.iter().cloned());
        command
    }

    pub(crate) fn image(&self, words: &[&str]) -> Ran {
        let output = self.command("config.toml", words).output().unwrap();
        Ran { output }
    }

    #[track_caller]
    pub(crate) fn build(&mut self, recipe: &Path, more: &[&str]) -> (Value, String) {
        self.build_with("config.toml", recipe, more)
    }

    #[track_caller]
    pub(crate) fn build_with(
        &mut self,
        config: &str,
        recipe: &Path,
        more: &[&str],
    ) -> (Value, String) {
        let recipe = recipe.to_str().unwrap();
        let words = [&["build", "--json", "--dockerfile", recipe], more].concat();
        let output = self.command(config, &words).output().unwrap();
        let ran = Ran { output };
        let built = ran.json();
        self.images.push(built["id"].as_str().unwrap().to_owned());
        (built, ran.err())
    }

    /// The cache's files of data.
    pub(crate) fn data(&self) -> Vec<PathBuf> {
        let below = fs::read_dir(self.path("cache")).into_iter().flatten();
        let own = below.filter_map(|entry| fs::read_dir(entry.unwrap().path()).ok());
        let files = own.flatten().map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.to_string_lossy().ends_with(".tar.zst"))
            .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for image in &self.images {
            docker(&["rmi", "-f", image]);
        }
    }
}

pub(crate) fn run(image: &str, words: &[&str]) -> String {
    let output = docker(&[&["run", "--rm", "--entrypoint", "", image], words].concat());
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
