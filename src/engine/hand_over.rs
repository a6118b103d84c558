//! What goes into a container without a mount: files before its start, and its stdin.
//!
//! For engines that do not see this machine's files: a daemon with a private /var/tmp, or one whose
//! root is shut out there.

use std::pin::Pin;

use bollard::query_parameters::{AttachContainerOptionsBuilder, UploadToContainerOptionsBuilder};
use tokio::io::AsyncWrite;

use super::error::from_api;
use super::{ContainerId, Engine, Error};

impl Engine {
    /// Unpacks a tar archive in the container's root, running or not; owners and modes are those of
    /// the archive.
    ///
    /// # Errors
    /// [`Error::NoSpace`] and what else the engine says.
    pub async fn upload(&self, id: &ContainerId, archive: Vec<u8>) -> Result<(), Error> {
        let options = UploadToContainerOptionsBuilder::default().path("/").build();
        let body = bollard::body_full(archive.into());
        self.docker
            .upload_to_container(id.as_str(), Some(options), body)
            .await
            .map_err(|error| from_api("putting files into the container", error))
    }

    /// The stdin of a container that was made with one and is not started yet. The container's end
    /// of it hangs up when this is dropped, or this process dies.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn attach_stdin(
        &self,
        id: &ContainerId,
    ) -> Result<Pin<Box<dyn AsyncWrite + Send>>, Error> {
        let options = AttachContainerOptionsBuilder::default()
            .stdin(true)
            .stream(true)
            .build();
        let attached = self.docker.attach_container(id.as_str(), Some(options));
        let attached = attached
            .await
            .map_err(|error| from_api("attaching to the container's stdin", error))?;
        Ok(attached.input)
    }
}
