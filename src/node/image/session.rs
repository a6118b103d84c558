//! The image that a session's request asks for.

use std::path::Path;

use super::{CacheOptions, Obtained, Sources, Teller, Wish, obtain, with_sshd};
use crate::engine::Engine;
use crate::node::Error;
use crate::node::report::Reporter;
use crate::session::{ImageSource, Phase, Request, Sshd};

/// The image that the request asks for, and on top of it what serves ssh where that is asked for.
pub(in crate::node) async fn of_session(
    engine: &Engine,
    node_dir: &Path,
    cache: Option<&CacheOptions>,
    request: &Request,
    reporter: &mut Reporter,
) -> Result<Obtained, Error> {
    let wish = match &request.image {
        ImageSource::Reference { reference } => Wish::Reference(reference.parse()?),
        ImageSource::Recipe {
            recipe,
            context,
            args,
        } => Wish::Recipe {
            recipe: recipe.clone(),
            context: context.clone(),
            args: args
                .iter()
                .map(|(name, value)| (name.as_str().to_owned(), value.clone()))
                .collect(),
        },
    };
    reporter
        .enter(Phase::PreparingImage {
            step: format!("looking for {}", request.image),
            progress: None,
        })
        .await?;
    let (sources, notice) = Sources::of_node(engine, node_dir, cache).await;
    let mut teller = Teller::session(reporter);
    let mut obtained = obtain(&sources, &wish, &mut teller).await?;
    if request.sshd == Sshd::Layer {
        obtained = with_sshd(&sources, obtained, &mut teller).await?;
    }
    obtained.notices.extend(notice);
    Ok(obtained)
}
