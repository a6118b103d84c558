//! The user's proxies, handed to a build as the docker command does: from `proxies` of docker's
//! `config.json`, for this engine or for all. They may hold a password: they go to the engine
//! alone and are never logged.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;

use crate::engine::{Error, socket};

#[derive(Deserialize, Default)]
struct Config {
    #[serde(default)]
    proxies: BTreeMap<String, Proxies>,
}

#[derive(Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
struct Proxies {
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    ftp_proxy: String,
    all_proxy: String,
}

/// The build arguments that name the user's proxies, each in both spellings.
pub(super) async fn build_args(engine: &Path) -> Result<HashMap<String, String>, Error> {
    let Some(folder) = socket::config_directory() else {
        return Ok(HashMap::new());
    };
    let config: Config = socket::read_json(&folder.join("config.json"))?.unwrap_or_default();
    Ok(of(&config, &format!("unix://{}", engine.display())))
}

fn of(config: &Config, engine: &str) -> HashMap<String, String> {
    let proxies = config
        .proxies
        .get(engine)
        .or_else(|| config.proxies.get("default"));
    let Some(proxies) = proxies else {
        return HashMap::new();
    };
    let named = [
        ("HTTP_PROXY", &proxies.http_proxy),
        ("HTTPS_PROXY", &proxies.https_proxy),
        ("NO_PROXY", &proxies.no_proxy),
        ("FTP_PROXY", &proxies.ftp_proxy),
        ("ALL_PROXY", &proxies.all_proxy),
    ];
    let given = named.into_iter().filter(|(_, value)| !value.is_empty());
    given
        .flat_map(|(name, value)| [(name.to_owned(), value), (name.to_lowercase(), value)])
        .map(|(name, value)| (name, value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_own_go_before_the_common_ones() {
        let config: Config = serde_json::from_str(
            r#"{"proxies":{"default":{"httpProxy":"http://a","noProxy":"x"},
                "unix:///other.sock":{"httpsProxy":"http://b"}}}"#,
        )
        .unwrap();
        let args = of(&config, "unix:///var/run/docker.sock");
        assert_eq!(args["http_proxy"], "http://a");
        assert_eq!(args["HTTP_PROXY"], "http://a");
        assert_eq!(args["NO_PROXY"], "x");
        assert_eq!(args.len(), 4);
        let args = of(&config, "unix:///other.sock");
        assert_eq!((args.len(), &*args["https_proxy"]), (2, "http://b"));
        assert!(of(&Config::default(), "x").is_empty());
    }
}
