//! What the engine's refusals mean.
//!
//! Problem: the API answers nearly everything with status 500 and a sentence. Evidence: the
//! sentences of Docker 20.10, 26.1 and 28.5 in the tests below. Solution: [`classify`] is pure,
//! looks for the words that have been stable for years, and keeps the engine's own sentence in
//! every variant, so that a wrong guess still shows the truth.

use bollard::errors::Error as Api;

use super::super::REQUEST_LIMIT;
use super::super::devices::GpuLack;
use super::super::podman::trouble;
use super::Error;
use crate::text::chain;

/// Turns an error of the client into one of ours.
pub(in crate::engine) fn from_api(doing: &'static str, error: Api) -> Error {
    match error {
        Api::DockerResponseServerError {
            status_code,
            message,
        } => classify(doing, status_code, message),
        Api::DockerStreamError { error } => classify(doing, 0, error),
        Api::RequestTimeoutError => Error::TimedOut {
            doing,
            limit: REQUEST_LIMIT,
        },
        error @ (Api::IOError { .. }
        | Api::HyperResponseError { .. }
        | Api::HyperLegacyError { .. }
        | Api::SocketNotFoundError(_)) => Error::Gone {
            doing,
            detail: chain(&error),
        },
        error => Error::Other {
            doing,
            status: 0,
            message: chain(&error),
        },
    }
}

/// The same for requests that are about an image.
pub(in crate::engine) fn from_image_api(doing: &'static str, reference: &str, error: Api) -> Error {
    let (status, message) = match error {
        Api::DockerResponseServerError {
            status_code,
            message,
        } => (status_code, message),
        Api::DockerStreamError { error } => (0, error),
        error => return from_api(doing, error),
    };
    classify_image(doing, reference, status, message)
}

/// Says what a refusal of the engine means.
pub(in crate::engine) fn classify(doing: &'static str, status: u16, message: String) -> Error {
    let text = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let detail = message.trim().to_owned();
    if has(&["no space left on device", "disk quota exceeded"]) {
        Error::NoSpace { doing, detail }
    } else if has(&[
        "port is already allocated",
        "address already in use",
        "ports are not available",
    ]) {
        Error::PortTaken { detail }
    } else if status == 404 && has(&["no such container"]) {
        Error::NoSuchContainer { doing, detail }
    } else if status == 404 && has(&["no such image"]) {
        // The image went between looking and creating.
        let reference = detail.rsplit(' ').next().unwrap_or_default().to_owned();
        Error::NoSuchImage { reference, detail }
    } else if let Some(trouble) = trouble(&detail) {
        Error::Podman {
            doing,
            trouble,
            detail,
        }
    } else if has(&["already in use by container"]) {
        Error::NameTaken { detail }
    } else if has(&["bind source path does not exist"]) {
        Error::MountSource {
            detail,
            denied: false,
        }
    } else if let Some(lack) = GpuLack::of(&detail) {
        // After those that repeat words of the user's.
        Error::Devices { lack, detail }
    } else if has(&["permission denied"])
        && has(&["mount", "bind source", "stat /", "lstat /", "statfs /"])
    {
        Error::MountSource {
            detail,
            denied: true,
        }
    } else if has(&["error mounting"]) && has(&["no such file or directory"]) {
        Error::MountSource {
            detail,
            denied: false,
        }
    } else if has(&[
        "oci runtime create failed",
        "failed to create shim",
        "oci runtime attempted",
    ]) && has(&["exec:", "executable file"])
    {
        Error::Command { detail }
    } else {
        Error::Other {
            doing,
            status,
            message: detail,
        }
    }
}

/// Says what a refusal about an image means.
fn classify_image(doing: &'static str, reference: &str, status: u16, message: String) -> Error {
    let text = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let reference = reference.to_owned();
    let detail = message.trim().to_owned();
    if has(&["no space left on device", "disk quota exceeded"]) {
        Error::NoSpace { doing, detail }
    } else if has(&[
        "no matching manifest",
        "does not match the specified platform",
    ]) {
        Error::Platform { reference, detail }
    } else if has(&[
        "manifest unknown",
        "name unknown",
        "no such image",
        "not found: manifest",
        "repository name not known",
    ]) || (status == 404 && has(&["not found"]) && !has(&["denied"]))
    {
        Error::NoSuchImage { reference, detail }
    } else if has(&[
        "pull access denied",
        "unauthorized",
        "authentication required",
        "no basic auth credentials",
        "access denied",
        "access forbidden",
        "incorrect username or password",
        "denied:",
    ]) {
        Error::ImageAccess { reference, detail }
    } else if has(&[
        "no such host",
        "i/o timeout",
        "connection refused",
        "connection reset",
        "network is unreachable",
        "no route to host",
        "tls handshake",
        "x509:",
        "certificate",
        "request canceled",
        "deadline exceeded",
        "toomanyrequests",
        "server misbehaving",
        "temporary failure in name resolution",
        "server gave http response to https client",
        "unexpected eof",
        ": eof",
        "received unexpected http status: 5",
    ]) {
        Error::Registry { reference, detail }
    } else {
        classify(doing, status, message)
    }
}

#[cfg(test)]
#[path = "refusal_tests.rs"]
mod tests;
