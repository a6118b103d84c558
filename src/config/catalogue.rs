//! The GPU catalogue: per type the names NVML gives it, and how each scheduler is asked for it.
//!
//! Built-in types come first; `[gpus.TYPE]` of the site's file, then of the user's, changes them key
//! by key or adds types. A short name that a later file gives to a type is taken from the one that
//! had it.
//!
//! | key | what | for two GPUs |
//! |---|---|---|
//! | `pattern` | a regular expression over NVML's names, upper and lower case alike | |
//! | `openpbs` | words of a chunk: `ngpus={count}:gpu_model=V100` | `ngpus=2:gpu_model=V100` |
//! | `torque` | words behind `nodes=1:ppn=N:`: `gpus={count}:V100` | `gpus=2:V100` |
//! | `slurm` | the value of `--gres`, or whole options: `gpu:V100:{count}` | `gpu:V100:2` |
//! | `queue` | the queue or partition | |
//! | `cpus`, `memory` | cores and memory for one GPU | twice as much |
//! | `aliases` | other names of it | |

use std::fmt;
use std::str::FromStr;

use regex::RegexBuilder;
use serde::{Deserialize, Deserializer, de};

use super::fields::{queue, size};
use super::file::{Error, Layer};

/// The types every qdebug knows: name, short name, NVML's names. The names of a `GTX 1080` end
/// there; what goes on (`Ti`, `with Max-Q Design`) is another model.
const BUILT_IN: [(&str, Option<&str>, &str); 10] = [
    ("P100", Some("P"), r"\bP100\b"),
    ("V100", Some("V"), r"\bV100S?\b"),
    ("GTX1080", Some("G"), r"\bGTX ?1080$"),
    ("GTX1080TI", Some("GT"), r"\bGTX ?1080 ?Ti\b"),
    ("T4", None, r"\bT4\b"),
    ("A40", None, r"\bA40\b"),
    ("L40S", None, r"\bL40S\b"),
    ("A100", None, r"\bA100\b"),
    ("H100", None, r"\bH100\b"),
    ("H200", None, r"\bH200\b"),
];

/// Words of a request that name no type.
const COMMON: [&str; 6] = ["", "gpu", "gpus", "ngpus", "gpu_model", "{count}"];

/// A regular expression larger than this is no name of a GPU.
const PATTERN_LIMIT: usize = 1 << 20;

/// The name of a type: one word that a scheduler could take.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TypeName(pub(super) String);

impl FromStr for TypeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if text.eq_ignore_ascii_case("none") {
            return Err("`none` means no GPU; name the type otherwise".to_owned());
        }
        if begins && text.len() <= 64 && text.bytes().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "{text:?} is no GPU type; write one word of letters, digits, `-`, `_` and `.`"
        ))
    }
}

impl<'de> Deserialize<'de> for TypeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// `[gpus.TYPE]` of a file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct GpuKeys {
    #[serde(deserialize_with = "pattern")]
    pattern: Option<String>,
    #[serde(deserialize_with = "words")]
    openpbs: Option<String>,
    #[serde(deserialize_with = "words")]
    torque: Option<String>,
    #[serde(deserialize_with = "words")]
    slurm: Option<String>,
    #[serde(deserialize_with = "queue")]
    queue: Option<String>,
    #[serde(deserialize_with = "at_least_one")]
    cpus: Option<u32>,
    #[serde(deserialize_with = "size")]
    memory: Option<u64>,
    aliases: Option<Vec<TypeName>>,
}

fn pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match regex(&text) {
        Ok(_) if !text.is_empty() => Ok(Some(text)),
        Ok(_) => Err(de::Error::custom("an empty pattern matches every GPU")),
        Err(error) => {
            let last = error.to_string();
            let last = last.lines().last().unwrap_or_default().trim();
            let reason =
                format!("not a regular expression ({last}); write one such as '\\bV100\\b'");
            Err(de::Error::custom(reason))
        }
    }
}

fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let rest = text.replace("{count}", "");
    if rest.contains(['{', '}']) {
        return Err(de::Error::custom(
            "the only word in braces is {count}, the number of GPUs",
        ));
    }
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(de::Error::custom(
            "write what the scheduler takes, such as gpu:V100:{count}",
        ));
    }
    Ok(Some(text))
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(de::Error::custom("a session needs a core; write 1 or more")),
        cpus => Ok(Some(cpus)),
    }
}

fn regex(pattern: &str) -> Result<regex::Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .case_insensitive(true)
        .size_limit(PATTERN_LIMIT)
        .build()
}

/// A scheduler's way of asking, as the catalogue's keys name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `openpbs`.
    OpenPbs,
    /// `torque`.
    Torque,
    /// `slurm`.
    Slurm,
}

/// The words that ask for a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// With `{count}` where the number goes.
    pub text: String,
    /// Whether a file says so; else the cluster's own word may differ.
    pub is_configured: bool,
}

impl Words {
    /// The words for that many; `None` when they can only ask for one.
    pub fn with_count(&self, count: u32) -> Option<String> {
        (count == 1 || self.text.contains("{count}"))
            .then(|| self.text.replace("{count}", &count.to_string()))
    }
}

/// A GPU type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuType {
    /// Its name, such as `V100`.
    pub name: String,
    /// Other names of it.
    pub aliases: Vec<String>,
    /// A regular expression over NVML's names.
    pub pattern: Option<String>,
    /// Its queue or partition.
    pub queue: Option<String>,
    /// Cores for one GPU.
    pub cpus: Option<u32>,
    /// Memory in bytes for one GPU.
    pub memory_bytes: Option<u64>,
    words: [Words; 3],
}

impl GpuType {
    fn new(name: &str) -> Self {
        let words = |text: String| Words {
            text,
            is_configured: false,
        };
        Self {
            name: name.to_owned(),
            aliases: Vec::new(),
            pattern: None,
            queue: None,
            cpus: None,
            memory_bytes: None,
            words: [
                words(format!("ngpus={{count}}:gpu_model={name}")),
                words(format!("gpus={{count}}:{name}")),
                words(format!("gpu:{name}:{{count}}")),
            ],
        }
    }

    /// The words that ask a scheduler for it.
    pub fn words(&self, dialect: Dialect) -> &Words {
        &self.words[dialect as usize]
    }

    fn is(&self, text: &str) -> bool {
        self.name.eq_ignore_ascii_case(text)
    }

    fn take(&mut self, keys: &GpuKeys) {
        let configured = [&keys.openpbs, &keys.torque, &keys.slurm];
        for (words, text) in self.words.iter_mut().zip(configured) {
            if let Some(text) = text {
                *words = Words {
                    text: text.clone(),
                    is_configured: true,
                };
            }
        }
        let or = |new: &Option<String>, old: &mut Option<String>| {
            if new.is_some() {
                old.clone_from(new);
            }
        };
        or(&keys.pattern, &mut self.pattern);
        or(&keys.queue, &mut self.queue);
        self.cpus = keys.cpus.or(self.cpus);
        self.memory_bytes = keys.memory.or(self.memory_bytes);
        if let Some(aliases) = &keys.aliases {
            self.aliases = aliases.iter().map(|alias| alias.0.clone()).collect();
        }
    }
}

impl fmt::Display for GpuType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match self.aliases.as_slice() {
            [] => Ok(()),
            aliases => write!(f, " ({})", aliases.join(", ")),
        }
    }
}

/// All types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    types: Vec<GpuType>,
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::built_in()
    }
}

impl Catalogue {
    /// The types every qdebug knows.
    pub fn built_in() -> Self {
        let types = BUILT_IN.iter().map(|(name, alias, pattern)| GpuType {
            aliases: alias.iter().map(|alias| (*alias).to_owned()).collect(),
            pattern: Some((*pattern).to_owned()),
            ..GpuType::new(name)
        });
        Self {
            types: types.collect(),
        }
    }

    /// Changes types and adds some as a file says.
    pub(super) fn take(&mut self, layer: &Layer) -> Result<(), Error> {
        let mut given: Vec<(&str, &str)> = Vec::new();
        for (name, keys) in &layer.file.gpus {
            let name = name.0.as_str();
            for alias in keys.aliases.iter().flatten() {
                let same = |(alias_of, _): &&(&str, &str)| alias_of.eq_ignore_ascii_case(&alias.0);
                if let Some((_, other)) = given.iter().find(same) {
                    let reason = format!(
                        "{} is a name of {other} already; take it from one of them",
                        alias.0
                    );
                    return Err(layer.wrong(&["gpus", name, "aliases"], reason));
                }
                given.push((&alias.0, name));
            }
        }
        for kind in &mut self.types {
            let is_given = |alias: &String| {
                given
                    .iter()
                    .any(|(name, _)| name.eq_ignore_ascii_case(alias))
            };
            kind.aliases.retain(|alias| !is_given(alias));
        }
        for (name, keys) in &layer.file.gpus {
            match self.types.iter_mut().find(|kind| kind.is(&name.0)) {
                Some(kind) => kind.take(keys),
                None => {
                    let mut kind = GpuType::new(&name.0);
                    kind.take(keys);
                    self.types.push(kind);
                }
            }
        }
        Ok(())
    }

    /// All types, the built-in ones first.
    pub fn types(&self) -> &[GpuType] {
        &self.types
    }

    /// The type of that name or short name, upper and lower case alike.
    pub fn find(&self, text: &str) -> Option<&GpuType> {
        let named = self.types.iter().find(|kind| kind.is(text));
        named.or_else(|| {
            let short = |alias: &String| alias.eq_ignore_ascii_case(text);
            self.types
                .iter()
                .find(|kind| kind.aliases.iter().any(short))
        })
    }

    /// The type that a scheduler calls so: by name, by the words that ask for it, or by its
    /// pattern, where `nvidia_a100-sxm4` is read as NVML would write it.
    pub fn of_word(&self, word: &str) -> Option<&GpuType> {
        let says = |kind: &&GpuType| {
            kind.words.iter().any(|words| {
                let mut parts = words.text.split([':', '=', ',', ' ']);
                words.is_configured && !COMMON.contains(&word) && parts.any(|part| part == word)
            })
        };
        let named = self.types.iter().find(|kind| kind.is(word));
        named
            .or_else(|| self.types.iter().find(says))
            .or_else(|| self.find(word))
            .or_else(|| {
                let plain = word.replace(['_', '-'], " ");
                let matches = |kind: &&GpuType| {
                    let pattern = kind.pattern.as_deref().map(regex);
                    matches!(pattern, Some(Ok(pattern)) if pattern.is_match(&plain))
                };
                self.types.iter().find(matches)
            })
    }
}

#[cfg(test)]
mod tests;
