//! Which containers there are, and whether one runs.
//!
//! Problem: the client takes a container's state for one of Docker's words and refuses the whole
//! answer otherwise. Evidence: podman 4.3 says `stopped` between a container's end and its cleanup,
//! and for ever when its conmon was killed in that moment: then no list could be read any more.
//! Solution: of what Podman answers, only the few fields that matter are read, and any word is a
//! state. The request is a plain HTTP/1.0 one, whose answer ends with the connection.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bollard::query_parameters::ListContainersOptionsBuilder;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::error::{classify, from_api};
use super::{ContainerId, Engine, Error, Kind, REQUEST_LIMIT};

/// A longer answer is no list of containers, in bytes.
const ANSWER_LIMIT: u64 = 64 << 20;
const LISTING: &str = "listing containers";

/// A container as the list tells it. Names and labels are claims of whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: ContainerId,
    /// Its name, without the slash.
    pub name: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// What it does.
    pub state: ContainerState,
    /// When it was made, in seconds since 1970.
    pub created: i64,
}

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// It was made and never started.
    Created,
    /// It runs, or is paused or restarting.
    Running,
    /// It has exited, or is being removed.
    Exited,
}

/// An entry of the list, in Docker's words and Podman's.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    #[serde(default, rename = "ImageID")]
    image_id: Option<String>,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    labels: Option<HashMap<String, String>>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    created: Option<i64>,
}

/// What an inspection says of a container's state.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    running: bool,
    pid: Option<i64>,
}

impl Entry {
    fn into_listed(self) -> Option<Listed> {
        let name = self.names.unwrap_or_default().into_iter().next();
        Some(Listed {
            id: ContainerId::new(self.id)?,
            name: name.unwrap_or_default().trim_start_matches('/').to_owned(),
            labels: self.labels.unwrap_or_default(),
            state: match self.state.as_deref().unwrap_or_default() {
                "created" | "initialized" | "configured" => ContainerState::Created,
                "exited" | "dead" | "removing" | "stopped" => ContainerState::Exited,
                _ => ContainerState::Running,
            },
            created: self.created.unwrap_or_default(),
        })
    }
}

impl Engine {
    /// The containers, running or not, that have all these labels.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn list(&self, labels: &[(&str, &str)]) -> Result<Vec<Listed>, Error> {
        let wanted = labels.iter().map(|(name, value)| match value.is_empty() {
            true => (*name).to_owned(),
            false => format!("{name}={value}"),
        });
        let filters = HashMap::from([("label".to_owned(), wanted.collect::<Vec<_>>())]);
        let entries = self.entries(&filters).await?;
        Ok(entries.into_iter().filter_map(Entry::into_listed).collect())
    }

    /// The ids of the images that containers were made from, running or not.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn images_in_use(&self) -> Result<Vec<String>, Error> {
        let entries = self.entries(&HashMap::new()).await?;
        let ids = entries.into_iter().filter_map(|entry| entry.image_id);
        Ok(ids.collect())
    }

    async fn entries(&self, filters: &HashMap<String, Vec<String>>) -> Result<Vec<Entry>, Error> {
        match self.kind() {
            Kind::Podman => self.podman_list(filters).await,
            Kind::Docker => self.docker_list(filters).await,
        }
    }

    async fn docker_list(
        &self,
        filters: &HashMap<String, Vec<String>>,
    ) -> Result<Vec<Entry>, Error> {
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(filters)
            .build();
        let found = self.docker.list_containers(Some(options)).await;
        let found = found.map_err(|error| from_api(LISTING, error))?;
        let entries = found.into_iter().filter_map(|summary| {
            Some(Entry {
                id: summary.id?,
                image_id: summary.image_id,
                names: summary.names,
                labels: summary.labels,
                state: summary.state.map(|state| state.to_string()),
                created: summary.created,
            })
        });
        Ok(entries.collect())
    }

    async fn podman_list(
        &self,
        filters: &HashMap<String, Vec<String>>,
    ) -> Result<Vec<Entry>, Error> {
        let filters = serde_json::json!(filters).to_string();
        let path = format!("/containers/json?all=true&filters={}", quoted(&filters));
        let answer = self.get(LISTING, &path).await?;
        answer.json(LISTING)
    }

    /// Whether a container is there and runs.
    ///
    /// # Errors
    /// What the engine says, other than "no such container".
    pub async fn is_running(&self, id: &ContainerId) -> Result<bool, Error> {
        Ok(self.running(id, "looking at the container").await? == Some(true))
    }

    /// The process id, on the engine's machine, of a container's first process while it runs.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn main_process(&self, id: &ContainerId) -> Result<Option<u32>, Error> {
        let pid = self.state(id, "looking at the container").await?.pid;
        Ok(pid.and_then(|pid| u32::try_from(pid).ok().filter(|pid| *pid > 0)))
    }

    /// Whether a container is there at all.
    pub(super) async fn is_there(
        &self,
        id: &ContainerId,
        doing: &'static str,
    ) -> Result<bool, Error> {
        Ok(self.running(id, doing).await?.is_some())
    }

    /// Whether it runs; `None` where it is not there.
    async fn running(&self, id: &ContainerId, doing: &'static str) -> Result<Option<bool>, Error> {
        match self.state(id, doing).await {
            Ok(state) => Ok(Some(state.running)),
            Err(Error::NoSuchContainer { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn state(&self, id: &ContainerId, doing: &'static str) -> Result<State, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Inspected {
            state: State,
        }
        if self.kind() == Kind::Podman {
            let answer = self.get(doing, &format!("/containers/{id}/json")).await?;
            return Ok(answer.json::<Inspected>(doing)?.state);
        }
        let found = self.docker.inspect_container(id.as_str(), None).await;
        let state = found.map_err(|error| from_api(doing, error))?.state;
        let state = state.unwrap_or_default();
        Ok(State {
            running: state.running.unwrap_or(false),
            pid: state.pid,
        })
    }

    /// Asks for a path and returns the answer when it is a good one.
    async fn get(&self, doing: &'static str, path: &str) -> Result<Answer, Error> {
        let asking = async {
            let bytes = ask(self.socket(), path).await;
            let bytes = bytes.map_err(|error| Error::Gone {
                doing,
                detail: error.to_string(),
            })?;
            Answer::parse(&bytes).ok_or_else(|| Error::Other {
                doing,
                status: 0,
                message: "its answer is no HTTP".to_owned(),
            })
        };
        let limit: Duration = REQUEST_LIMIT;
        let answer = tokio::time::timeout(limit, asking).await;
        let answer = answer.map_err(|_| Error::TimedOut { doing, limit })??;
        if answer.status == 200 {
            return Ok(answer);
        }
        let told: Option<Told> = serde_json::from_slice(&answer.body).ok();
        let message = told.map_or_else(
            || String::from_utf8_lossy(&answer.body).into_owned(),
            |told| told.message,
        );
        Err(classify(doing, answer.status, message))
    }
}

/// How the engine words an error.
#[derive(Deserialize)]
struct Told {
    message: String,
}

/// Everything that the service answers to one request.
pub(super) async fn ask(socket: &Path, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = tokio::net::UnixStream::connect(socket).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: podman\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LIMIT).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// What HTTP/1.0 gives back.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut words = head.lines().next()?.split(' ');
        words
            .next()
            .filter(|version| version.starts_with("HTTP/1."))?;
        Some(Self {
            status: words.next()?.parse().ok()?,
            body: bytes[end + 4..].to_vec(),
        })
    }

    fn json<T: serde::de::DeserializeOwned>(&self, doing: &'static str) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| Error::Other {
            doing,
            status: self.status,
            message: error.to_string(),
        })
    }
}

/// A text as a value of a query.
fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                quoted.push(char::from(byte));
            }
            byte => quoted.push_str(&format!("%{byte:02X}")),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of podman 4.3.1, shortened.
    const STOPPED: &str = r#"[{"Id":"17ceeba036afe29c1493e957adbde0c0e92c55dec082abb7040839738c819d96",
        "Names":["/qdebug-otter"],"Created":1795852047,"Labels":{"a":"b"},"State":"stopped",
        "ImageID":"sha256:3a4f",
        "Status":"","Ports":[],"NetworkSettings":{"Networks":null}},
        {"Id":"../../x","State":"running"},{"Id":"e6f5816df642","State":"initialized"}]"#;

    #[test]
    fn any_word_is_a_state_and_odd_ids_are_left_out() {
        let entries: Vec<Entry> = serde_json::from_str(STOPPED).unwrap();
        assert_eq!(entries[0].image_id.as_deref(), Some("sha256:3a4f"));
        let listed: Vec<Listed> = entries.into_iter().filter_map(Entry::into_listed).collect();
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[0].name, "qdebug-otter");
        assert_eq!(listed[0].state, ContainerState::Exited);
        assert_eq!(listed[0].labels["a"], "b");
        assert_eq!(listed[1].state, ContainerState::Created);
    }

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let good = b"HTTP/1.0 404 Not Found\r\nServer: Libpod/4.3.1\r\n\r\n{\"message\":\"no\"}";
        let answer = Answer::parse(good).unwrap();
        assert_eq!(answer.status, 404);
        assert_eq!(answer.body, b"{\"message\":\"no\"}");
        for bad in [
            &b""[..],
            b"HTTP/1.0 200 OK\r\n",
            b"x\r\n\r\n",
            b"HTTP/1.0 x\r\n\r\n",
        ] {
            assert_eq!(Answer::parse(bad), None);
        }
    }

    #[test]
    fn nothing_of_a_value_becomes_a_part_of_the_request() {
        assert_eq!(quoted("a=b c\r\n&\"/"), "a%3Db%20c%0D%0A%26%22%2F");
    }
}
