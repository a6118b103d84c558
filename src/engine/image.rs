//! Images: looking one up and pulling it, with progress by layers.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt as _;

use super::error::from_image_api;
use super::{Engine, Error, Reference, auth};

/// A pull that reports nothing for so long is given up.
const PULL_STALL_LIMIT: Duration = Duration::from_secs(600);

/// An image of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its id, `sha256:...`: what is run, since nobody can move it.
    pub id: String,
    /// The names with digest under which registries know it.
    pub repo_digests: Vec<String>,
    /// Its `ENV`, in its own order; an entry without `=` has an empty value.
    pub env: Vec<(String, String)>,
    /// Its `USER`, empty when it sets none.
    pub user: String,
    /// Its `WORKDIR`, empty when it sets none.
    pub workdir: String,
    /// Its architecture, such as `amd64`.
    pub architecture: String,
    /// Its operating system, such as `linux`.
    pub os: String,
    /// The digests of its layers' contents, from the lowest on.
    pub layers: Vec<String>,
    /// Its size in bytes, as the engine counts it.
    pub bytes: u64,
}

impl Image {
    /// The value of a variable of its `ENV`; the last one counts.
    pub fn env(&self, name: &str) -> Option<&str> {
        let mut of_that_name = self.env.iter().rev().filter(|(key, _)| key == name);
        of_that_name.next().map(|(_, value)| value.as_str())
    }
}

/// How far a pull is, over all layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PullProgress {
    /// Layers the image has, as far as known.
    pub layers: usize,
    /// Layers that are there.
    pub layers_done: usize,
    /// Bytes fetched of the layers whose size is known.
    pub bytes: u64,
    /// The size of those layers, in bytes.
    pub bytes_total: u64,
}

impl PullProgress {
    /// The part that is done, 0 to 1; `None` until a layer is known.
    pub fn fraction(&self) -> Option<f64> {
        if self.layers == 0 {
            return None;
        }
        // Bytes of fetching and layers of unpacking count half each: both take time.
        let layers = self.layers_done as f64 / self.layers as f64;
        let bytes = match self.bytes_total {
            0 => layers,
            total => (self.bytes as f64 / total as f64).min(1.0),
        };
        Some((layers + bytes) / 2.0)
    }
}

impl Engine {
    /// The image of that name, if this machine has it.
    ///
    /// # Errors
    /// What the engine said, other than "no such image".
    pub async fn image(&self, reference: &Reference) -> Result<Option<Image>, Error> {
        match self.docker.inspect_image(reference.as_str()).await {
            Ok(inspected) => {
                let config = inspected.config.unwrap_or_default();
                let id = inspected.id.unwrap_or_default();
                Ok(Some(Image {
                    id,
                    repo_digests: inspected.repo_digests.unwrap_or_default(),
                    env: split_env(config.env.unwrap_or_default()),
                    user: config.user.unwrap_or_default(),
                    workdir: config.working_dir.unwrap_or_default(),
                    architecture: inspected.architecture.unwrap_or_default(),
                    os: inspected.os.unwrap_or_default(),
                    layers: inspected
                        .root_fs
                        .and_then(|root| root.layers)
                        .unwrap_or_default(),
                    bytes: inspected
                        .size
                        .and_then(|size| u64::try_from(size).ok())
                        .unwrap_or(0),
                }))
            }
            Err(bollard::errors::Error::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(None),
            Err(error) => Err(from_image_api(
                "looking up the image",
                reference.as_str(),
                error,
            )),
        }
    }

    /// Pulls an image with the credentials docker has for its registry, and returns it.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`], [`Error::ImageAccess`], [`Error::Registry`], [`Error::Platform`],
    /// [`Error::NoSpace`] and what else the engine says.
    pub async fn pull(
        &self,
        reference: &Reference,
        mut on_progress: impl FnMut(PullProgress),
    ) -> Result<Image, Error> {
        const DOING: &str = "pulling the image";
        let shown = reference.as_str();
        if reference.is_id() {
            return Err(Error::NoSuchImage {
                reference: shown.to_owned(),
                detail: "an id names an image of this machine only".to_owned(),
            });
        }
        let credentials = auth::credentials(reference).await?;
        let (name, tag) = reference.name_and_tag();
        let options = CreateImageOptionsBuilder::default()
            .from_image(name)
            .tag(tag)
            .build();
        let mut answers = self.docker.create_image(Some(options), None, credentials);
        let mut layers = Layers::default();
        loop {
            let next = tokio::time::timeout(PULL_STALL_LIMIT, answers.next());
            match next.await {
                Err(_) => {
                    return Err(Error::TimedOut {
                        doing: DOING,
                        limit: PULL_STALL_LIMIT,
                    });
                }
                Ok(None) => break,
                Ok(Some(Err(error))) => return Err(from_image_api(DOING, shown, error)),
                Ok(Some(Ok(info))) => {
                    layers.take(&info);
                    on_progress(layers.progress());
                }
            }
        }
        self.image(reference)
            .await?
            .ok_or_else(|| Error::NoSuchImage {
                reference: shown.to_owned(),
                detail: "the engine ended the pull without it".to_owned(),
            })
    }
}

fn split_env(env: Vec<String>) -> Vec<(String, String)> {
    env.into_iter()
        .map(|entry| match entry.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (entry, String::new()),
        })
        .collect()
}

/// The layers of a pull, by their short id.
#[derive(Debug, Default)]
struct Layers {
    layers: BTreeMap<String, Layer>,
}

#[derive(Debug, Default)]
struct Layer {
    bytes: u64,
    total: u64,
    done: bool,
}

impl Layers {
    fn take(&mut self, info: &CreateImageInfo) {
        let (Some(id), Some(status)) = (&info.id, &info.status) else {
            return;
        };
        // "Pulling from library/debian" comes with the tag as its id.
        if status.starts_with("Pulling from") {
            return;
        }
        let layer = self.layers.entry(id.clone()).or_default();
        let bytes = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
        let detail = info.progress_detail.as_ref();
        match status.as_str() {
            "Downloading" => {
                layer.bytes = detail.and_then(|d| bytes(d.current)).unwrap_or(layer.bytes);
                layer.total = detail.and_then(|d| bytes(d.total)).unwrap_or(layer.total);
            }
            "Download complete" | "Extracting" => layer.bytes = layer.total,
            "Pull complete" | "Already exists" => {
                layer.bytes = layer.total;
                layer.done = true;
            }
            _ => {}
        }
    }

    fn progress(&self) -> PullProgress {
        let layers = self.layers.values();
        PullProgress {
            layers: self.layers.len(),
            layers_done: layers.clone().filter(|layer| layer.done).count(),
            bytes: layers.clone().map(|layer| layer.bytes).sum(),
            bytes_total: layers.map(|layer| layer.total).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as Docker 20.10 sends them.
    const PULL: &str = r#"
{"status":"Pulling from library/debian","id":"12"}
{"status":"Pulling fs layer","progressDetail":{},"id":"aa"}
{"status":"Pulling fs layer","progressDetail":{},"id":"bb"}
{"status":"Downloading","progressDetail":{"current":50,"total":100},"progress":"[=>]","id":"aa"}
{"status":"Already exists","progressDetail":{},"id":"bb"}
{"status":"Download complete","progressDetail":{},"id":"aa"}
{"status":"Extracting","progressDetail":{"current":10,"total":100},"id":"aa"}
{"status":"Pull complete","progressDetail":{},"id":"aa"}
{"status":"Digest: sha256:00"}
"#;

    #[test]
    fn progress_grows_to_its_end() {
        let mut layers = Layers::default();
        let mut last = 0.0;
        for line in PULL.lines().filter(|line| !line.is_empty()) {
            layers.take(&serde_json::from_str(line).unwrap());
            if let Some(fraction) = layers.progress().fraction() {
                assert!(fraction >= last, "{line}");
                last = fraction;
            }
        }
        assert_eq!(last, 1.0);
        assert_eq!(
            layers.progress(),
            PullProgress {
                layers: 2,
                layers_done: 2,
                bytes: 100,
                bytes_total: 100
            }
        );
    }

    #[test]
    fn negative_sizes_are_no_sizes() {
        let mut layers = Layers::default();
        let line =
            r#"{"status":"Downloading","progressDetail":{"current":-1,"total":-1},"id":"a"}"#;
        layers.take(&serde_json::from_str(line).unwrap());
        assert_eq!(layers.progress().bytes_total, 0);
    }

    #[test]
    fn env_is_split_at_the_first_equals() {
        let env = split_env(vec!["A=b=c".into(), "EMPTY=".into(), "BARE".into()]);
        let of = |n: usize| (env[n].0.as_str(), env[n].1.as_str());
        assert_eq!(
            [of(0), of(1), of(2)],
            [("A", "b=c"), ("EMPTY", ""), ("BARE", "")]
        );
    }
}
