//! What the login half's errors mean to the user: the session's files and the scheduler too.

use super::Failure;
use crate::cli::Exit;
use crate::{login, scheduler, session};

impl From<login::Error> for Failure {
    fn from(error: login::Error) -> Self {
        use login::Error as E;
        let failure = |exit| Self::of(exit, &error);
        match &error {
            E::Session(error) => Self::of_session(error),
            E::Scheduler(error) => Self::of_scheduler(error),
            E::NameTaken { name, .. } => failure(Exit::Failed).hint(format!(
                "choose another `--name`, or end it first: qdebug stop {name}"
            )),
            E::Ambiguous { .. } => failure(Exit::Usage).hint("use the session's name instead"),
            E::OtherCluster { cluster, .. } => failure(Exit::SchedulerUnreachable)
                .hint(format!("do it where {cluster} can be asked")),
            E::MountMissing { mount } => failure(Exit::Usage).hint(format!(
                "make {} first, or leave the mount out",
                mount.source().display()
            )),
            E::NoWorkdir { .. } => failure(Exit::Usage)
                .hint("`--workdir` names a directory of the cluster's shared file system"),
            E::Recipe { .. } => failure(Exit::Usage).hint(
                "`--dockerfile` names a file and `--context` a folder, both readable for you",
            ),
            E::BadPath { .. } => failure(Exit::Usage).hint("use a path without such characters"),
            E::NotAnId { .. } => {
                failure(Exit::NoSuchSession).hint("`qdebug list --all` shows what there is")
            }
            E::JobLeft { end, name, .. } => failure(Exit::Failed).hint(match end {
                Some(command) => format!("end it by hand: {command}"),
                None => format!("end it: qdebug stop {name}"),
            }),
            E::Random(_) => failure(Exit::Failed),
            E::NoLog { .. } => failure(Exit::Failed),
            E::Log { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => failure(Exit::Permission),
                _ => failure(Exit::Failed),
            },
        }
    }
}

impl From<scheduler::Error> for Failure {
    fn from(error: scheduler::Error) -> Self {
        Self::of_scheduler(&error)
    }
}

impl Failure {
    pub(super) fn of_session(error: &session::Error) -> Self {
        use session::Error as E;
        let failure = |exit| Self::of(exit, error);
        match error {
            E::NoSuchSession { .. } => {
                failure(Exit::NoSuchSession).hint("`qdebug list --all` shows what there is")
            }
            E::Newer { writer, .. } => {
                failure(Exit::Versions).hint(format!("install qdebug {writer} or later here"))
            }
            E::Damaged { path, .. } | E::TooLarge { path } => failure(Exit::Failed).hint(format!(
                "`qdebug stop` ends its job all the same; then remove {}",
                path.parent().unwrap_or(path).display()
            )),
            E::Exists { .. } => failure(Exit::Failed).hint("choose another `--name`"),
            E::Io { path, source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => failure(Exit::Permission).hint(format!(
                    "it should belong to you; `ls -ld {}` shows whose it is",
                    path.display()
                )),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    failure(Exit::Failed).hint("make room: the disk or your quota is full")
                }
                _ => failure(Exit::Failed),
            },
        }
    }

    fn of_scheduler(error: &scheduler::Error) -> Self {
        use scheduler::Error as E;
        let failure = |exit| Self::of(exit, error);
        match error {
            E::Refused { hint, .. } => {
                let refused = failure(Exit::Refused);
                match hint {
                    Some(hint) => refused.hint(hint),
                    None => refused,
                }
            }
            E::Unreachable { .. } => failure(Exit::SchedulerUnreachable)
                .hint("try again in a moment; running jobs go on meanwhile"),
            E::NotInstalled { .. } => failure(Exit::SchedulerUnreachable)
                .hint("do it on the login node; the scheduler's module may have to be loaded"),
            E::Array { .. } => {
                failure(Exit::Usage).hint("a session is one job; submit one for each you want")
            }
            E::BadId { .. } | E::BadName { .. } | E::BadOption { .. } | E::BadKind { .. } => {
                failure(Exit::Usage)
            }
            E::Program(_) | E::Unexpected { .. } => failure(Exit::SchedulerUnreachable)
                .hint("`qdebug -vv ...` shows what was run and what came back"),
            E::File { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => failure(Exit::Permission),
                _ => failure(Exit::Failed),
            },
        }
    }
}
