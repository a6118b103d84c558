//! What of a recipe only BuildKit understands, to explain why a build failed.
//!
//! Problem: Docker's request for a build means the classic builder; BuildKit behind the same engine
//! talks gRPC over a connection that its client takes over, and wants the client to serve it files and
//! logins all the while: that is what the docker command brings along, and qdebug does not. Evidence:
//! the classic builder of Docker 20.10 names BuildKit for some words ("the --mount option requires
//! BuildKit") and for others not ("Unknown flag: link", "unknown instruction: LS"). Podman's builder
//! knows most of them. Solution: the words are looked for in the recipe itself.

use std::collections::BTreeMap;

use super::dockerfile::lines;

/// Options of instructions that the classic builder does not have.
const OPTIONS: [(&str, &[&str]); 3] = [
    ("RUN", &["--mount", "--network", "--security", "--device"]),
    ("COPY", &["--link", "--chmod", "--parents", "--exclude"]),
    (
        "ADD",
        &[
            "--link",
            "--chmod",
            "--checksum",
            "--keep-git-dir",
            "--exclude",
            "--unpack",
        ],
    ),
];
/// Arguments that BuildKit gives values by itself.
const ARGUMENTS: [&str; 8] = [
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETARCH",
    "TARGETVARIANT",
];

/// What only BuildKit understands, each once, as it is written in recipes.
pub(super) fn words(text: &str, build_args: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |word: String| {
        if !found.contains(&word) {
            found.push(word);
        }
    };
    for line in lines(text) {
        let mut words = line.split_whitespace();
        let instruction = words.next().unwrap_or_default().to_ascii_uppercase();
        let options = OPTIONS.iter().find(|(name, _)| *name == instruction);
        for word in words.clone().take_while(|word| word.starts_with("--")) {
            let option = word.split_once('=').map_or(word, |(option, _)| option);
            if options.is_some_and(|(_, options)| options.contains(&option)) {
                add(format!("{instruction} {option}"));
            }
            for name in ARGUMENTS {
                if instruction == "FROM" && word.contains(&format!("${name}")) {
                    add(format!("${name}"));
                }
            }
        }
        if options.is_some() && words.clone().any(is_here_document) {
            add(format!("{instruction} <<"));
        }
        if instruction == "ARG" {
            // One with a value of its own is any other.
            for name in words.filter(|word| ARGUMENTS.contains(word)) {
                if !build_args.contains_key(name) {
                    add(format!("${name}"));
                }
            }
        }
    }
    found
}

/// `<<END`, `<<-END`, `<<"END"`, as the shell writes them.
fn is_here_document(word: &str) -> bool {
    let Some(rest) = word
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .strip_prefix("<<")
    else {
        return false;
    };
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    let name = rest.trim_matches(['"', '\'']);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let given = BTreeMap::from([("TARGETOS".to_owned(), "linux".to_owned())]);
        words(text, &given)
    }

    #[test]
    fn what_only_buildkit_knows_is_found_once() {
        let text = "# syntax=docker/dockerfile:1\n\
                    FROM --platform=$BUILDPLATFORM debian\n\
                    ARG TARGETARCH TARGETOS\n\
                    ARG TARGETVARIANT=v8\n\
                    RUN --mount=type=cache,target=/c \\\n  --network=none make\n\
                    run --mount=type=secret,id=x make\n\
                    COPY --chown=1 --link a b\n\
                    ADD --checksum=sha256:1 a b\n\
                    RUN <<-\"END\"\nls\nEND\n";
        assert_eq!(
            of(text),
            [
                "$BUILDPLATFORM",
                "$TARGETARCH",
                "RUN --mount",
                "RUN --network",
                "COPY --link",
                "ADD --checksum",
                "RUN <<"
            ]
        );
    }

    #[test]
    fn what_every_builder_knows_is_not() {
        let text = "FROM --platform=linux/amd64 debian\n\
                    COPY --chown=1 --from=0 a b\n\
                    RUN make --mount --network=x\n\
                    RUN cat <<< word; x << 3; ssh x --link\n\
                    # RUN --mount=type=cache make\n\
                    ENV X=--mount TARGETARCH=x\n";
        assert_eq!(of(text), Vec::<String>::new());
    }
}
