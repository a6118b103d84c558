//! The engine's store of images: saved to a stream, loaded from one, named, removed.

use std::io::Read;
use std::time::Duration;

use bollard::query_parameters::{
    ImportImageOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use futures_util::StreamExt as _;

use super::error::{from_api, from_image_api};
use super::{Engine, Error, Image, pipe};

/// How long handing an image over may take: a slow disk is no reason to give up.
const TRANSFER_LIMIT: Duration = Duration::from_secs(6 * 3600);
/// How much is read at once, in bytes.
const READ_SIZE: usize = 256 << 10;

impl Engine {
    /// Hands an image over as a tar archive, piece by piece; `take` blocks as it likes.
    ///
    /// # Errors
    /// What the engine says; what `take` returned comes back as it is.
    pub async fn save<E: Send + 'static>(
        &self,
        id: &str,
        take: impl FnMut(&[u8]) -> Result<(), E> + Send + 'static,
    ) -> Result<Result<(), E>, Error> {
        const DOING: &str = "saving the image";
        let docker = self.docker.clone().with_timeout(TRANSFER_LIMIT);
        let mut pieces = std::pin::pin!(docker.export_image(id));
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<bytes::Bytes>(8);
        let mut take = take;
        let taking = tokio::task::spawn_blocking(move || {
            while let Some(piece) = receiver.blocking_recv() {
                take(&piece)?;
            }
            Ok(())
        });
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| from_image_api(DOING, id, error))?;
            if sender.send(piece).await.is_err() {
                break;
            }
        }
        drop(sender);
        taking.await.map_err(|error| Error::Other {
            doing: DOING,
            status: 0,
            message: error.to_string(),
        })
    }

    /// Takes images in from a tar archive that `archive` gives from a thread of its own. Returns
    /// the ids or names that the engine says it has loaded.
    ///
    /// # Errors
    /// [`Error::Archive`] when reading failed; [`Error::NoSpace`] and what else the engine says.
    pub async fn load(&self, archive: impl Read + Send + 'static) -> Result<Vec<String>, Error> {
        const DOING: &str = "loading the image";
        let mut archive = archive;
        let (body, reading) = pipe::from_writer(move |to: &mut pipe::Pipe| {
            let mut buffer = vec![0; READ_SIZE];
            loop {
                let read = match archive.read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(read) => read,
                    Err(error) => return Err(error),
                };
                if std::io::Write::write_all(to, &buffer[..read]).is_err() {
                    // The engine has enough, or has said no: its answer tells.
                    return Ok(());
                }
            }
        });
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let docker = self.docker.clone().with_timeout(TRANSFER_LIMIT);
        let mut answers = std::pin::pin!(docker.import_image_stream(options, body, None));
        let mut loaded = Vec::new();
        let mut failed = None;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(info) => loaded.extend(loaded_of(info.stream.as_deref().unwrap_or_default())),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        match (reading.await, failed) {
            (Ok(Err(source)), _) => Err(Error::Archive { source }),
            (_, Some(error)) => Err(from_api(DOING, error)),
            _ => Ok(loaded),
        }
    }

    /// Gives an image one more name. What else has the name loses it.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn tag(&self, id: &str, name: &str, tag: &str) -> Result<(), Error> {
        let options = TagImageOptionsBuilder::default()
            .repo(name)
            .tag(tag)
            .build();
        let tagged = self.docker.tag_image(id, Some(options)).await;
        tagged.map_err(|error| from_image_api("naming the image", id, error))
    }

    /// Removes a name of an image, and the image with its last one. One that a container uses is
    /// refused; one that is not there is no error.
    ///
    /// # Errors
    /// [`Error::ImageInUse`], and what else the engine says.
    pub async fn remove_image(&self, name: &str) -> Result<(), Error> {
        let options = RemoveImageOptionsBuilder::default().build();
        match self.docker.remove_image(name, Some(options), None).await {
            Ok(_) => Ok(()),
            Err(bollard::errors::Error::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(()),
            Err(bollard::errors::Error::DockerResponseServerError {
                status_code: 409,
                message,
            }) => Err(Error::ImageInUse { detail: message }),
            Err(error) => Err(from_image_api("removing the image", name, error)),
        }
    }
}

/// What a line of the engine says it has loaded.
fn loaded_of(text: &str) -> Vec<String> {
    const WORDS: [&str; 3] = ["Loaded image ID: ", "Loaded image: ", "Loaded image(s): "];
    let names = text.lines().filter_map(|line| {
        let line = line.trim();
        WORDS.into_iter().find_map(|words| line.strip_prefix(words))
    });
    let names = names.flat_map(|names| names.split(','));
    names.map(|name| name.trim().to_owned()).collect()
}

impl Image {
    /// What the image is, whatever engine has it and whatever id it has there: a digest of its
    /// layers and of what qdebug goes by. `None` where the engine tells no layers.
    pub fn fingerprint(&self) -> Option<String> {
        use sha2::{Digest as _, Sha256};
        if self.layers.is_empty() {
            return None;
        }
        let told = serde_json::to_vec(&(
            &self.layers,
            &self.env,
            &self.user,
            &self.workdir,
            &self.architecture,
            &self.os,
        ));
        let digest = Sha256::digest(told.ok()?);
        Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_loaded_is_read_of_each_engine() {
        assert_eq!(loaded_of("Loaded image ID: sha256:ab\n"), ["sha256:ab"]);
        assert_eq!(loaded_of("Loaded image: debian:12\n"), ["debian:12"]);
        assert_eq!(loaded_of("Loaded image(s): a:1,b:2"), ["a:1", "b:2"]);
        assert_eq!(loaded_of("Loading layer"), Vec::<String>::new());
    }
}
