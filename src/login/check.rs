//! What of a submission can be seen to be wrong on the login node, before anything is asked or written.

use std::path::Path;

use super::{Error, Submission};
use crate::session::{ImageSource, Mount};

/// A path as text, when it can stand in a script and in a JSON file.
pub(super) fn plain_path<'a>(what: &'static str, path: &'a Path) -> Result<&'a str, Error> {
    let bad = |reason| Error::BadPath {
        what,
        path: path.to_string_lossy().into_owned(),
        reason,
    };
    let text = path.to_str().ok_or_else(|| bad("it is not UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(bad("it holds a line break or control character"));
    }
    if !path.is_absolute() {
        return Err(bad("it is not absolute"));
    }
    Ok(text)
}

/// What can be seen before anything is asked or written.
pub(super) fn check(submission: &Submission) -> Result<(), Error> {
    check_mounts(&submission.mounts)?;
    check_workdir(submission.workdir.as_deref())?;
    check_image(&submission.image)
}

fn check_mounts(mounts: &[Mount]) -> Result<(), Error> {
    match mounts.iter().find(|mount| !mount.source().exists()) {
        Some(mount) => Err(Error::MountMissing {
            mount: mount.clone(),
        }),
        None => Ok(()),
    }
}

/// A recipe and its folder must be there and readable, and their paths fit to be written down.
fn check_image(image: &ImageSource) -> Result<(), Error> {
    let ImageSource::Recipe {
        recipe, context, ..
    } = image
    else {
        return Ok(());
    };
    plain_path("the Dockerfile", recipe)?;
    plain_path("the build context", context)?;
    let unreadable = |what, path: &Path, reason: String| Error::Recipe {
        what,
        path: path.to_owned(),
        reason,
    };
    let what = "the Dockerfile";
    // Looked at before it is opened: opening a pipe would wait for its writer.
    match recipe.metadata() {
        Ok(metadata) if metadata.is_file() => std::fs::File::open(recipe)
            .map(|_| ())
            .map_err(|error| unreadable(what, recipe, error.to_string()))?,
        Ok(_) => return Err(unreadable(what, recipe, "it is no file".to_owned())),
        Err(error) => return Err(unreadable(what, recipe, error.to_string())),
    }
    match std::fs::read_dir(context) {
        Ok(_) => Ok(()),
        Err(error) => Err(unreadable("the build context", context, error.to_string())),
    }
}

fn check_workdir(workdir: Option<&Path>) -> Result<(), Error> {
    match workdir.filter(|path| !path.is_dir()) {
        Some(path) => Err(Error::NoWorkdir {
            path: path.to_owned(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_recipe_must_be_a_file_that_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let check = |recipe: &Path, context: &Path| {
            check_image(&ImageSource::Recipe {
                recipe: recipe.to_owned(),
                context: context.to_owned(),
                args: BTreeMap::new(),
            })
        };
        let odd = folder.path().join("Docker file 'é'");
        std::fs::write(&odd, "FROM debian").unwrap();
        check(&odd, folder.path()).unwrap();
        for (recipe, context) in [
            (folder.path(), folder.path()),
            (&folder.path().join("none"), folder.path()),
            (&odd, &odd),
        ] {
            let error = check(recipe, context).unwrap_err();
            assert!(matches!(error, Error::Recipe { .. }), "{error}");
        }
        let broken = folder.path().join("a\nb");
        let error = check(&broken, folder.path()).unwrap_err();
        assert!(matches!(error, Error::BadPath { .. }), "{error}");
    }

    #[test]
    fn a_mount_of_nothing_is_found_before_anything_is_written() {
        let mounts = [
            "/:/x".parse().unwrap(),
            "/no/such/place:/y".parse().unwrap(),
        ];
        assert!(matches!(
            check_mounts(&mounts),
            Err(Error::MountMissing { .. })
        ));
        assert!(check_mounts(&mounts[..1]).is_ok());
    }
}
