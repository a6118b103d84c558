//! Exit codes: an interface that scripts and the other halves rely on. A code never changes its
//! meaning.

use std::process::ExitCode;

/// What the exit status of `qdebug` says. `ssh` and `debug` return the remote command's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed in a way no other code names.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// There is no such session or job.
    NoSuchSession = 3,
    /// The scheduler refused, or says that the job can never run.
    Refused = 4,
    /// The scheduler does not answer.
    SchedulerUnreachable = 5,
    /// The cluster does not answer, or the login failed.
    ClusterUnreachable = 6,
    /// The container engine.
    Engine = 7,
    /// The image.
    Image = 8,
    /// The GPU: none, wrong, busy or unhealthy.
    Gpu = 9,
    /// The session ended or failed while it was waited for.
    SessionOver = 10,
    /// Two qdebugs of versions that do not fit.
    Versions = 11,
    /// The kit is missing or does not fit.
    Kit = 12,
    /// A host key does not match.
    HostKey = 13,
    /// The configuration.
    Config = 14,
    /// A permission is missing.
    Permission = 15,
    /// A bug of ours.
    Bug = 70,
    /// Interrupted from the keyboard.
    Interrupted = 130,
}

impl Exit {
    /// Every code with its meaning, for the manual.
    pub const ALL: [(Self, &'static str); 18] = [
        (Self::Done, "done"),
        (Self::Failed, "failed otherwise"),
        (Self::Usage, "usage"),
        (Self::NoSuchSession, "no such session or job"),
        (Self::Refused, "refused by the scheduler, or never to run"),
        (Self::SchedulerUnreachable, "scheduler unreachable"),
        (
            Self::ClusterUnreachable,
            "cluster unreachable or login failed",
        ),
        (Self::Engine, "container engine"),
        (Self::Image, "image"),
        (Self::Gpu, "GPU: none, wrong, busy or unhealthy"),
        (
            Self::SessionOver,
            "session ended or failed while waited for",
        ),
        (Self::Versions, "versions do not fit"),
        (Self::Kit, "kit missing"),
        (Self::HostKey, "host key does not match"),
        (Self::Config, "configuration"),
        (Self::Permission, "permission"),
        (Self::Bug, "a bug of ours"),
        (Self::Interrupted, "interrupted"),
    ];

    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The code with that number, where it is one of ours.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .map(|(exit, _)| exit)
            .find(|exit| exit.code() == code)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_complete_and_its_numbers_are_fixed() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(
            codes,
            [
                0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 70, 130
            ]
        );
        assert_eq!(Exit::from_code(9), Some(Exit::Gpu));
        assert_eq!(Exit::from_code(99), None);
    }
}
