//! `qdebug ssh` and `qdebug proxy`: into a session that this laptop knows, whether a connect runs
//! or not.

use std::time::Duration;

use super::error::Error;
use super::forwards::Forward;
use super::known::{Known, Place, Reach};
use super::paths::Paths;
use super::reach;
use crate::process::Program;
use crate::ssh::files::Lock;
use crate::ssh::{self, Client, Destination, Prompt, Route, Tunnel};

/// `qdebug proxy NAME`: what `ssh` runs to reach the container. Carries stdin and stdout to the
/// session's sshd, opening the hops where keys and agents allow it.
///
/// # Errors
/// [`Error::NotKnown`]; [`Error::NeedsConnect`] when a person would have to log in and there is no
/// terminal; [`Error::Ssh`].
pub async fn proxy(
    paths: &Paths,
    client: &Client,
    name: &str,
    prompt: Prompt,
) -> Result<(), Error> {
    let known = Known::find(&paths.sessions, name)?;
    let login = match &known.place {
        Place::Here => None,
        Place::Login { login, .. } => Some(login.parse()?),
    };
    let has_trunk = login.as_ref().is_some_and(|login| client.has_trunk(login));
    let is_relayed = known.reach.is_some_and(Reach::is_relayed);
    // What a running connect has ours would have to begin anew.
    let tunnel = match (is_relayed || has_trunk) && is_served(&known, paths).await {
        true => Tunnel::new(client.clone(), Route::Here, known.port, prompt),
        false => reach::again(client, &known, paths, prompt)?,
    };
    tunnel.carry_stdio().await.map_err(|error| match error {
        source if needs_person(&source, login.as_ref(), is_relayed) => Error::NeedsConnect {
            name: known.name.to_string(),
            source,
        },
        error => error.into(),
    })
}

/// Whether somebody who can be asked would be let in. Beyond a relay nobody can be asked.
fn needs_person(error: &ssh::Error, login: Option<&Destination>, is_relayed: bool) -> bool {
    match error {
        ssh::Error::Authentication { asked, host, .. } => {
            let is_login = login.is_some_and(|login| login.to_string() == *host);
            !asked && (!is_relayed || is_login)
        }
        _ => false,
    }
}

/// Whether a connect of this session runs.
async fn is_served(known: &Known, paths: &Paths) -> bool {
    let lock = Lock::take(&known.lock(&paths.sessions), Duration::ZERO).await;
    matches!(lock, Ok(None))
}

/// `qdebug ssh NAME [COMMAND...]`: ssh into the container on this terminal; ssh's own exit code,
/// which is the remote's. One word is a line for the shell there, as with ssh; several are a
/// program and its arguments, which arrive as they are.
///
/// # Errors
/// [`Error::NotKnown`], [`Error::Program`].
pub async fn shell(paths: &Paths, name: &str, command: &[String]) -> Result<i32, Error> {
    let known = Known::find(&paths.sessions, name)?;
    super::publish::publish(paths).await?;
    let program = Program::new("ssh")
        .arg("-F")
        .arg(paths.ssh_config.as_path())
        .args([&known.alias, "--"]);
    let program = match command {
        [] => program,
        [line] => program.arg(line),
        words => program.arg(shell_words::join(words)),
    };
    Ok(program.on_terminal().await?)
}

/// `qdebug forward NAME PORT`: one more port, on this terminal until it ends; ssh's exit code.
/// `found` is called once the session is known to be one of this laptop's.
///
/// # Errors
/// [`Error::NotKnown`], [`Error::Program`].
pub async fn forward(
    paths: &Paths,
    name: &str,
    forward: &Forward,
    found: impl FnOnce(),
) -> Result<i32, Error> {
    let known = Known::find(&paths.sessions, name)?;
    super::publish::publish(paths).await?;
    found();
    let program = Program::new("ssh")
        .arg("-F")
        .arg(paths.ssh_config.as_path())
        .args(["-N", "-T", "-o", "ExitOnForwardFailure=yes"])
        .args(forward.words())
        .args(["--", &known.alias]);
    Ok(program.on_terminal().await?)
}
