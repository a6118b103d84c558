//! What the TOML reader says of a value, in words for who wrote it: what is there, what the key takes,
//! and how that is written.
//!
//! serde's sentences have been the same for years and are told apart by how they begin; one of another
//! form stays as it is, as do those of our own types and of TOML itself.

/// The sentence of serde or of a type of ours, fit for the user.
pub(super) fn in_words(message: &str) -> String {
    let message = message.trim().replace('\n', "; ");
    understood(&message).unwrap_or(message)
}

fn understood(message: &str) -> Option<String> {
    if let Some(field) = message.strip_prefix("missing field ") {
        return Some(format!("this section lacks the key {}", bare(field)));
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let (found, known) = rest.split_once(", expected ")?;
        let known = known.strip_prefix("one of ").unwrap_or(known);
        return Some(format!(
            "{} is none of its values; write {}",
            quoted(bare(found)),
            known.replace('`', "\"")
        ));
    }
    let rest = ["invalid type: ", "invalid value: "]
        .iter()
        .find_map(|start| message.strip_prefix(start))?;
    let (found, expected) = rest.rsplit_once(", expected ")?;
    Some(format!(
        "this is {}; write {}",
        a_found(found),
        a_wanted(expected)?
    ))
}

/// A value as serde shows it.
fn a_found(found: &str) -> String {
    let (kind, value) = match found.split_once(['`', '"']) {
        Some((kind, value)) => (kind.trim(), value.trim_end_matches(['`', '"'])),
        None => (found, ""),
    };
    match kind {
        "integer" | "floating point" => format!("the number {value}"),
        "string" => format!("the text {}", quoted(value)),
        "boolean" => value.to_owned(),
        "sequence" => "a list".to_owned(),
        "map" => "a table".to_owned(),
        _ => found.to_owned(),
    }
}

/// What serde expected, as it is written in TOML; `None` for what no key of ours takes.
fn a_wanted(expected: &str) -> Option<&'static str> {
    Some(match expected {
        "a string" | "a borrowed string" => "a text in quotes: \"...\"",
        "path string" => "a path in quotes: \"/...\"",
        "a sequence" => "a list in brackets: [\"...\"]",
        "a boolean" => "true or false",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number without quotes, not less than 0",
        "a map" => "a section: [NAME] and its keys below it",
        words if words.starts_with("struct ") => "a section: [NAME] and its keys below it",
        words if words.contains("enum ") => "a text in quotes: \"...\"",
        _ => return None,
    })
}

fn bare(word: &str) -> &str {
    word.trim().trim_matches('`')
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serdes_sentences_say_what_to_write() {
        for (said, told) in [
            (
                "invalid type: integer `3`, expected a string",
                "this is the number 3; write a text in quotes: \"...\"",
            ),
            (
                "invalid type: string \"a, expected b\", expected a sequence",
                "this is the text \"a, expected b\"; write a list in brackets: [\"...\"]",
            ),
            (
                "invalid type: boolean `true`, expected path string",
                "this is true; write a path in quotes: \"/...\"",
            ),
            (
                "invalid value: integer `-1`, expected u32",
                "this is the number -1; write a whole number without quotes, not less than 0",
            ),
            (
                "invalid type: sequence, expected struct SubmitDefaults",
                "this is a list; write a section: [NAME] and its keys below it",
            ),
            (
                "unknown variant `ask`, expected `idle` or `refuse`",
                "\"ask\" is none of its values; write \"idle\" or \"refuse\"",
            ),
            (
                "missing field `login`\n",
                "this section lacks the key login",
            ),
        ] {
            assert_eq!(in_words(said), told);
        }
    }

    #[test]
    fn other_sentences_stay_as_they_are() {
        for said in [
            "the path must be absolute",
            "invalid type: integer `3`, expected something of a later serde",
            "unclosed table, expected `]`",
        ] {
            assert_eq!(in_words(said), said);
        }
        assert_eq!(in_words("two\nlines"), "two; lines");
    }
}
