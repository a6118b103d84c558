//! Building the kit: its recipe, run in a throw-away container.

use std::path::{Path, PathBuf};

use super::Error;
use crate::engine::{Bind, Choice, Engine, Reference, ThrowAway};
use crate::kit;

/// Builds the kit in a container of the Debian image `base` (pulled when it is not there) and
/// writes the archive to `output`; each line the recipe says goes to `on_line`. Takes minutes.
///
/// # Errors
/// [`Error::Engine`]; [`Error::KitRecipe`] when the recipe failed, which has said why.
pub async fn kit_build(
    base: &str,
    output: &Path,
    on_line: impl FnMut(&str) + Send + 'static,
    called_off: impl Future<Output = ()>,
) -> Result<(), Error> {
    let engine = Engine::connect(Choice::Auto, None).await?;
    let reference: Reference = base.parse()?;
    let image = match engine.image(&reference).await? {
        Some(image) => image,
        None => engine.pull(&reference, |_| ()).await?,
    };
    let folder = parent(output)?;
    std::fs::create_dir_all(&folder).map_err(Error::io("make", &folder))?;
    // Beside the output: the same file system, and a place that the engine sees.
    let place = tempfile::Builder::new().prefix(".kit-").tempdir_in(&folder);
    let place = place.map_err(Error::io("make a folder in", &folder))?;
    let recipe = place.path().join("recipe.sh");
    std::fs::write(&recipe, kit::RECIPE).map_err(Error::io("write", &recipe))?;
    let made = place.path().join("out");
    std::fs::create_dir(&made).map_err(Error::io("make", &made))?;

    let run = ThrowAway {
        image: image.id,
        argv: ["sh", "/recipe.sh", "/out"].map(str::to_owned).to_vec(),
        binds: vec![
            Bind {
                source: recipe,
                target: "/recipe.sh".to_owned(),
                read_only: true,
            },
            Bind::new(&made, "/out"),
        ],
        // The packages of the recipe come the way this machine's do.
        network: Some("host".to_owned()),
        ..ThrowAway::default()
    };
    let status = engine.run_to_end(&run, on_line, called_off).await?;
    if status != 0 {
        return Err(Error::KitRecipe { status });
    }
    let archive = made.join("kit.tar.gz");
    std::fs::rename(&archive, output).map_err(Error::io("write", output))
}

fn parent(output: &Path) -> Result<PathBuf, Error> {
    let absolute = std::path::absolute(output).map_err(Error::io("find", output))?;
    Ok(absolute.parent().unwrap_or(Path::new("/")).to_owned())
}
