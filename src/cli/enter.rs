//! `ssh` and `forward`: into a session that this laptop knows.

use super::args::{Forward, Global, Ssh};
use super::setting::Setting;
use super::{Exit, Failure, output};
use crate::laptop::{self, Paths, Whose};
use crate::ssh::{Destination, WordError};

/// Whose sessions are meant by a command that goes by what this laptop remembers.
pub(super) fn whose(global: &Global) -> Result<Whose, Failure> {
    match global.on.as_deref() {
        None => Ok(Whose::Any),
        Some("here") => Ok(Whose::Here),
        Some(named) => {
            let setting = Setting::load()?;
            let (login, _) = setting.login_named(named)?;
            let login: Result<Destination, WordError> = login.parse();
            let login = login.map_err(|error| Failure::of(Exit::Usage, &error))?;
            Ok(Whose::Login(login.to_string()))
        }
    }
}

impl Ssh {
    pub(super) async fn run(self, global: &Global) -> Result<u8, Failure> {
        if let Some(option) = self.command.first().filter(|word| word.starts_with('-')) {
            let what = format!("{option:?} is no command");
            return Err(Failure::new(Exit::Usage, what)
                .hint("a port comes by `qdebug forward`, or by `connect -L` and `-R`")
                .hint("ssh's own options go to ssh itself, as in `ssh -A qdebug-NAME`"));
        }
        let (paths, whose) = (Paths::of_user()?, whose(global)?);
        let status = laptop::shell(&paths, &whose, &self.wanted.job, &self.command).await?;
        Ok(u8::try_from(status).unwrap_or(255))
    }
}

impl Forward {
    /// One more port: `connect -L` under another name, for as long as it runs.
    pub(super) async fn run(self, global: &Global) -> Result<u8, Failure> {
        let (here, there) = match self.port.split_once(':') {
            Some((here, there)) => (here, there),
            None => (self.port.as_str(), self.port.as_str()),
        };
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
        let (Some(here), Some(there)) = (port(here), port(there)) else {
            return Err(
                Failure::new(Exit::Usage, format!("{:?} is no port", self.port))
                    .hint("write PORT, or LOCAL:PORT, as in 8888 or 9999:8888"),
            );
        };
        let forward = laptop::Forward::local(&format!("127.0.0.1:{here}:127.0.0.1:{there}"))
            .map_err(|error| Failure::of(Exit::Usage, &error))?;
        let told = || output::talk(&format!("http://127.0.0.1:{here} until Ctrl-C"));
        let (paths, whose) = (Paths::of_user()?, whose(global)?);
        let status = laptop::forward(&paths, &whose, &self.wanted.job, &forward, told).await?;
        Ok(u8::try_from(status).unwrap_or(255))
    }
}
