//! Every value in force and where it comes from: what `qdebug config` shows.

use std::collections::BTreeMap;
use std::path::Path;

use super::catalogue::{Catalogue, Dialect};
use super::origin::{self, Leaf, Origin, Value};
use super::{Config, Layer, WAYS};

/// Keys whose values of both files add up.
const ADDED_UP: [&str; 2] = ["environment", "submit.mounts"];

impl Config {
    /// Every key that has a value, in alphabetical order, with its value and where that comes from.
    /// Of a list that both files add to, each file's part is a value of its own.
    pub fn values(&self) -> Vec<Value> {
        let mut values: BTreeMap<(String, usize), Value> = BTreeMap::new();
        let mut put = |value: Value, part: usize| {
            values.insert((value.key.clone(), part), value);
        };
        for value in built_in() {
            put(value, 0);
        }
        for (number, layer) in [&self.site, &self.user].into_iter().enumerate() {
            let odd = |leaf: &&Leaf| self.warnings.iter().any(|odd| odd.is_about(layer, leaf));
            for leaf in layer.leaves.iter().filter(|leaf| !odd(leaf)) {
                let mut key = leaf.key.clone();
                if let [first, name, ..] = key.as_mut_slice()
                    && first == "gpus"
                    && let Some(kind) = self.kind_named(name)
                {
                    *name = kind;
                }
                let key = key.join(".");
                let part = match ADDED_UP.contains(&key.as_str()) {
                    true => number,
                    false => 0,
                };
                let value = Value {
                    key,
                    value: leaf.value.clone(),
                    origin: origin::of_leaf(&layer.path, leaf),
                };
                put(value, part);
            }
        }
        if let Some(home) = std::env::var_os("QDEBUG_HOME").filter(|home| !home.is_empty()) {
            let value = Value {
                key: "home".to_owned(),
                value: home.to_string_lossy().into_owned().into(),
                origin: Origin::Environment {
                    name: "QDEBUG_HOME",
                },
            };
            put(value, 0);
        }
        values.into_values().collect()
    }

    /// Where the value of a key comes from, the user's file first.
    pub fn origin(&self, key: &[&str]) -> Origin {
        let layers = [&self.user, &self.site];
        let said = layers.into_iter().find_map(|layer| {
            let line = origin::line_of(&layer.leaves, key)?;
            let path = layer.path.clone();
            Some(Origin::File { path, line })
        });
        said.unwrap_or(Origin::BuiltIn)
    }

    /// The files that are read, the site's first, and whether each is there.
    pub fn files(&self) -> Vec<(&Path, bool)> {
        let layers: [&Layer; 2] = [&self.site, &self.user];
        let named = layers
            .into_iter()
            .filter(|layer| !layer.path.as_os_str().is_empty());
        named
            .map(|layer| (layer.path.as_path(), layer.found))
            .collect()
    }

    /// A type's name as the catalogue writes it.
    fn kind_named(&self, name: &str) -> Option<String> {
        let mut types = self.catalogue.types().iter();
        let kind = types.find(|kind| kind.name.eq_ignore_ascii_case(name))?;
        Some(kind.name.clone())
    }
}

/// The values of a qdebug without files.
fn built_in() -> Vec<Value> {
    let value = |key: String, value: toml::Value| Value {
        key,
        value,
        origin: Origin::BuiltIn,
    };
    let mut values = vec![
        value("home".to_owned(), "~/.qdebug".into()),
        value("node_dir".to_owned(), "/var/tmp".into()),
        value("engine".to_owned(), "auto".into()),
        value("cache".to_owned(), "".into()),
        value("cache_size".to_owned(), "100G".into()),
        value("reach".to_owned(), WAYS.to_vec().into()),
        value("publish".to_owned(), "loopback".into()),
    ];
    for kind in Catalogue::built_in().types() {
        let key = |name: &str| format!("gpus.{}.{name}", kind.name);
        let pattern = kind.pattern.clone();
        values.extend(pattern.map(|pattern| value(key("pattern"), pattern.into())));
        for (name, dialect) in [
            ("openpbs", Dialect::OpenPbs),
            ("torque", Dialect::Torque),
            ("slurm", Dialect::Slurm),
        ] {
            values.push(value(key(name), kind.words(dialect).text.clone().into()));
        }
        if !kind.aliases.is_empty() {
            values.push(value(key("aliases"), kind.aliases.clone().into()));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_tells_where_it_comes_from() {
        let folder = tempfile::tempdir().unwrap();
        let (site, user) = (folder.path().join("site"), folder.path().join("user"));
        let text = "node_dir = '/s'\nenvironment = ['A']\n[gpus.v100]\ncpus = 16\nqueue = 'gpu'\nfoo = 1\n\
                    [bar]\nbaz = 2\n";
        std::fs::write(&site, text).unwrap();
        let text = "environment = ['B']\n[gpus.V100]\nqueue = 'mine'\n";
        std::fs::write(&user, text).unwrap();
        let config = Config::read(&site, Some(&user)).unwrap();
        let values = config.values();
        let of = |key: &str| {
            let of_key = values.iter().filter(|value| value.key == key);
            let shown = of_key.map(|value| format!("{} {}", value.value, value.origin));
            shown.collect::<Vec<_>>().join("; ")
        };
        assert!(
            values
                .iter()
                .all(|value| !value.key.contains("foo") && value.key != "bar.baz")
        );
        let (site, user) = (site.display(), user.display());
        assert_eq!(of("node_dir"), format!("\"/s\" {site}:1"));
        assert_eq!(of("gpus.V100.cpus"), format!("16 {site}:4"));
        assert_eq!(of("gpus.V100.queue"), format!("\"mine\" {user}:3"));
        assert_eq!(of("gpus.V100.torque"), "\"gpus={count}:V100\" built-in");
        assert_eq!(
            of("environment"),
            format!("[\"A\"] {site}:2; [\"B\"] {user}:1")
        );
        assert_eq!(
            config.origin(&["gpus", "V100", "queue"]).to_string(),
            format!("{user}:3")
        );
        assert_eq!(config.files().len(), 2);
    }
}
