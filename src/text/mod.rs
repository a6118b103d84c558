//! Words that more than one module makes or reads: an error with its causes in one line, the known
//! word that was probably meant, a size, the name of an image. Pure; it knows nothing of ours.

mod reference;

use std::error::Error;

pub use reference::{Reference, ReferenceError};

/// An error and its causes in one line. Wrappers that repeat what they wrap are told once.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = cause.source();
    }
    text
}

/// The known word most like this one, when it shares most of its letters: for "did you mean".
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|other| (strsim::jaro_winkler(&word, &other.to_lowercase()), other))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .filter(|(likeness, _)| *likeness > 0.8)
        .map(|(_, other)| other)
}

/// Reads a size such as `28G`, `512M` or `1T`: binary units, `B` and `iB` behind them allowed.
///
/// # Errors
/// A sentence for the user.
pub fn size(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is no size; write 28G, 512M or the like");
    let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let (number, unit) = text.split_at(at);
    let unit = unit.to_ascii_lowercase();
    let bare = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b'));
    let power = match bare.unwrap_or(&unit) {
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(bad()),
    };
    let number: u64 = number.parse().map_err(|_| bad())?;
    number
        .checked_mul(1024u64.pow(power))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Told {
        text: &'static str,
        source: Option<Box<Told>>,
    }

    fn told(texts: &[&'static str]) -> Told {
        Told {
            text: texts[0],
            source: (texts.len() > 1).then(|| Box::new(told(&texts[1..]))),
        }
    }

    #[test]
    fn causes_are_told_once_each() {
        let error = told(&["cannot read x", "cannot read x", "denied", "denied"]);
        assert_eq!(chain(&error), "cannot read x: denied");
    }

    #[test]
    fn the_nearest_word_is_offered_only_when_near() {
        let known = ["V100", "P100", "GTX1080TI"];
        assert_eq!(nearest("v10", known), Some("V100"));
        assert_eq!(nearest("gtx1080-ti", known), Some("GTX1080TI"));
        assert_eq!(nearest("H200", known), None);
        assert_eq!(nearest("V100", []), None);
    }

    #[test]
    fn sizes_are_binary() {
        for (text, bytes) in [
            ("28G", 28 << 30),
            ("512MiB", 512 << 20),
            ("1tb", 1u64 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "28", "G", "0G", "1.5G", "99999999999T", "1X"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
