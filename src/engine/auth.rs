//! Credentials for a registry, from where the docker command keeps them.
//!
//! `config.json` names a helper program per registry, a helper for all, or holds the credentials
//! itself. What Podman keeps in its `auth.json` is taken where docker has nothing: people log in
//! with either. What is found here goes to the engine alone: it is never logged, and never an
//! argument.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use bollard::auth::DockerCredentials;
use serde::Deserialize;

use super::{Error, Reference, socket};
use crate::process::Program;

/// Docker Hub's key in `config.json`, which is no host.
const HUB: &str = "https://index.docker.io/v1/";

#[derive(Deserialize, Default)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credHelpers", default)]
    helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore", default)]
    store: String,
}

#[derive(Deserialize, Default)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    identitytoken: String,
}

/// What a helper program prints.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username")]
    user: String,
    #[serde(rename = "Secret")]
    secret: String,
}

/// The credentials this user has for an image's registry; `None` when there are none.
pub(super) async fn credentials(reference: &Reference) -> Result<Option<DockerCredentials>, Error> {
    let key = key_of(reference.registry());
    if let Some(folder) = socket::config_directory() {
        let config: Config = socket::read_json(&folder.join("config.json"))?.unwrap_or_default();
        if let Some(found) = of_config(&config, key).await {
            return Ok(Some(found));
        }
    }
    for path in podmans_files(|name| std::env::var_os(name).filter(|value| !value.is_empty())) {
        let config: Config = socket::read_json(&path)?.unwrap_or_default();
        for name in podmans_names(reference) {
            if let Some(mut found) = of_config(&config, &name).await {
                // The engine is told the registry, whatever part of it the login is for.
                found.serveraddress = Some(key.to_owned());
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// The name under which docker keeps what belongs to a registry.
pub(super) fn key_of(registry: &str) -> &str {
    match registry {
        "docker.io" => HUB,
        other => other,
    }
}

async fn of_config(config: &Config, key: &str) -> Option<DockerCredentials> {
    if let Some(helper) = helper_of(config, key) {
        // A helper that is broken is docker's affair: the pull goes on without, and says so itself.
        if let Some(found) = ask_helper(&helper, key).await {
            return Some(found);
        }
    }
    stored(config, key)
}

/// Where Podman keeps logins, the first that counts first (containers-auth.json(5)).
fn podmans_files(lookup: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    if let Some(file) = lookup("REGISTRY_AUTH_FILE") {
        return vec![file.into()];
    }
    let below = |folder: Option<PathBuf>| folder.map(|folder| folder.join("containers/auth.json"));
    let config = lookup("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| lookup("HOME").map(|home| Path::new(&home).join(".config")));
    let run = lookup("XDG_RUNTIME_DIR").map(PathBuf::from);
    [below(run), below(config)].into_iter().flatten().collect()
}

/// The names a login for this image may have there: the repository, the folders above, the
/// registry.
fn podmans_names(reference: &Reference) -> Vec<String> {
    let registry = reference.registry();
    let name = reference.name_and_tag().0;
    let path = name.strip_prefix(registry).unwrap_or(name);
    let mut whole = format!("{registry}/{}", path.trim_start_matches('/'));
    let mut names = Vec::new();
    loop {
        names.push(whole.clone());
        match whole.rfind('/') {
            Some(at) => whole.truncate(at),
            None => return names,
        }
    }
}

fn helper_of(config: &Config, key: &str) -> Option<String> {
    let helper = config.helpers.get(key).unwrap_or(&config.store);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (!helper.is_empty() && helper.bytes().all(plain)).then(|| format!("docker-credential-{helper}"))
}

async fn ask_helper(helper: &str, key: &str) -> Option<DockerCredentials> {
    let asked = Program::new(helper)
        .arg("get")
        .stdin(key)
        .time_limit(Duration::from_secs(20))
        .output()
        .await;
    let output = match asked {
        Ok(output) if output.status == 0 => output,
        Ok(output) => {
            tracing::debug!(helper, status = output.status, "has no credentials");
            return None;
        }
        Err(error) => {
            tracing::warn!(helper, %error, "cannot ask for credentials");
            return None;
        }
    };
    let answer: Answer = serde_json::from_str(&output.stdout).ok()?;
    let mut found = DockerCredentials {
        serveraddress: Some(key.to_owned()),
        ..DockerCredentials::default()
    };
    if answer.user == "<token>" {
        found.identitytoken = Some(answer.secret);
    } else {
        found.username = Some(answer.user);
        found.password = Some(answer.secret);
    }
    Some(found)
}

fn stored(config: &Config, key: &str) -> Option<DockerCredentials> {
    let host = |text: &str| {
        let text = text.split_once("://").map_or(text, |(_, rest)| rest);
        text.split('/').next().unwrap_or_default().to_owned()
    };
    let entry = config.auths.get(key).or_else(|| {
        let mut entries = config.auths.iter();
        let same = entries.find(|(other, _)| key != HUB && host(other) == key);
        same.map(|(_, entry)| entry)
    })?;
    let mut found = DockerCredentials {
        serveraddress: Some(key.to_owned()),
        ..DockerCredentials::default()
    };
    if !entry.identitytoken.is_empty() {
        found.identitytoken = Some(entry.identitytoken.clone());
    }
    if !entry.auth.is_empty() {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(entry.auth.trim())
            .ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (user, password) = text.split_once(':')?;
        found.username = Some(user.to_owned());
        found.password = Some(password.trim_end_matches('\0').to_owned());
    }
    (found.username.is_some() || found.identitytoken.is_some()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn stored_credentials_are_found_by_host_and_for_the_hub() {
        // alice:pass:word
        let config = config(
            r#"{"auths":{"https://reg.example/v1/":{"auth":"YWxpY2U6cGFzczp3b3Jk"},
                "https://index.docker.io/v1/":{"auth":"Ym9iOng="},"empty.example":{}}}"#,
        );
        let found = stored(&config, "reg.example").unwrap();
        assert_eq!(found.username.as_deref(), Some("alice"));
        assert_eq!(found.password.as_deref(), Some("pass:word"));
        assert_eq!(
            stored(&config, HUB).unwrap().username.as_deref(),
            Some("bob")
        );
        assert!(stored(&config, "empty.example").is_none());
        assert!(stored(&config, "other.example").is_none());
    }

    #[test]
    fn broken_credentials_are_none() {
        for auth in ["!!!", "bm9jb2xvbg==", "/w=="] {
            let config = config(&format!(
                r#"{{"auths":{{"r.example":{{"auth":"{auth}"}}}}}}"#
            ));
            assert!(stored(&config, "r.example").is_none(), "{auth}");
        }
    }

    #[test]
    fn a_helper_is_a_plain_word() {
        let helper = |text: &str| helper_of(&config(text), "r.example");
        assert_eq!(
            helper(r#"{"credHelpers":{"r.example":"ecr-login"}}"#).as_deref(),
            Some("docker-credential-ecr-login")
        );
        assert_eq!(
            helper(r#"{"credsStore":"pass"}"#).as_deref(),
            Some("docker-credential-pass")
        );
        assert_eq!(helper(r#"{"credsStore":"../evil"}"#), None);
        assert_eq!(helper("{}"), None);
    }

    #[test]
    fn podmans_logins_are_looked_for_where_podman_does() {
        let lookup = |name: &str| match name {
            "XDG_RUNTIME_DIR" => Some("/run/user/7".into()),
            "HOME" => Some("/home/a b".into()),
            _ => None,
        };
        let files = podmans_files(lookup);
        let expected = [
            "/run/user/7/containers/auth.json",
            "/home/a b/.config/containers/auth.json",
        ];
        assert_eq!(files, expected.map(PathBuf::from));
        let named = podmans_files(|_| Some("/x/auth".into()));
        assert_eq!(named, [PathBuf::from("/x/auth")]);
        let names = |text: &str| podmans_names(&text.parse().unwrap());
        assert_eq!(
            names("quay.io/a/b:1"),
            ["quay.io/a/b", "quay.io/a", "quay.io"]
        );
        assert_eq!(names("debian"), ["docker.io/debian", "docker.io"]);
    }

    #[tokio::test]
    async fn a_missing_helper_is_no_error() {
        assert!(ask_helper("docker-credential-no-such", "x").await.is_none());
    }
}
