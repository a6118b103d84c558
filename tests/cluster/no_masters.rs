//! A laptop that makes no masters.

use crate::host::{Host, Ran};

/// A configuration of the user's that has no masters made to a login, until this is dropped.
pub(crate) struct NoMasters {
    file: String,
}

impl NoMasters {
    /// With one cluster of this name and login.
    #[track_caller]
    pub(crate) fn at(name: &str, login: &str) -> Self {
        let file = format!("/home/alice/{name}.toml");
        let line = format!(
            "printf '%s\\n' '[clusters.{name}]' 'login = \"{login}\"' \
             'qdebug = \"/usr/local/bin/qdebug\"' 'masters = false' >{file}"
        );
        Host::Laptop.sh(&line).ok();
        // What an earlier run has found there is no beginning.
        let forget = "import json, os, sys
path = '.local/state/qdebug/reach.json'
ways = json.load(open(path)) if os.path.exists(path) else sys.exit()
ways['clusters'].pop(sys.argv[1], None)
json.dump(ways, open(path + '.new', 'w'))
os.rename(path + '.new', path)";
        let locked = "mkdir -p .local/state/qdebug
            exec flock .local/state/qdebug/reach.lock python3 -c \"$0\" \"$1\"";
        Host::Laptop.run(&["sh", "-c", locked, forget, login]).ok();
        Self { file }
    }

    /// The variable that names it.
    pub(crate) fn env(&self) -> String {
        format!("QDEBUG_CONFIG={}", self.file)
    }

    /// Runs a line of shell as somebody whose configuration this is.
    pub(crate) fn sh(&self, line: &str) -> Ran {
        Host::Laptop.run(&["env", &self.env(), "bash", "-c", line])
    }
}

impl Drop for NoMasters {
    fn drop(&mut self) {
        Host::Laptop.sh(&format!("rm -f {}", self.file));
    }
}
