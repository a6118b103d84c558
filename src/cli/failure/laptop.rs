//! What the laptop half's errors mean to the user: ssh too. Those of IDEs are in `ide`.

use super::Failure;
use crate::cli::Exit;
use crate::{laptop, ssh};

impl From<laptop::Error> for Failure {
    fn from(error: laptop::Error) -> Self {
        use laptop::Error as E;
        let failure = |exit| Self::of(exit, &error);
        match &error {
            E::Ssh(error) => Self::of_ssh(error),
            E::Program(_) => failure(Exit::Failed),
            E::Cluster { code, .. } => {
                // The cluster's own exit code is passed on; its hints are in what it said.
                failure(
                    u8::try_from(*code)
                        .ok()
                        .and_then(Exit::from_code)
                        .unwrap_or(Exit::Failed),
                )
            }
            E::Versions { .. } => {
                failure(Exit::Versions).hint("install the same qdebug on both sides")
            }
            E::Unsure { .. } => failure(Exit::ClusterUnreachable)
                .hint("`qdebug list` tells, once the cluster answers; `qdebug connect` goes on"),
            E::Submitted { job, .. } => {
                let failure = failure(Exit::Versions);
                match job {
                    Some(job) => failure.hint(format!(
                        "`qdebug connect {job}` goes on, `qdebug stop {job}` ends it"
                    )),
                    None => failure.hint("`qdebug list` tells its job"),
                }
                .hint("install the same qdebug on both sides")
            }
            E::NotKnown { name } => {
                failure(Exit::NoSuchSession).hint(format!("first: qdebug connect {name}"))
            }
            E::NeedsConnect { name, .. } => {
                failure(Exit::ClusterUnreachable).hint(format!("run: qdebug connect {name}"))
            }
            E::AlreadyConnected { missing, .. } if missing.is_empty() => {
                failure(Exit::Failed).hint("it serves every terminal and IDE; nothing is missing")
            }
            E::AlreadyConnected { missing, .. } => {
                let failure = failure(Exit::Failed);
                missing.iter().fold(failure, |failure, command| {
                    failure.hint(format!("beside it: {command}"))
                })
            }
            E::NoReach { source, .. } => match source {
                Some(source) if matches!(**source, ssh::Error::HostKey { .. }) => {
                    failure(Exit::HostKey).hint(HOST_KEY)
                }
                _ => failure(Exit::ClusterUnreachable)
                    .hint("can you log in to the node from the login node while the job runs?")
                    .hint(
                        "where nodes let no user in, the site opens the way `port`: `publish` in \
                         its file (see \"No way leads to a session\" in the README)",
                    ),
            },
            E::NotLetIn { .. } => failure(Exit::ClusterUnreachable)
                .hint("`qdebug logs` of the session shows what its sshd said"),
            E::Details { .. } => failure(Exit::Versions),
            E::NoPython { name, .. } => failure(Exit::Image).hint(format!(
                "what there is: qdebug ssh {name} -- 'ls /usr/bin/python* /opt/*/bin/python*'; \
                 another folder: --folder"
            )),
            E::NoDebugger { package, .. } => {
                // PyCharm's debugger is to be that of its version.
                let package = match *package {
                    "pydevd-pycharm" => "pydevd-pycharm~=BUILD, as PyCharm's debug server shows it",
                    package => package,
                };
                failure(Exit::Image)
                    .hint(format!("add it to the image: RUN pip install {package}"))
                    .hint(format!(
                        "or install it where there is internet, into your folder of this image: \
                         pip install --user {package} in a session on such a node"
                    ))
            }
            E::NobodyListens { port } => failure(Exit::Failed)
                .hint(format!(
                    "PyCharm: Run, Edit Configurations, Python Debug Server, port {port}; start it"
                ))
                .hint("then run this again"),
            E::PortTaken { .. } => failure(Exit::Failed).hint(
                "another `qdebug debug` of this session may run; choose another port by `--port`",
            ),
            E::Memory { path, .. } => {
                failure(Exit::Failed).hint(format!("remove {path} and connect again"))
            }
            E::Setup { .. } => {
                failure(Exit::Failed).hint("mend that and run setup again: it goes on from there")
            }
            E::NoHome => failure(Exit::Config).hint("set HOME to your home"),
        }
    }
}

/// What a host key that does not match means.
const HOST_KEY: &str = "the machine that answers is not the one that was expected: the session's \
                        key comes through your login, so somebody may stand in between; connect \
                        again, and tell the admin when it stays";

/// The login node shows another key than ssh has noted.
fn changed_key(failure: Failure, host: &str, expected: &ssh::ExpectedKey) -> Failure {
    let name = expected.name.as_deref();
    let name = name.unwrap_or_else(|| host.rsplit('@').next().unwrap_or(host));
    let failure = failure.hint(
        "the machine that answers is not the one that this laptop knows: somebody may stand in \
         between; ask the admin whether its key was changed",
    );
    // Without its line the file is ssh's own choice.
    let (of, place) = match expected
        .place
        .as_deref()
        .and_then(|place| place.rsplit_once(':'))
    {
        Some((file, line)) => (
            format!("-f {} ", shell_words::quote(file)),
            format!(" (line {line} of {file})"),
        ),
        None => Default::default(),
    };
    failure.hint(format!(
        "if it was: `ssh-keygen {of}-R {}` forgets the old key{place}, then `ssh {host}` shows the \
         new one and asks",
        shell_words::quote(name)
    ))
}

impl From<ssh::Error> for Failure {
    fn from(error: ssh::Error) -> Self {
        Self::of_ssh(&error)
    }
}

impl Failure {
    fn of_ssh(error: &ssh::Error) -> Self {
        use ssh::Error as E;
        let failure = |exit| Self::of(exit, error);
        match error {
            E::Unreachable { host, .. } => {
                failure(Exit::ClusterUnreachable).hint(format!("does `ssh {host}` work from here?"))
            }
            E::Authentication { host, asked, .. } => {
                let failure = failure(Exit::ClusterUnreachable);
                let failure = match asked {
                    true => failure.hint(format!("does `ssh {host}` let you in?")),
                    false => failure.hint("in a terminal you can be asked for a password or code"),
                };
                failure.hint(format!(
                    "`qdebug doctor --on {host}` looks at your keys, `qdebug setup {host}` brings \
                     one there"
                ))
            }
            E::HostKey { host, .. } if host.starts_with("qdebug-") => {
                failure(Exit::HostKey).hint(HOST_KEY)
            }
            E::HostKey {
                host, known: None, ..
            } => failure(Exit::HostKey).hint(format!(
                "`ssh {host}` once in a terminal shows its key and asks"
            )),
            E::HostKey {
                host,
                known: Some(expected),
                ..
            } => changed_key(failure(Exit::HostKey), host, expected),
            E::QdebugMissing { .. } => failure(Exit::Versions).hint(
                "install qdebug there on PATH or as ~/.local/bin/qdebug, or set `qdebug` in the \
                 cluster's profile",
            ),
            E::Outdated { host, .. } => failure(Exit::Versions)
                .hint(format!("`qdebug setup {host}` brings this version there")),
            E::NoAnswer { .. } => failure(Exit::ClusterUnreachable)
                .hint("the shell's start files on the cluster may end it early"),
            E::NotBegun { .. } => {
                failure(Exit::ClusterUnreachable).hint("nothing was changed there; try again")
            }
            E::Busy { .. } | E::TimedOut { .. } | E::Lost { .. } | E::StillDown { .. } => {
                failure(Exit::ClusterUnreachable).hint("try again")
            }
            E::Listen { port, .. } => failure(Exit::Failed).hint(format!(
                "something else listens on {port}; choose another by `--port`"
            )),
            E::Forward { .. } | E::NodePort { .. } => failure(Exit::ClusterUnreachable),
            E::Word(_) | E::Key(_) => failure(Exit::Usage),
            E::File { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => failure(Exit::Permission),
                _ => failure(Exit::Failed),
            },
            E::Program(_) => failure(Exit::Failed).hint("qdebug needs OpenSSH's client"),
            E::Failed { .. } => failure(Exit::Failed),
        }
    }
}
