//! Building an image from a recipe and a folder.
//!
//! - `context`: the folder, walked, digested and packed ([`Context`]);
//! - `buildkit`: what of a recipe is beyond that builder;
//! - `ignore`: `.dockerignore`;
//! - `dockerfile`: which images a recipe builds upon;
//! - `output`: what a build prints, and what its failure means;
//! - `proxy`: the user's proxies, handed on as docker hands them on.
//!
//! The engine's own builder does it: the one that every Docker and Podman has behind this request.

mod buildkit;
mod context;
mod dockerfile;
mod ignore;
mod output;
mod proxy;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::query_parameters::BuildImageOptionsBuilder;
use futures_util::StreamExt as _;

pub use context::Context;
use output::Output;

use super::error::from_api;
use super::{Engine, Error, Kind, Listed, auth, pipe};

/// Larger recipes than this are none, in bytes.
const RECIPE_LIMIT: u64 = 1 << 20;
/// How long a build may take altogether: a walltime ends it sooner.
const BUILD_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// Why there was nothing to build from, or it did not come to an end.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file of recipe or context cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} cannot be used: {reason}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The recipe failed.
    #[error("the build failed: {detail}{}{}", beyond(buildkit), said(lines))]
    Failed {
        /// The engine's sentence.
        detail: String,
        /// What of the recipe only BuildKit understands, where the builder is another.
        buildkit: Vec<String>,
        /// The last lines it printed.
        lines: Vec<String>,
    },
}

impl BuildError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }
}

fn beyond(buildkit: &[String]) -> String {
    match buildkit {
        [] => String::new(),
        words => format!("; only BuildKit understands {}", words.join(", ")),
    }
}

fn said(lines: &[String]) -> String {
    match lines {
        [] => String::new(),
        lines => format!("; its last lines:\n{}", lines.join("\n")),
    }
}

/// What to build.
#[derive(Debug, Clone)]
pub struct Build {
    /// Recipe and folder.
    pub context: Context,
    /// Values of the recipe's `ARG`s.
    pub args: BTreeMap<String, String>,
    /// The name that the image gets.
    pub tag: String,
    /// Labels that the image gets.
    pub labels: Vec<(String, String)>,
}

impl Build {
    /// The images that the recipe builds upon, as it names them.
    pub fn bases(&self) -> Vec<String> {
        dockerfile::bases(&self.context.recipe(), &self.args)
    }

    /// The failure of a builder that is not BuildKit.
    fn explained(&self, error: Error) -> Error {
        match error {
            Error::Build(BuildError::Failed { detail, lines, .. }) => {
                Error::Build(BuildError::Failed {
                    detail,
                    buildkit: buildkit::words(&self.context.recipe(), &self.args),
                    lines,
                })
            }
            other => other,
        }
    }
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The image's id.
    pub id: String,
    /// The digest of what was packed: another one than the context's when a file changed meanwhile.
    pub digest: String,
}

/// How far a build is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildProgress {
    /// The step that runs, from 1; 0 before the first.
    pub step: u32,
    /// How many there are.
    pub steps: u32,
    /// The instruction that runs.
    pub instruction: String,
    /// The line that was printed; empty when the step has just begun.
    pub line: String,
}

impl Engine {
    /// The containers, running or not, in which steps of the builds with these marks ran, each with
    /// its build's place among them. Every container of the engine is looked at for that. On Docker;
    /// Podman's builder has no containers of this kind.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn marked(&self, marks: &[&str]) -> Result<Vec<(usize, Listed)>, Error> {
        const DOING: &str = "looking for what a build left";
        if marks.is_empty() {
            return Ok(Vec::new());
        }
        let hosts: Vec<String> = marks.iter().map(|mark| host_of(mark)).collect();
        let mut found = Vec::new();
        for container in self.list(&[]).await? {
            let seen = self.docker.inspect_container(container.id.as_str(), None);
            let has = match seen.await.map_err(|error| from_api(DOING, error)) {
                Ok(seen) => seen.host_config.and_then(|config| config.extra_hosts),
                Err(Error::NoSuchContainer { .. }) => None,
                Err(error) => return Err(error),
            };
            let has = has.unwrap_or_default();
            if let Some(place) = hosts.iter().position(|host| has.contains(host)) {
                found.push((place, container));
            }
        }
        Ok(found)
    }

    /// Builds an image and returns its id. Each line goes to `on_progress`. The containers in which
    /// the steps run carry the mark, a host name, where there is one: [`Engine::marked`].
    ///
    /// # Errors
    /// [`Error::Build`] with the last lines; [`Error::NoSuchImage`] and its like for a base;
    /// [`Error::NoSpace`] and what else the engine says.
    pub async fn build(
        &self,
        build: &Build,
        mark: Option<&str>,
        mut on_progress: impl FnMut(&BuildProgress),
    ) -> Result<Built, Error> {
        const DOING: &str = "building the image";
        let mut args: HashMap<String, String> = proxy::build_args(self.socket()).await?;
        args.extend(build.args.clone());
        let labels: HashMap<String, String> = build.labels.iter().cloned().collect();
        let mut options = BuildImageOptionsBuilder::default();
        if let Some(mark) = mark {
            options = options.extrahosts(&host_of(mark));
        }
        let options = options
            .dockerfile(&build.context.recipe_name())
            .t(&build.tag)
            .rm(true)
            .forcerm(true)
            .buildargs(&args)
            .labels(&labels)
            .build();
        let mut credentials = HashMap::new();
        for base in build.bases() {
            if let Ok(reference) = base.parse::<super::Reference>()
                && let Some(found) = auth::credentials(&reference).await?
            {
                credentials.insert(auth::key_of(reference.registry()).to_owned(), found);
            }
        }
        let context = build.context.clone();
        let (body, packing) = pipe::from_writer(move |to| context.pack(to));
        let docker = self.docker.clone().with_timeout(BUILD_LIMIT);
        let mut answers = std::pin::pin!(docker.build_image(
            options,
            Some(credentials),
            Some(bollard::body_try_stream(body)),
        ));
        let mut output = Output::default();
        let mut id = String::new();
        let failed = loop {
            match answers.next().await {
                None => break None,
                Some(Err(error)) => break Some(error),
                Some(Ok(info)) => {
                    if let Some(detail) = info.error_detail {
                        let error = detail.message.unwrap_or_default();
                        break Some(bollard::errors::Error::DockerStreamError { error });
                    }
                    if let Some(found) = info.aux.and_then(|aux| aux.id) {
                        id = found;
                    }
                    let text = info.stream.or(info.status).unwrap_or_default();
                    for progress in output.take(&text) {
                        on_progress(&progress);
                    }
                }
            }
        };
        // Reading the context may be what went wrong: then that is the reason.
        let packed = packing.await;
        match (packed, failed) {
            (Ok(Err(error)), _) if !is_broken_pipe(&error) => Err(Error::Build(error)),
            (_, Some(error)) => {
                let failed = output.failed(DOING, &build.tag, error);
                Err(match self.kind() {
                    Kind::Docker => build.explained(failed),
                    Kind::Podman => failed,
                })
            }
            (Ok(Ok(digest)), None) => {
                let tag = build.tag.parse().map_err(|_| Error::Other {
                    doing: DOING,
                    status: 0,
                    message: format!("{:?} is no name for an image", build.tag),
                })?;
                let built = self.image(&tag).await?.ok_or_else(|| {
                    Error::Build(BuildError::Failed {
                        detail: "the engine ended the build without an image".to_owned(),
                        buildkit: Vec::new(),
                        lines: output.lines(),
                    })
                })?;
                // The engine's own word for what it has just built, where it gives one.
                let id = if id.starts_with("sha256:") {
                    id
                } else {
                    built.id
                };
                Ok(Built { id, digest })
            }
            (Ok(Err(error)), None) => Err(Error::Build(error)),
            (Err(error), None) => Err(Error::Other {
                doing: DOING,
                status: 0,
                message: error.to_string(),
            }),
        }
    }
}

/// A mark as the engine takes it: in an image there is nothing of it.
fn host_of(mark: &str) -> String {
    format!("{mark}:127.0.0.1")
}

fn is_broken_pipe(error: &BuildError) -> bool {
    matches!(error, BuildError::Read { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
}
