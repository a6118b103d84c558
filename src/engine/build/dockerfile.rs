//! What a recipe builds upon: the images that its `FROM` lines name.
//!
//! Read as docker reads them, as far as names go: line continuations, the escape directive,
//! stages, and variables of the `ARG`s before the first `FROM`. What cannot be resolved without
//! running the recipe is left to the engine.

use std::collections::BTreeMap;

/// The images that a recipe needs from outside, in their order, each once. A name that holds a
/// variable of unknown value, or `scratch`, is none.
pub(super) fn bases(text: &str, build_args: &BTreeMap<String, String>) -> Vec<String> {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut stages: Vec<String> = Vec::new();
    let mut found: Vec<String> = Vec::new();
    for line in lines(text) {
        let mut words = line.split_whitespace();
        let instruction = words.next().unwrap_or_default().to_ascii_uppercase();
        match instruction.as_str() {
            "ARG" if stages.is_empty() => {
                for word in words {
                    let (name, default) = match word.split_once('=') {
                        Some((name, value)) => (name, expand(unquoted(value), &known)),
                        None => (word, None),
                    };
                    let value = build_args.get(name).cloned().or(default);
                    if let Some(value) = value {
                        known.insert(name.to_owned(), value);
                    }
                }
            }
            "FROM" => {
                let mut words = words.filter(|word| !word.starts_with("--"));
                let name = words.next().unwrap_or_default();
                let name = expand(unquoted(name), &known);
                let is_named = words
                    .next()
                    .is_some_and(|word| word.eq_ignore_ascii_case("as"));
                let stage = words.next().filter(|_| is_named).unwrap_or_default();
                if let Some(name) = name {
                    let of_before = stages.iter().any(|stage| stage.eq_ignore_ascii_case(&name));
                    if !name.is_empty() && name != "scratch" && !of_before && !found.contains(&name)
                    {
                        found.push(name);
                    }
                }
                // A stage without a name counts too: what follows is no global ARG any more.
                stages.push(stage.to_owned());
            }
            "COPY" => {
                let from = words.find_map(|word| word.strip_prefix("--from="));
                let Some(from) = from else { continue };
                let of_before = stages.iter().any(|stage| stage.eq_ignore_ascii_case(from));
                let number = from.bytes().all(|b| b.is_ascii_digit());
                if !of_before && !number && !from.contains('$') && !found.iter().any(|f| f == from)
                {
                    found.push(from.to_owned());
                }
            }
            _ => {}
        }
    }
    found
}

/// The instructions, continued lines joined, comments and empty lines left out.
pub(super) fn lines(text: &str) -> Vec<String> {
    let escape = escape_of(text);
    let mut all = Vec::new();
    let mut current = String::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with('#') || trimmed.is_empty() {
            continue;
        }
        match trimmed.strip_suffix(escape) {
            Some(begun) => {
                current.push_str(begun);
                current.push(' ');
            }
            None => {
                current.push_str(trimmed);
                all.push(std::mem::take(&mut current));
            }
        }
    }
    if !current.is_empty() {
        all.push(current);
    }
    all
}

/// The character that continues a line: a directive before everything else may change it.
fn escape_of(text: &str) -> char {
    let directives = text
        .trim_start_matches('\u{feff}')
        .lines()
        .take_while(|line| line.trim_start().starts_with('#'));
    for line in directives {
        let line = line.trim_start().trim_start_matches('#');
        if let Some((name, value)) = line.split_once('=')
            && name.trim().eq_ignore_ascii_case("escape")
            && value.trim() == "`"
        {
            return '`';
        }
    }
    '\\'
}

fn unquoted(text: &str) -> &str {
    for quote in ['"', '\''] {
        let inner = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner;
        }
    }
    text
}

/// `$NAME`, `${NAME}`, `${NAME:-word}` and `${NAME:+word}` put in; `None` where a variable is not
/// known or the form is another.
fn expand(text: &str, known: &BTreeMap<String, String>) -> Option<String> {
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(braced) = rest.strip_prefix('{') {
            let (inside, after) = braced.split_once('}')?;
            let end = inside
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(inside.len());
            let (name, form) = inside.split_at(end);
            let value = known.get(name).filter(|value| !value.is_empty());
            match (form.get(..2), form.get(2..)) {
                (None, _) if form.is_empty() => result.push_str(known.get(name)?),
                (Some(":-"), Some(word)) => result.push_str(value.map_or(word, |v| v)),
                (Some(":+"), Some(word)) => result.push_str(value.map_or("", |_| word)),
                _ => return None,
            }
            rest = after;
        } else {
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(rest.len());
            result.push_str(known.get(&rest[..end])?);
            rest = &rest[end..];
        }
    }
    result.push_str(rest);
    Some(result)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Vec<String> {
        let given = BTreeMap::from([("TAG".to_owned(), "12".to_owned())]);
        bases(text, &given)
    }

    #[test]
    fn the_images_of_all_stages_are_found() {
        let text = "# syntax=docker/dockerfile:1\n\
                    ARG TAG=11 NAME=\"debian\"\n\
                    ARG EMPTY\n\
                    from --platform=linux/amd64 ${NAME}:$TAG as build\n\
                    ARG NAME=other\n\
                    RUN echo FROM nowhere \\\n  # a comment\n  && true\n\
                    FROM busybox\n\
                    COPY --from=build /x /x\n\
                    COPY --from=0 /x /x\n\
                    COPY --chown=1 --from=tools:1 /y /y\n\
                    FROM build AS last\n\
                    FROM scratch\n\
                    FROM ${UNKNOWN}\n\
                    FROM ${UNKNOWN:-alpine}${TAG:+:3}\n";
        assert_eq!(of(text), ["debian:12", "busybox", "tools:1", "alpine:3"]);
    }

    #[test]
    fn lines_go_on_as_the_directive_says() {
        assert_eq!(of("FROM \\\n  debian\n"), ["debian"]);
        assert_eq!(of("# escape=`\nFROM `\n  debian\n"), ["debian"]);
        assert_eq!(of("FROM debian # no comment"), ["debian"]);
        assert_eq!(of(""), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn no_recipe_makes_it_panic(text in "(?s)(FROM|ARG|COPY|[${}:a-z\\\\ \n=-]){0,40}") {
            of(&text);
        }
    }
}
