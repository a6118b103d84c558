//! Every engine of this user's that may have something left over, for those who clean up.
//!
//! Problem: of several engines one may hang, and what the others have left must go all the same.
//! Solution: each is connected to and worked with by itself, at the same time as the others.

use std::path::Path;
use std::time::Duration;

use super::connect::PODMAN_LIMIT;
use super::podman::{self, Home};
use super::{Choice, Engine, Error, socket};

/// Where an engine may be.
enum Place {
    Docker,
    Podman(Result<socket::Found, Error>),
    /// Our own service.
    Own(Home),
}

/// What is at a place.
enum Found {
    Engine(Box<Engine>),
    /// Nothing, which is no error as long as there is something at another.
    Missing(Error),
}

impl Place {
    async fn connect(self) -> Result<Found, Error> {
        let engine = match self {
            Self::Docker => match Engine::docker().await {
                Err(error) if error.is_absence() && !socket::docker_is_chosen() => {
                    return Ok(Found::Missing(error));
                }
                found => found?,
            },
            Self::Podman(found) => match Engine::connect_to(&found?, PODMAN_LIMIT, None).await {
                Err(error @ (Error::Refused { .. } | Error::NoSocket { .. })) => {
                    tracing::debug!(%error, "no podman there");
                    return Ok(Found::Missing(error));
                }
                connected => connected?,
            },
            Self::Own(home) => Engine::own(&home).await?,
        };
        Ok(Found::Engine(Box::new(engine)))
    }
}

/// Connecting, within a limit where there is one.
async fn within(
    limit: Option<Duration>,
    connecting: impl Future<Output = Result<Found, Error>>,
) -> Result<Found, Error> {
    let Some(limit) = limit else {
        return connecting.await;
    };
    let connected = tokio::time::timeout(limit, connecting).await;
    connected.unwrap_or(Err(Error::TimedOut {
        doing: "connecting",
        limit,
    }))
}

impl Engine {
    /// Does `work` with each of them, Docker or Podman where only that one is wanted: Docker, Podman's
    /// running services, and our own service where there ever was one. What came of it, and why others
    /// could not be asked. One that is not here is no error. Each may take `limit` to be connected to,
    /// where that is said; how long `work` may take is its own business.
    pub async fn each<T>(
        wanted: Choice,
        folder: Option<&Path>,
        limit: Option<Duration>,
        work: impl AsyncFn(Self) -> T,
    ) -> (Vec<T>, Vec<Error>) {
        let mut places = Vec::new();
        if wanted != Choice::Podman {
            places.push(Place::Docker);
        }
        if wanted != Choice::Docker {
            let sockets = socket::podman(&socket::Environment::of_this_process());
            places.extend(sockets.into_iter().map(Place::Podman));
            let home = folder.map(Home::below).filter(Home::is_used);
            places.extend(home.map(Place::Own));
        }
        let (done, mut errors, missing) = at(places, limit, work).await;
        let nothing = done.is_empty() && errors.is_empty();
        if nothing && wanted != Choice::Podman && !podman::is_installed() {
            errors.extend(missing);
        }
        (done, errors)
    }
}

/// What came of the work, why some could not be asked, and what the first lacks of those that are not
/// here.
async fn at<T>(
    places: Vec<Place>,
    limit: Option<Duration>,
    work: impl AsyncFn(Engine) -> T,
) -> (Vec<T>, Vec<Error>, Option<Error>) {
    let worked =
        places
            .into_iter()
            .map(async |place| match within(limit, place.connect()).await? {
                Found::Engine(engine) => Ok(Ok(work(*engine).await)),
                Found::Missing(error) => Ok(Err(error)),
            });
    let (mut done, mut errors, mut missing) = (Vec::new(), Vec::new(), None);
    for found in futures_util::future::join_all(worked).await {
        match found {
            Ok(Ok(result)) => done.push(result),
            Ok(Err(error)) => missing = missing.or(Some(error)),
            Err(error) => errors.push(error),
        }
    }
    (done, errors, missing)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::*;

    fn place(path: PathBuf) -> Place {
        Place::Podman(Ok(socket::Found {
            path,
            origin: "the test".to_owned(),
        }))
    }

    /// An engine that tells its version and nothing else.
    fn answering(path: &Path) -> tokio::task::JoinHandle<()> {
        let listener = UnixListener::bind(path).unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = [0; 4096];
                // A knock asks nothing.
                if matches!(stream.read(&mut asked).await, Ok(0) | Err(_)) {
                    continue;
                }
                let body = r#"{"ApiVersion":"1.43","Version":"24.0.0"}"#;
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        })
    }

    #[tokio::test]
    async fn one_that_hangs_keeps_no_other_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let places = || {
            vec![
                place(path("hanging")),
                place(path("gone")),
                place(path("good")),
            ]
        };
        let _hanging = UnixListener::bind(path("hanging")).unwrap();
        let server = answering(&path("good"));

        // Worked with while the one before it still hangs.
        let reached = tokio::sync::Notify::new();
        let hanging = at(places(), None, async |_| reached.notify_one());
        tokio::select! {
            _ = hanging => panic!("the one that hangs was not waited for"),
            () = reached.notified() => {}
            () = tokio::time::sleep(PODMAN_LIMIT / 2) => panic!("the other waited for it"),
        }

        let limit = Duration::from_secs(3);
        let asked = at(places(), Some(limit), async |engine| {
            engine.version().to_owned()
        });
        let (done, errors, missing) = asked.await;
        assert_eq!(done, ["24.0.0"]);
        assert!(
            matches!(&errors[..], [Error::TimedOut { .. }]),
            "{errors:?}"
        );
        assert!(
            matches!(missing, Some(Error::NoSocket { .. })),
            "{missing:?}"
        );
        server.abort();
    }
}
