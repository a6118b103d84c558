//! Which NVML names a GPU type stands for.

use regex::{Regex, RegexBuilder};

use super::Error;

/// A type as a pattern over NVML's names: a regular expression, or words that must be there, whole
/// and side by side.
///
/// `V100` is in `Tesla V100-SXM2-32GB`; `GTX1080` is `NVIDIA GeForce GTX 1080`, and is not
/// `GTX 1080 Ti`, whose name goes on with a word that makes it another model.
#[derive(Debug, Clone)]
pub struct TypePattern {
    shown: String,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    Words(Vec<String>),
    Regex(Regex),
}

/// A regular expression larger than this is no name of a GPU.
const SIZE_LIMIT: usize = 1 << 20;

/// Words that, right behind a model's name, make it another model.
const MODEL_SUFFIXES: [&str; 4] = ["ti", "super", "max", "laptop"];

impl TypePattern {
    /// The pattern of a type's name, such as `V100`, `gtx1080ti`, `A100` or `RTX A6000`.
    pub fn of_type(name: &str) -> Self {
        Self {
            shown: name.to_owned(),
            form: Form::Words(words(name)),
        }
    }

    /// A type whose NVML names a regular expression tells, upper and lower case alike.
    ///
    /// # Errors
    /// [`Error::Pattern`] when it is none.
    pub fn of_regex(name: &str, pattern: &str) -> Result<Self, Error> {
        let regex = RegexBuilder::new(pattern)
            .case_insensitive(true)
            .size_limit(SIZE_LIMIT)
            .build();
        Ok(Self {
            shown: name.to_owned(),
            form: Form::Regex(regex.map_err(|error| {
                let reason = error.to_string();
                Error::Pattern {
                    wanted: name.to_owned(),
                    pattern: pattern.to_owned(),
                    reason: reason.lines().last().unwrap_or_default().to_owned(),
                }
            })?),
        })
    }

    /// The type as it was written.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether a GPU of this NVML name is of the type.
    pub fn matches(&self, name: &str) -> bool {
        match &self.form {
            Form::Words(wanted) => has_words(&words(name), wanted),
            Form::Regex(regex) => regex.is_match(name),
        }
    }
}

fn has_words(name: &[String], wanted: &[String]) -> bool {
    let width = wanted.len();
    let own_suffix = wanted
        .last()
        .is_some_and(|word| MODEL_SUFFIXES.contains(&word.as_str()));
    width > 0
        && (0..name.len()).any(|at| {
            let same = name.get(at..at + width) == Some(wanted);
            let next = name.get(at + width).map_or("", String::as_str);
            same && (own_suffix || !MODEL_SUFFIXES.contains(&next))
        })
}

/// Splits at everything that is no letter or digit, and where a family's letters meet its number:
/// `GTX1080Ti` and `GTX 1080 Ti` are the same words, `V100` stays one (a single letter is no family).
fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let mut words = Vec::new();
    for word in text.split(|c: char| !c.is_alphanumeric()) {
        if word.is_empty() {
            continue;
        }
        let letters = word.len()
            - word
                .trim_start_matches(|c: char| c.is_ascii_lowercase())
                .len();
        let (family, rest) = word.split_at(if letters > 1 { letters } else { 0 });
        if family.is_empty() || rest.is_empty() {
            words.push(word.to_owned());
            continue;
        }
        words.push(family.to_owned());
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, suffix) = rest.split_at(digits);
        if MODEL_SUFFIXES.contains(&suffix) {
            words.push(number.to_owned());
            words.push(suffix.to_owned());
        } else {
            words.push(rest.to_owned());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_match_the_names_nvml_gives() {
        for (kind, name) in [
            ("V100", "Tesla V100-SXM2-32GB"),
            ("v100", "Tesla V100-PCIE-16GB"),
            ("P100", "Tesla P100-PCIE-12GB"),
            ("GTX1080", "GeForce GTX 1080"),
            ("GTX1080", "NVIDIA GeForce GTX 1080"),
            ("GTX1080TI", "GeForce GTX 1080 Ti"),
            ("gtx 1080 ti", "NVIDIA GeForce GTX 1080 Ti"),
            ("A100", "NVIDIA A100-SXM4-80GB"),
            ("A40", "NVIDIA A40"),
            ("L40S", "NVIDIA L40S"),
            ("H100", "NVIDIA H100 80GB HBM3"),
            ("H200", "NVIDIA H200"),
            ("T4", "Tesla T4"),
            ("RTX A6000", "NVIDIA RTX A6000"),
            ("RTX3090", "NVIDIA GeForce RTX 3090"),
        ] {
            assert!(TypePattern::of_type(kind).matches(name), "{kind}: {name}");
        }
    }

    #[test]
    fn a_regular_expression_tells_the_names() {
        let pattern = TypePattern::of_regex("GTX1080", r"\bGTX ?1080$").unwrap();
        assert!(pattern.matches("nvidia geforce gtx 1080"));
        assert!(!pattern.matches("NVIDIA GeForce GTX 1080 Ti"));
        assert_eq!(pattern.shown(), "GTX1080");
        for bad in ["(", "a{1000}{1000}{1000}"] {
            let error = TypePattern::of_regex("X", bad).unwrap_err();
            assert!(matches!(error, Error::Pattern { .. }), "{bad}");
        }
    }

    #[test]
    fn types_do_not_match_their_neighbours() {
        for (kind, name) in [
            ("GTX1080", "GeForce GTX 1080 Ti"),
            ("GTX1080TI", "GeForce GTX 1080"),
            ("V100", "Tesla P100-PCIE-16GB"),
            ("A100", "NVIDIA A10"),
            ("A10", "NVIDIA A100-SXM4-40GB"),
            ("L40", "NVIDIA L40S"),
            ("L4", "NVIDIA L40"),
            ("T4", "Quadro T400"),
            ("A40", "NVIDIA RTX A4000"),
            ("", "Tesla T4"),
            ("-", "Tesla T4"),
            ("é", "Tesla T4"),
        ] {
            assert!(!TypePattern::of_type(kind).matches(name), "{kind}: {name}");
        }
    }
}
