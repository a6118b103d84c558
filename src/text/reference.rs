//! The name of an image, checked before it becomes part of a request's path.

use std::fmt;
use std::str::FromStr;

/// An image by name, tag or digest, as `docker run` takes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    text: String,
}

/// Why a text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no image: {reason}")]
pub struct ReferenceError {
    text: String,
    reason: &'static str,
}

impl Reference {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The registry it comes from, as docker's configuration writes it.
    pub fn registry(&self) -> &str {
        match self.text.split_once('/') {
            Some((host, _)) if is_host(host) => host,
            _ => "docker.io",
        }
    }

    /// Name and tag or digest for a pull. A pull without a tag would fetch every tag there is.
    pub fn name_and_tag(&self) -> (&str, &str) {
        if let Some((name, digest)) = self.text.split_once('@') {
            let name = strip_tag(name).0;
            return (name, digest);
        }
        let (name, tag) = strip_tag(&self.text);
        (name, tag.unwrap_or("latest"))
    }

    /// Name and tag, for an image that is not named by its digest or id.
    pub fn name_with_tag(&self) -> Option<(&str, &str)> {
        let by_digest = self.is_id() || self.text.contains('@');
        (!by_digest).then(|| self.name_and_tag())
    }

    /// The same image in full, however it was written: `docker.io/library/debian:latest`.
    pub fn canonical(&self) -> String {
        if self.is_id() {
            return self.text.clone();
        }
        let (name, tag) = self.name_and_tag();
        let mark = if self.text.contains('@') { '@' } else { ':' };
        let registry = self.registry();
        let full = match name.strip_prefix(registry) {
            Some(_) if name.contains('/') && registry != "docker.io" => name.to_owned(),
            _ => {
                let path = name.strip_prefix("docker.io/").unwrap_or(name);
                let library = if path.contains('/') { "" } else { "library/" };
                format!("docker.io/{library}{path}")
            }
        };
        format!("{full}{mark}{tag}")
    }

    /// Whether it is an image's id, which only this machine knows and no registry.
    pub fn is_id(&self) -> bool {
        self.text.starts_with("sha256:")
    }
}

fn is_host(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn strip_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    }
}

fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty()
            && algorithm.bytes().all(|b| b.is_ascii_alphanumeric())
            && hex.len() >= 32
            && hex.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

fn is_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.bytes().next().is_some_and(word)
        && text.bytes().last().is_some_and(word)
        && text
            .bytes()
            .all(|b| word(b) || matches!(b, b'.' | b'_' | b'-'))
        && !text.contains("..")
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        && !text.starts_with(['.', '-'])
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let refuse = |reason| ReferenceError {
            text: text.to_owned(),
            reason,
        };
        let taken = Self {
            text: text.to_owned(),
        };
        if text.is_empty() {
            return Err(refuse("it is empty"));
        }
        if text.len() > 512 {
            return Err(refuse("it is longer than 512 characters"));
        }
        if taken.is_id() {
            return match is_digest(text) && text.len() == "sha256:".len() + 64 {
                true => Ok(taken),
                false => Err(refuse("an id is sha256: and 64 hexadecimal digits")),
            };
        }
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(refuse("what follows @ must be a digest such as sha256:..."));
        }
        let (name, tag) = strip_tag(named);
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(refuse(
                "a tag holds letters, digits, underscores, dots and dashes",
            ));
        }
        let path = match name.split_once('/') {
            Some((host, path)) if is_host(host) => {
                let (host, port) = host.split_once(':').unwrap_or((host, "0"));
                let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
                let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
                let named = ends(host.bytes().next())
                    && ends(host.bytes().last())
                    && host.bytes().all(letters)
                    && !host.contains("..");
                if !named || port.parse::<u16>().is_err() {
                    return Err(refuse("its registry is no host or host:port"));
                }
                path
            }
            _ => name,
        };
        if !path.split('/').all(is_component) {
            return Err(refuse(
                "a name holds lower-case letters, digits, dots, underscores and dashes",
            ));
        }
        Ok(taken)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tags_and_digests_are_taken_apart() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, registry, name, tag) in [
            ("debian", "docker.io", "debian", "latest"),
            ("debian:12", "docker.io", "debian", "12"),
            ("a/b/c_d:1.0-x", "docker.io", "a/b/c_d", "1.0-x"),
            (
                "localhost:5000/x",
                "localhost:5000",
                "localhost:5000/x",
                "latest",
            ),
            (
                "nvcr.io/nvidia/pytorch:24.01-py3",
                "nvcr.io",
                "nvcr.io/nvidia/pytorch",
                "24.01-py3",
            ),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.registry(), registry, "{text}");
            assert_eq!(reference.name_and_tag(), (name, tag), "{text}");
        }
        let reference: Reference = format!("debian:12@{digest}").parse().unwrap();
        assert_eq!(reference.name_and_tag(), ("debian", &*digest));
        assert!(digest.parse::<Reference>().unwrap().is_id());
    }

    #[test]
    fn one_image_has_one_full_name() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, full) in [
            ("debian", "docker.io/library/debian:latest"),
            ("docker.io/debian:12", "docker.io/library/debian:12"),
            ("a/b:1", "docker.io/a/b:1"),
            ("localhost:5000/x", "localhost:5000/x:latest"),
            (&format!("q.io/a:1@{digest}"), &format!("q.io/a@{digest}")),
            (&digest, &digest),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.canonical(), full, "{text}");
        }
        let by_digest: Reference = format!("a@{digest}").parse().unwrap();
        assert_eq!(by_digest.name_with_tag(), None);
    }

    #[test]
    fn what_could_change_the_request_is_refused() {
        for text in [
            "",
            "a b",
            "a\nb",
            "a?b",
            "a#b",
            "../x",
            "a/../b",
            "/a",
            "a/",
            "-a",
            "Debian",
            "a:",
            "a:b c",
            "a@sha256:zz",
            "a@b",
            "sha256:12",
            "é",
            "x:70000/y",
            "$(id)",
            "a%2fb",
            "a&b=c",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }
}
